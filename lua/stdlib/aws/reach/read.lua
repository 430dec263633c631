--- What aws.reach judges: the describe calls of a VPC, and the things in it that can be connected to.
local task = require "task"

local M = {}

local function collect(client, op, args)
  local list = {}
  for item in client:each(op, args) do list[#list + 1] = item end
  return list
end

--- The load balancers of a VPC, each with its Listeners.
local function load_balancers(aws, vpc)
  local list = {}
  for lb in aws.elbv2:each("describe_load_balancers", {}) do
    if lb.VpcId == vpc then
      lb.Listeners = collect(aws.elbv2, "describe_listeners", { LoadBalancerArn = lb.LoadBalancerArn })
      list[#list + 1] = lb
    end
  end
  return list
end

--- The entries of the prefix lists that rules and routes name.
local function prefix_lists(aws, answers)
  local lists = {}
  local function need(id)
    if id and not lists[id] then
      lists[id] = collect(aws.ec2, "get_managed_prefix_list_entries", { PrefixListId = id })
    end
  end
  for _, group in ipairs(answers.SecurityGroups) do
    for _, p in ipairs(group.IpPermissions) do
      for _, list in ipairs(p.PrefixListIds or {}) do need(list.PrefixListId) end
    end
  end
  for _, t in ipairs(answers.RouteTables) do
    for _, route in ipairs(t.Routes) do need(route.DestinationPrefixListId) end
  end
  return lists
end

--- Everything that the judgement of a VPC needs; only reads.
---@param vpc string
---@return table answers
function M.vpc(vpc)
  local aws = require "aws"
  local here = { Filters = { { Name = "vpc-id", Values = { vpc } } } }
  local function ec2(op) return function() return collect(aws.ec2, op, here) end end
  local answers = task.all {
    Subnets = ec2 "describe_subnets", RouteTables = ec2 "describe_route_tables", NetworkAcls = ec2 "describe_network_acls",
    SecurityGroups = ec2 "describe_security_groups", NetworkInterfaces = ec2 "describe_network_interfaces",
    Instances = function()
      local list = {}
      for _, r in ipairs(collect(aws.ec2, "describe_instances", here)) do table.move(r.Instances, 1, #r.Instances, #list + 1, list) end
      return list
    end,
    DBInstances = function() return collect(aws.rds, "describe_db_instances", {}) end,
    CacheClusters = function() return collect(aws.elasticache, "describe_cache_clusters", { ShowCacheNodeInfo = true }) end,
    CacheSubnetGroups = function() return collect(aws.elasticache, "describe_cache_subnet_groups", {}) end,
  }
  answers.VpcId = vpc
  answers.PrefixLists = prefix_lists(aws, answers)
  for _, e in ipairs(answers.NetworkInterfaces) do
    if (e.Description or ""):find "^ELB %a+/" then
      answers.LoadBalancers = load_balancers(aws, vpc)
      break
    end
  end
  return answers
end

-- The things ------------------------------------------------------------------

local function ids(list, name)
  local r = {}
  for i, item in ipairs(list or {}) do r[i] = item[name] end
  return r
end

local function tag(list, key)
  for _, t in ipairs(list or {}) do if t.Key == key then return t.Value end end
end

--- Whether a thing's subnets are the VPC's: RDS and ElastiCache tell of the whole region.
local function is_here(answers, subnets)
  for _, s in ipairs(answers.Subnets or {}) do
    for _, id in ipairs(subnets) do if s.SubnetId == id then return true end end
  end
  return false
end

local function databases(answers, add)
  for _, db in ipairs(answers.DBInstances or {}) do
    add { kind = "database", id = db.DBInstanceIdentifier, name = db.DBInstanceIdentifier,
          groups = ids(db.VpcSecurityGroups, "VpcSecurityGroupId"),
          subnets = ids(db.DBSubnetGroup and db.DBSubnetGroup.Subnets, "SubnetIdentifier"),   -- it may move to any of them
          public = db.PubliclyAccessible or false, ipv6 = db.NetworkType == "DUAL" and "private" or nil,
          ports = { db.Endpoint and db.Endpoint.Port or db.DbInstancePort } }
  end
end

local function caches(answers, add)
  local groups = {}
  for _, g in ipairs(answers.CacheSubnetGroups or {}) do groups[g.CacheSubnetGroupName] = ids(g.Subnets, "SubnetIdentifier") end
  for _, c in ipairs(answers.CacheClusters or {}) do
    local node = c.CacheNodes and c.CacheNodes[1] or {}
    add { kind = "cache", id = c.CacheClusterId, name = c.CacheClusterId, groups = ids(c.SecurityGroups, "SecurityGroupId"),
          subnets = groups[c.CacheSubnetGroupName] or {}, public = false, ipv6 = (c.NetworkType or "ipv4") ~= "ipv4" and "private" or nil,
          ports = { node.Endpoint and node.Endpoint.Port or c.ConfigurationEndpoint and c.ConfigurationEndpoint.Port or 6379 } }
  end
end

local function balancers(answers, add)
  for _, lb in ipairs(answers.LoadBalancers or {}) do
    local public = lb.Scheme == "internet-facing"
    add { kind = "load balancer", id = lb.LoadBalancerArn, name = lb.LoadBalancerName, groups = lb.SecurityGroups or {},
          subnets = ids(lb.AvailabilityZones, "SubnetId"), public = public, ports = ids(lb.Listeners, "Port"),
          ipv6 = (lb.IpAddressType or "ipv4") ~= "ipv4" and (public and "public" or "private") or nil }
  end
end

--- Interfaces of services that are things of their own, and of NAT gateways, which take no connections.
local function is_counted(answers, e)
  local text = e.Description or ""
  return e.InterfaceType == "nat_gateway" or answers.DBInstances and text == "RDSNetworkInterface"
         or answers.CacheClusters and text:find "^ElastiCache" or answers.LoadBalancers and text:find "^ELB %a+/"
end

local function interfaces(answers, add)
  local names = {}
  for _, i in ipairs(answers.Instances or {}) do names[i.InstanceId] = tag(i.Tags, "Name") end
  for _, e in ipairs(answers.NetworkInterfaces or {}) do
    if not is_counted(answers, e) then
      local instance = e.Attachment and e.Attachment.InstanceId
      local public = e.Association ~= nil and e.Association.PublicIp ~= nil
      for _, address in ipairs(e.PrivateIpAddresses or {}) do
        public = public or address.Association ~= nil and address.Association.PublicIp ~= nil
      end
      local v6 = (e.Ipv6Addresses or {})[1] ~= nil or (e.Ipv6Prefixes or {})[1] ~= nil
      local described = e.Description and e.Description ~= "" and e.Description or nil
      add { kind = instance and "instance" or "interface", id = instance or e.NetworkInterfaceId,
            name = names[instance] or tag(e.TagSet, "Name") or instance or described or e.NetworkInterfaceId,
            groups = ids(e.Groups, "GroupId"), subnets = { e.SubnetId }, public = public and not e.DenyAllIgwTraffic,
            ipv6 = v6 and (e.DenyAllIgwTraffic and "private" or "public") or nil }
    end
  end
end

--- What can be connected to: databases, caches, load balancers, and every interface that is none of these.
---@param answers table
---@return { kind: string, id: string, name: string, groups: string[], subnets: string[], public: boolean, ipv6: string?, ports: integer[]? }[]
function M.things(answers)
  local list = {}
  local function add(thing)
    if is_here(answers, thing.subnets) then list[#list + 1] = thing end
  end
  databases(answers, add)
  caches(answers, add)
  balancers(answers, add)
  interfaces(answers, add)
  return list
end

return M
