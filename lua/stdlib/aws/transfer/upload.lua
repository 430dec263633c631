--- A file to S3: whole when it is small, else in parts, and only those that an earlier upload has not sent.
local checksum = require "aws.transfer.checksum"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local meter = require "aws.transfer.meter"
local multipart = require "aws.transfer.multipart"
local parts_of = require "aws.transfer.parts"
local sign = require "sign"
local task = require "task"

local M = {}

local function digest_of(job, part, names)
  return sign.digest_file(job.file, names or { checksum.digest(job.algorithm) }, { offset = part.offset, length = part.length })
end

--- Sends one piece of the file; S3 compares it with its checksum.
---@param job aws.Transfer
---@param part aws.Part
---@param operation string "UploadPart" or "PutObject"
---@param more table its further arguments
---@param progress table
---@return table result
local function send(job, part, operation, more, progress)
  return parts_of.again(function()
    progress:part(part.number, 0)
    part.digest = digest_of(job, part)
    local args = multipart.arguments(job, operation, more)
    args.Body = { file = job.file, offset = part.offset, length = part.length }
    args[checksum.member(job.algorithm)] = checksum.text(part.digest, checksum.digest(job.algorithm))
    local result = job.client:call(operation, args, { progress = function(sent) progress:part(part.number, sent) end })
    part.etag = result.ETag
    progress:part(part.number, part.length)
    return result
  end)
end

--- Whether a part that S3 has is this piece of the file.
local function is_same(job, part, theirs)
  if not part or theirs.Size ~= part.length then return false end
  local text = theirs[checksum.member(job.algorithm)]
  local names = { checksum.digest(job.algorithm) }
  if not text then names[2] = "md5" end
  part.digest, part.etag = digest_of(job, part, names), theirs.ETag
  if text then return text == checksum.text(part.digest, names[1]) end
  return theirs.ETag:gsub('"', "") == part.digest.md5
end

--- Whether all that an unfinished upload has is in the file, where it is there; marks those parts as sent.
local function fits(job, upload, parts)
  local theirs = {}
  for page in job.client:pages("list_parts", multipart.arguments(job, "ListParts", { UploadId = upload.UploadId })) do
    local type_of = page.ChecksumType or checksum.TYPES[job.algorithm]
    if (page.ChecksumAlgorithm or job.algorithm) ~= job.algorithm or type_of ~= checksum.TYPES[job.algorithm] then return false end
    for _, part in ipairs(page.Parts or {}) do theirs[#theirs + 1] = part end
  end
  local same = task.map(theirs, function(part) return is_same(job, parts[part.PartNumber], part) end, { limit = job.parallel })
  for _, is in ipairs(same) do if not is then return false end end
  for _, part in ipairs(theirs) do parts[part.PartNumber].is_sent = true end
  return #theirs > 0
end

--- An upload of this very file to this key that was interrupted; the newest, if there are several.
---@return string? id
local function unfinished(job, size, part_size)
  local found = {}
  local ok, e = pcall(function()
    for page in job.client:pages("list_multipart_uploads", { Bucket = job.bucket, Prefix = job.key }) do
      for _, upload in ipairs(page.Uploads or {}) do if upload.Key == job.key then found[#found + 1] = upload end end
    end
    table.sort(found, function(a, b) return (a.Initiated or 0) > (b.Initiated or 0) end)
    for _, upload in ipairs(found) do
      local parts = parts_of.cut(size, part_size)
      if fits(job, upload, parts) then return { upload.UploadId, parts } end
    end
  end)
  if ok and e then return e[1], e[2] end
  if not ok then
    if not errors.is(e, "remote") then error(e, 0) end
    log.debug("no unfinished upload is looked for: %s", tostring(e))            -- who may write may not always list
  end
end

local function stat(path)
  local found = fs.stat(path)
  if found and found.type == "link" then found = fs.stat(fs.realpath(path)) end
  if not found or found.type ~= "file" then errors.usage("%s is not a file that can be uploaded", path) end
  return found
end

local function in_parts(job, size, part_size, progress)
  local id, parts = nil, nil
  if job.resume then id, parts = unfinished(job, size, part_size) end
  local missing, resumed = {}, 0
  for _, part in ipairs(parts or {}) do
    if part.is_sent then
      resumed = resumed + part.length
      progress:part(part.number, part.length)
    end
  end
  if id then log.debug("goes on with the upload %s, which has %d of %d bytes", id, resumed, size) end
  id, parts = id or multipart.create(job), parts or parts_of.cut(size, part_size)
  for _, part in ipairs(parts) do if not part.is_sent then missing[#missing + 1] = part end end
  task.map(missing, function(part)
    send(job, part, "UploadPart", { UploadId = id, PartNumber = part.number }, progress)
  end, { limit = job.parallel })
  return id, parts, resumed
end

--- Sends the file.
---@param job aws.Transfer with file, part_size, resume, progress
---@return table
function M.run(job)
  local before = stat(job.file)
  local part_size = parts_of.size(before.size, job.part_size)
  local what = ("upload %s to s3://%s/%s"):format(job.file, job.bucket, job.key)
  local progress <close> = meter(what, before.size, job.progress)
  local answer = { bucket = job.bucket, key = job.key, size = before.size, parts = 1, resumed = 0 }
  local result
  if before.size <= part_size then
    local part = { number = 1, offset = 0, length = before.size }
    result = send(job, part, "PutObject", {}, progress)
    answer.checksum = checksum.text(part.digest, checksum.digest(job.algorithm))
  else
    local id, parts, resumed = in_parts(job, before.size, part_size, progress)
    local now = stat(job.file)
    if now.size ~= before.size or now.mtime ~= before.mtime then
      multipart.abort(job, id)
      errors.raise { kind = "io", op = what, message = "the file changed meanwhile" }
    end
    result, answer.checksum = multipart.complete(job, id, parts)
    answer.parts, answer.resumed = #parts, resumed
  end
  answer.etag, answer.version_id = result.ETag, result.VersionId
  return answer
end

return M
