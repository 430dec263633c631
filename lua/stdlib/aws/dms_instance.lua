--- A replication instance of AWS DMS: the machine that reads from one endpoint and writes to the other. It needs the role
--- dms-vpc-role. It costs money while it is there, whether a task runs on it or not.
local aws = require "aws"
local dms = require "aws.common.dms"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local BAD = { failed = true, ["incompatible-network"] = true, ["incompatible-credentials"] = true, ["storage-full"] = true }

--- The newest that AWS's notes of 2026 name, and the first for PostgreSQL 17.
local VERSION = "3.6.1"

local HINTS = {
  AccessDeniedFault = "DMS looks for the role dms-vpc-role by its name; a role that was just made may take a minute: apply again",
  InsufficientResourceCapacityFault = "take another class, or other subnets",
  ResourceQuotaExceededFault = "ask AWS for a higher quota of replication instances",
  StorageQuotaExceededFault = "ask AWS for a higher quota of replication storage",
}

local function look(filter, value)
  local i = dms.find("describe_replication_instances", filter, value, "ReplicationInstances")
  if not i then return nil end
  local groups, will, state = {}, i.PendingModifiedValues or {}, i.ReplicationInstanceStatus
  for n, g in ipairs(i.VpcSecurityGroups or {}) do groups[n] = g.VpcSecurityGroupId end
  return {
    id = i.ReplicationInstanceArn, arn = i.ReplicationInstanceArn, name = i.ReplicationInstanceIdentifier,
    class = will.ReplicationInstanceClass or i.ReplicationInstanceClass, version = will.EngineVersion or i.EngineVersion,
    gigabytes = will.AllocatedStorage or i.AllocatedStorage, groups = groups, public = i.PubliclyAccessible or false,
    multi_az = i.MultiAZ or false, subnet_group = i.ReplicationSubnetGroup and i.ReplicationSubnetGroup.ReplicationSubnetGroupIdentifier,
    address = i.ReplicationInstancePublicIpAddress, state = state, deleting = state == "deleting" or nil,
  }
end

local function number(version)
  local n = 0
  for part in version:gmatch "%d+" do n = n * 1000 + tonumber(part) end
  return n
end

--- The version that it gets when none is named: which ones a class can have is another list in each region.
local function version_for(class)
  local offered, newest = {}, nil
  for o in aws.dms:each("describe_orderable_replication_instances") do
    if o.ReplicationInstanceClass == class and o.ReleaseStatus ~= "beta" then
      offered[o.EngineVersion] = true
      if not newest or number(o.EngineVersion) > number(newest) then newest = o.EngineVersion end
    end
  end
  if offered[VERSION] then return VERSION end
  return newest or errors.raise {
    kind = "invalid", message = ("DMS in %s offers no replication instance of the class %s"):format(aws.dms.region, class),
    hint = "choose one of: aws dms describe-orderable-replication-instances",
  }
end

return recipe.kind {
  name = "aws.dms_instance",
  options = {
    { "class", "instance class: dms.t3.medium", type = "string", default = "dms.t3.medium" },
    { "version", "engine version (default: 3.6.1 if the region has it for this class, else the newest)", type = "string" },
    { "gigabytes", "storage, for changes that wait and for logs", type = "integer", default = 50 },
    { "subnet_group", "name of the replication subnet group", type = "string", required = true },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "public", "it has a public address, to reach what is on the internet; who reaches it, the groups say", type = "boolean", default = false },
    { "multi_az", "a standby in another zone", type = "boolean", default = false },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "address" }, fixed = { "subnet_group", "public" }, summary = { "class", "version", "public" },
  idempotent = true, timeout = 3600,
  compare = { tags = "given", groups = "set", version = function(want, have) return want == nil or noun.same_version(want, have) end },
  event = function(id, since) return noun.last_event(aws.dms, id:match "[^:]+$", "replication-instance", since) end,

  read = noun.reader(dms.GONE, function(spec, known)
    local found = look(known and "replication-instance-arn" or "replication-instance-id", known or spec.name)
    if found then found.tags = dms.tags(found.arn) end
    return found
  end),

  create = function(spec, ctx)
    return noun.hinted(HINTS, noun.settled, "AccessDeniedFault", 60, function()
      return aws.dms:create_replication_instance({
        ReplicationInstanceIdentifier = spec.name, ReplicationInstanceClass = spec.class, EngineVersion = spec.version or version_for(spec.class),
        AllocatedStorage = spec.gigabytes, ReplicationSubnetGroupIdentifier = spec.subnet_group, VpcSecurityGroupIds = noun.ids(spec.groups),
        PubliclyAccessible = spec.public, MultiAZ = spec.multi_az, AutoMinorVersionUpgrade = false, Tags = noun.tags(spec, ctx),
      }).ReplicationInstance.ReplicationInstanceArn
    end)
  end,

  ready = function(current, ctx)
    if current.state == "available" then return nil end
    return noun.wait(ctx, "it is not available", ctx.timeout, function()
      local now = look("replication-instance-arn", current.id) or errors.raise { kind = "not_found", message = "it is gone" }
      if BAD[now.state] then
        errors.raise { kind = "remote", message = ("it is %s: %s"):format(now.state, ctx.event() or "its events in the DMS console say why") }
      end
      if now.state == "available" then return now end
      return nil, now.state
    end)
  end,

  update = function(spec, current, changes)
    if #changes > (changes.tags and 1 or 0) then
      aws.dms:modify_replication_instance {
        ReplicationInstanceArn = current.id, ApplyImmediately = true, ReplicationInstanceClass = changes.class and spec.class,
        AllocatedStorage = changes.gigabytes and spec.gigabytes, EngineVersion = changes.version and spec.version,
        AllowMajorVersionUpgrade = changes.version and true or nil, MultiAZ = changes.multi_az and spec.multi_az,
        VpcSecurityGroupIds = changes.groups and noun.ids(spec.groups),
      }
    end
    if changes.tags then dms.tag(current.arn, spec.tags) end
  end,

  delete = function(current)
    noun.delete(dms.GONE, function() aws.dms:delete_replication_instance { ReplicationInstanceArn = current.id } end)
  end,
}
