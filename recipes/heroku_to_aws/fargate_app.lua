--- An app whose services are made on Fargate: what it takes to have it run, and to stop it. deploy.lua drives it as it drives
--- an environment of Elastic Beanstalk.
local aws = require "aws"
local ecs = require "aws.common.ecs"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"

---@class FargateApp
---@field id string
---@field name string
---@field url string? where web answers
---@field cname string? the load balancer's name
---@field cname_zone string? the hosted zone that it is in, for aliases
---@field version string? the image, while tasks of it run
local App = {}
App.__index = App

local START = 300                       -- seconds that Fargate may need for a task, before the app's own time begins
local RELEASE = 3600                    -- seconds that the release process may take
local LINES = 5                         -- of the log, in an error

--- What a service is doing; nil where it is not there (yet).
local function state_of(self, service) return ecs.service(self.cluster, service.name) end

local function runs(s) return s ~= nil and (s.desiredCount > 0 or s.runningCount > 0 or s.pendingCount > 0) end

--- The last lines that a container printed; no secret of the app stands in them.
local function last_lines(self, group, stream)
  local ok, answer = pcall(aws.logs.get_log_events, aws.logs, { logGroupName = group, logStreamName = stream, limit = LINES })
  local lines = {}
  for i, event in ipairs(ok and answer.events or {}) do lines[i] = event.message end
  return #lines > 0 and secret.hide(table.concat(lines, " | "), self.hide) or nil
end

--- What the last task of a service that failed printed.
local function said(self, service)
  local arns = aws.ecs:list_tasks({ cluster = self.cluster, serviceName = service.name, desiredStatus = "STOPPED" }).taskArns
  for _, arn in ipairs(arns) do
    local found = last_lines(self, service.log_group, ("%s/%s/%s"):format(service.name, service.name, arn:match "[^/]*$"))
    if found then return found end
  end
end

--- Runs the release process once. One that runs already, because an earlier run was cut off, is waited for.
local function release(self, p)
  local r = self.release
  local args = {
    cluster = self.cluster, taskDefinition = r.definition, launchType = "FARGATE", startedBy = "hkrun-release",
    networkConfiguration = { awsvpcConfiguration = {
      subnets = self.network.subnets, securityGroups = self.network.groups, assignPublicIp = "ENABLED" } },
  }
  local under_way = aws.ecs:list_tasks({ cluster = self.cluster, family = r.container, desiredStatus = "RUNNING" }).taskArns[1]
  local ended = ecs.run({ note = function(s) p:note("release: " .. s) end }, args, RELEASE, under_way)
  if ended.code == 0 then return end
  local lines = last_lines(self, r.log_group, ("%s/%s/%s"):format(r.container, r.container, ended.id))
  errors.raise { kind = "remote", code = "CommandFailed", op = "run the release process",
    message = ("it ended with code %d%s"):format(ended.code, lines and ": " .. lines or ""),
    hint = "its lines are in the log group " .. r.log_group .. "; apply again runs it again" }
end

local function is_steady(s, primary, service)
  return s.desiredCount == service.count and primary.runningCount == service.count and primary.rolloutState == "COMPLETED"
         and s.taskDefinition == service.definition and #s.deployments == 1
end

--- Starts a service's tasks and waits until they are well: as a deployment, so that the circuit breaker watches it.
local function start(self, service, p)
  local now = state_of(self, service) or errors.raise { kind = "not_found", op = "start " .. service.name, message = "the service is gone" }
  local primary = now.deployments[1]
  for _, d in ipairs(now.deployments) do if d.status == "PRIMARY" then primary = d end end
  if not (now.desiredCount == service.count and now.taskDefinition == service.definition and primary.rolloutState ~= "FAILED") then
    aws.ecs:update_service { cluster = self.cluster, service = service.name, desiredCount = service.count, taskDefinition = service.definition,
                             forceNewDeployment = true }
  end
  local ok, e = pcall(ecs.wait, { note = function(s) p:note(("%s: %s"):format(service.type, s)) end }, self.cluster, service.name,
    START + self.patience, function(s, d) return is_steady(s, d, service) end)
  if ok then return end
  if errors.is(e, "remote") or errors.is(e, "timeout") then
    local lines = said(self, service)
    if lines then e.message = e.message .. "; it printed: " .. lines end
  end
  error(e, 0)
end

local function stop(self, service, p)
  local now = state_of(self, service)
  if not runs(now) then return end
  aws.ecs:update_service { cluster = self.cluster, service = service.name, desiredCount = 0 }
  noun.wait({ note = function(s) p:note(("%s: %s"):format(service.type, s)) end }, service.name .. " still runs", START, function()
    local s = state_of(self, service)
    if not s or s.runningCount == 0 and s.pendingCount == 0 then return true end
    return nil, ("%d of its tasks stop"):format(s.runningCount + s.pendingCount)
  end)
end

--- Has the app run, or stops it. The release process runs first, before anything of the new version does.
---@param version { id: string } the image, or "parked"
function App:deploy(version)
  local parked = version.id ~= self.image
  local p <close> = log.progress { what = parked and "stop " .. self.name or ("start %s on Fargate"):format(self.name) }
  if not parked then
    local steady = true
    for _, service in ipairs(self.services) do
      local s = state_of(self, service)
      steady = steady and s ~= nil and s.desiredCount == service.count and s.taskDefinition == service.definition
    end
    if self.release and not steady then release(self, p) end
    self.taken[version.id] = true
  end
  task.map(self.services, function(service) (parked and stop or start)(self, service, p) end)
  self.version = not parked and version.id or nil
end

--- Whether a version may have run: it was started by this run, if in vain, or tasks run now.
---@param version { id: string }
---@return boolean
function App:may_have_run(version)
  if self.taken[version.id] then return true end
  for _, service in ipairs(self.services) do
    if runs(state_of(self, service)) then return true end
  end
  return false
end

local M = {}

---@param o table
---@return FargateApp
function M.new(o)
  local self = setmetatable({ id = o.name, taken = {}, hide = o.hide or {} }, App)
  for k, v in pairs(o) do self[k] = v end
  if not recipe.is_unknown(self.cluster) then
    for _, service in ipairs(self.services) do
      local s = state_of(self, service)
      if s and s.desiredCount > 0 then self.version = self.image end
    end
  end
  return self
end

return M
