--- Checksums of bodies: what a request carries so that the service can prove it whole, what proves an answer.
--- Source: "Data integrity protections for Amazon S3" (AWS SDKs and Tools Reference Guide); botocore's httpchecksum.py.
local config = require "aws.config"
local errors = require "errors"
local options = require "options"
local secret = require "secret"
local sign = require "sign"

local M = {}

--- The bytes of a checksum, of a string or of what sign.digest_file answers.
local BYTES = {
  crc32 = function(n) return (">I4"):pack(n) end, crc32c = function(n) return (">I4"):pack(n) end,
  crc64nvme = function(n) return (">i8"):pack(n) end,
  sha1 = sign.unhex, sha256 = sign.unhex, sha512 = sign.unhex,
}

--- The best first, as boto3 chooses among those of an answer.
local NAMES = { "crc64nvme", "crc32c", "crc32", "sha1", "sha256", "sha512" }

local function of_string(name, bytes) return sign.base64(BYTES[name](sign[name](bytes))) end

--- Whether the caller gave a checksum of his own.
local function is_given(headers)
  for name in pairs(headers) do
    local algorithm = name:lower():match "^x%-amz%-checksum%-(%w+)$"
    if algorithm and algorithm ~= "algorithm" and algorithm ~= "type" and algorithm ~= "mode" then return true end
  end
  return false
end

local function wants_default(op, profile)
  if op.checksum_required then return true end
  local set = config.env "AWS_REQUEST_CHECKSUM_CALCULATION" or config.profile(profile).request_checksum_calculation
  return not (set and set:lower() == "when_required")
end

--- The digests of a body that is a file, read once: the one that is asked for, and the one of the signature.
local function of_file(body, name, is_secure)
  local names = { name }
  if not is_secure and name ~= "sha256" then names[2] = "sha256" end
  local digest = sign.digest_file(body.file, names, { offset = body.offset, length = body.length })
  if not digest[name] then errors.usage("hkrun has no %s of files", name:upper()) end
  -- where TLS keeps the bytes whole and the checksum is signed with the headers, they need no second digest
  return sign.base64(BYTES[name](digest[name])), is_secure and "UNSIGNED-PAYLOAD" or digest.sha256
end

--- Adds the checksum that the operation asks for, or the caller: CRC-32 where nobody says which.
---@param model aws.Model
---@param op aws.Operation
---@param request aws.WireRequest
---@param args table
---@param o { profile?: string, is_secure: boolean } is_secure: it goes over TLS
---@return string? payload_hash of a body that is a file, when it was made on the way
function M.add(model, op, request, args, o)
  local is_file = type(request.body) == "table" and not secret.is(request.body)
  if is_given(request.headers) then return is_file and o.is_secure and "UNSIGNED-PAYLOAD" or nil end
  if not (op.checksum_member or op.checksum_required) then return nil end
  local asked = op.checksum_member and args[op.checksum_member]
  if not asked and not wants_default(op, o.profile) then return nil end
  local name = (asked or "CRC32"):lower()
  if not BYTES[name] then
    errors.usage("hkrun cannot make the checksum %s%s", asked, options.suggestion(name, NAMES))
  end
  local value, hash
  if is_file then value, hash = of_file(request.body, name, o.is_secure) else value = of_string(name, request.body or "") end
  request.headers["x-amz-checksum-" .. name] = value
  if op.checksum_member and not asked then
    local member = model.shape(op.input).by_name[op.checksum_member]
    if member.location == "header" then request.headers[member.wire or member.name] = name:upper() end
  end
  return hash
end

--- Raises "protocol" when the body that came is not the one that was stored. An object of several parts has a checksum
--- of checksums, marked by its "-", which the body alone cannot prove.
---@param op aws.Operation
---@param response aws.WireResponse
function M.verify(op, response)
  if not op.checksum_mode or op.method == "HEAD" or type(response.body) ~= "string" or response.status ~= 200 then return end
  for _, name in ipairs(NAMES) do
    local told = response.headers["x-amz-checksum-" .. name]
    if told and not told:find("-", 1, true) then
      if told ~= of_string(name, response.body) then
        errors.raise { kind = "protocol", message = "the checksum of the body is wrong", retry = true }
      end
      return
    end
  end
end

return M
