--- What the parts of Elastic Beanstalk share: its state in a region, look-ups
--- with AWS's errors, events and tags.
local wire = require "rehearsal.wire"

local M = {}

local SERVICE = "elasticbeanstalk"

--- Refuses a parameter, as Elastic Beanstalk does nearly everywhere.
function M.refuse(fmt, ...)
  wire.fail("InvalidParameterValue", 400, fmt, ...)
end

local function part(cloud, region, name)
  local store = cloud:store(SERVICE, region)
  store[name] = store[name] or {}
  return store[name]
end

--- The applications of a region by name.
function M.applications(cloud, ctx) return part(cloud, ctx.region, "applications") end
--- The environments of a region, oldest first, terminated ones among them.
function M.environments(cloud, ctx) return part(cloud, ctx.region, "environments") end
function M.events(cloud, ctx) return part(cloud, ctx.region, "events") end

--- The environments of all regions.
function M.all_environments(cloud)
  local list = {}
  for key in pairs(cloud.state) do
    local region = key:match "^elasticbeanstalk/(.+)$"
    for _, env in ipairs(region and M.environments(cloud, { region = region }) or {}) do list[#list + 1] = env end
  end
  return list
end

function M.application(cloud, ctx, name)
  return M.applications(cloud, ctx)[name] or M.refuse("No Application named '%s' found.", tostring(name))
end

function M.version(cloud, ctx, application, label)
  return M.application(cloud, ctx, application).versions[label] or M.refuse("No Application Version named '%s' found.", tostring(label))
end

function M.is_gone(env) return env.Status == "Terminated" end

--- The environment that a request names by id or by name; terminated ones are not found.
function M.environment(cloud, ctx, p)
  for _, env in ipairs(M.environments(cloud, ctx)) do
    if not M.is_gone(env) and (p.EnvironmentId or env.EnvironmentId) == env.EnvironmentId
       and (p.EnvironmentName or env.EnvironmentName) == env.EnvironmentName and (p.EnvironmentId or p.EnvironmentName) then
      return env
    end
  end
  if p.EnvironmentId then M.refuse("No Environment found for EnvironmentId = '%s'.", p.EnvironmentId) end
  M.refuse("No Environment found for EnvironmentName = '%s'.", tostring(p.EnvironmentName))
end

--- The same, and it must be ready for a change.
function M.ready_environment(cloud, ctx, p)
  local env = M.environment(cloud, ctx, p)
  if env.Status ~= "Ready" then
    M.refuse("Environment named %s is in an invalid state for this operation. Must be Ready.", env.EnvironmentName)
  end
  return env
end

--- Notes an event. `of` is an environment, or { ApplicationName = ... }.
---@param severity "TRACE"|"DEBUG"|"INFO"|"WARN"|"ERROR"|"FATAL"
function M.event(cloud, ctx, of, severity, fmt, ...)
  local events = M.events(cloud, ctx)
  events[#events + 1] = {
    EventDate = cloud.clock:now(), Message = fmt:format(...), ApplicationName = of.ApplicationName, EnvironmentName = of.EnvironmentName,
    EnvironmentId = of.EnvironmentId, VersionLabel = of.VersionLabel, PlatformArn = of.PlatformArn, RequestId = ctx.request_id or of.request_id,
    Severity = severity,
  }
end

--- A copy of tags in the service's member names.
function M.tags(list)
  local tags = {}
  for i, tag in ipairs(list or {}) do tags[i] = { Key = tag.Key, Value = tag.Value or "" } end
  return tags
end

--- Whether Elastic Beanstalk gives an environment this tag itself, and lets nobody change it (developer guide,
--- "Tagging resources in your Elastic Beanstalk environments").
function M.is_system_tag(key) return key == "Name" or key:find "^elasticbeanstalk:" ~= nil or key:find "^aws:" ~= nil end

--- Tags of a new environment; what it would be given under the service's own keys is not kept.
function M.own_tags(list)
  local tags = {}
  for _, tag in ipairs(M.tags(list)) do
    if tag.Key ~= "Name" and M.is_system_tag(tag.Key) then M.refuse("The tag key %s is reserved.", tag.Key) end
    if tag.Key ~= "Name" then tags[#tags + 1] = tag end
  end
  return tags
end

return M
