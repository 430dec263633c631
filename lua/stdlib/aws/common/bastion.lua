--- A bastion as it is used: its host key, learned from what AWS says the machine printed, and sessions through it.
local aws = require "aws"
local errors = require "errors"
local log = require "log"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local retry = require "retry"
local sign = require "sign"
local ssh = require "ssh"
local task = require "task"

local M = {}

local CONSOLE = 900                                          -- seconds until the console shows the host keys
local PATIENCE = 90                                          -- seconds until sshd answers

--- The tag of the machine that keeps its host key: whoever may not tag it cannot change whom hkrun trusts.
M.HOST_KEY = "hkrun:host-key"

---@class Bastion
---@field id string
---@field address string its public address
---@field user string
---@field group string its security group, to be let in elsewhere
local Bastion = {}
Bastion.__index = Bastion

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

--- The host key that a machine printed at its first boot: AWS itself tells it. The console shows it minutes after the start.
---@param id string of the machine
---@param what string
function M.console_key(id, what)
  local p <close> = log.progress { what = "learn the host key of " .. what }
  local ctx = { note = function(s) p:note(s) end }
  return noun.wait(ctx, "its console does not show the host key", CONSOLE, function()
    local output = aws.ec2:get_console_output({ InstanceId = id }).Output or ""
    return keys_in(sign.unbase64(output)), "waiting for the first boot"
  end)
end

--- The host key: from the instance's tag, else from its console.
local function host_key(instance, name)
  if instance.host_key then return instance.host_key end
  local key = M.console_key(instance.id, ("aws.bastion %q"):format(name))
  if not recipe.planning() then
    aws.ec2:create_tags { Resources = { instance.id }, Tags = { { Key = M.HOST_KEY, Value = key } } }
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

--- A bastion of these fields.
---@param fields table
---@return Bastion
function M.new(fields) return setmetatable(fields, Bastion) end

M.host_key = host_key

return M
