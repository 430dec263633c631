--- Brings the app to ECS on Fargate instead of Elastic Beanstalk: the functions are those of deploy.lua, so that the recipe
--- changes in one line, `require "heroku_to_aws.fargate"`. See docs/targets.md.
---
--- Each process type is a service with as many tasks as it had dynos, and a task is a container with the memory of a dyno.
--- The services are made with no task at all: nothing of the app runs until the cutover. Web stands behind a load balancer.
--- Tasks stand in the public subnets with public addresses, and only the load balancer may connect to them: that is their way
--- to ECR, Secrets Manager and CloudWatch. A NAT gateway or VPC endpoints, which cost more, would let them stand in private ones.
local ages = require "heroku_to_aws.ages"
local audit = require "heroku_to_aws.audit"
local aws = require "aws"
local deploy = require "heroku_to_aws.deploy"
local ecs = require "aws.common.ecs"
local errors = require "errors"
local mapping = require "heroku_to_aws.mapping"
local recipe = require "recipe"
local Running = require "heroku_to_aws.fargate_app"
local tables = require "heroku_to_aws.tables"
local task = require "task"
local text = require "text"

local M = { is_fargate = true, has_run = deploy.has_run, is_forgotten = deploy.is_forgotten, live = deploy.live }

local PORT = 8080                 -- the port that the app is told
local EVERYBODY = "0.0.0.0/0"

--- The smallest size of a task that has the memory of a dyno.
---@param process { type: string, size: string }
---@return { cpu: integer, memory: integer }
function M.size(process)
  local need = mapping.memory(process.size)
  for _, size in ipairs(tables.fargate) do
    if need and size.memory >= need then return size end
  end
  errors.usage("Fargate has no task that holds a dyno of the size %s (process %s): its largest has %d MB; see docs/targets.md for EC2",
    process.size, process.type, tables.fargate[#tables.fargate].memory)
end

--- Where a process will run, in words.
function M.place(environment, process)
  local size = M.size(process)
  return ("Fargate: %d x %g vCPU, %d MB"):format(environment.instances * process.replicas, size.cpu / 1024, size.memory)
end

--- The process types, each with its count: behind a load balancer Beanstalk would have a machine for each.
local function processes(plan)
  local list = {}
  for _, e in ipairs(plan.environments) do
    for _, p in ipairs(e.processes) do
      if not p.idle then                -- a job needs no machine that waits for it
        list[#list + 1] = { type = p.type, command = p.command, size = p.size, count = e.instances * p.replicas }
      end
    end
  end
  return list
end

--- The image that runs once the app is live: it may have been deployed from GitHub since.
local function live_image(plan)
  if not deploy.is_kept() then return nil end
  local first = ("%s-%s"):format(plan.name, processes(plan)[1].type)
  local s = ecs.service(plan.name, first)
  if not s then return nil end
  local definition = aws.ecs:describe_task_definition({ taskDefinition = s.taskDefinition }).taskDefinition
  for _, c in ipairs(definition.containerDefinitions) do
    if c.name == first then return c.image end
  end
end

--- The image that runs, and the cluster that everything stands in.
---@param app HerokuApp
---@param plan table
---@param _ string the account
---@param opt table
---@return { application: table, versions: table<string, { id: string }>, parked: { id: string }, surroundings: table[], repository: any }
--- as deploy.code
function M.code(app, plan, _, opt)
  local image, surroundings, described = opt.image, {}, nil
  if not image then
    described, image, surroundings = deploy.image(app, plan, opt, { source = opt.source, stack = app.stack, slug = app.slug,
      buildpacks = opt.source and app.buildpacks, platform = "docker", region = aws.ecr.region })
    if not described then
      errors.usage("Fargate runs images, and there is none: no container engine is here to build it (docker, podman, buildah), and --image "
        .. "names none. Build the image of %s elsewhere, push it to Amazon ECR, and give "
        .. "--image ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:...; Elastic Beanstalk needs no image", app.name)
    end
  end
  local cluster = aws.ecs_cluster { plan.name, tags = { [audit.DYNOS] = plan.dynos } }
  image = live_image(plan) or image
  return { application = { id = cluster.id, arn = cluster.arn, image = image }, versions = { [plan.name] = { id = image } },
           parked = { id = "parked" }, surroundings = surroundings, repository = described and described.repository }
end

--- The roles: what fetches the image and the secrets, and what the app's own calls to AWS have. The latter may open a shell:
--- aws ecs execute-command --cluster NAME --task ID --interactive --command /bin/bash
local function roles(name, secrets)
  local arns, seen = {}, {}
  for _, reference in pairs(secrets) do
    if recipe.is_unknown(reference) then arns = reference break end
    local arn = reference:match "^(arn:[^:]+:secretsmanager:[^:]+:[^:]+:secret:[^:]+)"
    if not seen[arn] then arns[#arns + 1] = arn end
    seen[arn] = true
  end
  if not recipe.is_unknown(arns) then table.sort(arns) end
  local read = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = arns } } }
  local shell = { Version = "2012-10-17", Statement = { { Effect = "Allow", Resource = "*", Action = {
    "ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel" } } } }
  return task.all {
    execution = function()
      return aws.role { name .. "-ecs-execution", service = "ecs-tasks.amazonaws.com", policies = { "service-role/AmazonECSTaskExecutionRolePolicy" },
                        inline = next(secrets) and { ["read-secrets"] = read } or {} }
    end,
    task = function() return aws.role { name .. "-ecs-task", service = "ecs-tasks.amazonaws.com", inline = { ["open-a-shell"] = shell } } end,
  }
end

--- What the internet reaches: a load balancer, and the group of targets behind it. With a certificate it speaks HTTPS, and
--- sends who comes by HTTP there.
local function front(name, o)
  local group = aws.security_group { name .. "-lb", vpc = o.network.id, description = "the load balancer of the app", rules = {
    { port = 80, from = EVERYBODY, why = "http" }, { port = 443, from = EVERYBODY, why = "https" } } }
  local made = task.all {
    balancer = function() return aws.load_balancer { name, subnets = o.network.public, groups = { group.id } } end,
    targets = function() return aws.target_group { name:sub(1, 28) .. "-web", vpc = o.network.id, port = PORT, health_path = o.opt.health_path } end,
    inner = function()
      return aws.security_group { name .. "-web", vpc = o.network.id, description = "the web tasks of the app",
                                  rules = { { port = PORT, from = group.id, why = "the load balancer" } } }
    end,
  }
  if o.certificate then
    aws.listener { name .. "-443", load_balancer = made.balancer.id, port = 443, certificate = o.certificate.arn, target_group = made.targets.id }
    aws.listener { name .. "-80", load_balancer = made.balancer.id, port = 80, redirect = true }
  else
    aws.listener { name .. "-80", load_balancer = made.balancer.id, port = 80, target_group = made.targets.id }
  end
  return made
end

--- Makes the services.
---@param plan table
---@param o { application: table, network: table, group: any, vars: table, certificate: table?, opt: table } as in deploy.environments
---@return table<string, FargateApp> environments one, by the name of the first environment of the plan
function M.environments(plan, o)
  local list, name = processes(plan), plan.name
  local has_web = list[1].type == "web"
  local may = roles(name, o.vars.secrets)
  local outside = has_web and front(name, o) or nil
  local function log_group(type, metrics)
    return aws.log_group { ("/ecs/%s/%s"):format(name, type), days = o.opt.log_days, metrics = metrics }
  end
  local function definition(type, command, size, more)
    local group, env = more.log_group or log_group(type), {}
    for _, from in ipairs { o.vars.plain, more.env } do
      for k, v in pairs(from) do env[k] = v end
    end
    return aws.ecs_task_definition { ("%s-%s"):format(name, type), image = o.application.image, command = { "/bin/sh", "-c", command },
      cpu = size.cpu, memory = size.memory, port = more.port, env = env, secrets = o.vars.secrets, log_group = group.id,
      execution_role = may.execution.arn, task_role = may.task.arn }
  end
  --- What Scheduler starts: a task for each job, with the memory of its dyno; their lines are in one log group.
  local function jobs(list_of_jobs)
    local group = log_group("jobs", ages.metrics(list_of_jobs))
    return task.map(list_of_jobs, function(j)
      return definition("job-" .. j.name, j.command, M.size { type = j.name, size = j.size },
        { env = { PROCESS_TYPE = "scheduler" }, log_group = group })
    end)
  end
  local function service(p)
    local is_web = p.type == "web"
    local d = definition(p.type, p.command, M.size(p), { port = is_web and PORT or nil,
      env = is_web and { PORT = tostring(PORT) } or { PROCESS_TYPE = p.type } })
    local s = aws.ecs_service { d.name, cluster = o.application.id, task_definition = d.arn, subnets = o.network.public, public_ip = true,
      groups = { o.group.id, is_web and outside.inner.id or nil }, target_group = is_web and outside.targets.id or nil,
      container = is_web and d.name or nil, port = is_web and PORT or nil, grace = o.opt.health_timeout, exec = true }
    return { type = p.type, name = s.name, count = p.count, definition = d.arn, log_group = d.log_group }
  end
  local release = plan.environments[1].release
  local make = { release = release and function()
    local d = definition("release", release, M.size(list[1]), { env = { PROCESS_TYPE = "release" } })
    return { definition = d.arn, container = d.name, log_group = d.log_group }
  end or nil }
  for i, p in ipairs(list) do make[i] = function() return service(p) end end
  local made = task.all(make)
  local services = {}
  for i in ipairs(list) do services[i] = made[i] end
  local dns = has_web and outside.balancer.dns_name or nil
  return { [plan.environments[1].name] = Running.new {
    name = name, cluster = o.application.id, services = services, release = made.release, image = o.application.image, hide = o.vars.hide,
    jobs = jobs, cluster_arn = o.application.arn, roles = { may.execution.arn, may.task.arn },
    network = { subnets = o.network.public, groups = { o.group.id } }, patience = o.opt.health_timeout,
    url = dns and text("http://%s", dns), cname = dns, cname_zone = outside and outside.balancer.zone_id,
    balancer = outside and outside.balancer, targets = outside and outside.targets,
  } }
end

--- How Scheduler starts each job: as a task of its own.
---@param environments table<string, FargateApp>
---@param plan table
---@param jobs table[] of jobs.read
---@return { target: string, task: table, may: table[] }[] starts
function M.jobs(environments, plan, jobs)
  local app, starts = environments[plan.environments[1].name], {}
  app.job_families = {}
  for i, d in ipairs(app.jobs(jobs)) do
    app.job_families[i] = d.name
    starts[i] = {                       -- the newest revision: GitHub deploys to jobs by making one
      target = app.cluster_arn, task = { task_definition = d.family_arn, subnets = app.network.subnets, groups = app.network.groups,
                                         public_ip = true, exec = true },
      may = { { Effect = "Allow", Action = "ecs:RunTask", Resource = { d.family_arn, text("%s:*", d.family_arn) } },
              i == 1 and { Effect = "Allow", Action = "iam:PassRole", Resource = app.roles } or nil },
    }
  end
  return starts
end

return M
