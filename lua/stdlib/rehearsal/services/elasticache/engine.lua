--- The redis-server behind a replication group, in a host of the VPC. Its
--- owner administers it through a socket in its own folder.
local errors = require "errors"
local fs = require "fs"
local managed = require "rehearsal.managed"
local parameters = require "rehearsal.services.elasticache.parameters"
local process = require "process"
local sign = require "sign"
local text = require "text"

local M = {}

--- "Redis 7.0.15" as installed, for what the rehearsal says of itself.
function M.installed()
  local r = process.run { "redis-server", "--version", timeout = 20 }
  return "Redis " .. (r.stdout:match "v=([%d.]+)" or "of an unknown version")
end

--- Gives the group its host.
function M.place(cloud, ctx, rg)
  local groups = {}
  for i, group in ipairs(rg.security_groups) do groups[i] = group.SecurityGroupId end
  rg.place = managed.place(cloud, ctx, rg.subnet_group.Subnets[1].SubnetIdentifier, groups, rg.ReplicationGroupId,
    "ElastiCache " .. rg.ReplicationGroupId)
  return rg.place.address
end

--- Starts the server; its address must be set.
function M.start(cloud, rg)
  fs.mkdir_p(rg.dir)
  local settings = parameters.settings(rg.parameter_group, rg.CacheNodeType)
  settings.unixsocket, settings.unixsocketperm = fs.join(rg.dir, "socket"), "700"
  rg.config_name = rg.config_name or "CONFIG" .. sign.hex(sign.random(8)):upper()
  local files = cloud.servers and rg.TransitEncryptionEnabled and cloud.ca:issue {
    name = rg.ReplicationGroupId, ips = { rg.place.address }, dir = fs.join(rg.dir, "tls") } or {}
  rg.server = cloud:plane "redis".start {
    dir = rg.dir, host = rg.place.address, port = rg.port, password = rg.password, tls = rg.TransitEncryptionEnabled, cert = files.cert,
      key = files.key,
    managed = true, owner_config = rg.config_name, settings = settings, prefix = rg.place.host.prefix,
  }
end

--- Runs commands on the server as its owner.
local function run(rg, commands)
  if not rg.server.pid then return end                       -- a cloud without servers
  local env = { PATH = "/usr/bin:/bin", REDISCLI_AUTH = rg.password }
  local r = process.run { "redis-cli", "-s", fs.join(rg.dir, "socket"), "--no-auth-warning", stdin = commands, env = env, timeout = 20 }
  if r.code ~= 0 or r.stdout:find "ERR" or r.stdout:find "^%(error%)" then
    errors.raise { op = "change the settings of " .. rg.ReplicationGroupId, kind = "remote", message = (r.stdout .. r.stderr):gsub("%s+$", "") }
  end
end

--- Applies the parameter group to the running server.
function M.apply(rg)
  if not rg.server then return end
  local lines = {}
  for name, value in pairs(parameters.settings(rg.parameter_group, rg.CacheNodeType, true)) do
    lines[#lines + 1] = ('%s SET %s "%s"\n'):format(rg.config_name, name, value)
  end
  run(rg, table.concat(lines))
end

--- Changes the AUTH token: "ROTATE" lets the old one in as well, "SET" does not.
function M.change_token(rg, token, strategy)
  if strategy == "ROTATE" then run(rg, text("ACL SETUSER default >%s\n", token))
  elseif strategy == "SET" then run(rg, text("ACL SETUSER default resetpass >%s\n", token))
  else run(rg, "ACL SETUSER default resetpass nopass\n") end
  rg.password = strategy ~= "DELETE" and token or nil
end

function M.stop(rg)
  if rg.server then rg.server:stop() end
  rg.server = nil
end

--- Ends the server, its host and its data.
function M.remove(cloud, ctx, rg)
  M.stop(rg)
  if rg.place then managed.leave(cloud, ctx, rg.place) end
  rg.place = nil
  fs.rmtree(rg.dir)
end

return M
