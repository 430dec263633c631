--- The PostgreSQL cluster behind a DB instance, in a host of the VPC.
local fs = require "fs"
local managed = require "rehearsal.managed"
local parameters = require "rehearsal.services.rds.parameters"
local process = require "process"

local M = {}

--- "PostgreSQL 15.20" as installed, for what the rehearsal says of itself.
function M.installed()
  local r = process.run { "postgres", "--version", user = "postgres", env = { PATH = "/usr/bin:/bin" }, cwd = "/", timeout = 20 }
  return "PostgreSQL " .. (r.stdout:match "%d[%d.]*" or "of an unknown version")
end

local function certify(cloud, db)
  local names = { db.DBInstanceIdentifier }
  local ips = { db.place.address }
  if db.Endpoint and db.Endpoint.Address ~= db.place.address then ips[2] = db.Endpoint.Address end
  return cloud.ca:issue { name = db.DBInstanceIdentifier, names = names, ips = ips, dir = fs.join(db.dir, "tls"), owner = fs.uid() == 0
    and "postgres" or nil }
end

--- Gives the instance its host, once, and tells the address that clients use.
---@return string address
function M.place(cloud, ctx, db)
  if db.place then return db.public or db.place.address end
  local chosen = db.DBSubnetGroup.Subnets[1]
  for _, subnet in ipairs(db.DBSubnetGroup.Subnets) do
    if subnet.SubnetAvailabilityZone.Name == db.AvailabilityZone then chosen = subnet end
  end
  local groups = {}
  for i, group in ipairs(db.VpcSecurityGroups) do groups[i] = group.VpcSecurityGroupId end
  db.place = managed.place(cloud, ctx, chosen.SubnetIdentifier, groups, db.DBInstanceIdentifier, "RDSNetworkInterface")
  if db.PubliclyAccessible and db.place.is_public then
    db.public = cloud.net:publish(db.place.host, { [db.DbInstancePort] = db.DbInstancePort })
    cloud:service "ec2"._note_interface(cloud, ctx, db.place.subnet, db.place.owner, { public = db.public })
  end
  db.AvailabilityZone = db.place.zone
  return db.public or db.place.address
end

--- Starts the cluster (makes it first); its address must be set.
function M.start(cloud, db)
  local settings, force_ssl = parameters.settings(db.parameter_group)
  fs.mkdir_p(db.dir)
  local files = cloud.servers and certify(cloud, db) or {}
  db.server = cloud:plane "postgres".start {
    dir = db.dir, host = db.place.address, port = db.DbInstancePort, user = db.MasterUsername, password = db.password, database = db.DBName,
    rights = "rds", admin = "rdsadmin", cert = files.cert, key = files.key, force_ssl = force_ssl, settings = settings,
      template = cloud.dir .. "/postgres.template", prefix = db.place.host.prefix,
  }
  db.DBParameterGroups[1].ParameterApplyStatus = "in-sync"
end

--- Applies the parameters that need no reboot.
function M.apply(db, group)
  if not db.server then return end
  local dynamic = { family = group.family, set = {} }
  for name, own in pairs(group.set) do
    if own.method == "immediate" or name == "rds.force_ssl" then dynamic.set[name] = own end
  end
  local settings, force_ssl = parameters.settings(dynamic)
  settings.shared_preload_libraries, settings.wal_level = nil, nil
  db.server:reload(settings, force_ssl)
end

function M.stop(db)
  if db.server then db.server:stop() end
  db.server = nil
end

--- Ends the cluster, its host and its data.
function M.remove(cloud, ctx, db)
  M.stop(db)
  if db.place then managed.leave(cloud, ctx, db.place) end
  db.place = nil
  fs.rmtree(db.dir)
end

return M
