--- An application version of Elastic Beanstalk: a source bundle in S3 under a label. Its name is the label.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ResourceNotFoundException"

local function find(application, label)
  local list = aws.elasticbeanstalk:describe_application_versions({ ApplicationName = application, VersionLabels = { label } }).ApplicationVersions
  return list and list[1]
end

return recipe.kind {
  name = "aws.eb_version",
  options = {
    { "application", "of aws.eb_application, or its name", type = "any", required = true },
    { "bucket", "where the bundle lies", type = "any", required = true },
    { "key", "under which key", type = "any", required = true },
    { "description", "what is in it", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "label", "status" }, fixed = { "application", "bucket", "key" }, summary = { "application", "key" },
  idempotent = true, compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local v = find(noun.id(spec.application), spec.name)
    return v and {
      id = v.VersionLabel, label = v.VersionLabel, arn = v.ApplicationVersionArn, application = v.ApplicationName, status = v.Status,
      bucket = v.SourceBundle and v.SourceBundle.S3Bucket, key = v.SourceBundle and v.SourceBundle.S3Key, description = v.Description,
      tags = noun.tag_map(aws.elasticbeanstalk:list_tags_for_resource({ ResourceArn = v.ApplicationVersionArn }).ResourceTags),
    }
  end),

  create = function(spec, ctx)
    aws.elasticbeanstalk:create_application_version {
      ApplicationName = noun.id(spec.application), VersionLabel = spec.name, Description = spec.description, Process = true,
      SourceBundle = { S3Bucket = noun.id(spec.bucket), S3Key = spec.key }, Tags = noun.tags(spec, ctx),
    }
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.description then
      aws.elasticbeanstalk:update_application_version {
        ApplicationName = current.application, VersionLabel = current.id, Description = spec.description,
      }
    end
    if changes.tags then
      aws.elasticbeanstalk:update_tags_for_resource { ResourceArn = current.arn, TagsToAdd = noun.tag_list(spec.tags) }
    end
  end,

  ready = function(current, ctx)
    noun.wait(ctx, "the version " .. current.id .. " is not processed", 600, function()
      local status = (find(current.application, current.id) or {}).Status
      if status == "FAILED" then
        errors.raise { kind = "remote", op = "process the version " .. current.id, message = "Elastic Beanstalk refused the bundle",
                       hint = "the application's events in the console say what is wrong with it" }
      end
      return status == "PROCESSED" or status == "UNPROCESSED", "processing the bundle"
    end)
  end,

  delete = function(current)
    noun.delete("", function()
      aws.elasticbeanstalk:delete_application_version { ApplicationName = current.application, VersionLabel = current.id, DeleteSourceBundle = false }
    end)
  end,
}
