--- Requests of AWS calls: where they go and what they carry.
local arguments = require "aws.arguments"
local checksum = require "aws.checksum"
local config = require "aws.config"
local cross_region = require "aws.cross_region"
local discovery = require "aws.endpoint.discovery"
local endpoint = require "aws.endpoint"
local errors = require "errors"
local quirks = require "aws.quirks"
local s3 = require "aws.protocol.s3"
local secret = require "secret"
local sign = require "sign"
local signing = require "aws.signing"

local M = {}

--- The URL of a request: a secret when its query holds one.
---@param place string without the query
---@param query { [1]: string, [2]: string|userdata|nil }[]
---@return string|userdata
function M.url(place, query)
  if #query == 0 then return place end
  local parts = { place, "?" }
  for i, pair in ipairs(query) do
    if i > 1 then parts[#parts + 1] = "&" end
    parts[#parts + 1] = secret.encode(pair[1], "url")
    if pair[2] then
      parts[#parts + 1] = "="
      parts[#parts + 1] = secret.encode(pair[2], "url")
    end
  end
  return secret.concat(parts)
end

local function is_name(host) return not (host:find "^%d+%.%d+%.%d+%.%d+$" or host:find("[", 1, true) or host == "localhost") end

--- Puts the operation's prefix before the host: "{AccountId}." of the arguments. An address has no names below it.
local function with_host_prefix(self, op, base, args)
  local host = base:match "^%a+://([^/:]+)" or ""
  if not op.host_prefix or not is_name(host) then return base end
  if config.switch("AWS_DISABLE_HOST_PREFIX_INJECTION", "disable_host_prefix_injection", self.options.profile) then return base end
  local prefix = op.host_prefix:gsub("{([^}]+)}", function(name)
    local value = args[name]
    if type(value) ~= "string" or not value:find "^[%w.-]+$" then
      errors.usage("aws.%s:%s: %s can only have letters, digits, hyphens and dots, for it is part of the host",
                   self.model.service:gsub("-", "_"), op.snake, name)
    end
    return value
  end)
  return (base:gsub("://", "://" .. prefix, 1))
end

local LEAST_COMPRESSED = 10240            -- bytes; AWS SDKs and Tools Reference Guide, "Request compression"

--- Compresses a body that the model allows to be, where that is worth it.
local function compress(op, wire, profile)
  if not (op.compress and op.compress:find "gzip") or type(wire.body) ~= "string" then return end
  if config.switch("AWS_DISABLE_REQUEST_COMPRESSION", "disable_request_compression", profile) then return end
  local set = config.env "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES" or config.profile(profile).request_min_compression_size_bytes
  if #wire.body < (tonumber(set) or LEAST_COMPRESSED) then return end
  wire.body = require("zip").deflate(wire.body)
  local before = wire.headers["Content-Encoding"]
  wire.headers["Content-Encoding"] = before and before .. ",gzip" or "gzip"
end

---@class aws.Request
---@field method string
---@field url string|userdata    a secret when its query holds one
---@field place string           the URL without the query
---@field query table            the pairs of the query, not escaped
---@field form? table            query protocols: the pairs of the body
---@field headers table<string, string|userdata>
---@field body string|userdata|table
---@field hash? string           what the signature says of the body, where it is not its SHA-256
---@field region string          of the signature
---@field signing_name? string   where it is not the model's
---@field signed_by "v4"|"v2"|"bearer"|"none"

--- The request of a call, without its signature. Raises "usage" for arguments that the model does not allow.
---@param self aws.Client
---@param op aws.Operation
---@param args table
---@param plain? boolean without the headers that a presigned URL cannot carry
---@return aws.Request
function M.build(self, op, args, plain)
  local model, profile = self.model, self.options.profile
  args = arguments.check(model, op, quirks.defaults(model, args))
  local signed_by = signing.kind(model, op)
  local written = quirks.arguments(model, op, args)
  local wire = self.protocol.request(model, op, written)
  quirks.headers(model, wire.headers)
  if not plain then cross_region.add(self, op, args, wire) end
  local place = endpoint.resolve(model, self.bucket_regions[args.Bucket] or self.region, {
    endpoint = self.options.endpoint, profile = profile, fips = self.options.fips, dual_stack = self.options.dual_stack,
    op = op, args = args })
  local base, path = discovery.known(self, op) or quirks.place(model, args) or place.url, wire.path
  if not place.places_account then base = with_host_prefix(self, op, base, args) end
  if model.service == "s3" then path = s3.path(op, base, path) end
  local is_secure = base:find "^https:" ~= nil
  local hash = op.unsigned_payload and is_secure and not plain and "UNSIGNED-PAYLOAD" or nil
  if not plain then
    compress(op, wire, profile)
    hash = quirks.hash(model, op, wire) or checksum.add(model, op, wire, written, { profile = profile, is_secure = is_secure }) or hash
  end
  if type(wire.body) == "table" and not hash then hash = sign.sha256_body(wire.body) end
  return { method = wire.method, url = M.url(base .. path, wire.query), place = base .. path, query = wire.query, form = wire.form,
           headers = wire.headers, body = wire.body, hash = hash, region = place.region,
           signing_name = place.signing_name, signed_by = signed_by }
end

return M
