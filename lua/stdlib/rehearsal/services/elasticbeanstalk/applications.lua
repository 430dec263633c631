--- Applications and their versions.
local C = require "rehearsal.services.elasticbeanstalk.common"
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"

local S = {}

local function describe(app)
  return { ApplicationArn = app.ApplicationArn, ApplicationName = app.ApplicationName, Description = app.Description, DateCreated = app.DateCreated,
           DateUpdated = app.DateUpdated, Versions = sorted_keys(app.versions), ConfigurationTemplates = {},
           ResourceLifecycleConfig = app.ResourceLifecycleConfig }
end

local function new_application(cloud, ctx, p)
  local now = cloud.clock:now()
  local app = {
    ApplicationName = p.ApplicationName, Description = p.Description, DateCreated = now, DateUpdated = now, versions = {}, tags = C.tags(p.Tags),
    ApplicationArn = cloud:arn("elasticbeanstalk", ctx.region, "application/" .. p.ApplicationName),
    ResourceLifecycleConfig = p.ResourceLifecycleConfig or { VersionLifecycleConfig = {
      MaxCountRule = { Enabled = false, MaxCount = 200, DeleteSourceFromS3 = false },
      MaxAgeRule = { Enabled = false, MaxAgeInDays = 180, DeleteSourceFromS3 = false } } },
  }
  C.applications(cloud, ctx)[p.ApplicationName] = app
  C.event(cloud, ctx, app, "INFO", "Created new Application: %s", p.ApplicationName)
  return app
end

function S.CreateApplication(cloud, p, ctx)
  if p.ApplicationName:find "/" then C.refuse "Application name must not contain '/'." end
  if C.applications(cloud, ctx)[p.ApplicationName] then C.refuse("Application %s already exists.", p.ApplicationName) end
  return { Application = describe(new_application(cloud, ctx, p)) }
end

function S.DescribeApplications(cloud, p, ctx)
  local list, all = {}, C.applications(cloud, ctx)
  local wanted = p.ApplicationNames and #p.ApplicationNames > 0 and p.ApplicationNames or sorted_keys(all)
  for _, name in ipairs(wanted) do
    if all[name] then list[#list + 1] = describe(all[name]) end
  end
  return { Applications = list }
end

function S.UpdateApplication(cloud, p, ctx)
  local app = C.application(cloud, ctx, p.ApplicationName)
  app.Description, app.DateUpdated = p.Description or app.Description, cloud.clock:now()
  return { Application = describe(app) }
end

function S.UpdateApplicationResourceLifecycle(cloud, p, ctx)
  local app = C.application(cloud, ctx, p.ApplicationName)
  app.ResourceLifecycleConfig = p.ResourceLifecycleConfig
  return { ApplicationName = app.ApplicationName, ResourceLifecycleConfig = p.ResourceLifecycleConfig }
end

local function living(cloud, ctx, application, label)
  local list = {}
  for _, env in ipairs(C.environments(cloud, ctx)) do
    if env.ApplicationName == application and not C.is_gone(env) and (not label or env.VersionLabel == label or env.next_version == label) then
      list[#list + 1] = env
    end
  end
  return list
end

function S.DeleteApplication(cloud, p, ctx)
  local app = C.applications(cloud, ctx)[p.ApplicationName]
  if not app then return end            -- Elastic Beanstalk answers 200 for one that is not there
  local envs = living(cloud, ctx, p.ApplicationName)
  if #envs > 0 and not p.TerminateEnvByForce then
    C.refuse("Unable to delete application %s because it has running environments.", p.ApplicationName)
  end
  for _, env in ipairs(envs) do
    if env.Status ~= "Terminating" then cloud:service "elasticbeanstalk".TerminateEnvironment(cloud, { EnvironmentId = env.EnvironmentId }, ctx) end
  end
  local function finish()
    C.applications(cloud, ctx)[p.ApplicationName] = nil
    C.event(cloud, ctx, app, "INFO", "The application %s was deleted.", p.ApplicationName)
  end
  if #envs == 0 then return finish() end
  cloud:after(5, function()
    while #living(cloud, ctx, p.ApplicationName) > 0 do cloud.clock:sleep(10) end
    finish()
  end)
end

-- Versions -----------------------------------------------------------------

local function describe_version(v)
  return { ApplicationVersionArn = v.arn, ApplicationName = v.ApplicationName, Description = v.Description, VersionLabel = v.VersionLabel,
           SourceBundle = v.SourceBundle, DateCreated = v.DateCreated, DateUpdated = v.DateUpdated, Status = v.Status }
end

function S.CreateApplicationVersion(cloud, p, ctx)
  local app = C.applications(cloud, ctx)[p.ApplicationName]
  if not app and not p.AutoCreateApplication then C.refuse("No Application named '%s' found.", p.ApplicationName) end
  if app and app.versions[p.VersionLabel] then C.refuse("Application Version %s already exists.", p.VersionLabel) end
  if p.SourceBuildInformation or p.BuildConfiguration then
    wire.fail("CodeBuildNotInServiceRegionException", 400, "the rehearsal cloud has no CodeBuild: give a SourceBundle")
  end
  local from = p.SourceBundle
  local object
  if from then
    object = from.S3Bucket and from.S3Key and cloud:service "s3"._object(cloud, from.S3Bucket, from.S3Key)
    if not object then
      C.refuse("Unable to download from S3 location (Bucket: %s  Key: %s). Reason: Not Found", tostring(from.S3Bucket), tostring(from.S3Key))
    end
    if object.size > 500 * 1024 * 1024 then C.refuse "The source bundle is larger than the limit of 512000 KB." end
  end
  app = app or new_application(cloud, ctx, { ApplicationName = p.ApplicationName })
  local now = cloud.clock:now()
  local version = { ApplicationName = p.ApplicationName, VersionLabel = p.VersionLabel, Description = p.Description, SourceBundle = from,
    DateCreated = now,
                    DateUpdated = now, Status = p.Process and "PROCESSING" or "UNPROCESSED", tags = C.tags(p.Tags),
                    arn = cloud:arn("elasticbeanstalk", ctx.region, ("applicationversion/%s/%s"):format(p.ApplicationName, p.VersionLabel)) }
  app.versions[p.VersionLabel] = version
  C.event(cloud, ctx, { ApplicationName = p.ApplicationName, VersionLabel = p.VersionLabel }, "INFO", "Created new Application Version: %s",
    p.VersionLabel)
  if p.Process then
    cloud:after(10, function()
      local ok, why = require "rehearsal.services.elasticbeanstalk.bundle".check(object and object.file)
      version.Status, version.DateUpdated = ok and "PROCESSED" or "FAILED", cloud.clock:now()
      if not ok then C.event(cloud, ctx, version, "ERROR", "Failed to process the application version %s: %s", p.VersionLabel, why) end
    end)
  end
  return { ApplicationVersion = describe_version(version) }
end

function S.UpdateApplicationVersion(cloud, p, ctx)
  local v = C.version(cloud, ctx, p.ApplicationName, p.VersionLabel)
  v.Description, v.DateUpdated = p.Description or v.Description, cloud.clock:now()
  return { ApplicationVersion = describe_version(v) }
end

function S.DescribeApplicationVersions(cloud, p, ctx)
  local list = {}
  for name, app in pairs(C.applications(cloud, ctx)) do
    for label, version in pairs(app.versions) do
      local fits = not p.ApplicationName or p.ApplicationName == name
      if fits and p.VersionLabels and #p.VersionLabels > 0 then
        fits = false
        for _, wanted in ipairs(p.VersionLabels) do fits = fits or wanted == label end
      end
      if fits then list[#list + 1] = describe_version(version) end
    end
  end
  table.sort(list, function(a, b)
    if a.DateCreated ~= b.DateCreated then return a.DateCreated > b.DateCreated end
    return a.VersionLabel < b.VersionLabel
  end)
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { ApplicationVersions = page, NextToken = token }
end

function S.DeleteApplicationVersion(cloud, p, ctx)
  local app = C.application(cloud, ctx, p.ApplicationName)
  local version = app.versions[p.VersionLabel]
  if not version then return end
  if #living(cloud, ctx, p.ApplicationName, p.VersionLabel) > 0 then
    wire.fail("SourceBundleDeletionFailure", 400, "Unable to delete application version %s because it is deployed to running environments.",
      p.VersionLabel)
  end
  if p.DeleteSourceBundle and version.SourceBundle then
    cloud:service "s3".DeleteObject(cloud, { Bucket = version.SourceBundle.S3Bucket, Key = version.SourceBundle.S3Key }, ctx)
  end
  app.versions[p.VersionLabel] = nil
end

-- Tags ---------------------------------------------------------------------

local function by_arn(cloud, ctx, arn)
  for _, app in pairs(C.applications(cloud, ctx)) do
    if app.ApplicationArn == arn then return app end
    for _, version in pairs(app.versions) do if version.arn == arn then return version end end
  end
  for _, env in ipairs(C.environments(cloud, ctx)) do
    if env.EnvironmentArn == arn and not C.is_gone(env) then return env end
  end
  wire.fail("ResourceNotFoundException", 400, "Resource not found for arn: %s.", arn)
end

function S.ListTagsForResource(cloud, p, ctx)
  local r = by_arn(cloud, ctx, p.ResourceArn)
  return { ResourceArn = p.ResourceArn, ResourceTags = r.tags }
end

function S.UpdateTagsForResource(cloud, p, ctx)
  local r = by_arn(cloud, ctx, p.ResourceArn)
  if r.EnvironmentArn and r.Status ~= "Ready" then
    wire.fail("OperationInProgressFailure", 400, "Environment named %s is in an invalid state for this operation. Must be Ready.", r.EnvironmentName)
  end
  local function check(key)
    if r.EnvironmentArn and C.is_system_tag(key) then C.refuse("The tag key %s is reserved.", key) end
  end
  for _, key in ipairs(p.TagsToRemove or {}) do check(key) end
  for _, tag in ipairs(p.TagsToAdd or {}) do check(tag.Key) end
  local map = {}
  for _, tag in ipairs(r.tags) do map[tag.Key] = tag.Value end
  for _, key in ipairs(p.TagsToRemove or {}) do map[key] = nil end
  for _, tag in ipairs(p.TagsToAdd or {}) do map[tag.Key] = tag.Value or "" end
  local tags = {}
  for i, key in ipairs(sorted_keys(map)) do tags[i] = { Key = key, Value = map[key] } end
  if #tags > 50 then wire.fail("TooManyTagsException", 400, "The number of tags is over the limit of 50.") end
  r.tags = tags
end

return S
