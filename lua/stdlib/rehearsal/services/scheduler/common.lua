--- What the parts of EventBridge Scheduler share: groups and schedules of a
--- region, and look-ups with its errors.
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local M = {}

function M.schedules(cloud, ctx) return managed.table_of(cloud, ctx, "scheduler", "schedules") end
function M.tokens(cloud, ctx) return managed.table_of(cloud, ctx, "scheduler", "tokens") end

function M.arn(cloud, ctx, fmt, ...) return cloud:arn("scheduler", ctx.region, fmt:format(...)) end

--- The groups by name; "default" is always there.
function M.groups(cloud, ctx)
  local groups = managed.table_of(cloud, ctx, "scheduler", "groups")
  groups.default = groups.default or { Name = "default", Arn = M.arn(cloud, ctx, "schedule-group/default"), State = "ACTIVE",
    CreationDate = cloud.clock:now(), Tags = {} }
  return groups
end

---@param usable? boolean one that is going cannot get schedules
function M.group(cloud, ctx, name, usable)
  local group = M.groups(cloud, ctx)[name]
  if not group then wire.fail("ResourceNotFoundException", 404, "Schedule group %s does not exist.", tostring(name)) end
  if usable and group.State ~= "ACTIVE" then wire.fail("ConflictException", 409, "Schedule group %s is being deleted.", name) end
  return group
end

function M.schedule(cloud, ctx, p)
  return M.schedules(cloud, ctx)[(p.GroupName or "default") .. "/" .. p.Name]
    or wire.fail("ResourceNotFoundException", 404, "Schedule %s does not exist.", p.Name)
end

function M.check_name(what, name)
  if not name:find "^[%w%-_%.]+$" then
    wire.fail("ValidationException", 400, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: "
      .. "Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+", name, what)
  end
end

return M
