--- Amazon S3 in the rehearsal: buckets are folders of the cloud's.
local fs = require "fs"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local function buckets(cloud)
  local store = cloud:store "s3"
  store.buckets = store.buckets or {}
  return store.buckets
end

local function bucket_of(cloud, name)
  return buckets(cloud)[name] or wire.fail("NoSuchBucket", 404, "The specified bucket does not exist")
end

local function object_of(cloud, bucket, key)
  return bucket_of(cloud, bucket).objects[key] or wire.fail("NoSuchKey", 404, "The specified key does not exist.")
end

function S.CreateBucket(cloud, p, ctx)
  if not p.Bucket:find "^[a-z0-9][a-z0-9%.%-]+[a-z0-9]$" or #p.Bucket > 63 then
    wire.fail("InvalidBucketName", 400, "The specified bucket is not valid.")
  end
  local where = p.CreateBucketConfiguration and p.CreateBucketConfiguration.LocationConstraint
  if ctx.region ~= "us-east-1" and where ~= ctx.region then
    wire.fail("IllegalLocationConstraintException", 400,
      "The %s location constraint is incompatible for the region specific endpoint this request was sent to.", tostring(where))
  end
  if buckets(cloud)[p.Bucket] and ctx.region ~= "us-east-1" then
    wire.fail("BucketAlreadyOwnedByYou", 409, "Your previous request to create the named bucket succeeded and you already own it.")
  end
  local dir = fs.join(cloud.dir, "s3", p.Bucket)
  fs.mkdir_p(dir)
  buckets(cloud)[p.Bucket] = buckets(cloud)[p.Bucket]
    or { name = p.Bucket, region = ctx.region, dir = dir, objects = {}, created = cloud.clock:now(), next = 0 }
  local tags = p.CreateBucketConfiguration and p.CreateBucketConfiguration.Tags
  if tags then buckets(cloud)[p.Bucket].BucketTagging = { TagSet = tags } end
  return { Location = "/" .. p.Bucket }
end

function S.HeadBucket(cloud, p)
  return { BucketRegion = bucket_of(cloud, p.Bucket).region }
end

function S.ListBuckets(cloud)
  local list = {}
  for name, b in pairs(buckets(cloud)) do list[#list + 1] = { Name = name, CreationDate = b.created } end
  table.sort(list, function(a, b) return a.Name < b.Name end)
  return { Buckets = list, Owner = { ID = cloud.account } }
end

function S.GetBucketLocation(cloud, p)
  local region = bucket_of(cloud, p.Bucket).region
  return { LocationConstraint = region ~= "us-east-1" and region or "" }
end

function S.DeleteBucket(cloud, p)
  local b = bucket_of(cloud, p.Bucket)
  if next(b.objects) then wire.fail("BucketNotEmpty", 409, "The bucket you tried to delete is not empty") end
  buckets(cloud)[p.Bucket] = nil
  fs.rmtree(b.dir)
end

--- Settings of a bucket that are kept as they were given.
local function setting(name, field, missing)
  S["Put" .. name] = function(cloud, p) bucket_of(cloud, p.Bucket)[name] = p[field] end
  S["Get" .. name] = function(cloud, p)
    local value = bucket_of(cloud, p.Bucket)[name]
    if value == nil then
      if not missing then return {} end
      wire.fail(missing, 404, "The %s does not exist", name)
    end
    if field == "Tagging" or field == "VersioningConfiguration" or field == "LifecycleConfiguration" then return value end
    return { [field] = value }
  end
  S["Delete" .. name] = function(cloud, p) bucket_of(cloud, p.Bucket)[name] = nil end
end

setting("BucketTagging", "Tagging", "NoSuchTagSet")
setting("BucketVersioning", "VersioningConfiguration")
setting("PublicAccessBlock", "PublicAccessBlockConfiguration", "NoSuchPublicAccessBlockConfiguration")
setting("BucketEncryption", "ServerSideEncryptionConfiguration", "ServerSideEncryptionConfigurationNotFoundError")
setting("BucketLifecycleConfiguration", "LifecycleConfiguration", "NoSuchLifecycleConfiguration")
setting("BucketPolicy", "Policy", "NoSuchBucketPolicy")
S.DeleteBucketLifecycle = S.DeleteBucketLifecycleConfiguration

local function conditions(p, old)
  if p.IfNoneMatch == "*" and old then wire.fail("PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold") end
  if p.IfMatch and (not old or old.etag ~= p.IfMatch) then
    wire.fail(old and "PreconditionFailed" or "NoSuchKey", old and 412 or 404, "At least one of the pre-conditions you specified did not hold")
  end
end

--- aws-chunked bodies: "SIZE;chunk-signature=...\r\n" before each chunk.
local function unchunk(body)
  local parts, at = {}, 1
  while true do
    local size, next_at = body:match("^(%x+)[^\r]*\r\n()", at)
    if not size then break end
    local n = tonumber(size, 16)
    if n == 0 then break end
    parts[#parts + 1] = body:sub(next_at, next_at + n - 1)
    at = next_at + n + 2
  end
  return table.concat(parts)
end

local function check_sums(req, path)
  local sum = req.headers["x-amz-checksum-crc32"]
  if sum and sum ~= sign.base64(string.pack(">I4", sign.crc32(fs.read(path)))) then
    fs.remove(path)
    wire.fail("BadDigest", 400, "The CRC32 you specified did not match what we received.")
  end
  local md5 = req.headers["content-md5"]
  if md5 and md5 ~= sign.base64(sign.unhex(sign.md5(fs.read(path)))) then
    fs.remove(path)
    wire.fail("BadDigest", 400, "The Content-MD5 you specified did not match what we received.")
  end
end

function S.PutObject(cloud, p, ctx)
  local b = bucket_of(cloud, p.Bucket)
  conditions(p, b.objects[p.Key])
  b.next = b.next + 1
  local path = fs.join(b.dir, tostring(b.next))
  local req = ctx.request
  local body = p.body_file and fs.read(p.body_file) or p.Body or ""
  if (req.headers["content-encoding"] or ""):find("aws-chunked", 1, true) then body = unchunk(body) end
  fs.append(path, body, 420)
  check_sums(req, path)
  local old = b.objects[p.Key]
  local etag = '"' .. sign.md5(body) .. '"'
  b.objects[p.Key] = { file = path, size = #body, etag = etag, modified = cloud.clock:now(), type = p.ContentType or "binary/octet-stream",
                       metadata = p.Metadata, tags = p.Tagging }
  if old then fs.remove(old.file) end
  return { ETag = etag }
end

local function facts(o)
  return { ETag = o.etag, ContentLength = o.size, LastModified = o.modified, ContentType = o.type, Metadata = o.metadata, AcceptRanges = "bytes" }
end

function S.HeadObject(cloud, p)
  local o = bucket_of(cloud, p.Bucket).objects[p.Key] or wire.fail("NotFound", 404, "Not Found")
  return facts(o)
end

function S.GetObject(cloud, p)
  local o = object_of(cloud, p.Bucket, p.Key)
  local result = facts(o)
  result.body_file = o.file
  local first, last = (p.Range or ""):match "^bytes=(%d+)%-(%d*)$"
  if first then
    local body = fs.read(o.file)
    result.body_file = nil
    last = last ~= "" and math.min(tonumber(last), o.size - 1) or o.size - 1
    result.Body = body:sub(tonumber(first) + 1, last + 1)
    result.ContentRange = ("bytes %d-%d/%d"):format(first, last, o.size)
    result.ContentLength = #result.Body
  end
  return result
end

function S.DeleteObject(cloud, p)
  local b = bucket_of(cloud, p.Bucket)
  local o = b.objects[p.Key]
  conditions(p, o)
  if o then fs.remove(o.file) end
  b.objects[p.Key] = nil
end

function S.DeleteObjects(cloud, p)
  local deleted = {}
  for i, item in ipairs(p.Delete.Objects) do
    S.DeleteObject(cloud, { Bucket = p.Bucket, Key = item.Key })
    deleted[i] = { Key = item.Key }
  end
  return { Deleted = deleted }
end

local function listing(cloud, p, after)
  local keys = {}
  for key in pairs(bucket_of(cloud, p.Bucket).objects) do
    if key:sub(1, #(p.Prefix or "")) == (p.Prefix or "") and key > after then keys[#keys + 1] = key end
  end
  table.sort(keys)
  local contents, prefixes, seen, n, last = {}, {}, {}, 0, nil
  for _, key in ipairs(keys) do
    if n == (p.MaxKeys or 1000) then return contents, prefixes, last end
    local o = bucket_of(cloud, p.Bucket).objects[key]
    local rest = key:sub(#(p.Prefix or "") + 1)
    local cut = p.Delimiter and rest:find(p.Delimiter, 1, true)
    if cut then
      local prefix = (p.Prefix or "") .. rest:sub(1, cut + #p.Delimiter - 1)
      if not seen[prefix] then seen[prefix] = true prefixes[#prefixes + 1] = { Prefix = prefix } n = n + 1 end
    else
      contents[#contents + 1] = { Key = key, Size = o.size, ETag = o.etag, LastModified = o.modified, StorageClass = "STANDARD" }
      n = n + 1
    end
    last = key
  end
  return contents, prefixes, nil
end

function S.ListObjectsV2(cloud, p)
  local after = p.ContinuationToken and sign.unbase64(p.ContinuationToken) or p.StartAfter or ""
  local contents, prefixes, last = listing(cloud, p, after)
  return { Name = p.Bucket, Prefix = p.Prefix or "", KeyCount = #contents + #prefixes, MaxKeys = p.MaxKeys or 1000, IsTruncated = last ~= nil,
           NextContinuationToken = last and sign.base64(last), Contents = contents, CommonPrefixes = prefixes }
end

function S.ListObjects(cloud, p)
  local contents, prefixes, last = listing(cloud, p, p.Marker or "")
  return { Name = p.Bucket, Prefix = p.Prefix or "", Marker = p.Marker or "", MaxKeys = p.MaxKeys or 1000, IsTruncated = last ~= nil,
           NextMarker = last, Contents = contents, CommonPrefixes = prefixes }
end

function S.ListObjectVersions(cloud, p)
  local contents = listing(cloud, p, p.KeyMarker or "")
  for _, o in ipairs(contents) do o.VersionId, o.IsLatest = "null", true end
  return { Name = p.Bucket, Prefix = p.Prefix or "", IsTruncated = false, MaxKeys = 1000, Versions = contents, DeleteMarkers = {} }
end

--- Where an object's bytes lie, for other services; nil if there is none.
---@return { file: string, size: integer, etag: string }?
function S._object(cloud, bucket, key)
  local b = buckets(cloud)[bucket]
  return b and b.objects[key] or nil
end

return S
