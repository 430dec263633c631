--- Cache subnet groups and cache parameter groups.
local catalog = require "rehearsal.services.elasticache.catalog"
local managed = require "rehearsal.managed"
local parameters = require "rehearsal.services.elasticache.parameters"
local wire = require "rehearsal.wire"

local S = {}

local function subnet_groups(cloud, ctx) return managed.table_of(cloud, ctx, "elasticache", "subnet_groups") end
local function parameter_groups(cloud, ctx) return managed.table_of(cloud, ctx, "elasticache", "parameter_groups") end
local function replication_groups(cloud, ctx) return managed.sorted(managed.table_of(cloud, ctx, "elasticache", "replication_groups")) end

-- Subnet groups ------------------------------------------------------------

function S._subnet_group(cloud, ctx, name)
  return subnet_groups(cloud, ctx)[name:lower()] or wire.fail("CacheSubnetGroupNotFoundFault", 400, "Cache Subnet Group %s does not exist.", name)
end

local function bad_subnet(fmt, ...) wire.fail("InvalidSubnet", 400, fmt, ...) end

function S.CreateCacheSubnetGroup(cloud, p, ctx)
  local name = catalog._check_name(p.CacheSubnetGroupName, "CacheSubnetGroupName", 255)
  if subnet_groups(cloud, ctx)[name] or name == "default" then
    wire.fail("CacheSubnetGroupAlreadyExists", 400, "Cache subnet group %s already exists.", name)
  end
  local subnets, vpc = managed.subnets(cloud, ctx, p.SubnetIds, bad_subnet)
  local group = { CacheSubnetGroupName = name, CacheSubnetGroupDescription = p.CacheSubnetGroupDescription, VpcId = vpc, Subnets = subnets,
                  ARN = cloud:arn("elasticache", ctx.region, "subnetgroup:" .. name), SupportedNetworkTypes = { "ipv4" },
                    tags = managed.tags(p.Tags) }
  subnet_groups(cloud, ctx)[name] = group
  return { CacheSubnetGroup = group }
end

function S.DescribeCacheSubnetGroups(cloud, p, ctx)
  local list = p.CacheSubnetGroupName and { S._subnet_group(cloud, ctx, p.CacheSubnetGroupName) } or managed.sorted(subnet_groups(cloud, ctx))
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { CacheSubnetGroups = page, Marker = marker }
end

function S.ModifyCacheSubnetGroup(cloud, p, ctx)
  local group = S._subnet_group(cloud, ctx, p.CacheSubnetGroupName)
  if p.SubnetIds then
    local subnets, vpc = managed.subnets(cloud, ctx, p.SubnetIds, bad_subnet)
    if vpc ~= group.VpcId then bad_subnet "The new subnets are not in the same VPC as the existing subnet group." end
    local kept = {}
    for _, subnet in ipairs(subnets) do kept[subnet.SubnetIdentifier] = true end
    for _, rg in ipairs(replication_groups(cloud, ctx)) do
      if rg.subnet_group == group and rg.place and not kept[rg.place.subnet] then
        wire.fail("SubnetInUse", 400, "The subnet ID %s is in use.", rg.place.subnet)
      end
    end
    group.Subnets = subnets
  end
  group.CacheSubnetGroupDescription = p.CacheSubnetGroupDescription or group.CacheSubnetGroupDescription
  return { CacheSubnetGroup = group }
end

function S.DeleteCacheSubnetGroup(cloud, p, ctx)
  local group = S._subnet_group(cloud, ctx, p.CacheSubnetGroupName)
  for _, rg in ipairs(replication_groups(cloud, ctx)) do
    if rg.subnet_group == group then
      wire.fail("CacheSubnetGroupInUse", 400, "Cache subnet group %s is currently in use by a cache cluster.", group.CacheSubnetGroupName)
    end
  end
  subnet_groups(cloud, ctx)[group.CacheSubnetGroupName] = nil
end

-- Parameter groups ---------------------------------------------------------

--- The group of a name; the default group of a family is there without being made.
function S._parameter_group(cloud, ctx, name)
  local all = parameter_groups(cloud, ctx)
  if all[name:lower()] then return all[name:lower()] end
  local family = name:match "^default%.(.+)$"
  if not (family and catalog._has_family(family)) then
    wire.fail("CacheParameterGroupNotFound", 404, "CacheParameterGroup %s not found.", name)
  end
  all[name] = { CacheParameterGroupName = name, CacheParameterGroupFamily = family, Description = "Default parameter group for " .. family,
                IsGlobal = false, ARN = cloud:arn("elasticache", ctx.region, "parametergroup:" .. name), family = family, set = {}, tags = {},
                is_default = true }
  return all[name]
end

function S.CreateCacheParameterGroup(cloud, p, ctx)
  if p.CacheParameterGroupName:find "^default%." then
    wire.fail("InvalidParameterValue", 400, "The parameter CacheParameterGroupName is not a valid identifier: %s", p.CacheParameterGroupName)
  end
  local name = catalog._check_name(p.CacheParameterGroupName, "CacheParameterGroupName", 255)
  if not catalog._has_family(p.CacheParameterGroupFamily) then
    wire.fail("InvalidParameterValue", 400, "CacheParameterGroupFamily %s is not a valid parameter group family.", p.CacheParameterGroupFamily)
  end
  if parameter_groups(cloud, ctx)[name] then
    wire.fail("CacheParameterGroupAlreadyExists", 400, "Parameter group %s already exists", name)
  end
  local group = { CacheParameterGroupName = name, CacheParameterGroupFamily = p.CacheParameterGroupFamily, Description = p.Description,
                  IsGlobal = false, ARN = cloud:arn("elasticache", ctx.region, "parametergroup:" .. name), family = p.CacheParameterGroupFamily,
                  set = {}, tags = managed.tags(p.Tags) }
  parameter_groups(cloud, ctx)[name] = group
  return { CacheParameterGroup = group }
end

function S.DescribeCacheParameterGroups(cloud, p, ctx)
  local list = p.CacheParameterGroupName and { S._parameter_group(cloud, ctx, p.CacheParameterGroupName) }
    or managed.sorted(parameter_groups(cloud, ctx))
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { CacheParameterGroups = page, Marker = marker }
end

function S.DescribeCacheParameters(cloud, p, ctx)
  local list = parameters.show(S._parameter_group(cloud, ctx, p.CacheParameterGroupName), p.Source)
  local page, marker = cloud.page(list, p.Marker, p.MaxRecords)
  return { Parameters = page, CacheNodeTypeSpecificParameters = {}, Marker = marker }
end

function S.DescribeEngineDefaultParameters(cloud, p)
  local family = p.CacheParameterGroupFamily
  if not catalog._has_family(family) then
    wire.fail("InvalidParameterValue", 400, "CacheParameterGroupFamily %s is not a valid parameter group family.", family)
  end
  local page, marker = cloud.page(parameters.show { family = family, set = {} }, p.Marker, p.MaxRecords)
  return { EngineDefaults = { CacheParameterGroupFamily = family, Parameters = page, CacheNodeTypeSpecificParameters = {}, Marker = marker } }
end

local function own_group(cloud, ctx, name)
  local group = S._parameter_group(cloud, ctx, name)
  if group.is_default then
    wire.fail("InvalidCacheParameterGroupState", 400, "The default parameter group %s can't be changed.", name)
  end
  return group
end

--- The running servers of a group take its new values.
local function spread(cloud, ctx, group)
  local engine = require "rehearsal.services.elasticache.engine"
  for _, rg in ipairs(replication_groups(cloud, ctx)) do
    if rg.parameter_group == group and rg.server then cloud:after(5, function() engine.apply(rg) end) end
  end
end

function S.ModifyCacheParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.CacheParameterGroupName)
  if #p.ParameterNameValues > 20 then
    wire.fail("InvalidParameterCombination", 400, "A maximum of 20 parameters can be modified in a single request.")
  end
  for _, change in ipairs(p.ParameterNameValues) do
    if not change.ParameterValue then wire.fail("InvalidParameterValue", 400, "The parameter ParameterValue must be provided.") end
    parameters.check(group, change.ParameterName, change.ParameterValue)
  end
  for _, change in ipairs(p.ParameterNameValues) do group.set[change.ParameterName] = change.ParameterValue end
  spread(cloud, ctx, group)
  return { CacheParameterGroupName = group.CacheParameterGroupName }
end

function S.ResetCacheParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.CacheParameterGroupName)
  if p.ResetAllParameters then group.set = {} end
  for _, change in ipairs(p.ParameterNameValues or {}) do
    parameters.check(group, change.ParameterName)
    group.set[change.ParameterName] = nil
  end
  spread(cloud, ctx, group)
  return { CacheParameterGroupName = group.CacheParameterGroupName }
end

function S.DeleteCacheParameterGroup(cloud, p, ctx)
  local group = own_group(cloud, ctx, p.CacheParameterGroupName)
  for _, rg in ipairs(replication_groups(cloud, ctx)) do
    if rg.parameter_group == group then
      wire.fail("InvalidCacheParameterGroupState", 400, "One or more cache clusters are still members of this parameter group %s, "
        .. "so the group cannot be deleted.", group.CacheParameterGroupName)
    end
  end
  parameter_groups(cloud, ctx)[group.CacheParameterGroupName] = nil
end

return S
