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
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local retry = require "retry"
local sign = require "sign"
local ssh = require "ssh"
local task = require "task"

local IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
local CONSOLE = 900                                          -- seconds until the console shows the host keys
local PATIENCE = 90                                          -- seconds until sshd answers

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

---@class Bastion
---@field id string
---@field address string its public address
---@field user string
---@field group string its security group, to be let in elsewhere
local Bastion = {}
Bastion.__index = Bastion

local function image(type_name)
  local arm = type_name:find "^%w+%dg[%w]*%." or type_name:find "^a1%."
  return aws.ssm:get_parameter({ Name = IMAGE .. (arm and "arm64" or "x86_64") }).Parameter.Value
end

local function keys_in(output)
  local keys, inside = {}, false
  for line in output:gmatch "[^\r\n]+" do
    if line:find("BEGIN SSH HOST KEY KEYS", 1, true) then
      keys, inside = {}, true                                -- the last boot counts
    elseif line:find("END SSH HOST KEY KEYS", 1, true) then
      inside = false
    elseif inside then
      local key = line:match "(ssh%-ed25519%s+%S+)" or line:match "(ecdsa%-%S+%s+%S+)"
      keys[#keys + 1] = key
    end
  end
  for _, key in ipairs(keys) do
    if key:find "^ssh%-ed25519" then return key end
  end
  return keys[1]
end

--- The host key: from the instance's tag, else from its console, which takes minutes after the start.
local function host_key(instance, name)
  if instance.host_key then return instance.host_key end
  local p <close> = log.progress { what = ("learn the host key of aws.bastion %q"):format(name) }
  local ctx = { note = function(s) p:note(s) end }
  local key = noun.wait(ctx, "its console does not show the host key", CONSOLE, function()
    local output = aws.ec2:get_console_output({ InstanceId = instance.id }).Output or ""
    return keys_in(sign.unbase64(output)), "waiting for the first boot"
  end)
  if not recipe.planning() then
    aws.ec2:create_tags { Resources = { instance.id }, Tags = { { Key = "hkrun:host-key", Value = key } } }
  end
  return key
end

--- A new ssh session; tries for a minute and a half, because sshd starts after the machine, and may answer before the
--- key is in its place.
---@return SshSession
function Bastion:open()
  if recipe.is_unknown(self.address) then
    errors.raise { kind = "unknown", op = "connect to the bastion", message = "it is made only by apply" }
  end
  self.host_key = self.host_key or host_key(self.instance, self.name)
  local stop = task.now() + PATIENCE
  local p <close> = log.progress { what = ("connect to aws.bastion %q"):format(self.name) }
  return retry.call(function()
    local ok, session = pcall(ssh.open, { host = self.address, user = self.user, key = self.key, host_key = self.host_key })
    if ok then return session end
    p:note(tostring(session))
    error(session, 0)
  end, { attempts = PATIENCE, base = 2, cap = 10, retryable = function(e)
    return (e.kind == "network" or e.kind == "timeout" or e.code == "key_refused") and task.now() < stop
  end })
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
  local bastion = setmetatable({
    id = instance.id, name = o.name, address = instance.address, private_address = instance.private_address, user = o.user,
    group = group.id, key = key.value, instance = instance,
  }, Bastion)
  if not recipe.planning() then bastion.host_key = host_key(instance, o.name) end
  return bastion
end
