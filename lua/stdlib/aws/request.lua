--- Requests of AWS calls: where they go, what they carry, how they are signed.
local arguments = require "aws.arguments"
local credentials = require "aws.credentials"
local endpoint = require "aws.endpoint"
local quirks = require "aws.quirks"
local s3 = require "aws.protocol.s3"
local secret = require "secret"
local shape = require "aws.shape"
local sign = require "sign"

local M = {}

local function with_query(url, query)
  if #query == 0 then return url end
  local parts = { url, "?" }
  for i, pair in ipairs(query) do
    if i > 1 then parts[#parts + 1] = "&" end
    parts[#parts + 1] = secret.encode(pair[1], "url") .. "="
    parts[#parts + 1] = secret.encode(pair[2], "url")
  end
  return secret.concat(parts)
end

--- The request of a call, without its signature. Raises "usage" for arguments that the model does not allow.
---@param self aws.Client
---@param op aws.Operation
---@param args table
---@param plain? boolean without the headers that a presigned URL cannot carry
---@return { method: string, url: string|userdata, headers: table, body: any, hash?: string, region: string }
function M.build(self, op, args, plain)
  args = arguments.check(self.model, op, args)
  local written = quirks.arguments(self.model, op, args)
  local wire = self.protocol.request(self.model, op, written)
  local region = self.bucket_regions[args.Bucket] or self.region
  local place = endpoint.resolve(self.model, region, { endpoint = self.options.endpoint, profile = self.options.profile,
                                                       fips = self.options.fips, dual_stack = self.options.dual_stack,
                                                       op = op, args = args })
  local base, path = place.url, wire.path
  if op.host_prefix and not place.custom and not place.places_account then
    local prefix = op.host_prefix:gsub("{(%w+)}", function(name) return tostring(args[name]) end)
    base = base:gsub("://", "://" .. prefix, 1)
  end
  if self.model.service == "s3" then path = s3.path(op, base, path) end
  local hash = not plain and op.unsigned_payload and "UNSIGNED-PAYLOAD" or nil
  if self.model.service == "s3" and not plain then hash = s3.checksum(op, wire, written) or hash end
  if type(wire.body) == "table" and not hash then hash = sign.sha256_file(wire.body.file) end
  return { method = wire.method, url = with_query(base .. path, wire.query), headers = wire.headers, body = wire.body,
           hash = hash, region = place.region, signing_name = place.signing_name }
end

--- What sign.sigv4 needs to sign a request; nil for one that goes unsigned.
---@param self aws.Client
---@param op aws.Operation
---@param request table as `build` gives it
---@return SigV4?
function M.claim(self, op, request)
  local found = self.given or (not op.unsigned and credentials.get { profile = self.options.profile, region = self.region })
  if op.unsigned or found == credentials.NONE then return nil end
  return {
    method = request.method, url = request.url, headers = request.headers, payload_hash = request.hash,
    body = type(request.body) ~= "table" and request.body or nil,
    service = request.signing_name or self.model.meta.signing_name, region = request.region, access_key = found.access_key_id, secret_key = found.secret_access_key, session_token = found.session_token,
    time = os.time() + self.skew,
  }
end

return M
