--- The platforms that Elastic Beanstalk offers, as its List calls answered in 2026.
local C = require "rehearsal.services.elasticbeanstalk.common"

local S = {}

-- The newest version first. When each was made decides what it can: see "Fetching secrets and parameters to environment
-- variables" in the developer guide.
local PLATFORMS = {
  { name = "Docker", language = nil, versions = { "4.9.3", "4.9.2", "4.9.1", "4.4.0" } },
  { name = "ECS", versions = { "4.9.3" } },
  { name = "Node.js 22", language = "node.js", versions = { "6.8.0" } },
  { name = "Python 3.13", language = "Python", versions = { "4.8.0" } },
  { name = "Ruby 3.4", language = "Ruby", versions = { "4.8.0" } },
}
local MADE = { ["4.9.2"] = 1769990400, ["4.9.1"] = 1749600000, ["4.4.0"] = 1732838400 }    -- 2026-02-02, 2025-06-11, 2024-11-29
local NEWEST = 1777420800                                    -- 2026-04-29
local SYSTEM = "64bit Amazon Linux 2023"

local function arn(region, name, version)
  return ("arn:aws:elasticbeanstalk:%s::platform/%s running on %s/%s"):format(region, name, SYSTEM, version)
end

local function summaries(region)
  local list = {}
  for _, platform in ipairs(PLATFORMS) do
    for i, version in ipairs(platform.versions) do
      list[#list + 1] = {
        PlatformArn = arn(region, platform.name, version), PlatformOwner = "AWSElasticBeanstalk", PlatformStatus = "Ready",
        PlatformCategory = platform.language or platform.name, OperatingSystemName = "Amazon Linux", OperatingSystemVersion = "2023",
        SupportedTierList = { "WebServer/Standard", "Worker/SQS/HTTP" }, SupportedAddonList = { "Log/S3", "Monitoring/Healthd", "WorkerDaemon/SQSD" },
        PlatformLifecycleState = i == 1 and "recommended" or "", PlatformVersion = version,
        PlatformBranchName = ("%s running on %s"):format(platform.name, SYSTEM), PlatformBranchLifecycleState = "supported",
        name = platform.name, stack = ("%s v%s running %s"):format(SYSTEM, version, platform.name),
      }
    end
  end
  return list
end

--- The platform that a stack name or an ARN stands for; raises as CreateEnvironment does.
---@return table platform with `stack`, PlatformArn and PlatformBranchName
function S._platform(region, stack, platform_arn)
  for _, s in ipairs(summaries(region)) do
    if s.stack == stack or s.PlatformArn == platform_arn then return s end
  end
  if platform_arn then C.refuse("No Platform named '%s' found.", platform_arn) end
  if stack then C.refuse("No Solution Stack named '%s' found.", stack) end
  C.refuse "Environment must have a platform: SolutionStackName or PlatformArn is needed."
end

local function contains(list, value)
  for _, v in ipairs(list) do if v == value then return true end end
  return false
end

local function holds(operator, actual, values)
  actual = type(actual) == "table" and actual or { actual }
  local positive = (operator or "="):gsub("^!", ""):gsub("^not_", "")
  local found = false
  for _, a in ipairs(actual) do
    for _, v in ipairs(values or {}) do
      if positive == "contains" then found = found or a:find(v, 1, true) ~= nil
      elseif positive == "begins_with" then found = found or a:sub(1, #v) == v
      elseif positive == "ends_with" then found = found or a:sub(-#v) == v
      elseif positive == "<" then found = found or a < v
      elseif positive == "<=" then found = found or a <= v
      elseif positive == ">" then found = found or a > v
      elseif positive == ">=" then found = found or a >= v
      else found = found or a == v end
    end
  end
  if (operator or ""):find "^!" or (operator or ""):find "^not_" then return not found end
  return found
end

local VERSION_FILTERS = {
  PlatformName = function(s) return s.PlatformBranchName end, PlatformVersion = function(s) return s.PlatformVersion end,
  PlatformStatus = function(s) return s.PlatformStatus end, PlatformBranchName = function(s) return s.PlatformBranchName end,
  PlatformLifecycleState = function(s) return s.PlatformLifecycleState end, PlatformOwner = function(s) return s.PlatformOwner end,
  SupportedTier = function(s) return s.SupportedTierList end, SupportedAddon = function(s) return s.SupportedAddonList end,
  ProgrammingLanguageName = function(s) return s.PlatformCategory end, OperatingSystemName = function(s) return s.OperatingSystemName end,
}

function S.ListPlatformVersions(cloud, p, ctx)
  local list = {}
  for _, s in ipairs(summaries(ctx.region)) do
    local fits = true
    for _, filter in ipairs(p.Filters or {}) do
      local field = VERSION_FILTERS[filter.Type] or C.refuse("Invalid filter type '%s'.", tostring(filter.Type))
      local values = filter.Values
      if filter.Type == "PlatformOwner" and contains(values or {}, "AWS") then values = { "AWSElasticBeanstalk" } end
      if filter.Type == "PlatformVersion" and contains(values or {}, "latest") then fits = fits and s.PlatformLifecycleState == "recommended"
      else fits = fits and holds(filter.Operator, field(s), values) end
    end
    if fits then list[#list + 1] = s end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { PlatformSummaryList = page, NextToken = token }
end

function S.ListPlatformBranches(cloud, p)
  local list = {}
  for i, platform in ipairs(PLATFORMS) do
    local branch = { PlatformName = platform.language or platform.name, BranchName = ("%s running on %s"):format(platform.name, SYSTEM),
                     LifecycleState = "Supported", BranchOrder = i, SupportedTierList = { "WebServer/Standard", "Worker/SQS/HTTP" } }
    local fits = true
    for _, filter in ipairs(p.Filters or {}) do
      local value = filter.Attribute == "TierType" and branch.SupportedTierList or branch[filter.Attribute]
      if value == nil then C.refuse("Invalid filter attribute '%s'.", tostring(filter.Attribute)) end
      local values = {}
      for j, v in ipairs(filter.Values or {}) do values[j] = filter.Attribute == "LifecycleState" and v:sub(1, 1):upper() .. v:sub(2):lower() or v end
      fits = fits and holds(filter.Operator, value, values)
    end
    if fits then list[#list + 1] = branch end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { PlatformBranchSummaryList = page, NextToken = token }
end

function S.DescribePlatformVersion(_, p, ctx)
  local s = S._platform(ctx.region, nil, p.PlatformArn or "")
  local made = MADE[s.PlatformVersion] or NEWEST
  local description = setmetatable({ PlatformName = s.PlatformBranchName, SolutionStackName = s.stack, DateCreated = made, DateUpdated = made,
    Description = "64bit Amazon Linux 2023 running " .. s.name, Maintainer = "aws-elasticbeanstalk-platforms@amazon.com",
    ProgrammingLanguages = {}, Frameworks = {}, CustomAmiList = {} }, { __index = s })
  return { PlatformDescription = description }
end

function S.ListAvailableSolutionStacks(_, _, ctx)
  local names, details = {}, {}
  for i, s in ipairs(summaries(ctx.region)) do
    names[i], details[i] = s.stack, { SolutionStackName = s.stack, PermittedFileTypes = { "zip" } }
  end
  return { SolutionStacks = names, SolutionStackDetails = details }
end

return S
