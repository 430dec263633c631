--- What `hkrun rehearse` and the tests ask of the rehearsal cloud itself, beside
--- the APIs: GET /_hkrun/calls, /left, /apps, /state, /fresh, and POST /_hkrun/faults. AWS has no such pages;
--- recipes and the standard library do not use them.
local errors = require "errors"
local exact_faults = require "rehearsal.exact_faults"
local json = require "json"
local secret = require "secret"

--- Every request so far, in order.
local function calls(cloud)
  local list = json.array {}
  for i, c in ipairs(cloud.calls) do
    list[i] = { at = c.at, api = c.api, operation = c.operation, mutating = c.mutating or false, status = c.status, error = c.error,
                id = c.id, fault = c.fault, method = c.method, path = c.path }
  end
  return list
end

--- How to list what a service still holds: a read operation, the list in its
--- result, the name in an item (or the item ends with it), and what does not count.
local LEFTOVERS = {
  { "ec2", "DescribeVpcs", "Vpcs", "VpcId" },
  { "ec2", "DescribeSubnets", "Subnets", "SubnetId" },
  { "ec2", "DescribeInternetGateways", "InternetGateways", "InternetGatewayId" },
  { "ec2", "DescribeSecurityGroups", "SecurityGroups", "GroupName" },
  { "ec2", "DescribeKeyPairs", "KeyPairs", "KeyName" },
  { "iam", "ListRoles", "Roles", "RoleName" },
  { "iam", "ListInstanceProfiles", "InstanceProfiles", "InstanceProfileName" },
  { "s3", "ListBuckets", "Buckets", "Name", "^elasticbeanstalk%-" },  -- the account's, for whatever comes
  { "secretsmanager", "ListSecrets", "SecretList", "Name" },
  { "rds", "DescribeDBInstances", "DBInstances", "DBInstanceIdentifier" },
  { "rds", "DescribeDBSubnetGroups", "DBSubnetGroups", "DBSubnetGroupName" },
  { "rds", "DescribeDBParameterGroups", "DBParameterGroups", "DBParameterGroupName", "^default%." },
  { "elasticache", "DescribeReplicationGroups", "ReplicationGroups", "ReplicationGroupId" },
  { "elasticache", "DescribeCacheSubnetGroups", "CacheSubnetGroups", "CacheSubnetGroupName" },
  { "elasticache", "DescribeCacheParameterGroups", "CacheParameterGroups", "CacheParameterGroupName", "^default%." },
  { "dms", "DescribeReplicationTasks", "ReplicationTasks", "ReplicationTaskIdentifier" },
  { "dms", "DescribeReplicationInstances", "ReplicationInstances", "ReplicationInstanceIdentifier" },
  { "dms", "DescribeReplicationSubnetGroups", "ReplicationSubnetGroups", "ReplicationSubnetGroupIdentifier" },
  { "dms", "DescribeEndpoints", "Endpoints", "EndpointIdentifier" },
  { "dms", "DescribeCertificates", "Certificates", "CertificateIdentifier" },
  { "elasticbeanstalk", "DescribeApplications", "Applications", "ApplicationName" },
  { "elasticbeanstalk", "DescribeEnvironments", "Environments", "EnvironmentName" },
  { "ecs", "ListClusters", "clusterArns" },
  { "ecs", "ListTaskDefinitions", "taskDefinitionArns" },
  { "scheduler", "ListScheduleGroups", "ScheduleGroups", "Name", "^default$" },
  { "scheduler", "ListSchedules", "Schedules", "Name" },
  { "elbv2", "DescribeLoadBalancers", "LoadBalancers", "LoadBalancerName" },
  { "elbv2", "DescribeTargetGroups", "TargetGroups", "TargetGroupName" },
  { "ecr", "DescribeRepositories", "repositories", "repositoryName" },
  { "ssm", "DescribeParameters", "Parameters", "Name" },
  { "acm", "ListCertificates", "CertificateSummaryList", "DomainName" },
  { "logs", "DescribeLogGroups", "logGroups", "logGroupName" },
  { "sns", "ListTopics", "Topics", "TopicArn" },
  { "sqs", "ListQueues", "QueueUrls" },
  { "cloudwatch", "DescribeAlarms", "MetricAlarms", "AlarmName" },
  { "cloudwatch", "ListDashboards", "DashboardEntries", "DashboardName" },
}

--- What the account still holds, and running machines: "rds DBInstances shop".
local function left(cloud)
  local list = json.array {}
  local ctx = { region = cloud.region, request_id = "inspect" }
  for _, row in ipairs(LEFTOVERS) do
    local service = cloud:service(row[1])
    local result = service and service[row[2]] and service[row[2]](cloud, {}, ctx) or {}
    for _, item in ipairs(result[row[3]] or {}) do
      local name = row[4] and item[row[4]] or item:match "[^/]*$"
      if not (row[5] and name:find(row[5])) then list[#list + 1] = ("%s %s %s"):format(row[1], row[3], name) end
    end
  end
  for _, reservation in ipairs(cloud:service "ec2".DescribeInstances(cloud, {}, ctx).Reservations) do
    local instance = reservation.Instances[1]
    if instance.State.Name ~= "terminated" then list[#list + 1] = "ec2 Instances " .. instance.InstanceId end
  end
  return list
end

--- The same URL through a door of the inspector's own to a host of a VPC.
local function through_door(cloud, url)
  local parts = secret.parse_url(url)
  for _, vpc in pairs(cloud.net.vpcs) do
    local host = parts.host and vpc.hosts[parts.host]
    if host then
      cloud.doors = cloud.doors or {}
      local port = parts.port or (parts.scheme:find "^redis" and 6379 or 5432)
      local key = parts.host .. ":" .. port
      cloud.doors[key] = cloud.doors[key] or cloud.net:publish(host, { [port] = port }, true)
      parts.host = cloud.doors[key]
      return secret.build_url(parts)
    end
  end
  return url
end

--- The environments and services that run an app: where they answer, and the variables that
--- the app sees, with private addresses led through doors so that a judge who
--- stands outside can compare both sides. These are throwaway credentials.
local function apps(cloud)
  local list = json.array {}
  local found = cloud:service "elasticbeanstalk"._app(cloud)
  for _, one in ipairs(cloud:service "ecs"._app(cloud)) do found[#found + 1] = one end
  for i, app in ipairs(found) do
    local env = {}
    for name, value in pairs(app.env) do
      if name:find "_URL$" and (secret.is(value) or value:find "^%w+://") then
        local ok, led = pcall(through_door, cloud, value)
        value = ok and led or value
      end
      env[name] = value
    end
    list[i] = { environment = app.environment, url = app.url, env = env }
  end
  return list
end

local LIST = getmetatable(json.array {})
local SAID = { string = true, number = true, boolean = true }

--- Plain data of v: secrets are said to be there; tasks, processes and other things of the rehearsal's own are left out.
local function plain(v, inside)
  if secret.is(v) then return "(secret)" end
  if SAID[type(v)] then return v end
  local meta = getmetatable(v)
  if type(v) ~= "table" or inside[v] or meta and meta ~= LIST then return nil end
  inside[v] = true
  local copy, count = {}, 0
  for _ in next, v do count = count + 1 end
  for key, x in next, v do copy[count == #v and key or tostring(key)] = plain(x, inside) end
  inside[v] = nil
  return copy
end

--- All that the services keep, by service and region.
local function state(cloud) return plain(cloud.state, {}) end

--- Plans the faults of the list that it is given; tells how many have struck.
local function faults(cloud, req)
  local given = req.body and req.body ~= "" and errors.check("read the faults", json.decode(req.body))
  if given then cloud.exact_faults = exact_faults.new(given) end
  return { struck = cloud.exact_faults.struck }
end

--- A new account, in which are only the zones of the app's names; tells where the DNS answers now.
local function fresh(cloud)
  cloud:empty()
  local dns = cloud:service "route53"
  if cloud.heroku then dns._own(cloud, cloud.heroku.app) end
  return { dns = dns._address(cloud) }
end

local M = { calls = calls, left = left }

local PAGES = { calls = calls, left = left, apps = apps, state = state, faults = faults, fresh = fresh }

--- Answers a page. Whoever asks shows the cloud's own secret key.
function M.answer(cloud, what, req)
  if not secret.equal(req.headers["x-hkrun-key"] or "", cloud.secret_key) then
    return { status = 403, json = { message = "these pages need the cloud's secret key in X-Hkrun-Key" } }
  end
  local page = PAGES[what]
  if not page then return { status = 404, json = { message = "no such page" } } end
  return { status = 200, headers = { ["content-type"] = "application/json" }, body = json.encode(page(cloud, req)) }
end

return M
