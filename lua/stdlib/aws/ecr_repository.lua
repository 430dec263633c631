--- A repository of images in the private registry of Amazon ECR: scanned when they are pushed, and only the newest are kept.
---
---     local repository = aws.ecr_repository { "shop", keep_images = 10 }
---     repository.uri            -- "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop"
local aws = require "aws"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "RepositoryNotFoundException"

--- The policy that lets go of all images but the newest.
local function policy(count)
  return json.encode({ rules = { {
    rulePriority = 1, description = ("keep the %d newest"):format(count), action = { type = "expire" },
    selection = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = count },
  } } }, { sort = true })
end

--- How many images a policy keeps; nil where it is another one.
local function kept(text)
  local document = text and json.decode(text)
  local rules = type(document) == "table" and document.rules or {}
  local s = #rules == 1 and rules[1].selection or {}
  return s.tagStatus == "any" and s.countType == "imageCountMoreThan" and s.countNumber or nil
end

return recipe.kind {
  name = "aws.ecr_repository",
  options = {
    { "scan_on_push", "each image is searched for known faults when it is pushed", type = "boolean", default = true },
    { "immutable", "a tag stands for one image for ever", type = "boolean", default = true },
    { "keep_images", "how many of the newest images are kept", type = "integer", default = 20 },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "uri" }, summary = { "keep_images" }, idempotent = true, compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local r = aws.ecr:describe_repositories({ repositoryNames = { spec.name } }).repositories[1]
    local lifecycle = noun.found("LifecyclePolicyNotFoundException", aws.ecr.get_lifecycle_policy, aws.ecr, { repositoryName = spec.name })
    return r and {
      id = r.repositoryName, arn = r.repositoryArn, uri = r.repositoryUri, immutable = r.imageTagMutability == "IMMUTABLE",
      scan_on_push = (r.imageScanningConfiguration or {}).scanOnPush or false, keep_images = kept(lifecycle and lifecycle.lifecyclePolicyText),
      tags = noun.tag_map(aws.ecr:list_tags_for_resource({ resourceArn = r.repositoryArn }).tags),
    }
  end),

  create = function(spec, ctx)
    aws.ecr:create_repository {
      repositoryName = spec.name, imageTagMutability = spec.immutable and "IMMUTABLE" or "MUTABLE",
      imageScanningConfiguration = { scanOnPush = spec.scan_on_push }, tags = noun.tags(spec, ctx),
    }
    aws.ecr:put_lifecycle_policy { repositoryName = spec.name, lifecyclePolicyText = policy(spec.keep_images) }
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.keep_images then
      aws.ecr:put_lifecycle_policy { repositoryName = current.id, lifecyclePolicyText = policy(spec.keep_images) }
    end
    if changes.scan_on_push then
      aws.ecr:put_image_scanning_configuration { repositoryName = current.id, imageScanningConfiguration = { scanOnPush = spec.scan_on_push } }
    end
    if changes.immutable then
      aws.ecr:put_image_tag_mutability { repositoryName = current.id, imageTagMutability = spec.immutable and "IMMUTABLE" or "MUTABLE" }
    end
    if changes.tags then aws.ecr:tag_resource { resourceArn = current.arn, tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.ecr:delete_repository { repositoryName = current.id, force = true } end)
  end,
}
