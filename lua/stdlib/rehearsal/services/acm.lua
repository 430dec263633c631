--- AWS Certificate Manager in the rehearsal: a certificate of the rehearsal's own authority, issued once its records are
--- really in the DNS.
local balancers = require "rehearsal.services.elbv2.common"
local dns = require "dns"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local RECORDS_AFTER = 5                 -- simulated seconds until the validation records are shown
local LOOK = 15                         -- simulated seconds between two looks into the DNS
local VALIDATION_ENDS = 72 * 3600       -- simulated seconds
local TOKEN_LASTS = 3600
local VALID = 198 * 86400               -- seconds that a certificate lasts
local NAMES = 10                        -- the quota of names in one

local function certificates(cloud, ctx)
  local store = cloud:store("acm", ctx.region)
  store.list = store.list or {}
  return store.list
end

local function get(cloud, ctx, arn)
  for _, c in ipairs(certificates(cloud, ctx)) do
    if c.arn == arn then return c end
  end
  wire.fail("ResourceNotFoundException", 400, "Could not find certificate %s.", arn)
end

--- The load balancers whose listeners have the certificate.
local function used_by(cloud, ctx, arn)
  local seen, list = {}, json.array {}
  for _, listener in pairs(balancers.listeners(cloud, ctx)) do
    for _, certificate in ipairs(listener.Certificates or {}) do
      if certificate.CertificateArn == arn and not seen[listener.LoadBalancerArn] then
        seen[listener.LoadBalancerArn] = true
        list[#list + 1] = listener.LoadBalancerArn
      end
    end
  end
  return list
end

-- Validation ---------------------------------------------------------------

--- The record that proves the name; a wildcard shares it with the name that it stands below.
local function proof(account, name)
  local base = name:gsub("^%*%.", "")
  local digest = sign.sha256(account .. "/" .. base)
  return { Name = ("_%s.%s."):format(digest:sub(1, 32), base), Type = "CNAME",
           Value = ("_%s.%s.acm-validations.aws."):format(digest:sub(33, 64), digest:sub(10, 19)) }
end

local function is_proven(cloud, record)
  local server = cloud:service "route53"._address(cloud)
  if not server then return false end
  local ok, values = pcall(dns.resolve, record.Name, "CNAME", { server = server, timeout = 5 })
  if not ok then
    if errors.is(values, "cancelled") then error(values, 0) end
    return false
  end
  return values[1] ~= nil and values[1] .. "." == record.Value
end

local function issue(cloud, c)
  c.files = cloud.ca:issue { name = c.id, names = c.names, dir = fs.join(cloud.dir, "acm") }
  c.status, c.issued_at = "ISSUED", cloud.clock:now()
  c.from, c.to = c.issued_at, c.issued_at + VALID
end

local function validate(cloud, c)
  cloud.clock:sleep(RECORDS_AFTER)
  c.shown = true
  while c.status == "PENDING_VALIDATION" do
    local all = true
    for _, v in ipairs(c.validations) do
      if v.status ~= "SUCCESS" and is_proven(cloud, v.record) then v.status = "SUCCESS" end
      all = all and v.status == "SUCCESS"
    end
    if all then return issue(cloud, c) end
    if cloud.clock:now() > c.created_at + VALIDATION_ENDS then c.status = "VALIDATION_TIMED_OUT" return end
    cloud.clock:sleep(LOOK)
  end
end

local function check_name(name)
  if not name:find "^%*?%.?[%w][%w%-%.]*%.%a[%w%-]*$" or #name > 253 then
    wire.fail("ValidationException", 400, "1 validation error detected: Value '%s' at 'domainName' failed to satisfy constraint: "
      .. "Member must satisfy regular expression pattern", name)
  end
end

function S.RequestCertificate(cloud, p, ctx)
  check_name(p.DomainName)
  local names, seen = { p.DomainName }, { [p.DomainName] = true }
  for _, name in ipairs(p.SubjectAlternativeNames or {}) do
    check_name(name)
    if not seen[name] then names[#names + 1], seen[name] = name, true end
  end
  if #names > NAMES then
    wire.fail("LimitExceededException", 400, "Error: you have reached your limit of %d subject alternative names per certificate.", NAMES)
  end
  local now = cloud.clock:now()
  for _, c in ipairs(certificates(cloud, ctx)) do
    if p.IdempotencyToken and c.token == p.IdempotencyToken and c.names[1] == p.DomainName and now - c.created_at < TOKEN_LASTS then
      return { CertificateArn = c.arn }
    end
  end
  if (p.ValidationMethod or "EMAIL") ~= "DNS" then
    wire.fail("InvalidParameterException", 400, "The rehearsal validates by DNS only: it has nobody who reads the e-mail.")
  end
  local id = sign.uuid()
  local c = { id = id, arn = cloud:arn("acm", ctx.region, "certificate/" .. id), names = names, token = p.IdempotencyToken, created_at = now,
              status = "PENDING_VALIDATION", validations = {}, tags = {}, serial = sign.hex(sign.random(16)):gsub("%x%x", "%0:"):sub(1, -2) }
  for i, name in ipairs(names) do c.validations[i] = { name = name, status = "PENDING_VALIDATION", record = proof(cloud.account, name) } end
  for _, tag in ipairs(p.Tags or {}) do c.tags[tag.Key] = tag.Value or "" end
  table.insert(certificates(cloud, ctx), c)
  c.work = cloud:after(0, function() validate(cloud, c) end)
  return { CertificateArn = c.arn }
end

-- Reading ------------------------------------------------------------------

function S.DescribeCertificate(cloud, p, ctx)
  local c = get(cloud, ctx, p.CertificateArn)
  local validations, users = {}, used_by(cloud, ctx, c.arn)
  for i, v in ipairs(c.validations) do
    validations[i] = { DomainName = v.name, ValidationDomain = v.name, ValidationStatus = v.status, ValidationMethod = "DNS",
                       ResourceRecord = c.shown and v.record or nil }
  end
  return { Certificate = {
    CertificateArn = c.arn, DomainName = c.names[1], SubjectAlternativeNames = c.names, DomainValidationOptions = validations, Serial = c.serial,
    Subject = "CN=" .. c.names[1], Issuer = "Amazon", CreatedAt = c.created_at, IssuedAt = c.issued_at, Status = c.status, NotBefore = c.from,
    NotAfter = c.to, KeyAlgorithm = "RSA-2048", SignatureAlgorithm = "SHA256WITHRSA", InUseBy = users, Type = "AMAZON_ISSUED",
    RenewalEligibility = #users > 0 and "ELIGIBLE" or "INELIGIBLE", Options = { CertificateTransparencyLoggingPreference = "ENABLED" },
  } }
end

local function among(list, value)
  if not list or #list == 0 then return true end
  for _, v in ipairs(list) do if v == value then return true end end
  return false
end

function S.ListCertificates(cloud, p, ctx)
  local list = {}
  for _, c in ipairs(certificates(cloud, ctx)) do
    if among(p.CertificateStatuses, c.status) then
      list[#list + 1] = { CertificateArn = c.arn, DomainName = c.names[1], SubjectAlternativeNameSummaries = c.names, Status = c.status,
        HasAdditionalSubjectAlternativeNames = false, Type = "AMAZON_ISSUED", KeyAlgorithm = "RSA-2048", InUse = #used_by(cloud, ctx, c.arn) > 0,
        CreatedAt = c.created_at, IssuedAt = c.issued_at, NotBefore = c.from, NotAfter = c.to, RenewalEligibility = "INELIGIBLE" }
    end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxItems)
  return { CertificateSummaryList = page, NextToken = token }
end

function S.GetCertificate(cloud, p, ctx)
  local c = get(cloud, ctx, p.CertificateArn)
  if c.status ~= "ISSUED" then wire.fail("RequestInProgressException", 400, "Certificate %s is not in status ISSUED.", c.arn) end
  return { Certificate = fs.read(c.files.cert), CertificateChain = cloud.ca.pem }
end

--- The files of a certificate and its key, for what serves with it.
---@return { cert: string, key: string }
function S._files(cloud, ctx, arn) return get(cloud, ctx, arn).files end

function S.DeleteCertificate(cloud, p, ctx)
  local c = get(cloud, ctx, p.CertificateArn)
  local users = used_by(cloud, ctx, c.arn)
  if #users > 0 then wire.fail("ResourceInUseException", 400, "Certificate %s in account %s is in use.", c.arn, cloud.account) end
  if c.work then c.work:cancel() end
  local list = certificates(cloud, ctx)
  for i, other in ipairs(list) do if other == c then table.remove(list, i) break end end
end

-- Tags ---------------------------------------------------------------------

function S.ListTagsForCertificate(cloud, p, ctx)
  local list = {}
  for key, value in pairs(get(cloud, ctx, p.CertificateArn).tags) do list[#list + 1] = { Key = key, Value = value } end
  table.sort(list, function(a, b) return a.Key < b.Key end)
  return { Tags = list }
end

function S.AddTagsToCertificate(cloud, p, ctx)
  local c = get(cloud, ctx, p.CertificateArn)
  for _, tag in ipairs(p.Tags) do c.tags[tag.Key] = tag.Value or "" end
end

function S.RemoveTagsFromCertificate(cloud, p, ctx)
  local c = get(cloud, ctx, p.CertificateArn)
  for _, tag in ipairs(p.Tags) do c.tags[tag.Key] = nil end
end

return S
