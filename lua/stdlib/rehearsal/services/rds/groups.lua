--- DB subnet groups and DB parameter groups.
local catalog = require "rehearsal.services.rds.catalog"
local managed = require "rehearsal.managed"
local parameters = require "rehearsal.services.rds.parameters"
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"

local S = {}

local function subnet_groups(cloud, ctx) return managed.table_of(cloud, ctx, "rds", "subnet_groups") end
local function parameter_groups(cloud, ctx) return managed.table_of(cloud, ctx, "rds", "parameter_groups") end
local function instances(cloud, ctx) return managed.sorted(managed.table_of(cloud, ctx, "rds", "instances")) end

local function check_name(name, what, more)
  if not name:find("^%a[%w" .. (more or "") .. "%-]*$") or name:find "%-%-" or name:find "%-$" then
    wire.fail("InvalidParameterValue", 400, "The parameter %s is not a valid identifier. Identifiers must begin with a letter; must contain only "
      .. "ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens.", what)
  end
  return name:lower()
end
S._check_name = check_name

-- Subnet groups ------------------------------------------------------------

function S._subnet_group(cloud, ctx, name)
  return subnet_groups(cloud, ctx)[name:lower()] or wire.fail("DBSubnetGroupNotFoundFault", 404, "DB subnet group '%s' not found.", name)
end

local function bad_subnet(fmt, ...) wire.fail("InvalidSubnet", 400, fmt, ...) end

local function covered(cloud, ctx, ids)
  local subnets, vpc, zones = managed.subnets(cloud, ctx, ids, bad_subnet)
  local names = sorted_keys(zones)
  if #names < 2 then
    wire.fail("DBSubnetGroupDoesNotCoverEnoughAZs", 400, "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. "
      .. "Current AZ coverage: %s. Add subnets to cover at least 2 AZs.", table.concat(names, ", "))
  end
  return subnets, vpc
end

function S.CreateDBSubnetGroup(cloud, p, ctx)
  local name = p.DBSubnetGroupName:lower()
  if name == "default" or not name:find "^[%w%._ %-]+$" then
    wire.fail("InvalidParameterValue", 400, "The parameter DBSubnetGroupName is not valid: %s", p.DBSubnetGroupName)
  end
  if subnet_groups(cloud, ctx)[name] then wire.fail("DBSubnetGroupAlreadyExists", 400, "The DB subnet group '%s' already exists.", name) end
  local subnets, vpc = covered(cloud, ctx, p.SubnetIds)
  local group = { DBSubnetGroupName = name, DBSubnetGroupDescription = p.DBSubnetGroupDescription, VpcId = vpc, SubnetGroupStatus = "Complete",
                  Subnets = subnets, DBSubnetGroupArn = cloud:arn("rds", ctx.region, "subgrp:" .. name), SupportedNetworkTypes = { "IPV4" },
                  tags = managed.tags(p.Tags) }
  subnet_groups(cloud, ctx)[name] = group
  return { DBSubnetGroup = group }
end

function S.DescribeDBSubnetGroups(cloud, p, ctx)
  local list = p.DBSubnetGroupName and { S._subnet_group(cloud, ctx, p.DBSubnetGroupName) } or managed.sorted(subnet_groups(cloud, ctx))
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { DBSubnetGroups = page, Marker = marker }
end

function S.ModifyDBSubnetGroup(cloud, p, ctx)
  local group = S._subnet_group(cloud, ctx, p.DBSubnetGroupName)
  local subnets, vpc = covered(cloud, ctx, p.SubnetIds)
  if vpc ~= group.VpcId then bad_subnet("The new Subnets are not in the same Vpc as the existing subnet group") end
  local kept = {}
  for _, subnet in ipairs(subnets) do kept[subnet.SubnetIdentifier] = true end
  for _, db in ipairs(instances(cloud, ctx)) do
    if db.DBSubnetGroup == group and db.place and not kept[db.place.subnet] then
      wire.fail("SubnetAlreadyInUse", 400, "The subnet %s is in use by the DB instance %s.", db.place.subnet, db.DBInstanceIdentifier)
    end
  end
  group.Subnets, group.DBSubnetGroupDescription = subnets, p.DBSubnetGroupDescription or group.DBSubnetGroupDescription
  return { DBSubnetGroup = group }
end

function S.DeleteDBSubnetGroup(cloud, p, ctx)
  local group = S._subnet_group(cloud, ctx, p.DBSubnetGroupName)
  for _, db in ipairs(instances(cloud, ctx)) do
    if db.DBSubnetGroup == group then
      wire.fail("InvalidDBSubnetGroupStateFault", 400, "Cannot delete the subnet group '%s' because at least one database instance: "
        .. "%s is still using it.", group.DBSubnetGroupName, db.DBInstanceIdentifier)
    end
  end
  subnet_groups(cloud, ctx)[group.DBSubnetGroupName] = nil
end

-- Parameter groups ---------------------------------------------------------

--- The group of a name; the default group of a family is there without being made.
function S._parameter_group(cloud, ctx, name)
  local all = parameter_groups(cloud, ctx)
  local found = all[name:lower()]
  if found then return found end
  local family = name:match "^default%.(postgres%d+)$"
  if not (family and catalog._has_family(family)) then wire.fail("DBParameterGroupNotFound", 404, "DBParameterGroup not found: %s", name) end
  all[name] = { DBParameterGroupName = name, DBParameterGroupFamily = family, Description = "Default parameter group for " .. family,
    family = family,
                DBParameterGroupArn = cloud:arn("rds", ctx.region, "pg:" .. name), set = {}, tags = {}, is_default = true }
  return all[name]
end

function S.CreateDBParameterGroup(cloud, p, ctx)
  local name = check_name(p.DBParameterGroupName, "DBParameterGroupName", "%.")
  if not catalog._has_family(p.DBParameterGroupFamily) then
    wire.fail("InvalidParameterValue", 400, "ParameterGroupFamily %s is not a valid parameter group family", p.DBParameterGroupFamily)
  end
  if parameter_groups(cloud, ctx)[name] or name:find "^default%." then
    wire.fail("DBParameterGroupAlreadyExists", 400, "Parameter group %s already exists", name)
  end
  local group = { DBParameterGroupName = name, DBParameterGroupFamily = p.DBParameterGroupFamily, Description = p.Description,
                  DBParameterGroupArn = cloud:arn("rds", ctx.region, "pg:" .. name), family = p.DBParameterGroupFamily, set = {},
                  tags = managed.tags(p.Tags) }
  parameter_groups(cloud, ctx)[name] = group
  return { DBParameterGroup = group }
end

function S.DescribeDBParameterGroups(cloud, p, ctx)
  local list = p.DBParameterGroupName and { S._parameter_group(cloud, ctx, p.DBParameterGroupName) } or managed.sorted(parameter_groups(cloud, ctx))
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { DBParameterGroups = page, Marker = marker }
end

function S.DescribeDBParameters(cloud, p, ctx)
  local list = parameters.show(S._parameter_group(cloud, ctx, p.DBParameterGroupName), p.Source)
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { Parameters = page, Marker = marker }
end

function S.DescribeEngineDefaultParameters(cloud, p)
  if not catalog._has_family(p.DBParameterGroupFamily) then
    wire.fail("InvalidParameterValue", 400, "ParameterGroupFamily %s is not a valid parameter group family", p.DBParameterGroupFamily)
  end
  local page, marker = cloud.page(parameters.show { family = p.DBParameterGroupFamily, set = {} }, p.Marker, p.MaxRecords)
  return { EngineDefaults = { DBParameterGroupFamily = p.DBParameterGroupFamily, Parameters = page, Marker = marker } }
end

local function own_group(cloud, ctx, name)
  local group = S._parameter_group(cloud, ctx, name)
  if group.is_default then wire.fail("InvalidParameterValue", 400, "Default parameter groups cannot be modified: %s", name) end
  return group
end

--- Tells the instances of a group of a change: at once, or at their next reboot.
local function spread(cloud, ctx, group, is_immediate, is_pending)
  local engine = require "rehearsal.services.rds.engine"
  for _, db in ipairs(instances(cloud, ctx)) do
    if db.parameter_group == group then
      if is_pending then db.DBParameterGroups[1].ParameterApplyStatus = "pending-reboot" end
      if is_immediate and db.server then cloud:after(5, function() engine.apply(db, group) end) end
    end
  end
end

function S.ModifyDBParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.DBParameterGroupName)
  if #p.Parameters > 20 then wire.fail("InvalidParameterValue", 400, "A maximum of 20 parameters can be modified in a single request.") end
  local is_immediate, is_pending = false, false
  for _, change in ipairs(p.Parameters) do
    parameters.check(change)
    if not change.ParameterValue or not change.ApplyMethod then
      wire.fail("InvalidParameterValue", 400, "ParameterName, ParameterValue and ApplyMethod must be supplied for each parameter")
    end
  end
  for _, change in ipairs(p.Parameters) do
    group.set[change.ParameterName] = { value = change.ParameterValue, method = change.ApplyMethod }
    if change.ApplyMethod == "immediate" then is_immediate = true else is_pending = true end
  end
  spread(cloud, ctx, group, is_immediate, is_pending)
  return { DBParameterGroupName = group.DBParameterGroupName }
end

function S.ResetDBParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.DBParameterGroupName)
  if p.ResetAllParameters ~= false and not (p.Parameters and p.Parameters[1]) then group.set = {}
  else
    for _, change in ipairs(p.Parameters or {}) do
      parameters.check(change)
      group.set[change.ParameterName] = nil
    end
  end
  spread(cloud, ctx, group, false, true)
  return { DBParameterGroupName = group.DBParameterGroupName }
end

function S.DeleteDBParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.DBParameterGroupName)
  for _, db in ipairs(instances(cloud, ctx)) do
    if db.parameter_group == group then
      wire.fail("InvalidDBParameterGroupState", 400, "One or more database instances are still members of this parameter group %s, "
        .. "so the group cannot be deleted", group.DBParameterGroupName)
    end
  end
  parameter_groups(cloud, ctx)[group.DBParameterGroupName] = nil
end

return S
