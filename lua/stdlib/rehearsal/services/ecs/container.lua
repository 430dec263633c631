--- What a container of a task runs: an image that was pushed to the account's
--- registry, laid out. The rehearsal pulls from nowhere else: any other image
--- stands for the code of the app on the rehearsal's Heroku, in /app, as the
--- app's own Dockerfile says if it has one; without such an app it is an empty
--- image. The processes are real.
local app = require "rehearsal.planes.app"
local dockerfile = require "rehearsal.services.elasticbeanstalk.dockerfile"
local errors = require "errors"
local fs = require "fs"
local images = require "rehearsal.services.elasticbeanstalk.images"
local sign = require "sign"

local M = {}

local PATH = os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin"
local PLAIN = "FROM %s\nWORKDIR /app\nCOPY . /app\n"         -- where buildpacks put the code

local function failed(fmt, ...) errors.raise { kind = "invalid", op = "start the task", message = fmt:format(...) } end

--- The folder with the code of the app that is moved, if there is one.
local function code_of(cloud)
  local first = cloud.heroku and cloud.heroku.apps[1]
  return first and first.build and first.build.dir
end

--- The image by its name, laid out once.
local function image_of(cloud, name)
  cloud.images = cloud.images or {}
  local key = sign.sha256(name):sub(1, 16)
  if cloud.images[key] then return cloud.images[key] end
  local folder, code = fs.join(cloud.dir, "images", key), code_of(cloud)
  local root, context = fs.join(folder, "root"), code
  fs.rmtree(folder)
  fs.mkdir_p(folder)
  local image = cloud:service "ecr"._pull(cloud, name, root)
  if not image then
    if not context then
      context = fs.join(folder, "empty")
      fs.mkdir_p(context)
    end
    local own = code and fs.exists(fs.join(code, "Dockerfile"))
    local text = own and fs.read(fs.join(code, "Dockerfile")) or code and PLAIN:format(name) or "FROM " .. name .. "\n"
    image = dockerfile.image(context, text, root, PATH, function() end)
  end
  fs.mkdir_p(image.root .. "/root")
  fs.mkdir_p(image.root .. image.workdir)
  fs.write(image.root .. "/rehearsal-ca.pem", fs.read(cloud.ca.file))       -- as an image brings the authorities of AWS's certificates
  image.folder = folder
  cloud.images[key] = image
  return image
end

-- What Fargate does before the container runs ------------------------------

--- Whether a role's inline policies let it do an action to a resource.
local function may(cloud, role_arn, action, resource)
  local answer = cloud:service "iam"._may(cloud, role_arn, action, resource)
  if answer == nil then failed("ResourceInitializationError: ECS was unable to assume the role '%s'", role_arn) end
  return answer
end

--- The variables of a container, those from secrets resolved.
local function environment(cloud, ctx, definition, container, override)
  local env = { AWS_EXECUTION_ENV = "AWS_ECS_FARGATE", AWS_REGION = ctx.region, AWS_DEFAULT_REGION = ctx.region }
  for _, entry in ipairs(container.environment) do env[entry.name] = entry.value end
  for _, entry in ipairs(override and override.environment or {}) do env[entry.name] = entry.value end
  for _, entry in ipairs(container.secrets) do
    local arn, key = entry.valueFrom:match "^(arn:aws[%w%-]*:secretsmanager:[%w%-]+:%d+:secret:[^:]+):?([^:]*)"
    if not arn then failed("ResourceInitializationError: unable to pull secrets: the rehearsal has no parameter %s", entry.valueFrom) end
    if not may(cloud, definition.executionRoleArn, "secretsmanager:GetSecretValue", arn) then
      failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve "
        .. "secret from asm: AccessDeniedException: User: %s is not authorized to perform: secretsmanager:GetSecretValue on resource: %s",
        definition.executionRoleArn, arn)
    end
    local ok, value = pcall(cloud:service "secretsmanager"._value, cloud, key ~= "" and arn .. ":" .. key or arn)
    if not ok then
      failed("ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve "
        .. "secret from asm: %s", type(value) == "table" and value.message or tostring(value))
    end
    env[entry.name] = value
  end
  return env
end

--- Where the lines of a container go.
local function log_stream(cloud, ctx, container, task_id)
  local log = container.logConfiguration
  if not log or log.logDriver ~= "awslogs" then return nil end
  local options = log.options or {}
  local group, prefix = options["awslogs-group"], options["awslogs-stream-prefix"]
  local logs = cloud:service "logs"
  local found = logs.DescribeLogGroups(cloud, { logGroupNamePrefix = group }, { region = options["awslogs-region"] or ctx.region }).logGroups
  if not (found[1] and found[1].logGroupName == group) then
    if options["awslogs-create-group"] ~= "true" then
      failed("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create "
        .. "Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1")
    end
    logs.CreateLogGroup(cloud, { logGroupName = group }, ctx)
  end
  local stream = ("%s/%s/%s"):format(prefix or "ecs", container.name, task_id)
  return function(line) logs._put(cloud, ctx.region, group, stream, { line }, true) end
end

local function override_of(overrides, name)
  for _, o in ipairs(overrides and overrides.containerOverrides or {}) do if o.name == name then return o end end
end

--- The process of a container, as planes/app.lua starts it. Raises kind "invalid" with Fargate's words for what it would
--- not start.
---@param task table
---@param container table of the task definition
---@return table service, fun(line: string)? sink, string folder
function M.process(cloud, ctx, task, container)
  local definition, override = task.definition, override_of(task.overrides, container.name)
  local sink = log_stream(cloud, ctx, container, task.id)
  local env = environment(cloud, ctx, definition, container, override)
  local image = image_of(cloud, container.image)
  local command = override and override.command or container.command
  if not (command or container.entryPoint or image.command or image.entrypoint) then
    failed("CannotStartContainerError: Error response from daemon: no command specified")
  end
  local ports, roots = {}, app.has_roots()
  for i, port in ipairs(container.portMappings) do ports[i] = { outside = port.containerPort, inside = port.containerPort } end
  local ca = roots and "/rehearsal-ca.pem" or cloud.ca.file
  env.NODE_EXTRA_CA_CERTS, env.SSL_CERT_FILE = env.NODE_EXTRA_CA_CERTS or ca, env.SSL_CERT_FILE or ca
  local service = images.container({ has_roots = roots, path = PATH }, image, container.name, { command = command, env = env, ports = ports,
    entrypoint = container.entryPoint, workdir = container.workingDirectory })
  return service, sink, image.folder
end

return M
