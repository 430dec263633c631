--- The platform of Elastic Beanstalk on which the app will run, checked against what the app is.
local aws = require "aws"
local beanstalk = require "aws.common.beanstalk"
local errors = require "errors"
local fs = require "fs"

local M = {}

--- Since when a platform's versions take variables from Secrets Manager and the Parameter Store at all, and since when a single
--- key of a secret. docs.aws.amazon.com/elasticbeanstalk/latest/dg/AWSHowTo.secrets.env-vars.html
M.SECRETS_SINCE = os.time { year = 2025, month = 3, day = 26, hour = 0 }
M.KEYS_SINCE = os.time { year = 2026, month = 1, day = 13, hour = 0 }

--- The platform of an environment that is there already.
local function running(name)
  local environment = beanstalk.find(name)
  return environment and environment.Status ~= "Terminating" and environment.PlatformArn or nil
end

--- Whether the app is one of Node.js.
local function is_node(app, source)
  if source then return fs.exists(fs.join(source, "package.json")) end
  for _, b in ipairs(app.buildpacks) do
    if (b.buildpack and b.buildpack.name or ""):lower():find "node" then return true end
  end
  return false
end

--- What kind of app the platform runs; refuses one that does not fit.
local function kind_of(branch, arn, app, source)
  if branch:find "^Docker running" then return "docker" end
  if not branch:find "^Node%.js" then
    errors.usage("--beanstalk-platform-arn: %s is the platform %s: the app's processes run in containers, or on Node.js if it is an app of Node.js; "
      .. "take a platform of one of these", arn, branch)
  end
  if not is_node(app, source) then
    errors.usage("--beanstalk-platform-arn: %s is a platform of Node.js, and %s: take one of Docker's", arn, source and
      source .. " has no package.json" or ("no buildpack of %s is of Node.js"):format(app.name))
  end
  return "node"
end

--- Finds and checks the platform. Reads only.
---@param app HerokuApp
---@param opt table
---@return { arn: string, branch: string, kind: "docker"|"node", secrets: "key"|"parameter" }
function M.find(app, opt)
  local arn = opt.beanstalk_platform_arn or running(opt.environment_name or app.name) or beanstalk.platform()
  local ok, answer = pcall(aws.elasticbeanstalk.describe_platform_version, aws.elasticbeanstalk, { PlatformArn = arn })
  if not ok and not errors.is(answer, "remote") then error(answer, 0) end
  local platform = ok and answer.PlatformDescription
  if not platform then
    errors.usage("--beanstalk-platform-arn: Elastic Beanstalk in %s has no platform %s%s", aws.elasticbeanstalk.region, arn,
      ok and "" or " (" .. answer.message .. ")")
  end
  local branch = platform.PlatformBranchName or platform.PlatformName or ""
  local kind, made = kind_of(branch, arn, app, opt.source), platform.DateCreated or os.time()
  if made < M.SECRETS_SINCE then
    errors.usage("--beanstalk-platform-arn: %s is of %s, and only versions since March 2025 can read secrets: take a newer one", arn,
      os.date("!%Y-%m-%d", math.floor(made)))
  end
  return { arn = arn, branch = branch, kind = kind, secrets = made < M.KEYS_SINCE and "parameter" or "key" }
end

return M
