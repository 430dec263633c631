--- The bastion, and its end: with --activate-bastion=false it is taken away again, and nothing else is.
local aws = require "aws"
local log = require "log"
local recipe = require "recipe"

local M = {}

local UNTIL = "the bastion is switched off"

--- Its security group, which the stores let in; nil where it is switched off.
---@return table? door
function M.door(plan, net, opt)
  if not opt.activate_bastion then return nil end
  return aws.bastion_door { plan.name, network = net, ssh_from = opt.bastion_ssh_from, tags = recipe.until_tags(UNTIL) }
end

--- Its machine.
---@return Bastion
function M.machine(plan, net, door, opt)
  return aws.bastion { plan.name, network = net, door = door, user = opt.bastion_user, tags = recipe.until_tags(UNTIL) }
end

--- Takes away what an earlier run made of it, once the stores do not let it in any more. Its group goes last: while that is
--- there, something may be left.
function M.off(plan, net)
  if recipe.is_unknown(net.id) then return end
  local groups = aws.ec2:describe_security_groups({ Filters = { { Name = "vpc-id", Values = { net.id } },
    { Name = "group-name", Values = { plan.name .. "-bastion" } } } }).SecurityGroups
  for _, group in ipairs(groups) do
    if recipe.planning() then log.info("    the bastion %s-bastion is switched off: it is taken away, and nothing else", plan.name) end
    recipe.once(("take away the bastion of the group %s"):format(group.GroupId), function() return { deleted = recipe.retire(UNTIL) } end)
  end
end

return M
