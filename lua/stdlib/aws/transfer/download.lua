--- An object to a file: ranges side by side, all of the one version that was there at the start.
local checksum = require "aws.transfer.checksum"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local meter = require "aws.transfer.meter"
local multipart = require "aws.transfer.multipart"
local partial = require "aws.transfer.partial"
local parts_of = require "aws.transfer.parts"
local sign = require "sign"
local task = require "task"

local M = {}

--- The size of the ranges. An object whose checksum is composed of its parts' is got in the same parts, as far as the size
--- of the first tells.
---@return integer
---@return aws.Checksum? known
local function range_size(job, head)
  local known = checksum.known(head)
  if not known or not known.parts then return job.part_size or parts_of.DEFAULT, known end
  local first = job.client:head_object(multipart.arguments(job, "HeadObject", { PartNumber = 1 })).ContentLength
  if first > 0 and (head.ContentLength + first - 1) // first == known.parts then return first, known end
  log.debug("s3://%s/%s has parts of several sizes: its checksum is not looked at", job.bucket, job.key)
  return job.part_size or parts_of.DEFAULT, nil
end

--- Gets one range into its place.
local function get(job, head, part, file, progress)
  local range = ("bytes=%d-%d"):format(part.offset, part.offset + part.length - 1)
  parts_of.again(function()
    progress:part(part.number, 0)
    local result = job.client:call("GetObject", multipart.arguments(job, "GetObject", {
      Range = range, IfMatch = head.ETag, VersionId = job.members.VersionId or head.VersionId,
    }), { to = { file = file.path, offset = part.offset, length = part.length },
          progress = function(_, received) progress:part(part.number, math.min(received, part.length)) end })
    local wanted = ("bytes %s/%d"):format(range:sub(7), head.ContentLength)
    if result.ContentRange ~= wanted or result.Body.size ~= part.length then
      errors.raise { kind = "protocol", retry = true, op = ("download s3://%s/%s"):format(job.bucket, job.key),
                     message = ("asked for %s, it answered with %s, %d bytes"):format(range, result.ContentRange or "all", result.Body.size) }
    end
  end)
  file:arrived(part)
  progress:part(part.number, part.length)
end

--- The checksum of what arrived, as S3 has it of the object; nil where it cannot be computed.
local function actual_of(file, known, parts)
  local digests = {}
  for i, part in ipairs(parts) do digests[i] = part.digest end
  if known.parts then return checksum.composite(digests, known.digest) end
  if known.digest == "crc32" then return checksum.text(checksum.joined(digests), "crc32") end
  local whole = #parts == 1 and digests[1] or sign.digest_file(file.path, { known.digest }, { timeout = 86400 })
  return checksum.text(whole, known.digest)
end

local function verify(job, file, known, parts)
  local actual = known and actual_of(file, known, parts)
  if not actual or actual == known.text then return end
  file:discard()
  errors.raise { kind = "protocol", op = ("download s3://%s/%s"):format(job.bucket, job.key),
                 message = ("its %s is %s, that of what arrived %s"):format(known.digest, known.text, actual) }
end

local function has_changed(e) return errors.is(e, "remote") and (e.status == 412 or e.code == "PreconditionFailed") end

--- Where it goes: a folder gets the last word of the key.
local function target_of(job)
  local found = fs.stat(job.file)
  if found and found.type == "link" then
    job.file = fs.realpath(job.file)
    found = fs.stat(job.file)
  end
  if job.file:sub(-1) ~= "/" and not (found and found.type == "dir") then return job.file end
  return fs.join(job.file, job.key:match "[^/]+$" or errors.usage("the key %q has no last word to name a file", job.key))
end

--- What S3 says of the object. A HEAD has no body to say why there is none.
local function look(job)
  local ok, head = pcall(job.client.call, job.client, "HeadObject", multipart.arguments(job, "HeadObject", { ChecksumMode = "ENABLED" }))
  if ok then return head end
  if errors.is(head, "remote") and head.status == 404 then
    errors.raise { kind = "remote", code = head.code, status = head.status, request_id = head.request_id, cause = head,
                   op = ("download s3://%s/%s"):format(job.bucket, job.key), message = "there is no such object, or no such bucket" }
  end
  error(head, 0)
end

--- Gets the object.
---@param job aws.Transfer with file, part_size, resume, progress
---@return table
function M.run(job)
  local target = target_of(job)
  local head = look(job)
  local size = head.ContentLength
  local range, known = range_size(job, head)
  local parts = parts_of.cut(size, range)
  local file <close> = partial.open(target, {
    bucket = job.bucket, key = job.key, etag = head.ETag, version = head.VersionId, size = size, range = range, digest = known and known.digest,
  }, parts, job.resume, job.parallel)
  local progress <close> = meter(("download s3://%s/%s to %s"):format(job.bucket, job.key, target), size, job.progress)
  local missing, resumed = {}, 0
  for _, part in ipairs(parts) do
    if part.digest then
      resumed = resumed + part.length
      progress:part(part.number, part.length)
    else
      missing[#missing + 1] = part
    end
  end
  local ok, e = pcall(task.map, missing, function(part) get(job, head, part, file, progress) end, { limit = job.parallel })
  if not ok then
    if has_changed(e) then
      file:discard()
      errors.raise { kind = "remote", code = e.code, status = e.status, op = ("download s3://%s/%s"):format(job.bucket, job.key), cause = e,
                     message = "the object changed meanwhile", hint = "start it again" }
    end
    error(e, 0)
  end
  verify(job, file, known, parts)
  file:finish()
  return { bucket = job.bucket, key = job.key, file = target, size = size, parts = #parts, resumed = resumed, etag = head.ETag,
           version_id = head.VersionId, checksum = known and known.text }
end

return M
