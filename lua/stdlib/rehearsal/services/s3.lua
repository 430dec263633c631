--- Amazon S3 in the rehearsal: buckets are folders of the cloud's.
local fs = require "fs"
local json = require "json"
local multipart = require "rehearsal.services.s3.multipart"
local objects = require "rehearsal.services.s3.objects"
local sign = require "sign"
local store = require "rehearsal.services.s3.store"
local wire = require "rehearsal.wire"

local buckets, bucket_of = store.buckets, store.bucket_of

local S = {}
for _, part in ipairs { objects, multipart } do
  for name, fn in pairs(part) do S[name] = fn end
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
    or { name = p.Bucket, region = ctx.region, dir = dir, objects = {}, uploads = {}, created = cloud.clock:now(), next = 0 }
  local bucket = buckets(cloud)[p.Bucket]
  for name, default in pairs(S._defaults) do bucket[name] = bucket[name] or default() end
  local tags = p.CreateBucketConfiguration and p.CreateBucketConfiguration.Tags
  if tags then bucket.BucketTagging = { TagSet = tags } end
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

--- Of a bucket's policy only this is enforced: that nobody may delete it.
local function denies_deletion(policy)
  for _, statement in ipairs(policy and json.decode(policy).Statement or {}) do
    local who = type(statement.Principal) == "table" and statement.Principal.AWS or statement.Principal
    if statement.Effect == "Deny" and statement.Action == "s3:DeleteBucket" and who == "*" then return true end
  end
  return false
end

function S.DeleteBucket(cloud, p)
  local b = bucket_of(cloud, p.Bucket)
  if denies_deletion(b.BucketPolicy) then
    wire.fail("AccessDenied", 403, "User is not authorized to perform: s3:DeleteBucket on resource: \"arn:aws:s3:::%s\" with an explicit deny "
      .. "in a resource-based policy", p.Bucket)
  end
  if next(b.objects) then wire.fail("BucketNotEmpty", 409, "The bucket you tried to delete is not empty") end
  buckets(cloud)[p.Bucket] = nil
  fs.rmtree(b.dir)
end

--- What each new bucket has since 2023: closed to the public, encrypted, without ACLs.
S._defaults = {
  PublicAccessBlock = function()
    return { BlockPublicAcls = true, IgnorePublicAcls = true, BlockPublicPolicy = true, RestrictPublicBuckets = true }
  end,
  BucketEncryption = function()
    return { Rules = { { ApplyServerSideEncryptionByDefault = { SSEAlgorithm = "AES256" }, BucketKeyEnabled = false } } }
  end,
  BucketOwnershipControls = function() return { Rules = { { ObjectOwnership = "BucketOwnerEnforced" } } } end,
}

local function is_public(policy)
  local document = json.decode(policy) or wire.fail("MalformedPolicy", 400, "This policy contains invalid Json")
  for _, statement in ipairs(document.Statement or {}) do
    local who = statement.Principal
    if type(who) == "table" then who = type(who.AWS) == "table" and who.AWS[1] or who.AWS end
    if statement.Effect == "Allow" and who == "*" and not statement.Condition then return true end
  end
  return false
end

--- How S3 keeps what it is given, where that is not as it was given.
local KEPT = {
  PublicAccessBlock = function(given)
    local all = {}
    for member in pairs(S._defaults.PublicAccessBlock()) do all[member] = given[member] or false end
    return all
  end,
  BucketEncryption = function(given)
    for _, rule in ipairs(given.Rules) do rule.BucketKeyEnabled = rule.BucketKeyEnabled or false end
    return given
  end,
  BucketTagging = function(given, old)
    local system = {}
    for _, tag in ipairs(old and old.TagSet or {}) do system[tag.Key] = tag.Key:find "^aws:" and tag.Value or nil end
    for _, tag in ipairs(given.TagSet) do
      if tag.Key:find "^aws:" and system[tag.Key] ~= tag.Value then
        wire.fail("InvalidTag", 400, "System tags cannot be added/updated by requester")
      end
      system[tag.Key] = nil
    end
    if next(system) then wire.fail("InvalidTag", 400, "System tags cannot be removed by requester") end
    return given
  end,
  BucketPolicy = function(given, _, bucket)
    if is_public(given) and (bucket.PublicAccessBlock or {}).BlockPublicPolicy then
      wire.fail("AccessDenied", 403, "User is not authorized to perform: s3:PutBucketPolicy because public policies are prevented by the "
        .. "BlockPublicPolicy setting in S3 Block Public Access.")
    end
    return given
  end,
}

--- What the answer to a question is, and not only holds.
local WHOLE = { Tagging = true, VersioningConfiguration = true, LifecycleConfiguration = true, CORSConfiguration = true }

--- Settings of a bucket.
local function setting(name, field, missing)
  S["Put" .. name] = function(cloud, p)
    local bucket = bucket_of(cloud, p.Bucket)
    bucket[name] = KEPT[name] and KEPT[name](p[field], bucket[name], bucket) or p[field]
  end
  S["Get" .. name] = function(cloud, p)
    local value = bucket_of(cloud, p.Bucket)[name]
    if value == nil then
      if not missing then return {} end
      wire.fail(missing, 404, "The %s does not exist", name)
    end
    return WHOLE[field] and value or { [field] = value }
  end
  S["Delete" .. name] = function(cloud, p)
    bucket_of(cloud, p.Bucket)[name] = name == "BucketEncryption" and S._defaults[name]() or nil
  end
end

setting("BucketTagging", "Tagging", "NoSuchTagSet")
setting("BucketVersioning", "VersioningConfiguration")
setting("PublicAccessBlock", "PublicAccessBlockConfiguration", "NoSuchPublicAccessBlockConfiguration")
setting("BucketEncryption", "ServerSideEncryptionConfiguration", "ServerSideEncryptionConfigurationNotFoundError")
setting("BucketLifecycleConfiguration", "LifecycleConfiguration", "NoSuchLifecycleConfiguration")
setting("BucketPolicy", "Policy", "NoSuchBucketPolicy")
setting("BucketOwnershipControls", "OwnershipControls", "OwnershipControlsNotFoundError")
setting("BucketCors", "CORSConfiguration", "NoSuchCORSConfiguration")
S.DeleteBucketLifecycle = S.DeleteBucketLifecycleConfiguration

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
  local contents, _, last = listing(cloud, p, p.KeyMarker or "")
  for _, o in ipairs(contents) do o.VersionId, o.IsLatest = "null", true end
  return { Name = p.Bucket, Prefix = p.Prefix or "", IsTruncated = last ~= nil, NextKeyMarker = last, NextVersionIdMarker = last and "null",
           MaxKeys = p.MaxKeys or 1000, Versions = contents, DeleteMarkers = {} }
end

--- Where an object's bytes lie, for other services; nil if there is none.
---@return { file: string, size: integer, etag: string }?
function S._object(cloud, bucket, key)
  local b = buckets(cloud)[bucket]
  return b and b.objects[key] or nil
end

return S
