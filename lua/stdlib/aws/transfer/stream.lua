--- What a function or a process gives, of a size that nobody knows yet, to S3. A part waits in a file of its own until it
--- is full and its checksum is known, so memory does not depend on the size.
local checksum = require "aws.transfer.checksum"
local errors = require "errors"
local fs = require "fs"
local meter = require "aws.transfer.meter"
local multipart = require "aws.transfer.multipart"
local parts_of = require "aws.transfer.parts"
local sign = require "sign"
local task = require "task"

local M = {}

--- The source as a function, and one that says whether it came to its end as it should.
local function reader(from)
  if type(from) == "function" then return from, function() end end
  return function() return from:read() end, function()
    local code = from:wait()
    if code ~= 0 then errors.raise { kind = "io", op = "upload what a process prints", message = ("it ended with code %d"):format(code) } end
  end
end

--- Fills a part's file.
---@return boolean is_last
local function fill(part, next_bytes, size)
  part.length = 0
  while part.length < size do
    local bytes = part.rest or next_bytes()
    part.rest = nil
    if bytes == nil then return true end
    if type(bytes) ~= "string" then errors.usage("the source of an upload must give strings, not %s", type(bytes)) end
    local fits = bytes:sub(1, size - part.length)
    if #fits < #bytes then part.rest = bytes:sub(#fits + 1) end
    fs.append(part.file, fits, 384)
    part.length = part.length + #fits
  end
  return false
end

--- Parts grow with their number, so that 10,000 of them hold as much as an object may.
local function size_of(number, first)
  return math.min(first << ((number - 1) // 1000), parts_of.LARGEST)
end

local function send(job, part, operation, more, progress)
  local name = checksum.digest(job.algorithm)
  part.digest = sign.digest_file(part.file, { name })
  local args = multipart.arguments(job, operation, more)
  args.Body, args[checksum.member(job.algorithm)] = { file = part.file }, checksum.text(part.digest, name)
  local result = parts_of.again(function() return job.client:call(operation, args) end)
  part.etag = result.ETag
  fs.remove(part.file)
  progress:part(part.number, part.length)
  return result
end

--- Cancels the tasks that still run, and waits for them.
local function end_all(tasks)
  for _, t in ipairs(tasks) do t:cancel() end
  for _, t in ipairs(tasks) do task.shield(pcall, t.join, t) end
end

--- Sends all that the source gives; nothing is stored when it, or the way, fails.
---@param job aws.Transfer with from, part_size, progress
---@return table
function M.run(job)
  local next_bytes, check_end = reader(job.from)
  local dir <close> = setmetatable({ path = fs.tmpdir "hkrun-upload-" }, { __close = function(d) fs.rmtree(d.path) end })
  local progress <close> = meter(("upload to s3://%s/%s"):format(job.bucket, job.key), nil, job.progress)
  local flying <close> = setmetatable({}, { __close = end_all })
  local parts, is_last, rest, id = {}, false, nil, nil
  local answer = { bucket = job.bucket, key = job.key, size = 0, resumed = 0 }
  local ok, result = pcall(function()
    while not is_last do
      local part = { number = #parts + 1, rest = rest }
      part.file = fs.join(dir.path, tostring(part.number))
      fs.append(part.file, "", 384)
      is_last = fill(part, next_bytes, size_of(part.number, job.part_size or parts_of.DEFAULT))
      rest = part.rest
      if is_last then check_end() end
      if part.length > 0 or part.number == 1 then
        parts[part.number], answer.size = part, answer.size + part.length
        if is_last and part.number == 1 then return send(job, part, "PutObject", {}, progress) end
        id = id or multipart.create(job)
        if #flying >= job.parallel then table.remove(flying, 1):join() end
        flying[#flying + 1] = task.spawn(send, job, part, "UploadPart", { UploadId = id, PartNumber = part.number }, progress)
      end
    end
    while flying[1] do table.remove(flying, 1):join() end
    return (multipart.complete(job, id, parts))
  end)
  if not ok then
    end_all(flying)
    if id then multipart.abort(job, id) end
    error(result, 0)
  end
  answer.parts, answer.etag, answer.version_id = #parts, result.ETag, result.VersionId
  answer.checksum = result[checksum.member(job.algorithm)]
  return answer
end

return M
