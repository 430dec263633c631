--- Files to S3 and back, of any size: methods of `aws.s3`.
---
---     aws.s3:upload { file = "shop.dump", to = "s3://backups/2026/shop.dump", StorageClass = "STANDARD_IA" }
---     aws.s3:upload { from = process.start { "pg_dump", "-Fc", "shop", stdout = "pipe" }, to = "s3://backups/shop.dump" }
---     aws.s3:download { from = "s3://backups/2026/shop.dump", file = "/var/tmp/" }
---     aws.s3:copy { from = "s3://backups/shop.dump", to = "s3://archive/shop.dump" }
---     aws.s3:abort_uploads { bucket = "backups", older_than = 86400 }
---
--- What is large moves in parts, several side by side, in little memory. Each part is checked by its checksum, and the
--- whole by its own. A transfer that was interrupted goes on where it was when it is called again: an upload finds its
--- parts in S3, if they are those of this file; a download has its own beside the target (`.s3-part`). No target is there
--- before it is complete. An unfinished upload costs money until it is completed or aborted.
local errors = require "errors"
local options = require "options"
local parts_of = require "aws.transfer.parts"

local S3 = {}

--- The caller's words for a place, and the checksums, which are ours to set.
local OURS = { "Bucket", "Key", "Body", "ContentLength", "ContentMD5", "ChecksumAlgorithm", "ChecksumMode", "ChecksumType", "CopySource", "IfMatch",
               "Range", "PartNumber", "UploadId" }

local COMMON = {
  { "bucket", "bucket, instead of an s3:// address", type = "string" },
  { "key", "key, instead of an s3:// address", type = "string" },
  { "part_size", "bytes of a part; more if there would be over 10,000", type = "integer" },
  { "parallel", "parts at once", type = "integer", default = 8 },
  { "progress", "called with the bytes so far and in all", type = "function" },
}

local function declared(list)
  return table.move(COMMON, 1, #COMMON, #list + 1, list)
end

local UPLOAD = declared {
  { "file", "file to send", type = "string" },
  { "from", "instead of a file: a function that gives strings, then nil; or a process whose stdout is a pipe", type = "any" },
  { "to", "s3://bucket/key; a key that ends with / gets the file's name", type = "string" },
  { "checksum", "CRC32 of the whole, or SHA256 of the parts", type = "string", default = "CRC32", one_of = { "CRC32", "SHA256" } },
  { "resume", "go on with an unfinished upload of the same file", type = "boolean", default = true },
}
local DOWNLOAD = declared {
  { "from", "s3://bucket/key", type = "string" },
  { "file", "file or folder to write", type = "string", required = true },
  { "resume", "go on with what an earlier call has got", type = "boolean", default = true },
}
local COPY = declared {
  { "from", "s3://bucket/key, also with ?versionId=", type = "string", required = true },
  { "to", "s3://bucket/key", type = "string" },
}
local ABORT = {
  { "bucket", "bucket", type = "string", required = true },
  { "key", "only uploads to this key", type = "string" },
  { "prefix", "only uploads to keys that begin so", type = "string", default = "" },
  { "older_than", "only uploads that were begun so many seconds ago", type = "number" },
}

local function place(address, where)
  local bucket, key = address:match "^s3://([^/]+)/?(.*)$"
  if not bucket then errors.usage("%s: %q is not an address as s3://bucket/key", where, address) end
  return bucket, key
end

--- The checked options of a call: those of ours, and members in AWS's names of the operations that it is made of.
local function job_of(client, given, list, where, operations, address)
  local own, members, known = {}, {}, {}
  for _, name in ipairs(operations) do
    for _, member in ipairs(client.model.shape(client:operation(name).input).members) do known[member.name] = true end
  end
  for _, name in ipairs(OURS) do known[name] = nil end
  local names = {}
  for name in pairs(known) do names[#names + 1] = name end
  for name, value in pairs(given) do
    if type(name) ~= "string" or not name:find "^%u" then own[name] = value
    elseif known[name] and not name:find "^Checksum" then members[name] = value
    else errors.usage("%s has no option %s%s", where, name, options.suggestion(name, names)) end
  end
  local job = options.check(own, list, where)
  parts_of.check(job.part_size)
  if job.parallel < 1 then errors.usage("%s: parallel must be at least 1", where) end
  if job[address] and type(job[address]) == "string" then
    if job.bucket or job.key then errors.usage("%s: %s, or bucket and key; not both", where, address) end
    job.bucket, job.key = place(job[address], where)
  end
  if not job.bucket then errors.usage("%s needs %s: s3://bucket/key", where, address) end
  job.client, job.members, job.algorithm = client, members, job.checksum or "CRC32"
  return job
end

local function needs_key(job, where)
  if not job.key or job.key == "" then errors.usage("%s needs a key", where) end
end

--- Sends a file, or what a function or a process gives. The object appears when all of it is there. An upload that is
--- resumed keeps the headers that it was begun with.
---@param o table file or from, to or bucket and key, part_size, parallel (8), checksum ("CRC32", "SHA256"), resume (true), progress;
---and members of PutObject in AWS's names: ContentType, Metadata, StorageClass, IfNoneMatch, ...
---@return table answer { bucket, key, size, parts, resumed (bytes that were there), etag, checksum, version_id }
function S3:upload(o)
  local where = "aws.s3:upload"
  local job = job_of(self, o, UPLOAD, where, { "PutObject", "CreateMultipartUpload" }, "to")
  if (job.file == nil) == (job.from == nil) then errors.usage("%s needs file, or from", where) end
  if job.file and (not job.key or job.key == "" or job.key:sub(-1) == "/") then job.key = (job.key or "") .. job.file:match "[^/]*$" end
  needs_key(job, where)
  if job.file then return require "aws.transfer.upload".run(job) end
  local is_source = type(job.from) == "function" or type(job.from) == "table" and job.from.read and job.from.wait
  if not is_source then errors.usage("%s: from must be a function or a process", where) end
  return require "aws.transfer.stream".run(job)
end

--- Gets an object into a file, or into a folder under the last word of its key. A file that is made can be read by its
--- owner only; one that is replaced keeps its mode.
---@param o table from or bucket and key, file, part_size, parallel (8), resume (true), progress; and members of GetObject in
---AWS's names: VersionId, RequestPayer, ...
---@return table answer { bucket, key, file, size, parts, resumed (bytes that were there), etag, checksum, version_id }
function S3:download(o)
  local job = job_of(self, o, DOWNLOAD, "aws.s3:download", { "GetObject" }, "from")
  needs_key(job, "aws.s3:download")
  return require "aws.transfer.download".run(job)
end

--- Copies an object inside S3, above 5 GiB in parts; its type and metadata go with it.
---@param o table from, to or bucket and key, part_size (what is larger goes in parts), parallel (8), progress; and members of
---CopyObject in AWS's names: StorageClass, ...
---@return table answer { bucket, key, size, parts, etag, version_id }
function S3:copy(o)
  local where = "aws.s3:copy"
  local job = job_of(self, o, COPY, where, { "CopyObject", "CreateMultipartUpload" }, "to")
  local bucket, key = place(job.from, where)
  local plain, version = key:match "^(.-)%?versionId=(.+)$"
  job.source = { bucket = bucket, key = plain or key, version = version }
  if job.source.key == "" then errors.usage("%s: %q names no key", where, job.from) end
  if not job.key or job.key == "" or job.key:sub(-1) == "/" then job.key = (job.key or "") .. job.source.key:match "[^/]*$" end
  needs_key(job, where)
  return require "aws.transfer.copy".run(job)
end

--- Throws away unfinished uploads and the parts that they have.
---@param o { bucket: string, key: string?, prefix: string?, older_than: number? } older_than: seconds
---@return { key: string, upload_id: string, initiated: number }[]
function S3:abort_uploads(o)
  o = options.check(o, ABORT, "aws.s3:abort_uploads")
  local aborted = {}
  for page in self:pages("list_multipart_uploads", { Bucket = o.bucket, Prefix = o.key or o.prefix }) do
    for _, upload in ipairs(page.Uploads or {}) do
      local is_old = not o.older_than or os.time() - upload.Initiated >= o.older_than
      if (not o.key or upload.Key == o.key) and is_old then
        self:abort_multipart_upload { Bucket = o.bucket, Key = upload.Key, UploadId = upload.UploadId }
        aborted[#aborted + 1] = { key = upload.Key, upload_id = upload.UploadId, initiated = upload.Initiated }
      end
    end
  end
  return aborted
end

return S3
