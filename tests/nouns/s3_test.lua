--- Buckets, objects and secrets, request by request (see tests/support/noun_lab.lua).
local errors = require "errors"
local fs = require "fs"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local secret = require "secret"
local test = require "test"
local aws = require "aws"
local T = test.cases()

local BLOCK = { BlockPublicAcls = true, IgnorePublicAcls = true, BlockPublicPolicy = true, RestrictPublicBuckets = true }
local ENCRYPTION = { Rules = { { ApplyServerSideEncryptionByDefault = { SSEAlgorithm = "AES256" } } } }
local OPEN = { BlockPublicAcls = true, IgnorePublicAcls = true, BlockPublicPolicy = false, RestrictPublicBuckets = true }

local block = { "s3 PutPublicAccessBlock", { Bucket = "shop-7f", PublicAccessBlockConfiguration = BLOCK } }
local encrypt = { "s3 PutBucketEncryption", { Bucket = "shop-7f", ServerSideEncryptionConfiguration = ENCRYPTION } }
local function versions(status)
  return { "s3 PutBucketVersioning", { Bucket = "shop-7f", VersioningConfiguration = { Status = status } } }
end
local function only_bucket(op) return { "s3 " .. op, { Bucket = "shop-7f" } } end

lab.case(T, {
  noun = "bucket", want = { "shop-7f", versions = true },
  absent = { ["s3 HeadBucket"] = lab.refusal("404", 404) },
  there = {
    ["s3 HeadBucket"] = { BucketRegion = "us-east-1" }, ["s3 GetBucketTagging"] = { TagSet = lab.tag_list("bucket", "shop-7f") },
    ["s3 GetBucketVersioning"] = { Status = "Enabled" }, ["s3 GetPublicAccessBlock"] = { PublicAccessBlockConfiguration = BLOCK },
    ["s3 GetBucketEncryption"] = { ServerSideEncryptionConfiguration = ENCRYPTION },
    ["s3 ListObjectVersions"] = function(args)               -- two pages
      if not args.KeyMarker then
        return { IsTruncated = true, NextKeyMarker = "a", NextVersionIdMarker = "2",
                 Versions = { { Key = "a", VersionId = "1" }, { Key = "a", VersionId = "2" } } }
      end
      return { IsTruncated = false, Versions = { { Key = "b", VersionId = "null" } }, DeleteMarkers = { { Key = "a", VersionId = "3" } } }
    end,
    ["s3 ListMultipartUploads"] = { Uploads = { { Key = "half", UploadId = "u1" } } },
  },
  looks = { only_bucket "HeadBucket", only_bucket "GetBucketTagging", only_bucket "GetBucketVersioning",
            only_bucket "GetPublicAccessBlock", only_bucket "GetBucketEncryption" },
  gone = { ["s3 GetBucketTagging"] = "NoSuchBucket", ["s3 GetBucketVersioning"] = "NoSuchBucket",
           ["s3 GetPublicAccessBlock"] = "NoSuchBucket", ["s3 GetBucketEncryption"] = "NoSuchBucket" },
  create = {
    { "s3 CreateBucket", { Bucket = "shop-7f", CreateBucketConfiguration = { Tags = lab.tag_list("bucket", "shop-7f") } } },
    block, encrypt, versions "Enabled",
  },
  change = {
    { "one that could be made public is closed", there = { ["s3 GetPublicAccessBlock"] = { PublicAccessBlockConfiguration = OPEN } },
      calls = { block } },
    { "one without any block is closed", there = { ["s3 GetPublicAccessBlock"] = lab.refusal("NoSuchPublicAccessBlockConfiguration", 404) },
      calls = { block } },
    { "one that is not encrypted is from now on",
      there = { ["s3 GetBucketEncryption"] = lab.refusal("ServerSideEncryptionConfigurationNotFoundError", 404) }, calls = { encrypt } },
    { "it keeps versions", there = { ["s3 GetBucketVersioning"] = {} }, calls = { versions "Enabled" } },
    { "it keeps no more versions", want = { versions = false }, calls = { versions "Suspended" } },
    { "a tag is added to all that it has", want = { tags = { team = "shop" } }, calls = {
      { "s3 PutBucketTagging", { Bucket = "shop-7f", Tagging = { TagSet = lab.tag_list("bucket", "shop-7f", { team = "shop" }) } } } } },
  },
  delete = {
    { "s3 DeleteObjects", { Bucket = "shop-7f", Delete = { Quiet = true, Objects = {
      { Key = "a", VersionId = "1" }, { Key = "a", VersionId = "2" } } } } },
    { "s3 DeleteObjects", { Bucket = "shop-7f", Delete = { Quiet = true, Objects = {
      { Key = "b", VersionId = "null" }, { Key = "a", VersionId = "3" } } } } },
    { "s3 AbortMultipartUpload", { Bucket = "shop-7f", Key = "half", UploadId = "u1" } },
    only_bucket "DeleteBucket",
  },
})

T["aws.bucket: somebody else's name is an error that says so"] = function()
  local l, world = recipe_lab(), lab.world { ["s3 HeadBucket"] = lab.refusal("403", 403) }
  test.raises("one for the whole world", function() l:apply(function() aws.bucket { "shop-7f" } end) end)
  lab.same(world.changing, {})
end

local DIGEST = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"     -- of "hello"

local function head(digest) return { Metadata = { ["hkrun-sha256"] = digest }, ContentLength = 5, ETag = '"x"', ContentType = "text/plain" } end
local put = { "s3 PutObject", { Bucket = "shop-7f", Key = "v1/note", Body = secret.new "hello", ContentType = "text/plain",
                                Metadata = { ["hkrun-sha256"] = DIGEST } } }

lab.case(T, {
  noun = "object", want = { "v1/note", bucket = "shop-7f", bytes = "hello", type = "text/plain" },
  absent = { ["s3 HeadObject"] = lab.refusal("404", 404), ["s3 ListObjectVersions"] = {
    IsTruncated = false, Versions = { { Key = "v1/note", VersionId = "v-1" }, { Key = "v1/note.old", VersionId = "v-2" } },
    DeleteMarkers = { { Key = "v1/note", VersionId = "v-3" } } } },
  there = { ["s3 HeadObject"] = head(DIGEST) },
  looks = { { "s3 HeadObject", { Bucket = "shop-7f", Key = "v1/note" } } },
  create = { put },
  change = { { "other bytes are put in its place", there = { ["s3 HeadObject"] = head(("0"):rep(64)) }, calls = { put } },
             { "its type is put back", want = { type = "text/html" },
               calls = { { "s3 PutObject", lab.merged(put[2], { ContentType = "text/html" }) } } } },
  delete = {
    { "s3 DeleteObject", { Bucket = "shop-7f", Key = "v1/note" } },
    { "s3 DeleteObject", { Bucket = "shop-7f", Key = "v1/note", VersionId = "v-1" } },
    { "s3 DeleteObject", { Bucket = "shop-7f", Key = "v1/note", VersionId = "v-3" } },
  },
})

T["aws.object: one that moves to another bucket is deleted in the first"] = function()
  local l, there = recipe_lab(), {}
  local world = lab.world {
    ["s3 HeadObject"] = function(args) return there[args.Bucket] or errors.raise(lab.refusal("404", 404)) end,
    ["s3 ListObjectVersions"] = { IsTruncated = false },
    ["s3 PutObject"] = function(args)
      there[args.Bucket] = head(DIGEST)
      return {}
    end,
    ["s3 DeleteObject"] = function(args)
      there[args.Bucket] = nil
      return {}
    end,
  }
  local function recipe(bucket) return function() aws.object { "note", bucket = bucket, bytes = "hello" } end end
  l:apply(recipe "shop-7f")
  world.changing = {}
  l:apply(recipe "shop-8")
  lab.same(world.changing, {
    { "s3 DeleteObject", { Bucket = "shop-7f", Key = "note" } },
    { "s3 PutObject", { Bucket = "shop-8", Key = "note", Body = secret.new "hello", Metadata = { ["hkrun-sha256"] = DIGEST } } },
  })
end

T["aws.object: a file goes up as it is, and one that is gone here stays as it is there"] = function()
  local l, path = recipe_lab(), test.tmpdir() .. "/note"
  fs.write(path, "hello")
  local world = lab.world { ["s3 HeadObject"] = lab.refusal("404", 404) }
  world.answers["s3 PutObject"] = function()
    world.answers["s3 HeadObject"] = head(DIGEST)
    return {}
  end
  local function recipe() aws.object { "note", bucket = "shop-7f", file = path } end
  l:apply(recipe)
  lab.same(world.changing, { { "s3 PutObject", { Bucket = "shop-7f", Key = "note", Body = { file = path },
                                                 Metadata = { ["hkrun-sha256"] = DIGEST } } } })
  fs.remove(path)
  l:apply(recipe)
  test.equal(#world.changing, 1)
end

local ARN = "arn:aws:secretsmanager:us-east-1:1:secret:shop/config-AbCdEf"
local VALUE = '{"PASSWORD":"marked-7731","PORT":"5432"}'
local function described(more)
  return lab.merged({ ARN = ARN, Name = "shop/config", Description = "config vars", Tags = lab.tag_list("secret", "shop/config") }, more or {})
end

lab.case(T, {
  noun = "secret", want = { "shop/config", value = { PASSWORD = "marked-7731", PORT = "5432" }, description = "config vars" },
  absent = { ["secretsmanager DescribeSecret"] = lab.refusal "ResourceNotFoundException" },
  there = { ["secretsmanager DescribeSecret"] = described(),
            ["secretsmanager GetSecretValue"] = { SecretString = secret.new '{ "PORT": "5432", "PASSWORD": "marked-7731" }' } },
  looks = { { "secretsmanager DescribeSecret", { SecretId = "shop/config" } }, { "secretsmanager GetSecretValue", { SecretId = ARN } } },
  gone = { ["secretsmanager GetSecretValue"] = "ResourceNotFoundException" },
  create = { { "secretsmanager CreateSecret", { Name = "shop/config", SecretString = secret.new(VALUE), Description = "config vars",
    ClientRequestToken = "(token)", Tags = lab.tag_list("secret", "shop/config") }, { ARN = ARN } } },
  change = {
    { "another value is put", want = { value = { PASSWORD = "marked-7731", PORT = "6432" } }, calls = { { "secretsmanager PutSecretValue",
      { SecretId = ARN, SecretString = secret.new(VALUE:gsub("5432", "6432")), ClientRequestToken = "(uuid)" } } } },
    { "its description is put back", there = { ["secretsmanager DescribeSecret"] = described { Description = "mine" } },
      calls = { { "secretsmanager UpdateSecret", { SecretId = ARN, Description = "config vars", ClientRequestToken = "(uuid)" } } } },
    { "one that someone wants to delete in a week stays",
      there = { ["secretsmanager DescribeSecret"] = described { DeletedDate = os.time() + 7 * 86400 } },
      calls = { { "secretsmanager RestoreSecret", { SecretId = ARN } } } },
    { "one that someone wants to delete, of which the value is another, stays and gets its value",
      there = { ["secretsmanager DescribeSecret"] = described { DeletedDate = os.time() + 7 * 86400 } }, want = { value = "x" },
      calls = { { "secretsmanager RestoreSecret", { SecretId = ARN } },
                { "secretsmanager PutSecretValue", { SecretId = ARN, SecretString = secret.new "x", ClientRequestToken = "(uuid)" } } } },
    { "a tag is added", want = { tags = { team = "shop" } },
      calls = { { "secretsmanager TagResource", { SecretId = ARN, Tags = { { Key = "team", Value = "shop" } } } } } },
  },
  delete = { { "secretsmanager DeleteSecret", { SecretId = ARN, ForceDeleteWithoutRecovery = true } } },
})

T["aws.secret: what is generated is generated once, and is in no journal"] = function()
  local l, world, times = recipe_lab(), lab.world { ["secretsmanager DescribeSecret"] = lab.refusal "ResourceNotFoundException" }, 0
  world.answers["secretsmanager CreateSecret"] = function(args)
    world.answers["secretsmanager DescribeSecret"] = described { Name = "pw", Tags = lab.tag_list("secret", "pw") }
    world.answers["secretsmanager GetSecretValue"] = { SecretString = args.SecretString }
    return { ARN = ARN }
  end
  local seen
  local function recipe()
    seen = aws.secret { "pw", generate = function()
      times = times + 1
      return secret.new "marked-9942"
    end }.value
  end
  l:apply(recipe)
  l:apply(recipe)
  test.equal({ times, #world.changing, secret.equal(seen, secret.new "marked-9942") }, { 1, 1, true })
  for _, name in ipairs(fs.list(l.dir)) do
    local path = l.dir .. "/" .. name
    test.truthy(fs.stat(path).type == "dir" or not fs.read(path):find "marked%-9942", path)
  end
end

T["aws.secret: the value of one that someone wants to delete is known after it is restored"] = function()
  local l, unknown = recipe_lab(), require("recipe").is_unknown
  local world = lab.world { ["secretsmanager DescribeSecret"] = described { DeletedDate = os.time() + 7 * 86400 } }
  local value
  local entries = l:plan(function()
    value = aws.secret({ "shop/config", generate = function() return secret.new "x" end }).value
  end).entries
  test.equal({ entries[1].action, entries[1].changes[1].field, unknown(value) }, { "change", "active", true })
  lab.same(world.changing, {})
end

T["aws.secret: a value that no secret can hold is refused"] = function()
  local l = recipe_lab()
  local world = lab.world { ["secretsmanager DescribeSecret"] = lab.refusal "ResourceNotFoundException" }
  test.raises("a secret holds 65536", function()
    l:apply(function() aws.secret { "big", value = { A = ("x"):rep(65536) } } end)
  end)
  lab.same(world.changing, {})
end

return T
