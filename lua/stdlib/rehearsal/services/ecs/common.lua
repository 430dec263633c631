--- What the parts of ECS share: clusters and what is in them, look-ups with
--- ECS's errors, ARNs, tags.
local managed = require "rehearsal.managed"
local sign = require "sign"
local wire = require "rehearsal.wire"

local M = {}

function M.client(fmt, ...) wire.fail("ClientException", 400, fmt, ...) end
function M.invalid(fmt, ...) wire.fail("InvalidParameterException", 400, fmt, ...) end

--- The clusters of a region by name; each has `services` by name and `tasks` by id.
function M.clusters(cloud, ctx) return managed.table_of(cloud, ctx, "ecs", "clusters") end
--- Task definitions by family: { latest = n, [revision] = definition }.
function M.families(cloud, ctx) return managed.table_of(cloud, ctx, "ecs", "families") end

--- The name in "arn:aws:ecs:...:cluster/shop", or what is given as a name.
function M.short(name) return name:match "[^/]*$" end

--- A cluster by name or ARN; without either it is "default".
function M.cluster(cloud, ctx, name)
  local found = M.clusters(cloud, ctx)[M.short(name or "default")]
  if not found or found.status == "INACTIVE" then wire.fail("ClusterNotFoundException", 400, "Cluster not found.") end
  return found
end

--- All clusters of all regions, with the context to call services in.
function M.everywhere(cloud)
  local list = {}
  for key in pairs(cloud.state) do
    local region = key:match "^ecs/(.+)$"
    if region then
      local ctx = { region = region, request_id = "rehearsal" }
      for _, cluster in pairs(M.clusters(cloud, ctx)) do list[#list + 1] = { cluster = cluster, ctx = ctx } end
    end
  end
  return list
end

--- An id as tasks have: 32 hexadecimal digits.
function M.id() return sign.hex(sign.random(16)) end

function M.arn(cloud, ctx, fmt, ...) return cloud:arn("ecs", ctx.region, fmt:format(...)) end

--- Who gives a task its roles must be allowed to pass them: a session by the policies of its role.
---@param definition table with executionRoleArn, taskRoleArn
function M.pass_roles(cloud, ctx, definition)
  for _, role in ipairs(ctx.session and { definition.executionRoleArn or "", definition.taskRoleArn or "" } or {}) do
    if role ~= "" and not cloud:service "iam"._may(cloud, ctx.session.role, "iam:PassRole", role) then
      wire.fail("AccessDeniedException", 400, "User: %s is not authorized to perform: iam:PassRole on resource: %s because no identity-based "
        .. "policy allows the iam:PassRole action", ctx.session.arn, role)
    end
  end
end

-- Tags, whose members ECS writes in lower case -----------------------------

--- A copy.
function M.tags(list)
  local tags = {}
  for i, tag in ipairs(list or {}) do
    if tag.key:lower():find "^aws:" then M.invalid "Tags with aws: prefix are reserved for system use." end
    tags[i] = { key = tag.key, value = tag.value or "" }
  end
  return tags
end

function M.add_tags(tags, more)
  for _, tag in ipairs(M.tags(more)) do
    local old
    for _, t in ipairs(tags) do if t.key == tag.key then old = t end end
    if old then old.value = tag.value else tags[#tags + 1] = tag end
  end
  if #tags > 50 then M.invalid "The maximum number of tags per resource is 50." end
end

function M.remove_tags(tags, keys)
  for _, key in ipairs(keys) do
    for i = #tags, 1, -1 do if tags[i].key == key then table.remove(tags, i) end end
  end
end

--- Whether a Describe is asked for tags.
function M.wants_tags(p)
  for _, field in ipairs(p.include or {}) do if field == "TAGS" then return true end end
  return false
end

--- One page; ECS's lists hold a hundred.
function M.page(cloud, p, list)
  local page, token = cloud.page(list, p.nextToken, p.maxResults)
  return page, token
end

return M
