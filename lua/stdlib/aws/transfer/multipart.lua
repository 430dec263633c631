--- An upload in parts, as S3 has it: begun, completed from its parts, or given up.
local checksum = require "aws.transfer.checksum"
local errors = require "errors"
local log = require "log"
local parts_of = require "aws.transfer.parts"
local sign = require "sign"
local task = require "task"

local M = {}

---@class aws.Transfer
---@field client aws.Client
---@field bucket string
---@field key string
---@field members table what the caller gave in AWS's names
---@field algorithm string "CRC32"
---@field parallel integer

--- The arguments of an operation: bucket, key, what the caller gave and the operation knows, and more.
---@param job aws.Transfer
---@param name string "UploadPart"
---@param more? table
---@return table
function M.arguments(job, name, more)
  local args = { Bucket = job.bucket, Key = job.key }
  local known = job.client.model.shape(job.client:operation(name).input).by_name
  for member, value in pairs(job.members) do if known[member] then args[member] = value end end
  for member, value in pairs(more or {}) do args[member] = value end
  return args
end

---@param job aws.Transfer
---@return string id
function M.create(job)
  return parts_of.again(function()           -- one whose reply was lost holds nothing and costs nothing
    return job.client:create_multipart_upload(M.arguments(job, "CreateMultipartUpload", {
      ChecksumAlgorithm = job.algorithm, ChecksumType = checksum.TYPES[job.algorithm] })).UploadId
  end)
end

--- Gives an upload up, with the parts that it has, whatever happens to the task.
---@param job aws.Transfer
---@param id string
function M.abort(job, id)
  task.shield(function()
    local ok, e = pcall(job.client.abort_multipart_upload, job.client, M.arguments(job, "AbortMultipartUpload", { UploadId = id }))
    if not ok and e.code ~= "NoSuchUpload" then
      log.warn("the unfinished upload of s3://%s/%s is left, and costs until it is aborted: %s", job.bucket, job.key, tostring(e))
    end
  end)
end

--- The checksum that the object of these parts has.
---@param job aws.Transfer
---@param parts aws.Part[]
---@return string
local function whole_of(job, parts)
  local digests, name = {}, checksum.digest(job.algorithm)
  for i, part in ipairs(parts) do digests[i] = part.digest end
  if checksum.TYPES[job.algorithm] == "FULL_OBJECT" then return checksum.text(checksum.joined(digests), name) end
  return assert(checksum.composite(digests, name))
end

--- The ETag that S3 makes of the parts' own.
local function etag_of(parts)
  local list = {}
  for i, part in ipairs(parts) do
    local hex = part.etag:match '^"?(%x+)"?$'
    if not hex or #hex ~= 32 then return nil end
    list[i] = sign.unhex(hex)
  end
  return ('"%s-%d"'):format(sign.md5(table.concat(list)), #parts)
end

--- Whether the object is there as these parts make it: then the reply of its completion was lost.
local function is_complete(job, parts, size, whole)
  local ok, head = pcall(job.client.head_object, job.client, M.arguments(job, "HeadObject", { ChecksumMode = "ENABLED" }))
  return ok and head.ContentLength == size and (head[checksum.member(job.algorithm)] == whole or head.ETag == etag_of(parts))
         and head or nil
end

--- Makes the object of its parts. Raises "protocol" if S3 has put together something else.
---@param job aws.Transfer
---@param id string
---@param parts aws.Part[] sent, each with its digest and ETag
---@return table result with ETag, VersionId
---@return string checksum
function M.complete(job, id, parts)
  local list, size, member = {}, 0, checksum.member(job.algorithm)
  for i, part in ipairs(parts) do
    local sum = part.digest and checksum.text(part.digest, checksum.digest(job.algorithm)) or part.checksum
    list[i] = { PartNumber = i, ETag = part.etag, [member] = sum }
    size = size + part.length
  end
  local whole = parts[1].digest and whole_of(job, parts)          -- a copy's parts are not seen here
  local is_full = checksum.TYPES[job.algorithm] == "FULL_OBJECT"
  local args = M.arguments(job, "CompleteMultipartUpload", { UploadId = id, MultipartUpload = { Parts = list }, MpuObjectSize = size,
    ChecksumType = checksum.TYPES[job.algorithm], [member] = is_full and whole or nil })
  local ok, result = pcall(parts_of.again, function() return job.client:complete_multipart_upload(args) end)
  if not ok then
    local there = errors.is(result, "remote") and result.code == "NoSuchUpload" and is_complete(job, parts, size, whole)
    if not there then error(result, 0) end
    result = there
  end
  if whole and result[member] and result[member] ~= whole then
    errors.raise { kind = "protocol", op = ("store s3://%s/%s"):format(job.bucket, job.key),
                   message = ("its %s is %s, not %s as the parts'"):format(job.algorithm, result[member], whole) }
  end
  return result, whole or result[member]
end

return M
