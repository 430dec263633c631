--- What S3 does unlike other rest-xml services: buckets in host names, keys that XML cannot hold, errors in answers of status 200.
--- Sources: botocore's handlers.py; "Virtual hosting of general purpose buckets" (S3 User Guide).
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

--- The caller's own encryption key goes in base64, with its MD5, for those who give the key alone.
local function add_customer_key(more, args, prefix)
  local key = args[prefix .. "Key"]
  if key == nil or args[prefix .. "KeyMD5"] ~= nil then return end
  more[prefix .. "Key"], more[prefix .. "KeyMD5"] = secret.encode(key, "base64"), sign.base64(sign.md5(key, true))
end

--- Changes to the arguments before they are written.
---@param op aws.Operation
---@param args table
---@return table
function M.arguments(op, args)
  local more = {}
  add_customer_key(more, args, "SSECustomer")
  add_customer_key(more, args, "CopySourceSSECustomer")
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
