--- Objects of S3 in the rehearsal: stored, read whole or in ranges, copied, deleted.
local fs = require "fs"
local sign = require "sign"
local store = require "rehearsal.services.s3.store"
local wire = require "rehearsal.wire"

local M = {}

local HEADERS = { "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage" }

--- Puts what was received in an object's place.
---@param p table what describes it: ContentType, Metadata, ...
function M._put(cloud, bucket, key, received, p)
  local old = bucket.objects[key]
  received.modified, received.type = cloud.clock:now(), p.ContentType or "binary/octet-stream"
  received.metadata, received.tags, received.headers = p.Metadata, p.Tagging, {}
  for _, name in ipairs(HEADERS) do received.headers[name] = p[name] end
  if (p.ContentEncoding or ""):find("aws-chunked", 1, true) then
    local rest = p.ContentEncoding:gsub("aws%-chunked,?%s*", "")
    received.headers.ContentEncoding = rest ~= "" and rest or nil
  end
  received.sum_type = received.sum_type or next(received.sums) and "FULL_OBJECT" or nil
  bucket.objects[key] = received
  if old then fs.remove(old.file) end
  return received
end

local function sums_of(o, result)
  for name, text in pairs(o.sums) do result["Checksum" .. name] = text end
  if next(o.sums) then result.ChecksumType = o.sum_type end
  return result
end
M._sums_of = sums_of

function M.PutObject(cloud, p, ctx)
  local b = store.bucket_of(cloud, p.Bucket)
  store.conditions(p, b.objects[p.Key])
  local received = store.receive(b, p, ctx.request, p.ChecksumAlgorithm)
  local kept, why = pcall(store.conditions, p, b.objects[p.Key])          -- others wrote while the sums were made
  if not kept then
    fs.remove(received.file)
    error(why, 0)
  end
  local o = M._put(cloud, b, p.Key, received, p)
  return sums_of(o, { ETag = o.etag })
end

--- What is asked for of an object: all, a range, or a part.
local function piece(o, p)
  if p.PartNumber and o.parts then
    local first = 0
    for i = 1, p.PartNumber - 1 do first = first + (o.parts[i] or 0) end
    if not o.parts[p.PartNumber] then wire.fail("InvalidPartNumber", 416, "The requested partnumber is not satisfiable") end
    return first, first + o.parts[p.PartNumber] - 1
  end
  if p.PartNumber and p.PartNumber > 1 then wire.fail("InvalidPartNumber", 416, "The requested partnumber is not satisfiable") end
  return store.range(p.Range, o.size)
end

local function facts(o, p)
  if p.IfMatch then store.conditions({ IfMatch = p.IfMatch }, o) end
  if p.IfNoneMatch and p.IfNoneMatch:gsub('"', "") == o.etag:gsub('"', "") then wire.fail("NotModified", 304, "Not Modified") end
  local result = { ETag = o.etag, ContentLength = o.size, LastModified = o.modified, ContentType = o.type, Metadata = o.metadata,
                   AcceptRanges = "bytes" }
  for name, value in pairs(o.headers) do result[name] = value end
  local first, last = piece(o, p)
  if first then
    result.ContentRange, result.ContentLength = ("bytes %d-%d/%d"):format(first, last, o.size), last - first + 1
    result.body_status, result.body_offset, result.body_length = 206, first, last - first + 1
    if p.PartNumber then result.PartsCount = o.parts and #o.parts end
  elseif p.ChecksumMode == "ENABLED" then
    sums_of(o, result)
  end
  return result
end

function M.HeadObject(cloud, p)
  local o = store.bucket_of(cloud, p.Bucket).objects[p.Key] or wire.fail("NotFound", 404, "Not Found")
  return facts(o, p)
end

function M.GetObject(cloud, p)
  local o = store.object_of(cloud, p.Bucket, p.Key)
  local result = facts(o, p)
  result.body_file = o.file
  return result
end

function M.CopyObject(cloud, p)
  local b, from = store.bucket_of(cloud, p.Bucket), store.source(cloud, p.CopySource)
  if p.CopySourceIfMatch then store.conditions({ IfMatch = p.CopySourceIfMatch }, from) end
  if from.size > 5 << 30 then
    wire.fail("InvalidRequest", 400, "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120")
  end
  local path = store.new_file(b)
  store.append(from.file, 0, from.size, path)
  local about = p
  if p.MetadataDirective ~= "REPLACE" then
    about = { ContentType = from.type, Metadata = from.metadata, Tagging = from.tags }
    for name, value in pairs(from.headers) do about[name] = value end
  end
  local whole = not from.parts                   -- a copy in one call is an object of one part
  local sums = whole and from.sums or {}
  local etag = whole and from.etag or '"' .. sign.digest_file(path, { "md5" }).md5 .. '"'
  local o = M._put(cloud, b, p.Key, { file = path, size = from.size, etag = etag, sums = sums }, about)
  return { CopyObjectResult = sums_of(o, { ETag = o.etag, LastModified = o.modified }) }
end

function M.DeleteObject(cloud, p)
  local b = store.bucket_of(cloud, p.Bucket)
  local o = b.objects[p.Key]
  store.conditions(p, o)
  if o then fs.remove(o.file) end
  b.objects[p.Key] = nil
end

function M.DeleteObjects(cloud, p)
  local deleted = {}
  for i, item in ipairs(p.Delete.Objects) do
    M.DeleteObject(cloud, { Bucket = p.Bucket, Key = item.Key })
    deleted[i] = { Key = item.Key }
  end
  return { Deleted = deleted }
end

return M
