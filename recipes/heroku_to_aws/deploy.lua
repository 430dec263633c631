--- Brings the app's code to Elastic Beanstalk. The environments are made without it, with Beanstalk's sample application:
--- the slow part is over before the freeze, and no process of the app sees the stores while they are empty.
local ages = require "heroku_to_aws.ages"
local audit = require "heroku_to_aws.audit"
local aws = require "aws"
local bundle = require "heroku_to_aws.bundle"
local errors = require "errors"
local fs = require "fs"
local held = require "heroku_to_aws.held"
local image = require "heroku_to_aws.image"
local quoted = require "process.quoted"
local recipe = require "recipe"
local sorted_keys = require "sorted_keys"
local task = require "task"
local text = require "text"

local M = {}

local DIR = ".hkrun/bundles"

--- The name of the bucket: one for the whole world, so it has the account's number.
function M.bucket_name(name, account) return ("hkrun-%s-%s-%s"):format(name, account, aws.s3.region) end

--- The image of the app in Amazon ECR, where a container engine is there to build it.
---@param o { source: string?, stack: string, slug: table?, buildpacks: table?, platform: string, region: string }
---@return table? described of bundle.describe_image; nil: there is no engine, or the app's own files decide what runs
---@return any reference what stands in docker-compose.yml
---@return table[] surroundings what the code of the slug takes for granted of Heroku
function M.image(app, plan, opt, o)
  local engine = bundle.has_image(o) and image.engine(opt.engine)
  if not engine then return nil, nil, {} end
  local described = bundle.describe_image(o)
  local repository = aws.ecr_repository { plan.name }
  local reference = text("%s:%s", repository.uri, described.version)
  local built = recipe.once("build the image " .. described.version, function()
    local found = {}
    local digest = image.push(engine, { repository = plan.name, reference = reference, tag = described.version, context = function()
      local dir = bundle.context(described, app, { source = opt.source, dir = DIR })
      found = bundle.habits(dir, opt.source)
      return dir
    end })
    fs.rmtree(fs.join(DIR, described.version .. ".image"))
    return { digest = digest, surroundings = found }
  end)
  described.repository = repository
  return described, reference, recipe.is_unknown(built) and {} or built.surroundings
end

--- Builds the bundles, uploads them, and makes an application version of each.
---@param app HerokuApp
---@param plan table
---@param application any of aws.eb_application
---@param bucket any of aws.bucket
---@param opt table
---@return table<string, any> versions of aws.eb_version, by the environment's name
---@return table[] surroundings what the code of the slug takes for granted of Heroku
---@return any repository of aws.ecr_repository, if the image of the app is there
local function versions_of(app, plan, application, bucket, opt)
  local o = { source = opt.source, stack = app.stack, slug = app.slug, buildpacks = opt.source and app.buildpacks,
              platform = plan.platform.kind, region = aws.ecr.region }
  local reference, surroundings
  o.image, reference, surroundings = M.image(app, plan, opt, o)
  local versions, built = {}, nil
  for _, e in ipairs(plan.environments) do
    local b = bundle.describe(e, o)
    local label = e.name .. "-" .. b.version
    local file = ("%s/%s.zip"):format(DIR, b.version)
    built = recipe.once("build the bundle " .. label, function()
      return bundle.build(b, app, { source = opt.source, dir = DIR, platform = o.platform, reference = reference })
    end)
    local object = aws.object { label .. ".zip", bucket = bucket.id, file = file, type = "application/zip" }
    versions[e.name] = aws.eb_version { label, application = application.id, bucket = bucket.id, key = label .. ".zip",
      description = text("Heroku %s, uploaded as %s", b.version, object.id) }
  end
  return versions, not o.image and not recipe.is_unknown(built) and built.surroundings or surroundings, o.image and o.image.repository
end

--- A version in which nothing of the app runs.
---@param plan table
---@param application any of aws.eb_application
---@param bucket any of aws.bucket
---@return any version
local function parked_version(plan, application, bucket)
  local label = plan.name .. "-parked"
  local object = aws.object { label .. ".zip", bucket = bucket.id, bytes = bundle.parked(plan.platform.kind), type = "application/zip" }
  return aws.eb_version { label, application = application.id, bucket = bucket.id, key = label .. ".zip",
    description = text("runs nothing; uploaded as %s", object.id) }
end

--- Where a process will run, in words.
---@param environment table of mapping.environments
---@return string
function M.place(environment) return ("%s: %d x %s"):format(environment.name, environment.instances, environment.instance_type) end

--- Brings the code to AWS: what Beanstalk can run afterwards. Nothing of it needs the stores.
---@param app HerokuApp
---@param plan table
---@param account string
---@param opt table
---@return { application: any, versions: table<string, any>, surroundings: table[], parked: any, release_in: string?, repository: any } code
--- surroundings: what the slug's code takes for granted of Heroku; release_in: the environment whose version runs the
--- release process
function M.code(app, plan, account, opt)
  local place = task.all {
    bucket = function() return aws.bucket { M.bucket_name(plan.name, account) } end,
    application = function() return aws.eb_application { plan.name, tags = { [audit.DYNOS] = plan.dynos } } end,
  }
  local code = task.all {
    versions = function() return { versions_of(app, plan, place.application, place.bucket, opt) } end,
    parked = function() return parked_version(plan, place.application, place.bucket) end,
  }
  code.application = place.application
  code.versions, code.surroundings, code.repository = table.unpack(code.versions, 1, 3)
  code.release_in = plan.environments[1].release and plan.environments[1].name or nil
  return code
end

local FIRST = "start the app on AWS for the first time"    -- and once more after each rollback

local function may_have_run(environments, code)
  for name, environment in pairs(environments) do
    if environment:may_have_run(code.versions[name]) then return true end
  end
  return false
end

--- Whether the app may have run on AWS since the last rollback, so that the new stores may hold what Heroku's do not.
---@param environments table<string, any> of aws.environment, by name
---@param code table of `code`
---@return boolean
function M.has_run(environments, code)
  local begun, kept = recipe.remembered(FIRST .. held.again())
  return kept or begun ~= nil and may_have_run(environments, code)
end

local SAMPLE = "Sample Application"     -- what Beanstalk calls the version of an environment that was given none

local SERVE = "serve from AWS"

--- Whether the app is live on AWS: a cutover was kept, and not rolled back.
---@return boolean
function M.is_kept()
  local _, kept = recipe.remembered(SERVE)
  return kept or false
end

--- Whether the app runs on AWS and the journal knows nothing of it: that of its cutover is lost. Whatever version of it: it may have
--- been deployed from GitHub since.
---@param environments table<string, any> of aws.environment, by name
---@param code table of `code`
---@return boolean
function M.is_forgotten(environments, code)
  if recipe.remembered(FIRST) then return false end
  for _, environment in pairs(environments) do
    local version = environment.version
    if version and not recipe.is_unknown(version) and version ~= code.parked.id and version ~= SAMPLE then return true end
  end
  return false
end

--- Starts the app on AWS: web and workers run from here, and before any of them the release phase, which the environment that
--- is deployed first has. A guard: if the block is left without keep(), the environments
--- get the parked version, so that no worker goes on beside those of Heroku. That the app has run stays on record then,
--- unless it was refused at once: from that on, what is in the new stores is not dropped unasked.
---@param environments table<string, any> of aws.environment, by name
---@param code table of `code`
function M.live(environments, code)
  local names = sorted_keys(environments)
  local function deploy(version_of, o)
    task.map(names, function(name)
      if name ~= o.but then environments[name]:deploy(version_of(name), o) end
    end)
  end
  local first = recipe.guard { key = FIRST .. held.again(), lasting = true, apply = function() end, undo = function() end }
  local live = recipe.guard {
    key = SERVE, what = "start the app on AWS",
    apply = function()
      local first_one = code.release_in
      if first_one then environments[first_one]:deploy(code.versions[first_one], {}) end
      deploy(function(name) return code.versions[name] end, { but = first_one })
    end,
    undo = function()
      if may_have_run(environments, code) then first:keep() end
      first:close()
      deploy(function() return code.parked end, { idle = true })
    end,
  }
  return setmetatable({ keep = function() first:keep() live:keep() end }, { __close = function(_, e) live:close(e) end })
end

--- The words of a command for the machine's own shell: as a dyno of Scheduler does, the command gets a container of its own,
--- with the app's image and config vars, and ends with it.
local function in_container(service, command)
  return ("docker compose --file /var/app/current/docker-compose.yml run --rm -T --env PROCESS_TYPE=scheduler %s /bin/sh -c %s")
    :format(service, quoted(command))
end

local DAY = 86400                       -- seconds that a job may take

--- How Scheduler starts each job: by Run Command of Systems Manager, on the one machine of the environment that has just one.
--- No program has to be written for it, nothing runs meanwhile, and its output is in the log group of the jobs.
---@param environments table<string, any> of aws.environment, by name
---@param plan table
---@param jobs table[] of jobs.read
---@param opt table
---@return { target: string, input: table, may: table[] }[] starts may: what the role of the schedules needs for it
function M.jobs(environments, plan, jobs, opt)
  local name = plan.jobs_in
  local logs = aws.log_group { ("/%s/jobs"):format(plan.name), days = opt.log_days, metrics = ages.metrics(jobs) }
  local service
  for _, e in ipairs(plan.environments) do if e.name == name then service = e.processes[1].type end end
  if plan.platform.kind ~= "docker" then
    errors.usage("--scheduler-jobs needs a platform of Docker: on %s nothing starts a command with the app's config vars", plan.platform.branch)
  end
  local account, region = aws.sts:get_caller_identity(), aws.sts.region
  local partition = account.Arn:match "^arn:([^:]+):"
  local may = {
    { Effect = "Allow", Action = "ssm:SendCommand", Resource = ("arn:%s:ssm:%s::document/AWS-RunShellScript"):format(partition, region) },
    { Effect = "Allow", Action = "ssm:SendCommand", Resource = ("arn:%s:ec2:%s:%s:instance/*"):format(partition, region, account.Account),
      Condition = { StringEquals = { ["ssm:resourceTag/elasticbeanstalk:environment-name"] = name } } },
  }
  local starts = {}
  for i, job in ipairs(jobs) do
    starts[i] = { target = ("arn:%s:scheduler:::aws-sdk:ssm:sendCommand"):format(partition), may = i == 1 and may or {}, input = {
      DocumentName = "AWS-RunShellScript", Comment = job.command:sub(1, 100), MaxConcurrency = "1",
      Targets = { { Key = "tag:elasticbeanstalk:environment-name", Values = { environments[name].name } } },
      Parameters = { commands = { in_container(service, job.command) }, executionTimeout = { tostring(DAY) } },
      CloudWatchOutputConfig = { CloudWatchOutputEnabled = true, CloudWatchLogGroupName = logs.name },
    } }
  end
  return starts
end

--- Makes the environments.
---@param plan table
---@param o { application: any, network: table, group: any, vars: table, certificate: table?, opt: table } vars: of config.keep
---@return table<string, any> environments of aws.environment, by name
function M.environments(plan, o)
  local make, policy = {}, o.opt.deployment_policy
  for i, e in ipairs(plan.environments) do
    local deployment = (i == 1 or e.instances > 1 or policy ~= "rolling") and policy or nil     -- one machine does not roll
    make[e.name] = function()
      return aws.environment {
        e.name, application = o.application.id, network = o.network, groups = { o.group.id }, platform = o.opt.beanstalk_platform_arn,
        instance_type = e.instance_type, load_balanced = e.load_balanced, worker = e.worker, certificate = e.https and o.certificate or nil,
        closed = e.processes[1].type ~= "web",
        min_instances = e.instances, max_instances = e.instances,
        deployment = deployment,
        health_path = e.processes[1].type == "web" and o.opt.health_path or nil, env = o.vars.plain, secrets = o.vars.secrets,
        hide = o.vars.hide, log_days = o.opt.log_days, health_timeout = o.opt.health_timeout,
      }
    end
  end
  return task.all(make)
end

return M
