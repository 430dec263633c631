--- An object to another key without its bytes leaving S3: in one call up to 5 GiB, in parts above.
local checksum = require "aws.transfer.checksum"
local meter = require "aws.transfer.meter"
local multipart = require "aws.transfer.multipart"
local parts_of = require "aws.transfer.parts"
local task = require "task"

local M = {}

--- What CopyObject takes over by itself, and an upload in parts must be told.
local KEPT = { "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Metadata" }

--- Copies the object.
---@param job aws.Transfer with source { bucket, key, version }, part_size, progress
---@return table
function M.run(job)
  local from = job.source
  local head = job.client:head_object { Bucket = from.bucket, Key = from.key, VersionId = from.version }
  local source = from.bucket .. "/" .. from.key .. (from.version and "?versionId=" .. from.version or "")
  local answer = { bucket = job.bucket, key = job.key, size = head.ContentLength, parts = 1 }
  if head.ContentLength <= (job.part_size or parts_of.LARGEST) then
    local result = job.client:copy_object(multipart.arguments(job, "CopyObject", { CopySource = source, CopySourceIfMatch = head.ETag }))
    answer.etag, answer.version_id = result.CopyObjectResult.ETag, result.VersionId
    return answer
  end
  for _, name in ipairs(KEPT) do if job.members[name] == nil then job.members[name] = head[name] end end
  local parts = parts_of.cut(head.ContentLength, parts_of.size(head.ContentLength, job.part_size or 512 << 20))
  local progress <close> = meter(("copy s3://%s/%s to s3://%s/%s"):format(from.bucket, from.key, job.bucket, job.key),
                                 head.ContentLength, job.progress)
  local id = multipart.create(job)
  local ok, result = pcall(function()
    task.map(parts, function(part)
      local args = multipart.arguments(job, "UploadPartCopy", {
        UploadId = id, PartNumber = part.number, CopySource = source, CopySourceIfMatch = head.ETag,
        CopySourceRange = ("bytes=%d-%d"):format(part.offset, part.offset + part.length - 1) })
      local result = parts_of.again(function() return job.client:upload_part_copy(args) end).CopyPartResult
      part.etag, part.checksum = result.ETag, result[checksum.member(job.algorithm)]
      progress:part(part.number, part.length)
    end, { limit = job.parallel })
    return (multipart.complete(job, id, parts))
  end)
  if not ok then
    multipart.abort(job, id)
    error(result, 0)
  end
  answer.parts, answer.etag, answer.version_id = #parts, result.ETag, result.VersionId
  return answer
end

return M
