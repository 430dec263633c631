--- What Glacier does unlike other rest-json services: the caller's own account stands for none, and what is uploaded is
--- proved by two hashes. Sources: "Computing Checksums" (S3 Glacier Developer Guide); botocore's handlers.py.
local errors = require "errors"
local fs = require "fs"
local secret = require "secret"
local sign = require "sign"

local M = {}

--- The arguments, with the account of the credentials where none is named.
---@param args table
---@return table
function M.arguments(args)
  if args.accountId ~= nil then return args end
  local copy = { accountId = "-" }
  for k, v in pairs(args) do copy[k] = v end
  return copy
end

local LEAF = 1 << 20

--- The hashes of a body's megabytes, as bytes.
local function leaves(body)
  local list = {}
  if type(body) == "table" then
    local from = body.offset or 0
    local size = body.length or fs.stat(body.file).size - from
    for at = 0, math.max(size - 1, 0), LEAF do
      local digest = sign.digest_file(body.file, { "sha256" }, { offset = from + at, length = math.min(LEAF, size - at) })
      list[#list + 1] = sign.unhex(digest.sha256)
    end
  elseif secret.is(body) then
    if secret.size(body) > LEAF then errors.usage "the body of an upload to Glacier cannot be a secret of more than a megabyte" end
    list[1] = sign.sha256(body, true)
  else
    for at = 1, math.max(#body, 1), LEAF do list[#list + 1] = sign.sha256(body:sub(at, at + LEAF - 1), true) end
  end
  return list
end

--- The hash of a body as a tree: of pairs of hashes, until one is left.
---@param body string|userdata|table
---@return string hexadecimal
function M.tree_hash(body)
  local list = leaves(body)
  while #list > 1 do
    local above = {}
    for i = 1, #list, 2 do above[#above + 1] = list[i + 1] and sign.sha256(list[i] .. list[i + 1], true) or list[i] end
    list = above
  end
  return sign.hex(list[1])
end

local UPLOADS = { UploadArchive = true, UploadMultipartPart = true }

--- Adds the headers that prove an upload.
---@param op aws.Operation
---@param wire aws.WireRequest
---@return string? payload_hash
function M.add_hashes(op, wire)
  if not UPLOADS[op.name] then return nil end
  local headers, body = wire.headers, wire.body
  local hash = type(body) == "table" and sign.sha256_body(body) or sign.sha256(body)
  headers["x-amz-content-sha256"] = hash
  headers["x-amz-sha256-tree-hash"] = headers["x-amz-sha256-tree-hash"] or M.tree_hash(body)
  return hash
end

return M
