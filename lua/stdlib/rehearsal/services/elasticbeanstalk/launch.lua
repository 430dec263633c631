--- What happens behind an environment: its load balancer or address, its security group, and its machines.
local balancer = require "rehearsal.services.elasticbeanstalk.balancer"
local C = require "rehearsal.services.elasticbeanstalk.common"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local ec2_common = require "rehearsal.services.ec2.common"
local errors = require "errors"
local fs = require "fs"
local machine = require "rehearsal.services.elasticbeanstalk.machine"

local M = {}

local function option(env, namespace, name) return configuration._option(env.settings, namespace, name) end
M.option = option

local MOST = 4                          -- machines that the rehearsal runs for an environment

local function failed(fmt, ...) errors.raise { kind = "invalid", op = "launch", message = fmt:format(...) } end

-- The host -----------------------------------------------------------------

--- The group that Elastic Beanstalk adds to the instances by itself.
local function own_group(cloud, ctx, env, vpc)
  local ec2 = cloud:service "ec2"
  local name = ("awseb-%s-stack-AWSEBSecurityGroup-%s"):format(env.EnvironmentId, env.EnvironmentId:sub(3):upper())
  env.group = ec2.CreateSecurityGroup(cloud, { GroupName = name, Description = "VPC Security Group", VpcId = vpc, TagSpecifications = { {
    ResourceType = "security-group", Tags = { { Key = "elasticbeanstalk:environment-name", Value = env.EnvironmentName },
                                              { Key = "elasticbeanstalk:environment-id", Value = env.EnvironmentId } } } } }, ctx).GroupId
  if env.place.balancer then balancer.let_in(cloud, ctx, env.group, nil, env.place.balancer)
  else
    ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { { IpProtocol = "tcp", FromPort = 80, ToPort = 80,
      IpRanges = { { CidrIp = "0.0.0.0/0" } } } } }, ctx)
  end
  C.event(cloud, ctx, env, "INFO", "Created security group named: %s", name)
end

local function groups_of(cloud, ctx, env, vpc)
  local groups = {}
  for _, wanted in ipairs(configuration._list(option(env, "aws:autoscaling:launchconfiguration", "SecurityGroups"))) do
    for _, group in ipairs(ec2_common._list(cloud, ctx.region, "security-group")) do
      local is_meant = group.GroupId == wanted or group.GroupName == wanted
      if is_meant and group.VpcId == vpc and group.GroupId ~= env.group then groups[#groups + 1] = group.GroupId end
    end
  end
  if option(env, "aws:autoscaling:launchconfiguration", "DisableDefaultEC2SecurityGroup") ~= "true" then
    if not env.group then own_group(cloud, ctx, env, vpc) end
    groups[#groups + 1] = env.group
  end
  return groups
end

--- Lets those in that SSHSourceRestriction names, in the group that Elastic Beanstalk adds, and gives the machines the key.
local function open_ssh(cloud, ctx, env)
  local place, ec2 = env.place, cloud:service "ec2"
  local key = option(env, "aws:autoscaling:launchconfiguration", "EC2KeyName")
  local restriction, rule = option(env, "aws:autoscaling:launchconfiguration", "SSHSourceRestriction"), nil
  if key and env.group then
    local protocol, from, to, who = restriction:match "^(%w+),%s*(%d+),%s*(%d+),%s*(%S+)$"
    if not who then failed "Invalid option value: SSHSourceRestriction must look like tcp,22,22,CIDR or a security group" end
    rule = { IpProtocol = protocol, FromPort = tonumber(from), ToPort = tonumber(to), IpRanges = who:find "/" and { { CidrIp = who } } or nil,
             UserIdGroupPairs = not who:find "/" and { { GroupId = who } } or nil }
  end
  local name = key and ("%s from %s"):format(key, rule and restriction or "nowhere")
  if name == place.ssh_name then return end
  if place.ssh_rule then ec2.RevokeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { place.ssh_rule } }, ctx) end
  if rule then ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { rule } }, ctx) end
  for _, m in ipairs(env.machines) do ec2._set_key(cloud, ctx, m.id, m.host, key) end
  place.ssh_rule, place.ssh_name, place.key = rule, name, key
end

--- Whether an environment has no web server: its machines poll a queue, and nothing stands in front of them.
function M.is_worker(env) return env.Tier.Name == "Worker" end

--- Whether an environment is one machine with an address of its own.
function M.is_single(env) return option(env, "aws:elasticbeanstalk:environment", "EnvironmentType") == "SingleInstance" end

--- How many machines the settings ask for; one where no load balancer of the rehearsal stands before them.
function M.count(cloud, ctx, env)
  if M.is_single(env) or not (balancer.is_wanted(env) or M.is_worker(env)) then return 1 end
  local wanted = math.max(1, math.tointeger(tonumber(option(env, "aws:autoscaling:asg", "MinSize"))) or 1)
  if wanted > MOST then C.event(cloud, ctx, env, "WARN", "The rehearsal runs %d of the %d machines of this environment.", MOST, wanted) end
  return math.min(wanted, MOST)
end

--- What answers at the environment's address, where no load balancer does: this machine.
function M.face(cloud, ctx, env, m)
  local place = env.place
  if cloud.net.isolated and not place.balancer then
    local entry = place.cname and cloud.net.vpcs[place.vpc].public[place.cname]
    if entry then
      entry.host = m.host
      cloud.net:filter(place.vpc)
    else
      place.cname = place.public and cloud.net:publish(m.host, { [80] = 80 }) or m.address
    end
    if place.has_address then cloud:service "ec2"._set_public(cloud, ctx, m.id, place.cname) end
  end
end

--- The environment's address, once something runs.
function M.address(env)
  local place, first = env.place, env.machines[1]
  env.CNAME = place.balancer and place.balancer.dns or place.cname or ("%s:%d"):format(first.address, first.inside_port or 80)
  if M.is_worker(env) then env.CNAME = nil end
  env.EndpointURL = env.CNAME
end

--- Places the environment into its subnets, with machines on which nothing runs yet.
function M.place(cloud, ctx, env)
  local ec2 = cloud:service "ec2"
  local vpc = option(env, "aws:ec2:vpc", "VPCId")
  local subnets = configuration._list(option(env, "aws:ec2:vpc", "Subnets"))
  if not vpc or vpc == "" or #subnets == 0 then failed "No default VPC for this user" end
  local single, count = M.is_single(env), M.count(cloud, ctx, env)
  local wants_address = option(env, "aws:ec2:vpc", "AssociatePublicIpAddress")
  local has_address = single or wants_address == "true" or wants_address == nil and ec2._subnet(cloud, ctx, subnets[1]).MapPublicIpOnLaunch
  for i = 1, math.min(count, #subnets) do
    if not ec2._reaches_out(cloud, ctx, subnets[i], has_address) then
      failed("The EC2 instances failed to communicate with AWS Elastic Beanstalk, either because of configuration problems with the VPC "
        .. "or a failed EC2 instance. Check your VPC configuration and try launching the environment again.")
    end
  end
  local facing = (single or M.is_worker(env)) and subnets or configuration._list(option(env, "aws:ec2:vpc", "ELBSubnets"))
  if #facing == 0 then facing = subnets end
  local public = not M.is_worker(env) and (option(env, "aws:ec2:vpc", "ELBScheme") ~= "internal" or single)
  for _, id in ipairs(facing) do
    if public and not ec2._is_public(cloud, ctx, id) then
      failed("Creating load balancer failed Reason: VPC %s has no internet gateway on the route of the subnet %s", vpc, id)
    end
  end
  local place = { vpc = vpc, subnets = subnets, turn = 0, groups = {}, has_address = has_address, public = public }
  env.place, env.machines = place, {}
  if balancer.is_wanted(env) then place.balancer = balancer.make(cloud, ctx, env, vpc, facing) end
  place.groups = groups_of(cloud, ctx, env, vpc)
  open_ssh(cloud, ctx, env)
  for _ = 1, count do machine.launch(cloud, ctx, env) end
  M.face(cloud, ctx, env, env.machines[1])
  if M.is_worker(env) then
    local queue = ("awseb-%s-stack-AWSEBWorkerQueue-%s"):format(env.EnvironmentId, env.EnvironmentId:sub(3):upper())
    place.queue = cloud:service "sqs".CreateQueue(cloud, { QueueName = queue }, ctx).QueueUrl
    C.event(cloud, ctx, env, "INFO", "Created SQS queue named: %s", queue)
  elseif single then C.event(cloud, ctx, env, "INFO", "Created EIP: %s", place.cname or env.machines[1].address)
  elseif not place.balancer then C.event(cloud, ctx, env, "INFO", "Created load balancer named: awseb-%s", env.EnvironmentId) end
end

--- Gives an environment the load balancer that changed settings ask for, or takes away the one that they do not.
function M.refront(cloud, ctx, env)
  local place = env.place
  if not place or balancer.is_wanted(env) == (place.balancer ~= nil) then return end
  local had = place.balancer
  if had then
    place.balancer, place.cname = nil, nil
    for _, m in ipairs(env.machines) do m.port = nil end
    M.face(cloud, ctx, env, env.machines[1])
  else
    local facing = configuration._list(option(env, "aws:ec2:vpc", "ELBSubnets"))
    place.balancer = balancer.make(cloud, ctx, env, place.vpc, #facing > 0 and facing or configuration._list(option(env, "aws:ec2:vpc", "Subnets")))
    if place.cname then cloud.net:unpublish(place.vpc, place.cname) end
    place.cname = nil
  end
  if env.group then
    local all = { IpProtocol = "tcp", FromPort = 80, ToPort = 80, IpRanges = { { CidrIp = "0.0.0.0/0" } } }
    local ec2 = cloud:service "ec2"
    if had then
      ec2.AuthorizeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { all } }, ctx)
      balancer.let_in(cloud, ctx, env.group, had, nil)
    else
      ec2.RevokeSecurityGroupIngress(cloud, { GroupId = env.group, IpPermissions = { all } }, ctx)
      balancer.let_in(cloud, ctx, env.group, nil, place.balancer)
    end
  end
  if had then balancer.remove(cloud, ctx, env, had) end
end

--- Gives the machines the security groups and the key of changed settings.
function M.regroup(cloud, ctx, env)
  local place, ec2 = env.place, cloud:service "ec2"
  if not place then return end
  open_ssh(cloud, ctx, env)
  local groups = groups_of(cloud, ctx, env, place.vpc)
  if table.concat(groups, " ") == table.concat(place.groups, " ") then return end
  for _, m in ipairs(env.machines) do
    ec2._use_groups(cloud, ctx, place.groups, m.id, nil)
    ec2._use_groups(cloud, ctx, groups, m.id, true)
    m.host.groups = groups
    ec2._set_groups(cloud, ctx, m.id, groups)
  end
  place.groups = groups
  cloud.net:filter(place.vpc)
end

--- Ends machines and group. Safe twice and half-way.
function M.remove(cloud, ctx, env)
  if env.watch then env.watch:cancel() pcall(env.watch.join, env.watch) env.watch = nil end
  local place, machines = env.place, env.machines or {}
  while #machines > 0 do machine.terminate(cloud, ctx, env, machines[#machines]) end
  env.place = nil
  local group = env.group
  env.group = nil
  if group then
    local ok, e = pcall(cloud:service "ec2".DeleteSecurityGroup, cloud, { GroupId = group }, ctx)
    if not ok then
      C.event(cloud, ctx, env, "WARN", "Deleting security group named: %s failed Reason: %s", group, type(e) == "table" and e.message or tostring(e))
    end
  end
  if place and place.balancer then balancer.remove(cloud, ctx, env, place.balancer) end
  if place and place.queue then cloud:service "sqs".DeleteQueue(cloud, { QueueUrl = place.queue }, ctx) end
  if env.dir then fs.rmtree(env.dir) end
  if option(env, "aws:elasticbeanstalk:cloudwatch:logs", "DeleteOnTerminate") == "true" then
    for name in pairs(env.log_groups) do pcall(cloud:service "logs".DeleteLogGroup, cloud, { logGroupName = name }, ctx) end
  end
end

return M
