--- An S3 bucket that nobody outside the account can read, encrypted, with or without versions.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "NoSuchBucket"

local BLOCK = { BlockPublicAcls = true, IgnorePublicAcls = true, BlockPublicPolicy = true, RestrictPublicBuckets = true }

local function is_private(bucket)
  local answer = noun.found("NoSuchPublicAccessBlockConfiguration", aws.s3.get_public_access_block, aws.s3, { Bucket = bucket })
  for member in pairs(BLOCK) do
    if not (answer and answer.PublicAccessBlockConfiguration[member]) then return false end
  end
  return true
end

local function is_encrypted(bucket)
  local missing = "ServerSideEncryptionConfigurationNotFoundError"
  local answer = noun.found(missing, aws.s3.get_bucket_encryption, aws.s3, { Bucket = bucket })
  local rules = answer and answer.ServerSideEncryptionConfiguration.Rules
  return rules ~= nil and rules[1] ~= nil
end

local function tags_of(bucket)
  local answer = noun.found("NoSuchTagSet", aws.s3.get_bucket_tagging, aws.s3, { Bucket = bucket })
  return noun.tag_map(answer and answer.TagSet)
end

local function set(bucket, fields)
  if fields.private then
    aws.s3:put_public_access_block { Bucket = bucket, PublicAccessBlockConfiguration = BLOCK }
  end
  if fields.encrypted then
    aws.s3:put_bucket_encryption { Bucket = bucket, ServerSideEncryptionConfiguration = {
      Rules = { { ApplyServerSideEncryptionByDefault = { SSEAlgorithm = "AES256" } } },
    } }
  end
  if fields.versions ~= nil then
    aws.s3:put_bucket_versioning { Bucket = bucket, VersioningConfiguration = { Status = fields.versions and "Enabled" or "Suspended" } }
  end
end

local function delete_page(bucket, page)
  local list = {}
  for _, from in ipairs { page.Versions or {}, page.DeleteMarkers or {} } do
    for _, v in ipairs(from) do list[#list + 1] = { Key = v.Key, VersionId = v.VersionId } end
  end
  if #list == 0 then return 0 end
  local answer = aws.s3:delete_objects { Bucket = bucket, Delete = { Objects = list, Quiet = true } }
  local e = answer.Errors and answer.Errors[1]
  if e then
    errors.raise { kind = "remote", code = e.Code, op = ("delete %s in %s"):format(e.Key, bucket), message = e.Message or e.Code }
  end
  return #list
end

--- Takes out everything: objects with all their versions, delete markers, uploads that were never finished.
local function empty(bucket, ctx)
  local count = 0
  for page in aws.s3:pages("list_object_versions", { Bucket = bucket }) do      -- a thousand at most: as many as one call deletes
    count = count + delete_page(bucket, page)
    if count > 0 then ctx.note(count .. " objects deleted") end
  end
  for upload in aws.s3:each("list_multipart_uploads", { Bucket = bucket }) do
    noun.found("NoSuchUpload", aws.s3.abort_multipart_upload, aws.s3, { Bucket = bucket, Key = upload.Key, UploadId = upload.UploadId })
  end
end

return recipe.kind {
  name = "aws.bucket",
  options = {
    { "private", "nothing in it can be made public", type = "boolean", default = true, one_of = { true } },
    { "encrypted", "what lies in it is encrypted", type = "boolean", default = true, one_of = { true } },
    { "versions", "overwritten and deleted objects are kept", type = "boolean", default = false },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "region" }, summary = { "versions" }, compare = { tags = "given" }, idempotent = true,

  read = noun.reader(GONE, function(spec)
    local ok, head = pcall(aws.s3.head_bucket, aws.s3, { Bucket = spec.name })
    if not ok and errors.is(head, "remote") and head.status == 404 then return nil end
    if not ok then
      if errors.is(head, "remote") and (head.status == 403 or head.status == 301) then
        head.hint = "somebody else has this name: bucket names are one for the whole world"
      end
      error(head, 0)
    end
    local tags = tags_of(spec.name)
    local versioning = aws.s3:get_bucket_versioning { Bucket = spec.name }
    return {
      id = spec.name, arn = "arn:aws:s3:::" .. spec.name, region = head.BucketRegion or aws.s3.region,
      tags = tags, versions = versioning.Status == "Enabled",
      private = is_private(spec.name), encrypted = is_encrypted(spec.name),
    }
  end),

  create = function(spec, ctx)
    local region = aws.s3.region
    noun.hinted({ BucketAlreadyExists = "somebody else has this name: bucket names are one for the whole world" }, function()
      aws.s3:create_bucket { Bucket = spec.name, CreateBucketConfiguration = {
        LocationConstraint = region ~= "us-east-1" and region or nil, Tags = noun.tags(spec, ctx),
      } }
    end)
    if not tags_of(spec.name)["hkrun:key"] then              -- a service that takes no tags in that call
      aws.s3:put_bucket_tagging { Bucket = spec.name, Tagging = { TagSet = noun.tags(spec, ctx) } }
    end
    set(spec.name, { private = true, encrypted = true, versions = spec.versions or nil })
    return spec.name
  end,

  update = function(spec, current, changes)
    set(current.id, { private = changes.private ~= nil, encrypted = changes.encrypted ~= nil,
                      versions = changes.versions and spec.versions })
    if changes.tags then
      local all = {}                                         -- S3 takes only whole lists
      for _, from in ipairs { current.tags, spec.tags } do
        for k, v in pairs(from) do all[k] = v end
      end
      aws.s3:put_bucket_tagging { Bucket = current.id, Tagging = { TagSet = noun.tag_list(all) } }
    end
  end,

  delete = function(current, ctx)
    noun.hinted({ BucketNotEmpty = "somebody still writes into it; destroy again" }, noun.delete, GONE, function()
      empty(current.id, ctx)
      aws.s3:delete_bucket { Bucket = current.id }
    end)
  end,
}
