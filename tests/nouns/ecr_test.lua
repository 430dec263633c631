--- Repositories of Amazon ECR, request by request (see tests/support/noun_lab.lua).
local json = require "json"
local lab = dofile "tests/support/noun_lab.lua"
local test = require "test"
local T = test.cases()

local function policy(count)
  return ('{"rules":[{"action":{"type":"expire"},"description":"keep the %d newest","rulePriority":1,"selection":'
    .. '{"countNumber":%d,"countType":"imageCountMoreThan","tagStatus":"any"}}]}'):format(count, count)
end
local function repository(more)
  return { repositories = { lab.merged({ repositoryName = "shop", repositoryArn = "arn:r", repositoryUri = "1.dkr.ecr/shop",
    imageTagMutability = "IMMUTABLE", imageScanningConfiguration = { scanOnPush = true } }, more or {}) } }
end
local GIVEN = { repositoryName = "shop", imageTagMutability = "IMMUTABLE", imageScanningConfiguration = { scanOnPush = true },
                tags = lab.tag_list("ecr_repository", "shop") }
local put = { "ecr PutLifecyclePolicy", { repositoryName = "shop", lifecyclePolicyText = policy(20) } }

lab.case(T, {
  noun = "ecr_repository", want = { "shop" },
  absent = { ["ecr DescribeRepositories"] = lab.refusal "RepositoryNotFoundException" },
  there = { ["ecr DescribeRepositories"] = repository(), ["ecr GetLifecyclePolicy"] = { lifecyclePolicyText = policy(20) },
            ["ecr ListTagsForResource"] = { tags = lab.tag_list("ecr_repository", "shop") } },
  looks = { { "ecr DescribeRepositories", { repositoryNames = { "shop" } } }, { "ecr GetLifecyclePolicy", { repositoryName = "shop" } },
            { "ecr ListTagsForResource", { resourceArn = "arn:r" } } },
  gone = { ["ecr GetLifecyclePolicy"] = "RepositoryNotFoundException", ["ecr ListTagsForResource"] = "RepositoryNotFoundException" },
  create = { { "ecr CreateRepository", GIVEN }, put },
  change = {
    { "another policy is put back", there = { ["ecr GetLifecyclePolicy"] = { lifecyclePolicyText = json.encode { rules = {} } } }, calls = { put } },
    { "it had none", there = { ["ecr GetLifecyclePolicy"] = lab.refusal "LifecyclePolicyNotFoundException" }, calls = { put } },
    { "it is scanned again", there = { ["ecr DescribeRepositories"] = repository { imageScanningConfiguration = { scanOnPush = false } } },
      calls = { { "ecr PutImageScanningConfiguration", { repositoryName = "shop", imageScanningConfiguration = { scanOnPush = true } } } } },
    { "tags may be moved", want = { immutable = false },
      calls = { { "ecr PutImageTagMutability", { repositoryName = "shop", imageTagMutability = "MUTABLE" } } } },
    { "a tag is added", want = { tags = { team = "shop" } },
      calls = { { "ecr TagResource", { resourceArn = "arn:r", tags = { { Key = "team", Value = "shop" } } } } } },
  },
  delete = { { "ecr DeleteRepository", { repositoryName = "shop", force = true } } },
})

return T
