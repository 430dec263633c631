--- What the parts of Elastic Load Balancing share: its state in a region, by
--- ARN, and look-ups with AWS's errors.
local managed = require "rehearsal.managed"
local sign = require "sign"
local wire = require "rehearsal.wire"

local M = {}

local SERVICE = "elasticloadbalancing"

function M.refuse(fmt, ...) wire.fail("ValidationError", 400, fmt, ...) end

local function part(name)
  return function(cloud, ctx) return managed.table_of(cloud, ctx, "elbv2", name) end
end

--- Load balancers, target groups and listeners of a region by ARN.
M.balancers, M.groups, M.listeners = part "balancers", part "groups", part "listeners"

--- "arn:...:loadbalancer/app/shop/50dc6c495c0c9188"
function M.arn(cloud, ctx, fmt, ...)
  return cloud:arn(SERVICE, ctx.region, fmt:format(...) .. "/" .. sign.hex(sign.random(8)))
end

function M.balancer(cloud, ctx, arn)
  return M.balancers(cloud, ctx)[arn] or wire.fail("LoadBalancerNotFound", 400, "One or more load balancers not found")
end

function M.group(cloud, ctx, arn)
  return M.groups(cloud, ctx)[arn] or wire.fail("TargetGroupNotFound", 400, "One or more target groups not found")
end

function M.listener(cloud, ctx, arn)
  return M.listeners(cloud, ctx)[arn] or wire.fail("ListenerNotFound", 400, "One or more listeners not found")
end

--- The listeners of a load balancer, by port.
function M.listeners_of(cloud, ctx, arn)
  local list = {}
  for _, listener in pairs(M.listeners(cloud, ctx)) do
    if listener.LoadBalancerArn == arn then list[#list + 1] = listener end
  end
  table.sort(list, function(a, b) return a.Port < b.Port end)
  return list
end

--- The target groups that the default actions of a listener forward to.
function M.forwards_to(listener)
  local arns = {}
  for _, action in ipairs(listener.DefaultActions) do
    if action.TargetGroupArn then arns[#arns + 1] = action.TargetGroupArn end
    for _, tuple in ipairs(action.ForwardConfig and action.ForwardConfig.TargetGroups or {}) do
      if tuple.TargetGroupArn ~= action.TargetGroupArn then arns[#arns + 1] = tuple.TargetGroupArn end
    end
  end
  return arns
end

--- The load balancers whose listeners forward to a group.
function M.users_of(cloud, ctx, group_arn)
  local seen, arns = {}, {}
  for _, listener in pairs(M.listeners(cloud, ctx)) do
    for _, arn in ipairs(M.forwards_to(listener)) do
      if arn == group_arn and not seen[listener.LoadBalancerArn] then
        seen[listener.LoadBalancerArn] = true
        arns[#arns + 1] = listener.LoadBalancerArn
      end
    end
  end
  table.sort(arns)
  return arns
end

--- Those of `all` that a Describe asks for by ARN or by name.
---@param all table[]
---@param keys { arns: string[]?, names: string[]?, arn: string, name: string, code: string, what: string }
function M.select(all, keys)
  local function among(list, value)
    for _, v in ipairs(list) do if v == value then return true end end
    return false
  end
  local chosen = {}
  local asks = #(keys.arns or {}) + #(keys.names or {}) > 0
  for _, one in ipairs(all) do
    if not asks or among(keys.arns or {}, one[keys.arn]) or among(keys.names or {}, one[keys.name]) then chosen[#chosen + 1] = one end
  end
  if asks and #chosen < #(keys.arns or {}) + #(keys.names or {}) then
    wire.fail(keys.code, 400, "One or more %s not found", keys.what)
  end
  return chosen
end

--- A name as load balancers and target groups may have it.
function M.check_name(what, name)
  if #name > 32 then M.refuse("The %s name '%s' cannot be longer than '32' characters", what, name) end
  if not name:find "^[%w%-]+$" or name:find "^%-" or name:find "%-$" then
    M.refuse("The %s name '%s' can only contain characters that are alphanumeric characters and hyphens(-), "
      .. "and cannot begin or end with a hyphen", what, name)
  end
end

--- Attributes as the API lists them.
function M.attribute_list(attributes)
  local list = {}
  for name, value in pairs(attributes) do list[#list + 1] = { Key = name, Value = value } end
  table.sort(list, function(a, b) return a.Key < b.Key end)
  return list
end

--- Sets attributes, all or none.
---@param attributes table<string, string> gets them
---@param wanted { Key: string, Value: string }[]
---@param known table<string, any>
---@param what string whose they are, as AWS's message says it
---@return table[] list of all
function M.set_attributes(attributes, wanted, known, what)
  for _, attribute in ipairs(wanted) do
    if not known[attribute.Key] then M.refuse("%s attribute key '%s' is not recognized", what, tostring(attribute.Key)) end
  end
  for _, attribute in ipairs(wanted) do attributes[attribute.Key] = attribute.Value end
  return M.attribute_list(attributes)
end

return M
