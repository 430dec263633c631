--- Root certificates for endpoints with SslMode verify-ca and verify-full.
local common = require "rehearsal.services.dms.common"
local managed = require "rehearsal.managed"
local process = require "process"
local timestamp = require "aws.timestamp"
local wire = require "rehearsal.wire"

local S = {}

local function certificates(cloud, ctx) return common.all(cloud, ctx, "certificates") end

local function bad(fmt, ...) wire.fail("InvalidCertificateFault", 400, fmt, ...) end

--- What openssl reads in a PEM: the model hides it as a secret, so it goes there unseen.
local function read(pem)
  local r = process.run { "openssl", "x509", "-noout", "-startdate", "-enddate", "-dateopt", "iso_8601", "-text", stdin = pem, timeout = 20 }
  if r.code ~= 0 then bad("The certificate is not valid: no PEM certificate can be read.") end
  local function date(name)
    local day, time = r.stdout:match(name .. "=(%S+) (%S+)")
    return day and timestamp.parse(day .. "T" .. time)
  end
  return { ValidFromDate = date "notBefore", ValidToDate = date "notAfter", KeyLength = tonumber(r.stdout:match "Public%-Key: %((%d+) bit%)"),
           SigningAlgorithm = r.stdout:match "Signature Algorithm: (%S+)" }
end

function S.ImportCertificate(cloud, p, ctx)
  local name = common.new_name(cloud, ctx, "certificates", "CertificateIdentifier", p.CertificateIdentifier)
  if not p.CertificatePem then bad("The rehearsal cloud takes certificates as PEM.") end
  local made = read(p.CertificatePem)
  made.CertificateIdentifier, made.CertificateCreationDate, made.CertificateOwner = name, cloud.clock:now(), cloud.account
  made.tags, made.CertificatePem = managed.tags(p.Tags), p.CertificatePem
  made.arn = common.arn(cloud, ctx, "certificates")
  made.CertificateArn = made.arn
  certificates(cloud, ctx)[made.arn] = made
  return { Certificate = made }
end

function S.DescribeCertificates(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(certificates(cloud, ctx)),
    { ["certificate-arn"] = "arn", ["certificate-id"] = "CertificateIdentifier" }, "Certificates")
  return { Certificates = page, Marker = marker }
end

function S.DeleteCertificate(cloud, p, ctx)
  local found = common.get(cloud, ctx, "certificates", p.CertificateArn)
  for _, endpoint in ipairs(common.sorted(common.all(cloud, ctx, "endpoints"))) do
    if endpoint.CertificateArn == found.arn then
      common.state("Certificate %s is in use by the endpoint %s.", found.arn, endpoint.EndpointIdentifier)
    end
  end
  certificates(cloud, ctx)[found.arn] = nil
  return { Certificate = found }
end

return S
