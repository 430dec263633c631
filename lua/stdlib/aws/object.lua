--- An object in a bucket: a file of this machine, or bytes. Its SHA-256 stands in its metadata and tells whether it is
--- still the same.
local aws = require "aws"
local errors = require "errors"
local fs = require "fs"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local sign = require "sign"

local function digest(spec)
  if spec.file then return sign.sha256_file(spec.file) end
  return secret.sha256(spec.bytes)
end

local function put(spec)
  if (spec.file == nil) == (spec.bytes == nil) then
    errors.usage("aws.object %q needs either file or bytes", spec.name)
  end
  if spec.file and not fs.exists(spec.file) then
    errors.raise { kind = "not_found", op = "read " .. spec.file, message = "there is no such file" }
  end
  aws.s3:put_object {
    Bucket = noun.id(spec.bucket), Key = spec.name, Body = spec.file and { file = spec.file } or spec.bytes,
    ContentType = spec.type, Metadata = { ["hkrun-sha256"] = digest(spec) },
  }
end

--- A file that is no longer here cannot be uploaded again: what is there stays.
local function same(_, _, spec, current)
  if spec.file and current.sha256 and not fs.exists(spec.file) then return true end
  return current.sha256 == digest(spec)
end

--- "bucket/key": no bucket's name has a slash.
local function place(id) return id:match "^([^/]+)/(.*)$" end

local kind = recipe.kind {
  name = "aws.object",
  options = {
    { "bucket", "the bucket or its name", type = "any", required = true },
    { "file", "file to upload", type = "string" },
    { "bytes", "what it holds, if it is no file", type = "secret" },
    { "type", "its Content-Type", type = "string" },
    { "tags", "not for objects", type = "table" },
  },
  outputs = { "sha256", "size", "etag" }, fixed = { "bucket" }, summary = { "bucket", "file" }, tagless = true, idempotent = true,
  compare = { file = same, bytes = same, tags = "ignore" },

  read = function(spec, known)
    local bucket = known and place(known) or noun.id(spec.bucket)  -- another bucket in the recipe: the old object must go
    local ok, head = pcall(aws.s3.head_object, aws.s3, { Bucket = bucket, Key = spec.name })
    if not ok then
      if errors.is(head, "remote") and head.status == 404 then return nil end
      error(head, 0)
    end
    return {
      id = bucket .. "/" .. spec.name, bucket = bucket, sha256 = head.Metadata and head.Metadata["hkrun-sha256"],
      size = head.ContentLength, etag = head.ETag, type = head.ContentType,
    }
  end,

  create = function(spec)
    put(spec)
    return noun.id(spec.bucket) .. "/" .. spec.name
  end,

  update = function(spec) put(spec) end,

  --- All its versions: a bucket that keeps them could not be deleted otherwise.
  delete = function(current)
    local bucket, key = place(current.id)
    noun.delete("NoSuchBucket", function()
      aws.s3:delete_object { Bucket = bucket, Key = key }
      for page in aws.s3:pages("list_object_versions", { Bucket = bucket, Prefix = key }) do
        for _, list in ipairs { page.Versions or {}, page.DeleteMarkers or {} } do
          for _, v in ipairs(list) do
            if v.Key == key then aws.s3:delete_object { Bucket = bucket, Key = key, VersionId = v.VersionId } end
          end
        end
      end
    end)
  end,
}

--- Bytes may be no text, and no journal has to know them.
return function(spec)
  if type(spec) ~= "table" or type(spec.bytes) ~= "string" then return kind(spec) end
  local copy = {}
  for k, v in pairs(spec) do copy[k] = v end
  copy.bytes = secret.new(spec.bytes)
  return kind(copy)
end
