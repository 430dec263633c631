--- Amazon ECR in the rehearsal. Its images are real: what a container engine pushes is kept (see ecr/registry.lua), and is
--- what an environment runs. The registry is on loopback, so the addresses that the API tells are there, too.
local registry = require "rehearsal.services.ecr.registry"
local secret = require "secret"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local HOURS = 12                        -- that a token holds

local function all(cloud, ctx) return registry.repositories(cloud, ctx.region) end

local function get(cloud, ctx, name)
  return all(cloud, ctx)[name] or wire.fail("RepositoryNotFoundException", 400,
    "The repository with name '%s' does not exist in the registry with id '%s'", name, cloud.account)
end

local function describe(cloud, r)
  return { repositoryArn = r.arn, registryId = cloud.account, repositoryName = r.name, createdAt = r.created, imageTagMutability = r.mutability,
           repositoryUri = ("%s/%s"):format(cloud.url:match "//(.*)$", r.name), imageScanningConfiguration = { scanOnPush = r.scan },
           encryptionConfiguration = { encryptionType = "AES256" } }
end

function S.CreateRepository(cloud, p, ctx)
  local name = p.repositoryName
  if not name:find "^%l[%w%-_./]*$" or name:find "%u" then
    wire.fail("InvalidParameterException", 400, "Invalid parameter at 'repositoryName' failed to satisfy constraint: "
      .. "'must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*''")
  end
  if all(cloud, ctx)[name] then
    wire.fail("RepositoryAlreadyExistsException", 400, "The repository with name '%s' already exists in the registry with id '%s'", name,
      cloud.account)
  end
  local r = { name = name, region = ctx.region, arn = cloud:arn("ecr", ctx.region, "repository/" .. name), created = cloud.clock:now(),
              mutability = p.imageTagMutability or "MUTABLE", scan = (p.imageScanningConfiguration or {}).scanOnPush or false,
              tags = p.tags or {}, manifests = {}, named = {} }
  all(cloud, ctx)[name] = r
  return { repository = describe(cloud, r) }
end

function S.DescribeRepositories(cloud, p, ctx)
  local list = {}
  if p.repositoryNames then
    for i, name in ipairs(p.repositoryNames) do list[i] = describe(cloud, get(cloud, ctx, name)) end
    return { repositories = list }
  end
  for _, r in pairs(all(cloud, ctx)) do list[#list + 1] = describe(cloud, r) end
  table.sort(list, function(a, b) return a.repositoryName < b.repositoryName end)
  local page, token = cloud.page(list, p.nextToken, p.maxResults)
  return { repositories = page, nextToken = token }
end

function S.DeleteRepository(cloud, p, ctx)
  local r = get(cloud, ctx, p.repositoryName)
  if next(r.manifests) and not p.force then
    wire.fail("RepositoryNotEmptyException", 400, "The repository with name '%s' in registry with id '%s' cannot be deleted because it still "
      .. "contains images", r.name, cloud.account)
  end
  registry.forget(cloud, r)
  all(cloud, ctx)[r.name] = nil
  return { repository = describe(cloud, r) }
end

--- A password for a container engine: it holds for twelve hours.
function S.GetAuthorizationToken(cloud, _, ctx)
  local password = sign.hex(sign.random(24))
  local expires = cloud.clock:now() + HOURS * 3600
  registry.allow(cloud, password, ctx.region, expires)
  return { authorizationData = { { authorizationToken = secret.encode(secret.new("AWS:" .. password), "base64"), expiresAt = expires,
                                   proxyEndpoint = cloud.url } } }
end

function S.PutImageScanningConfiguration(cloud, p, ctx)
  local r = get(cloud, ctx, p.repositoryName)
  r.scan = p.imageScanningConfiguration.scanOnPush or false
  return { registryId = cloud.account, repositoryName = r.name, imageScanningConfiguration = { scanOnPush = r.scan } }
end

function S.PutImageTagMutability(cloud, p, ctx)
  local r = get(cloud, ctx, p.repositoryName)
  r.mutability = p.imageTagMutability
  return { registryId = cloud.account, repositoryName = r.name, imageTagMutability = r.mutability }
end

function S.PutLifecyclePolicy(cloud, p, ctx)
  local r = get(cloud, ctx, p.repositoryName)
  r.lifecycle = p.lifecyclePolicyText
  return { registryId = cloud.account, repositoryName = r.name, lifecyclePolicyText = r.lifecycle }
end

function S.GetLifecyclePolicy(cloud, p, ctx)
  local r = get(cloud, ctx, p.repositoryName)
  if not r.lifecycle then
    wire.fail("LifecyclePolicyNotFoundException", 400,
      "Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", r.name, cloud.account)
  end
  return { registryId = cloud.account, repositoryName = r.name, lifecyclePolicyText = r.lifecycle, lastEvaluatedAt = r.created }
end

-- Images -------------------------------------------------------------------

local function tags_of(r, digest)
  local tags = {}
  for tag, d in pairs(r.named) do if d == digest then tags[#tags + 1] = tag end end
  table.sort(tags)
  return tags
end

--- The digest that an image's id stands for.
local function digest_of(r, id)
  local digest = id.imageDigest or r.named[id.imageTag or ""]
  return digest and r.manifests[digest] and digest or nil
end

local function detail(cloud, r, digest)
  local m, tags = r.manifests[digest], tags_of(r, digest)
  return { registryId = cloud.account, repositoryName = r.name, imageDigest = digest, imageTags = #tags > 0 and tags or nil,
           imageSizeInBytes = m.size, imagePushedAt = m.pushed, imageManifestMediaType = m.type,
           imageScanStatus = r.scan and { status = "COMPLETE", description = "The scan was completed successfully." } or nil }
end

function S.DescribeImages(cloud, p, ctx)
  local r, list = get(cloud, ctx, p.repositoryName), {}
  if p.imageIds then
    for i, id in ipairs(p.imageIds) do
      local digest = digest_of(r, id) or wire.fail("ImageNotFoundException", 400,
        "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
        id.imageDigest or "null", id.imageTag or "null", r.name, cloud.account)
      list[i] = detail(cloud, r, digest)
    end
    return { imageDetails = list }
  end
  for digest in pairs(r.manifests) do list[#list + 1] = detail(cloud, r, digest) end
  table.sort(list, function(a, b) return a.imagePushedAt < b.imagePushedAt end)
  local page, token = cloud.page(list, p.nextToken, p.maxResults)
  return { imageDetails = page, nextToken = token }
end

function S.ListImages(cloud, p, ctx)
  local r, list = get(cloud, ctx, p.repositoryName), {}
  for digest in pairs(r.manifests) do
    local tags = tags_of(r, digest)
    for _, tag in ipairs(tags) do list[#list + 1] = { imageDigest = digest, imageTag = tag } end
    if #tags == 0 then list[#list + 1] = { imageDigest = digest } end
  end
  table.sort(list, function(a, b) return (a.imageTag or "") .. a.imageDigest < (b.imageTag or "") .. b.imageDigest end)
  local page, token = cloud.page(list, p.nextToken, p.maxResults)
  return { imageIds = page, nextToken = token }
end

function S.BatchGetImage(cloud, p, ctx)
  local r, images, failures = get(cloud, ctx, p.repositoryName), {}, {}
  for _, id in ipairs(p.imageIds) do
    local digest = digest_of(r, id)
    if digest then
      images[#images + 1] = { registryId = cloud.account, repositoryName = r.name, imageId = { imageDigest = digest, imageTag = id.imageTag },
                              imageManifest = r.manifests[digest].text, imageManifestMediaType = r.manifests[digest].type }
    else failures[#failures + 1] = { imageId = id, failureCode = "ImageNotFound", failureReason = "Requested image not found" } end
  end
  return { images = images, failures = failures }
end

function S.BatchDeleteImage(cloud, p, ctx)
  local r, gone, failures = get(cloud, ctx, p.repositoryName), {}, {}
  for _, id in ipairs(p.imageIds) do
    local digest = digest_of(r, id)
    if not digest then failures[#failures + 1] = { imageId = id, failureCode = "ImageNotFound", failureReason = "Requested image not found" }
    else
      gone[#gone + 1] = { imageDigest = digest, imageTag = id.imageTag }
      for tag, d in pairs(r.named) do if d == digest and (not id.imageTag or tag == id.imageTag) then r.named[tag] = nil end end
      if #tags_of(r, digest) == 0 then r.manifests[digest] = nil end
    end
  end
  return { imageIds = gone, failures = failures }
end

-- Tags ---------------------------------------------------------------------

local function by_arn(cloud, ctx, arn)
  return get(cloud, ctx, arn:match ":repository/(.+)$" or arn)
end

function S.ListTagsForResource(cloud, p, ctx) return { tags = by_arn(cloud, ctx, p.resourceArn).tags } end

function S.UntagResource(cloud, p, ctx)
  local tags = by_arn(cloud, ctx, p.resourceArn).tags
  for _, key in ipairs(p.tagKeys) do
    for i = #tags, 1, -1 do if tags[i].Key == key then table.remove(tags, i) end end
  end
end

function S.TagResource(cloud, p, ctx)
  local keys = {}
  for i, tag in ipairs(p.tags) do keys[i] = tag.Key end
  S.UntagResource(cloud, { resourceArn = p.resourceArn, tagKeys = keys }, ctx)
  local tags = by_arn(cloud, ctx, p.resourceArn).tags
  table.move(p.tags, 1, #p.tags, #tags + 1, tags)
end

--- The registry's side of a request; nil if it is none of its.
function S._registry(cloud, req) return registry.handle(cloud, req) end

--- Lays out an image of the registry: its files below `root`, and what its configuration says.
---@return table? image as dockerfile.image answers it; nil if the reference is none of this registry, or it has no such image
function S._pull(cloud, reference, root) return registry.pull(cloud, reference, root) end

return S
