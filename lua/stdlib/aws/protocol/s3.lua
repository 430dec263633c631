--- What S3 does unlike other rest-xml services: buckets in host names, checksums, errors in answers of status 200.
--- Sources: botocore's handlers.py and httpchecksum.py; "Virtual hosting of general purpose buckets" (S3 User Guide).
local errors = require "errors"
local secret = require "secret"
local sign = require "sign"
local xml = require "aws.protocol.xml"

local M = {}

--- The path after the bucket, which the endpoint has in its host or its path already.
---@param op aws.Operation
---@param base string the endpoint
---@param path string "/bucket/key"
---@return string
function M.path(op, base, path)
  if op.uri:find "^/{Bucket}" then path = path:match "^/[^/]+(.*)$" end
  return path == "" and base:find "^%w+://[^/]+$" and "/" or path
end

--- CopySource as S3 reads it: escaped, but for its slashes and the version.
local function copy_source(value)
  local source, version = value:match "^(.-)(%?versionId=.*)$"
  source = source or value
  local escaped = source:gsub("[^%w%-._~/%%]", function(c) return ("%%%02X"):format(c:byte()) end)
  return escaped .. (version or "")
end

--- Operations whose keys may hold what XML cannot: asked for in URL encoding, as boto3 does.
local ENCODED_KEYS = {
  ListObjects = { "Delimiter", "Marker", "NextMarker", "Prefix" }, ListObjectsV2 = { "Delimiter", "Prefix", "StartAfter" },
  ListObjectVersions = { "Delimiter", "KeyMarker", "NextKeyMarker", "Prefix" },
}

--- Changes to the arguments before they are written.
---@param op aws.Operation
---@param args table
---@return table
function M.arguments(op, args)
  local more = {}
  if args.CopySource and type(args.CopySource) == "string" then more.CopySource = copy_source(args.CopySource) end
  if ENCODED_KEYS[op.name] and args.EncodingType == nil then more.EncodingType = "url" end
  if op.checksum_mode and args[op.checksum_mode] == nil then more[op.checksum_mode] = "ENABLED" end
  if next(more) == nil then return args end
  for k, v in pairs(args) do if more[k] == nil then more[k] = v end end
  return more
end

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- Undoes the URL encoding of keys that the caller did not ask for.
---@param op aws.Operation
---@param args table the caller's arguments
---@param result table
function M.decode_keys(op, args, result)
  if not ENCODED_KEYS[op.name] or args.EncodingType ~= nil or result.EncodingType ~= "url" then return end
  for _, name in ipairs(ENCODED_KEYS[op.name]) do
    if result[name] then result[name] = unescape(result[name]) end
  end
  for _, list in ipairs { "Contents", "Versions", "DeleteMarkers" } do
    for _, item in ipairs(result[list] or {}) do item.Key = item.Key and unescape(item.Key) end
  end
  for _, item in ipairs(result.CommonPrefixes or {}) do item.Prefix = item.Prefix and unescape(item.Prefix) end
  result.EncodingType = nil
end

--- Whether the caller gave a checksum of his own.
local function has_checksum(headers)
  for name in pairs(headers) do
    local low = name:lower()
    if low == "content-md5" or low:find "^x%-amz%-checksum%-" then return true end
  end
  return false
end

local function add_sha256(headers, hex)
  headers["x-amz-sdk-checksum-algorithm"] = "SHA256"
  headers["x-amz-checksum-sha256"] = sign.base64(sign.unhex(hex))
end

--- Adds the checksum of the body: CRC-32 of bytes, SHA-256 of a file, which the signature needs anyway.
---@param op aws.Operation
---@param request aws.WireRequest
---@param args table
---@return string? payload_hash of a file
function M.checksum(op, request, args)
  local file = type(request.body) == "table" and not secret.is(request.body) and request.body.file
  local hash = file and request.body.offset == nil and sign.sha256_file(file) or nil
  if not (op.checksum_member or op.checksum_required) or has_checksum(request.headers) then return hash end
  local wanted = op.checksum_member and args[op.checksum_member] or file and "SHA256" or "CRC32"
  if hash and wanted == "SHA256" then
    add_sha256(request.headers, hash)
  elseif not file and wanted == "SHA256" then
    add_sha256(request.headers, sign.sha256(request.body or ""))
  elseif not file and wanted == "CRC32" then
    request.headers["x-amz-sdk-checksum-algorithm"] = "CRC32"
    request.headers["x-amz-checksum-crc32"] = sign.base64((">I4"):pack(sign.crc32(request.body or "")))
  end
  return hash
end

--- Raises "protocol" when the body that came is not the one that was stored. An object of several parts has a checksum
--- of checksums, marked by its "-", which the body alone cannot prove.
---@param op aws.Operation
---@param response aws.WireResponse
function M.verify(op, response)
  if not op.checksum_mode or op.method == "HEAD" or type(response.body) ~= "string" or response.status ~= 200 then return end
  local crc32, sha256 = response.headers["x-amz-checksum-crc32"], response.headers["x-amz-checksum-sha256"]
  local is = true
  if crc32 and not crc32:find "-" then
    is = crc32 == sign.base64((">I4"):pack(sign.crc32(response.body)))
  elseif sha256 and not sha256:find "-" then
    is = sha256 == sign.base64(sign.unhex(sign.sha256(response.body)))
  end
  if not is then errors.raise { kind = "protocol", message = "the checksum of the body is wrong", retry = true } end
end

--- CopyObject and CompleteMultipartUpload may answer 200 and then fail.
---@param response aws.WireResponse
---@return boolean
function M.is_hidden_error(response)
  if response.status ~= 200 or type(response.body) ~= "string" or #response.body > 4096 then return false end
  return response.body:find("<Error>", 1, true) ~= nil and (xml.try_root(response.body) or {}).name == "Error"
end

--- GetBucketLocation answers with nothing but the text of its root.
---@param op aws.Operation
---@param response aws.WireResponse
---@param result table
function M.location(op, response, result)
  if op.name ~= "GetBucketLocation" then return end
  local text = xml.root(response.body).text
  result.LocationConstraint = text ~= "" and text or nil
end

return M
