--- A TLS certificate of AWS Certificate Manager, which proves by records in the DNS that the names are ours, and which AWS
--- renews as long as they stay there. It is requested here, with the records that prove it; `wait` is for after these are set.
---
---     local certificate = aws.certificate { "shop.example.com", names = { "www.shop.example.com" } }
---     for _, r in ipairs(certificate.records) do aws.dns_record { r.name, zone = zone, type = r.type, values = { r.value } } end
---     certificate:wait()
---     aws.environment { "shop", load_balanced = true, certificate = certificate, ... }
local aws = require "aws"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local records = require "aws.common.records"
local task = require "task"

local GONE = "ResourceNotFoundException"
local ALIVE = { "PENDING_VALIDATION", "ISSUED" }             -- one that failed, expired or was revoked is of no use: another is requested

--- The names beside the first one.
local function further(detail)
  local list = {}
  for _, name in ipairs(detail.SubjectAlternativeNames or {}) do
    if name ~= detail.DomainName then list[#list + 1] = name end
  end
  return list
end

--- The records that prove the names, each once; nil while ACM does not tell them all yet.
local function proofs(detail)
  local list, seen = {}, {}
  for _, v in ipairs(detail.DomainValidationOptions or {}) do
    local r = v.ResourceRecord
    if not r then return nil end
    if not seen[r.Name] then
      seen[r.Name] = true
      list[#list + 1] = { name = records.plain(r.Name), type = r.Type, value = records.plain(r.Value), of = v.DomainName }
    end
  end
  return list
end

local function describe(arn)
  local detail = aws.acm:describe_certificate({ CertificateArn = arn }).Certificate
  return { id = detail.CertificateArn, arn = detail.CertificateArn, names = further(detail), status = detail.Status, records = proofs(detail),
           domain = detail.DomainName, why = detail.FailureReason }
end

local function tags_of(arn) return noun.tag_map(aws.acm:list_tags_for_certificate({ CertificateArn = arn }).Tags) end

--- The certificate of this name with our tags, or where it is adopted, one of this name.
local function find(spec, ctx)
  for c in aws.acm:each("list_certificates", { CertificateStatuses = ALIVE }) do
    if c.DomainName == spec.name then
      local tags = tags_of(c.CertificateArn)
      local ours = tags["hkrun:key"] == ctx.key and tags["hkrun:recipe"] == ctx.recipe
      if ours or spec.adopt then return c.CertificateArn, tags end
    end
  end
end

local kind = recipe.kind {
  name = "aws.certificate",
  options = {
    { "names", "further names that it is for, *.example.com too", type = "list", default = {} },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "status", "records" }, fixed = { "names" }, summary = { "names" },
  compare = { tags = "given", names = "set" }, idempotent = true,

  read = noun.reader(GONE, function(spec, known, ctx)
    local arn, tags = known, nil
    if not arn then arn, tags = find(spec, ctx) end
    if not arn then return nil end
    local current = describe(arn)
    if current.status ~= ALIVE[1] and current.status ~= ALIVE[2] then return nil end
    current.tags = tags or tags_of(arn)
    return current
  end),

  create = function(spec, ctx)
    return aws.acm:request_certificate({ DomainName = spec.name, SubjectAlternativeNames = #spec.names > 0 and spec.names or nil,
      ValidationMethod = "DNS", IdempotencyToken = ctx.token, Tags = noun.tags(spec, ctx) }).CertificateArn
  end,

  ready = function(current, ctx)
    local deadline, waited = task.now() + ctx.timeout, false
    while not current.records do
      if task.now() > deadline then
        errors.raise { kind = "timeout", message = "ACM does not tell the records that prove its names", retry = true }
      end
      ctx.note "waiting for the records that prove its names"
      task.sleep(1)
      local tags = current.tags
      current, waited = describe(current.arn), true
      current.tags = tags
    end
    return waited and current or nil
  end,

  update = function(spec, current, changes)
    if changes.tags then aws.acm:add_tags_to_certificate { CertificateArn = current.arn, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current) noun.delete(GONE, function() aws.acm:delete_certificate { CertificateArn = current.arn } end) end,
}

---@class Certificate
---@field arn string
---@field records { name: string, type: string, value: string, of: string }[] what proves its names
---@field status string
local Certificate = {}
Certificate.__index = Certificate

--- Waits until it is issued; raises kind "timeout" when it is not after so many seconds, and what ACM says when it never will.
---@param seconds? number
function Certificate:wait(seconds)
  if recipe.is_unknown(self.arn) then return end
  local p <close> = log.progress { what = "certificate of " .. self.name }
  local deadline, pause = task.now() + (seconds or 3600), 0.5
  while true do
    local now = describe(self.arn)
    self.status = now.status
    if now.status == "ISSUED" then return end
    local op = "get the certificate of " .. self.name
    if now.status ~= "PENDING_VALIDATION" then
      errors.raise { kind = "remote", op = op, code = now.why, message = ("ACM says %s%s"):format(now.status, now.why and ": " .. now.why or ""),
        hint = "see docs.aws.amazon.com/acm/latest/userguide/troubleshooting-failed.html; apply again requests another one" }
    end
    if task.now() > deadline then
      errors.raise { kind = "timeout", op = op, message = "ACM has not seen the records that prove its names", retry = true,
        hint = "set them as the report says, and apply again" }
    end
    p:note(now.status)
    task.sleep(pause)
    pause = math.min(pause * 1.5, 10)
  end
end

---@param spec table
---@return Certificate
return function(spec)
  local c, own = kind(spec), {}
  for k, v in next, c do own[k] = v end
  return setmetatable(own, Certificate)
end
