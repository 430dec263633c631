--- An ECS task definition for Fargate with one container. A change makes a new revision; services go on with theirs until
--- they are told. `family_arn` means the newest, to whoever starts a task.
---
---     aws.ecs_task_definition { "shop-web", image = image, command = { "/bin/sh", "-c", "node web.js" }, cpu = 256, memory = 512,
---       port = 8080, execution_role = role, secrets = { DATABASE_URL = vars.arn .. ":DATABASE_URL" }, log_group = "/shop/web" }
local aws = require "aws"
local ecs = require "aws.common.ecs"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local sorted_keys = require "sorted_keys"
local text = require "text"

local GONE = "ClientException"                               -- "Unable to describe task definition."

--- Fargate's way to name a key of a secret has two more parts, which stay empty: its version.
local function value_from(reference) return text("%s::", reference) end

local function container(spec)
  local env, secrets = {}, {}
  for i, name in ipairs(sorted_keys(spec.env)) do env[i] = { name = name, value = spec.env[name] } end
  for i, name in ipairs(sorted_keys(spec.secrets)) do secrets[i] = { name = name, valueFrom = value_from(spec.secrets[name]) } end
  return {
    name = spec.name, image = spec.image, command = spec.command, essential = true, environment = env, secrets = secrets,
    portMappings = spec.port and { { containerPort = spec.port, protocol = "tcp" } } or {}, stopTimeout = spec.stop_timeout,
    linuxParameters = { initProcessEnabled = true },
    logConfiguration = spec.log_group and { logDriver = "awslogs", options = {
      ["awslogs-group"] = noun.id(spec.log_group), ["awslogs-region"] = aws.ecs.region, ["awslogs-stream-prefix"] = spec.name } } or nil,
  }
end

local function register(spec, tags)
  return aws.ecs:register_task_definition {
    family = spec.name, networkMode = "awsvpc", requiresCompatibilities = { "FARGATE" }, cpu = tostring(spec.cpu), memory = tostring(spec.memory),
    executionRoleArn = noun.id(spec.execution_role), taskRoleArn = noun.id(spec.task_role), containerDefinitions = { container(spec) },
    runtimePlatform = { cpuArchitecture = spec.architecture, operatingSystemFamily = "LINUX" }, tags = tags,
  }
end

return recipe.kind {
  name = "aws.ecs_task_definition",
  options = {
    { "image", "the image, best with its digest", type = "string", required = true },
    { "command", "words of the command, instead of the image's", type = "list" },
    { "cpu", "cpu units: 256, 512, 1024, 2048, 4096, ...", type = "integer", default = 256 },
    { "memory", "megabytes that go with them", type = "integer", default = 512 },
    { "port", "port that the container listens on", type = "integer" },
    { "env", "plain environment variables", type = "table", default = {} },
    { "secrets", "variables from Secrets Manager: { NAME = \"arn:...:KEY\" }", type = "table", default = {} },
    { "log_group", "of aws.log_group, or its name", type = "any" },
    { "execution_role", "ARN of the role that fetches the image and the secrets, and writes the logs", type = "string" },
    { "task_role", "ARN of the role that the app's own calls to AWS have", type = "string" },
    { "stop_timeout", "seconds between TERM and KILL, 120 at most", type = "integer", default = 30 },
    { "architecture", "of the image", type = "string", default = "X86_64", one_of = { "X86_64", "ARM64" } },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "family_arn", "revision" }, summary = { "image", "cpu", "memory" }, idempotent = true,   -- a second revision is the first
  compare = { tags = "given" },

  read = noun.reader(GONE, function(spec)
    local answer = aws.ecs:describe_task_definition { taskDefinition = spec.name, include = { "TAGS" } }
    local d = answer.taskDefinition
    if d.status ~= "ACTIVE" then return nil end
    local c, env, secrets = d.containerDefinitions[1], {}, {}
    for _, e in ipairs(c.environment or {}) do env[e.name] = e.value end
    for _, e in ipairs(c.secrets or {}) do secrets[e.name] = e.valueFrom:gsub("::$", "") end
    local log, port = c.logConfiguration and c.logConfiguration.options or {}, c.portMappings and c.portMappings[1]
    return {
      id = spec.name, arn = d.taskDefinitionArn, family_arn = d.taskDefinitionArn:gsub(":%d+$", ""), revision = d.revision, image = c.image,
      command = c.command, cpu = math.tointeger(tonumber(d.cpu)), memory = math.tointeger(tonumber(d.memory)), env = env, secrets = secrets,
      port = port and port.containerPort, log_group = log["awslogs-group"], execution_role = d.executionRoleArn, task_role = d.taskRoleArn,
      stop_timeout = c.stopTimeout, architecture = d.runtimePlatform and d.runtimePlatform.cpuArchitecture, tags = ecs.tag_map(answer.tags),
    }
  end),

  create = function(spec, ctx)
    register(spec, ecs.tags(spec, ctx))
    return spec.name
  end,

  update = function(spec, current, changes)
    local tags = {}
    for k, v in pairs(current.tags) do tags[k] = v end
    for k, v in pairs(changes.tags and spec.tags or {}) do tags[k] = v end
    local only_tags = changes.tags and #changes == 1
    if only_tags then aws.ecs:tag_resource { resourceArn = current.arn, tags = ecs.tag_list(spec.tags) }
    else register(spec, ecs.tag_list(tags)) end
  end,

  --- All revisions. Those that are inactive cost nothing and can be deleted only then.
  delete = function(current)
    local arns = {}
    for _, status in ipairs { "ACTIVE", "INACTIVE" } do
      for arn in aws.ecs:each("list_task_definitions", { familyPrefix = current.id, status = status }) do
        if status == "ACTIVE" then noun.found(GONE, aws.ecs.deregister_task_definition, aws.ecs, { taskDefinition = arn }) end
        arns[#arns + 1] = arn
      end
    end
    for first = 1, #arns, 10 do
      aws.ecs:delete_task_definitions { taskDefinitions = table.move(arns, first, math.min(first + 9, #arns), 1, {}) }
    end
  end,
}
