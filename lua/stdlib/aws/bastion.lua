--- A bastion: a small machine in a public subnet whose ssh port answers only to the range that is given, and through
--- which private databases and caches are reached.
---
---     local bastion = aws.bastion { "shop", network = net, ssh_from = "203.0.113.7/32" }
---     local session <close> = bastion:open()
---     pg.open { url = db.url, via = session }
---
--- Its ssh key is made in memory and lives in Secrets Manager. Its host key is read from what the machine printed at its
--- first boot, which AWS answers over TLS: nothing is accepted blindly.
local aws = require "aws"
local common = require "aws.common.bastion"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local ssh = require "ssh"

local IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"

local declared = {
  { "name", "its name", type = "string", required = true },
  { "network", "of aws.network: it stands in its first public subnet", type = "table", required = true },
  { "ssh_from", "address range that may connect: your own address and /32", type = "string" },
  { "door", "of aws.bastion_door, instead of ssh_from", type = "table" },
  { "type", "instance type", type = "string", default = "t3.micro" },
  { "user", "who to log in as", type = "string", default = "ec2-user" },
  { "tags", "tags of all its parts", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
}

local function image(type_name)
  local arm = type_name:find "^%w+%dg[%w]*%." or type_name:find "^a1%."
  return aws.ssm:get_parameter({ Name = IMAGE .. (arm and "arm64" or "x86_64") }).Parameter.Value
end

--- Makes or finds a bastion.
---@param o table
---@return Bastion
return function(o)
  o = noun.options(o, declared, "aws.bastion")
  local name = o.name .. "-bastion"
  if (o.door == nil) == (o.ssh_from == nil) then errors.usage("aws.bastion %q needs either ssh_from or door", o.name) end
  local group = o.door or aws.bastion_door { o.name, network = o.network, ssh_from = o.ssh_from, tags = o.tags, keep = o.keep }
  local key = aws.secret {
    name .. "-key", description = "ssh key of the bastion", generate = function() return ssh.keygen().private end,
    tags = o.tags, keep = o.keep,
  }
  local public = recipe.is_unknown(key.value) and key.value or ssh.public_key(key.value)
  local pair = aws.key_pair { name, public_key = public, tags = o.tags, keep = o.keep }
  local instance = aws.instance {
    name, image = image(o.type), type = o.type, subnet = o.network.public[1], groups = { group.id }, key = pair.name,
    public = true, tags = o.tags, keep = o.keep,
  }
  local bastion = common.new {
    id = instance.id, name = o.name, address = instance.address, private_address = instance.private_address, user = o.user,
    group = group.id, key = key.value, instance = instance,
  }
  if not recipe.planning() then bastion.host_key = common.host_key(instance, o.name) end
  return bastion
end
