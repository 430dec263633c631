--- A certificate of AWS DMS: the authorities that sign the certificates of a server, in one PEM text, by which an endpoint
--- with ssl_mode = "verify-ca" or "verify-full" knows it. AWS has no call that changes one.
---
---     local roots = aws.dms_certificate { "shop-rds", pem = fs.read "global-bundle.pem" }
---     aws.dms_endpoint { "shop-target", ssl_mode = "verify-full", certificate = roots.arn, ... }
local aws = require "aws"
local dms = require "aws.common.dms"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"

--- The tag that says what was imported: AWS need not give a text back as it came.
local DIGEST = "hkrun:sha256"

local function look(filter, value)
  local c = dms.find("describe_certificates", filter, value, "Certificates")
  return c and { id = c.CertificateArn, arn = c.CertificateArn, name = c.CertificateIdentifier, pem = c.CertificatePem, valid_to = c.ValidToDate }
end

return recipe.kind {
  name = "aws.dms_certificate",
  options = {
    { "pem", "the certificates of the authorities, PEM", type = "secret", required = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "valid_to" }, fixed = { "pem" }, idempotent = true,
  compare = {
    tags = "given",
    pem = function(want, have, _, current)
      local digest = (current.tags or {})[DIGEST]
      if digest then return digest == secret.sha256(want) end
      return have ~= nil and secret.equal(want, secret.new(have))
    end,
  },

  read = noun.reader(dms.GONE, function(spec, known)
    local found = look(known and "certificate-arn" or "certificate-id", known or spec.name)
    if found then found.tags = dms.tags(found.arn) end
    return found
  end),

  create = function(spec, ctx)
    local tags = noun.tags(spec, ctx)
    tags[#tags + 1] = { Key = DIGEST, Value = secret.sha256(spec.pem) }
    return aws.dms:import_certificate({ CertificateIdentifier = spec.name, CertificatePem = spec.pem, Tags = tags }).Certificate.CertificateArn
  end,

  update = function(spec, current, changes)
    if changes.tags then dms.tag(current.arn, spec.tags) end
  end,

  delete = function(current)
    noun.delete(dms.GONE, function() aws.dms:delete_certificate { CertificateArn = current.id } end)
  end,
}
