--- The bastion that aws.bastion made under this name, found by its name; makes nothing.
---
---     local session <close> = aws.bastion_of("shop"):open()
---     local tunnel = session:tunnel "db.internal:5432"
local aws = require "aws"
local bastion = require "aws.common.bastion"
local errors = require "errors"
local noun = require "aws.common.noun"

local declared = {
  { "name", "its name, as aws.bastion was given it", type = "string", required = true },
  { "user", "who to log in as", type = "string", default = "ec2-user" },
}

--- Finds a bastion that runs. Raises kind "not_found" where there is none.
---@param o string|{ [1]: string, user?: string }
---@return Bastion
return function(o)
  o = noun.options(o, declared, "aws.bastion_of")
  local name, found = o.name .. "-bastion", {}
  for r in aws.ec2:each("describe_instances", { Filters = { { Name = "tag:Name", Values = { name } },
                                                            { Name = "instance-state-name", Values = { "running" } } } }) do
    table.move(r.Instances, 1, #r.Instances, #found + 1, found)
  end
  if #found ~= 1 then
    errors.raise { kind = "not_found", op = "find the bastion " .. o.name,
                   message = #found == 0 and ("no machine called %s runs in %s"):format(name, aws.ec2.region)
                             or ("%d machines are called %s"):format(#found, name),
                   hint = #found == 0 and "heroku_to_aws.lua makes it with --activate-bastion" or nil }
  end
  local machine, host_key = found[1], nil
  for _, tag in ipairs(machine.Tags or {}) do
    if tag.Key == bastion.HOST_KEY then host_key = tag.Value end
  end
  return bastion.new {
    id = machine.InstanceId, name = o.name, address = machine.PublicIpAddress, private_address = machine.PrivateIpAddress, user = o.user,
    group = machine.SecurityGroups[1].GroupId, host_key = host_key,
    key = aws.secretsmanager:get_secret_value({ SecretId = name .. "-key" }).SecretString,
    instance = { id = machine.InstanceId, host_key = host_key },
  }
end
