--- The nouns of Elastic Beanstalk, request by request (see tests/support/noun_lab.lua).
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local eb_logs = require "aws.common.eb_logs"
local errors = require "errors"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }
local function tagging(arn) return { "elasticbeanstalk UpdateTagsForResource", { ResourceArn = arn, TagsToAdd = ADDED } } end
local function tagged(noun, name) return { ResourceTags = lab.tag_list(noun, name) } end

lab.case(T, {
  noun = "eb_application", want = { "shop", description = "moved" },
  absent = { ["elasticbeanstalk DescribeApplications"] = { Applications = {} } },
  there = {
    ["elasticbeanstalk DescribeApplications"] = { Applications = { { ApplicationName = "shop", ApplicationArn = "arn:a", Description = "moved" } } },
    ["elasticbeanstalk ListTagsForResource"] = tagged("eb_application", "shop"),
  },
  looks = { { "elasticbeanstalk DescribeApplications", { ApplicationNames = { "shop" } } },
            { "elasticbeanstalk ListTagsForResource", { ResourceArn = "arn:a" } } },
  gone = { ["elasticbeanstalk ListTagsForResource"] = "ResourceNotFoundException" },
  create = { { "elasticbeanstalk CreateApplication", { ApplicationName = "shop", Description = "moved",
    Tags = lab.tag_list("eb_application", "shop") } } },
  change = {
    { "it is described otherwise", want = { description = "the shop" },
      calls = { { "elasticbeanstalk UpdateApplication", { ApplicationName = "shop", Description = "the shop" } } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:a" } },
  },
  delete = { { "elasticbeanstalk DeleteApplication", { ApplicationName = "shop" } } },
})

local function version(status)
  return { ApplicationVersions = { { VersionLabel = "v1", ApplicationVersionArn = "arn:v", ApplicationName = "shop", Status = status,
    SourceBundle = { S3Bucket = "shop-7f", S3Key = "v1.zip" }, Description = "first" } } }
end

lab.case(T, {
  noun = "eb_version", want = { "v1", application = "shop", bucket = "shop-7f", key = "v1.zip", description = "first" },
  absent = { ["elasticbeanstalk DescribeApplicationVersions"] = { ApplicationVersions = {} } },
  there = { ["elasticbeanstalk DescribeApplicationVersions"] = version "PROCESSED",
            ["elasticbeanstalk ListTagsForResource"] = tagged("eb_version", "v1") },
  looks = { { "elasticbeanstalk DescribeApplicationVersions", { ApplicationName = "shop", VersionLabels = { "v1" } } },
            { "elasticbeanstalk ListTagsForResource", { ResourceArn = "arn:v" } } },
  gone = { ["elasticbeanstalk ListTagsForResource"] = "ResourceNotFoundException" },
  create = { { "elasticbeanstalk CreateApplicationVersion", { ApplicationName = "shop", VersionLabel = "v1", Description = "first", Process = true,
    SourceBundle = { S3Bucket = "shop-7f", S3Key = "v1.zip" }, Tags = lab.tag_list("eb_version", "v1") } } },
  change = {
    { "it is described otherwise", want = { description = "the first" }, calls = { { "elasticbeanstalk UpdateApplicationVersion",
      { ApplicationName = "shop", VersionLabel = "v1", Description = "the first" } } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:v" } },
  },
  fixed = { application = "other", bucket = "other", key = "other.zip" },
  delete = { { "elasticbeanstalk DeleteApplicationVersion", { ApplicationName = "shop", VersionLabel = "v1", DeleteSourceBundle = false } } },
})

T["aws.eb_version: a bundle that Beanstalk refuses is an error"] = function()
  local l = recipe_lab()
  local world = lab.world { ["elasticbeanstalk DescribeApplicationVersions"] = { ApplicationVersions = {} },
                            ["elasticbeanstalk ListTagsForResource"] = tagged("eb_version", "v1") }
  world.answers["elasticbeanstalk CreateApplicationVersion"] = function()
    world.answers["elasticbeanstalk DescribeApplicationVersions"] = version "FAILED"
    return {}
  end
  test.raises("refused the bundle", function()
    l:apply(function() aws.eb_version { "v1", application = "shop", bucket = "shop-7f", key = "v1.zip", description = "first" } end)
  end)
end

local DOCKER = "arn:aws:elasticbeanstalk:us-east-1::platform/Docker running on 64bit Amazon Linux 2023/"
local function option(namespace, name, value) return { Namespace = namespace, OptionName = name, Value = value } end
local VPC, ENV = "aws:ec2:vpc", "aws:elasticbeanstalk:application:environment"
local SECRETS = ENV .. "secrets"

local function settings(list)
  return { ConfigurationSettings = { { ApplicationName = "shop", EnvironmentName = "shop", OptionSettings = list } } }
end

local function environment(more)
  return { Environments = { lab.merged({ EnvironmentName = "shop", EnvironmentId = "e-1", EnvironmentArn = "arn:e", ApplicationName = "shop",
    CNAME = "shop.example", PlatformArn = DOCKER .. "4.9.3", Status = "Ready", Health = "Green" }, more or {}) } }
end

local WANT = { "shop", application = "shop", settings = { [VPC] = { Subnets = "subnet-1,subnet-2", VPCId = "vpc-1" }, [ENV] = { MODE = "live" } } }
local GIVEN = { option(VPC, "Subnets", "subnet-1,subnet-2"), option(VPC, "VPCId", "vpc-1"), option(ENV, "MODE", "live") }
local ALL = { option(ENV, "MODE", "live"), option(VPC, "VPCId", "vpc-1"), option(VPC, "Subnets", "subnet-2, subnet-1"),
              option("aws:elasticbeanstalk:command", "Timeout", "600") }
local function update(more) return { "elasticbeanstalk UpdateEnvironment", lab.merged({ EnvironmentName = "shop" }, more) } end

lab.case(T, {
  noun = "eb_environment", want = WANT,
  absent = {
    ["elasticbeanstalk DescribeEnvironments"] = environment { Status = "Terminated" },
    ["elasticbeanstalk ListPlatformVersions"] = { PlatformSummaryList = {
      { PlatformArn = DOCKER .. "4.9.3", PlatformVersion = "4.9.3" }, { PlatformArn = DOCKER .. "4.10.0", PlatformVersion = "4.10.0" } } },
  },
  there = { ["elasticbeanstalk DescribeEnvironments"] = environment(), ["elasticbeanstalk DescribeConfigurationSettings"] = settings(ALL),
            ["elasticbeanstalk ListTagsForResource"] = tagged("eb_environment", "shop") },
  looks = {
    { "elasticbeanstalk DescribeEnvironments", { EnvironmentNames = { "shop" }, IncludeDeleted = false } },
    { "elasticbeanstalk DescribeConfigurationSettings", { ApplicationName = "shop", EnvironmentName = "shop" } },
    { "elasticbeanstalk ListTagsForResource", { ResourceArn = "arn:e" } },
  },
  gone = { ["elasticbeanstalk DescribeConfigurationSettings"] = "InvalidParameterValue",
           ["elasticbeanstalk ListTagsForResource"] = "ResourceNotFoundException", ["ec2 DescribeSecurityGroups"] = false },
  create = { { "elasticbeanstalk CreateEnvironment", { ApplicationName = "shop", EnvironmentName = "shop",
    Tier = { Name = "WebServer", Type = "Standard" }, PlatformArn = DOCKER .. "4.10.0", OptionSettings = GIVEN,
    Tags = { { Key = "hkrun:key", Value = "aws.eb_environment:shop" }, { Key = "hkrun:recipe", Value = "lab" } } } } },
  change = {
    { "a setting that someone changed is put back", there = { ["elasticbeanstalk DescribeConfigurationSettings"] = settings {
        option(ENV, "MODE", "test"), option(VPC, "VPCId", "vpc-1"), option(VPC, "Subnets", "subnet-1,subnet-2") } },
      calls = { update { OptionSettings = { option(ENV, "MODE", "live") } } } },
    { "a plain variable that becomes a secret does not stay plain",
      want = { settings = { [SECRETS] = { MODE = "arn:aws:ssm:us-east-1:1:parameter/m" } } }, there = {
        ["elasticbeanstalk DescribeConfigurationSettings"] = settings { option(ENV, "MODE", "live"), option(ENV, "OTHER", "x") } },
      calls = { update { OptionSettings = { option(SECRETS, "MODE", "arn:aws:ssm:us-east-1:1:parameter/m") },
        OptionsToRemove = { { Namespace = ENV, OptionName = "MODE" } } } } },
    { "it gets another platform", want = { platform = DOCKER .. "4.9.2" }, calls = { update { PlatformArn = DOCKER .. "4.9.2" } } },
    { "a tag is added", want = TEAM, calls = { tagging "arn:e" } },
  },
  fixed = { application = "other" },
  delete = { { "elasticbeanstalk TerminateEnvironment", { EnvironmentName = "shop", TerminateResources = true } } },
})

T["a deployment that is not seen yet is no deployment that failed, and one that is refused meanwhile is asked for again"] = function()
  local old, new = { Status = "Ready", VersionLabel = "v1", Health = "Green" }, { Status = "Ready", VersionLabel = "v2", Health = "Green" }
  local answers = { old, old, old, old, { Status = "Updating", VersionLabel = "v1", Health = "Grey" }, new }
  local asked, refusal = 0, lab.refusal "InvalidParameterValue"
  refusal.message = "Environment named shop is in an invalid state for this operation. Must be Ready"
  local world = lab.world {
    ["elasticbeanstalk DescribeEnvironments"] = function()
      return { Environments = { #answers > 1 and table.remove(answers, 1) or answers[1] } }
    end,
    ["elasticbeanstalk DescribeEvents"] = { Events = {} },
    ["elasticbeanstalk UpdateEnvironment"] = function()
      asked = asked + 1
      if asked == 1 then errors.raise(refusal) end
      return {}
    end,
  }
  local taken = 0
  local ctx = { note = function() end, taken = function()
    taken = taken + 1
    test.equal(#world.changing, 2, "calls until it is taken: not the one that was refused")
  end }
  test.equal(beanstalk.deploy(ctx, "shop", "v2", 60, 60), "Green")
  test.equal({ taken, #world.changing }, { 1, 2 })
end

T["a deployment that failed says why: all errors of this update, not only that it failed"] = function()
  local old, states = { Status = "Ready", VersionLabel = "v1", Health = "Red" }, { "Ready", "Updating" }
  local function event(severity, message) return { Severity = severity, Message = message } end
  lab.world {
    ["elasticbeanstalk DescribeEnvironments"] = function()
      return { Environments = { lab.merged(old, { Status = table.remove(states, 1) or "Ready" }) } }
    end,
    ["elasticbeanstalk UpdateEnvironment"] = {},
    ["elasticbeanstalk DescribeEvents"] = { Events = {
      event("ERROR", "Failed to deploy application."), event("INFO", "Rolling back."), event("ERROR", "The bundle has no Procfile."),
      event("INFO", "Environment update is starting."), event("ERROR", "An older one.") } },
  }
  local e = test.raises("cannot deploy v2 to shop: ", beanstalk.deploy, { note = function() end, taken = function() end },
    "shop", "v2", 60, 60)
  test.equal(e.message, "The bundle has no Procfile. Failed to deploy application.")
end

T["a version that runs and is not healthy says so: its health, causes and warnings; one that is idle need not be healthy"] = function()
  local now = { Status = "Ready", VersionLabel = "v2", Health = "Red" }
  lab.world {
    ["elasticbeanstalk DescribeEnvironments"] = { Environments = { now } }, ["elasticbeanstalk UpdateEnvironment"] = {},
    ["elasticbeanstalk DescribeEnvironmentHealth"] = { HealthStatus = "Severe", Causes = { "100.0 % of the requests are failing." } },
    ["elasticbeanstalk DescribeEvents"] = { Events = { { Severity = "WARN", Message = "It went from Ok to Severe." },
      { Severity = "INFO", Message = "Instance deployment completed." }, { Severity = "INFO", Message = "Environment update is starting." },
      { Severity = "WARN", Message = "An older one." } } },
  }
  local ctx = { note = function() end, taken = function() end }
  local e = test.raises("cannot deploy v2 to shop: it runs, and after 0 s its health is Red %(Severe%): 100.0 %% of the requests are failing%.",
    beanstalk.deploy, ctx, "shop", "v2", 60, 0)
  test.match(e.message, "what Elastic Beanstalk said:\n    WARN: It went from Ok to Severe%.$")
  test.equal({ e.code, e.hint:find "apply again" ~= nil }, { beanstalk.UNHEALTHY, true })
  test.equal(beanstalk.deploy(ctx, "shop", "v2", 60), "Red")
end

T["the logs of an environment are read file by file; what the last command of a bundle printed stands alone"] = function()
  local rule = ("-"):rep(40)
  local files = eb_logs.files(table.concat({ rule, "/var/log/a.log", rule, "one", "", "two", rule, "/var/log/b.log", rule, "--- no rule",
    rule .. "x", "", "" }, "\r\n"))
  test.equal(files, { ["/var/log/a.log"] = { "one", "", "two" }, ["/var/log/b.log"] = { "--- no rule", rule .. "x" } })
  test.equal(eb_logs.quoted {}, "")
  local many = {}
  for i = 1, 20 do many[i] = "line " .. i end
  many[20] = "at redis://:pw@host and https://example.com/a@b"
  local said = eb_logs.quoted(many)
  test.match(said, "\n    line 6\n")
  test.truthy(not said:find "line 5\n" and not said:find "pw")
  test.match(said, "redis://:%(secret%)@host and https://example.com/a@b")
end

return T
