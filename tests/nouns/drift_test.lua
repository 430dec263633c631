--- What AWS writes in another way than a recipe, and what it adds, is no difference; what someone else changed is one, and
--- only that is put back.
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

--- The changes that a plan shows of the one noun that fn makes, by field, and then the calls of an apply.
local function drift(fn, answers)
  local l, world = recipe_lab(), lab.world(answers)
  local changes = {}
  for _, c in ipairs(l:plan(fn).entries[1].changes or {}) do changes[c.field] = { c.old, c.new } end
  lab.same(world.changing, {}, "calls of a plan")
  if next(changes) then l:apply(fn) end
  return changes, world.changing
end

-- Security groups ----------------------------------------------------------

local OUT = { { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } } } }

--- What is told of a group with these permissions, and done, when its recipe has these rules.
local function group(rules, permissions, out)
  local answers = { ["ec2 DescribeSecurityGroups"] = { SecurityGroups = { { GroupId = "sg-1", GroupName = "db", VpcId = "vpc-1", Description = "db",
    OwnerId = "123456789012", IpPermissions = permissions, IpPermissionsEgress = out or OUT, Tags = lab.tag_list("security_group", "db") } } } }
  for _, op in ipairs { "AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress", "UpdateSecurityGroupRuleDescriptionsIngress",
                        "AuthorizeSecurityGroupEgress", "RevokeSecurityGroupEgress" } do
    answers["ec2 " .. op] = {}
  end
  return drift(function() aws.security_group { "db", vpc = "vpc-1", rules = rules } end, answers)
end

local function tcp(port, more) return lab.merged({ IpProtocol = "tcp", FromPort = port, ToPort = port }, more) end

T["security group: order, grouping, and how AWS writes protocols, ranges and ports are no difference"] = function()
  test.equal(group({
    { port = 22, from = "10.0.0.7/24", why = "office" }, { port = 5432, from = "sg-9" }, { port = 5432, from = "self" },
    { port = 5432, from = "sg-8" }, { port = 5432, from = "210987654321/sg-7" }, { port = 443, from = "2001:DB8:0:0:0::1/64" },
    { port = 443, from = "pl-1" }, { protocol = "all", from = "10.1.0.0/16" }, { protocol = 17, port = 53, to_port = 54, from = "0.0.0.0/0" },
    { protocol = "icmp", from = "0.0.0.0/0" }, { from = "sg-9" }, { port = 22, from = "10.0.0.0/24" },
  }, {
    { IpProtocol = "tcp", FromPort = 0, ToPort = 65535, UserIdGroupPairs = { { GroupId = "sg-9", UserId = "123456789012" } } },
    { IpProtocol = "icmp", FromPort = -1, ToPort = -1, IpRanges = { { CidrIp = "0.0.0.0/0" } } },
    { IpProtocol = "udp", FromPort = 53, ToPort = 54, IpRanges = { { CidrIp = "0.0.0.0/0" } } },
    { IpProtocol = "-1", IpRanges = { { CidrIp = "10.1.0.0/16" } } },
    tcp(443, { PrefixListIds = { { PrefixListId = "pl-1" } }, Ipv6Ranges = { { CidrIpv6 = "2001:db8::/64" } } }),
    tcp(5432, { UserIdGroupPairs = { { GroupId = "sg-8", UserId = "123456789012" }, { GroupId = "sg-7", UserId = "210987654321" },
                                     { GroupId = "sg-1", UserId = "123456789012" }, { GroupId = "sg-9", UserId = "123456789012" } } }),
    tcp(22, { IpRanges = { { CidrIp = "10.0.0.0/24", Description = "office" } } }),
  }), {})
end

T["security group: rules of every kind that someone added are told and taken away, those of the recipe stay"] = function()
  local changes, calls = group({ { port = 22, from = "10.0.0.0/24" } }, {
    tcp(22, { IpRanges = { { CidrIp = "10.0.0.0/24" }, { CidrIp = "0.0.0.0/0" } }, Ipv6Ranges = { { CidrIpv6 = "::/0" } },
              PrefixListIds = { { PrefixListId = "pl-1" } }, UserIdGroupPairs = { { GroupId = "sg-1" } } }),
  })
  test.equal(changes.rules[2], {})
  test.equal(#changes.rules[1], 4)
  lab.same(calls, { { "ec2 RevokeSecurityGroupIngress", { GroupId = "sg-1", IpPermissions = {
    tcp(22, { IpRanges = { { CidrIp = "0.0.0.0/0" } } }), tcp(22, { Ipv6Ranges = { { CidrIpv6 = "::/0" } } }),
    tcp(22, { UserIdGroupPairs = { { GroupId = "sg-1" } } }), tcp(22, { PrefixListIds = { { PrefixListId = "pl-1" } } }),
  } } } })
end

T["security group: a rule's description is changed in place, and one that the recipe does not give is left alone"] = function()
  local changes, calls = group({ { port = 22, from = "10.0.0.0/24", why = "office" }, { port = 80, from = "10.0.0.0/24" } }, {
    tcp(22, { IpRanges = { { CidrIp = "10.0.0.0/24", Description = "mine" } } }),
    tcp(80, { IpRanges = { { CidrIp = "10.0.0.0/24", Description = "theirs" } } }),
  })
  test.equal(changes, { rules = { { { port = 22, from = "10.0.0.0/24", why = "mine" } }, { { port = 22, from = "10.0.0.0/24", why = "office" } } } })
  lab.same(calls, { { "ec2 UpdateSecurityGroupRuleDescriptionsIngress", { GroupId = "sg-1", IpPermissions = {
    tcp(22, { IpRanges = { { CidrIp = "10.0.0.0/24", Description = "office" } } }) } } } })
end

T["security group: everything may go out again, and nothing else says so"] = function()
  local function out(list) return group({}, {}, list) end
  test.equal(out { { IpProtocol = "-1", IpRanges = { { CidrIp = "0.0.0.0/0" } }, Ipv6Ranges = { { CidrIpv6 = "::/0" } } } }, {})
  local changes, calls = out { tcp(443, { IpRanges = { { CidrIp = "0.0.0.0/0" } } }) }
  test.equal(changes, { egress = { false, true } })
  lab.same(calls, {
    { "ec2 AuthorizeSecurityGroupEgress", { GroupId = "sg-1", IpPermissions = OUT } },
    { "ec2 RevokeSecurityGroupEgress", { GroupId = "sg-1", IpPermissions = { tcp(443, { IpRanges = { { CidrIp = "0.0.0.0/0" } } }) } } },
  })
end

-- Route tables -------------------------------------------------------------

T["route table: IPv6 and prefix list routes are routes, those of a VPC endpoint are not"] = function()
  local function route(to, target) return lab.merged({ Origin = "CreateRoute" }, to, target) end
  local changes, calls = drift(function()
    aws.route_table { "t", vpc = "vpc-1", routes = { { to = "0.0.0.0/0", gateway = "igw-1" }, { to = "::/0", gateway = "igw-1" } } }
  end, {
    ["ec2 DescribeRouteTables"] = { RouteTables = { { RouteTableId = "rtb-1", VpcId = "vpc-1", Tags = lab.tag_list("route_table", "t"), Routes = {
      { Origin = "CreateRouteTable", DestinationCidrBlock = "10.0.0.0/16", GatewayId = "local" },
      route({ DestinationPrefixListId = "pl-s3" }, { GatewayId = "vpce-1" }), route({ DestinationPrefixListId = "pl-1" }, { NatGatewayId = "nat-1" }),
      route({ DestinationIpv6CidrBlock = "::/0" }, { EgressOnlyInternetGatewayId = "eigw-1" }),
      route({ DestinationCidrBlock = "0.0.0.0/0" }, { GatewayId = "igw-1" }),
    } } } },
    ["ec2 ReplaceRoute"] = {}, ["ec2 DeleteRoute"] = {},
  })
  test.equal(changes.routes[1], { { to = "pl-1", gateway = "nat-1" }, { to = "::/0", gateway = "eigw-1" }, { to = "0.0.0.0/0", gateway = "igw-1" } })
  lab.same(calls, {
    { "ec2 ReplaceRoute", { RouteTableId = "rtb-1", DestinationIpv6CidrBlock = "::/0", GatewayId = "igw-1" } },
    { "ec2 DeleteRoute", { RouteTableId = "rtb-1", DestinationPrefixListId = "pl-1" } },
  })
end

-- Instances ----------------------------------------------------------------

local function machine(more)
  return { ["ec2 DescribeInstances"] = { Reservations = { { Instances = { lab.merged({ InstanceId = "i-1", SubnetId = "subnet-1", ImageId = "ami-1",
    InstanceType = "t3.micro", State = { Name = "running" }, SecurityGroups = { { GroupId = "sg-1" } }, Tags = lab.tag_list("instance", "m"),
    IamInstanceProfile = { Arn = "arn:aws:iam::1:instance-profile/path/app" }, MetadataOptions = { HttpTokens = "required" } }, more or {}) } } } } }
end

local function instance() aws.instance { "m", image = "ami-2", subnet = "subnet-1", groups = { "sg-1" }, profile = "app" } end

T["instance: another profile is replaced, a missing one is given, a metadata service for everybody is closed"] = function()
  test.equal(drift(instance, machine()), {})
  local APP = { Name = "app" }
  local changes, calls = drift(instance, lab.merged(machine { IamInstanceProfile = { Arn = "arn:aws:iam::1:instance-profile/admin" } }, {
    ["ec2 DescribeIamInstanceProfileAssociations"] = { IamInstanceProfileAssociations = { { AssociationId = "iip-1" } } },
    ["ec2 ReplaceIamInstanceProfileAssociation"] = {} }))
  test.equal(changes, { profile = { "admin", "app" } })
  lab.same(calls, { { "ec2 ReplaceIamInstanceProfileAssociation", { AssociationId = "iip-1", IamInstanceProfile = APP } } })
  local none = machine { MetadataOptions = { HttpTokens = "optional" } }
  none["ec2 DescribeInstances"].Reservations[1].Instances[1].IamInstanceProfile = nil
  changes, calls = drift(instance, lab.merged(none, { ["ec2 AssociateIamInstanceProfile"] = {}, ["ec2 ModifyInstanceMetadataOptions"] = {} }))
  test.equal(changes, { profile = { nil, "app" }, imdsv2 = { false, true } })
  lab.same(calls, { { "ec2 AssociateIamInstanceProfile", { InstanceId = "i-1", IamInstanceProfile = APP } },
                    { "ec2 ModifyInstanceMetadataOptions", { InstanceId = "i-1", HttpTokens = "required", HttpEndpoint = "enabled" } } })
end

-- Roles --------------------------------------------------------------------

--- What is told of a role that trusts in this document.
local function trusting(statements, more)
  return drift(function() aws.role(lab.merged({ "r", service = "ec2.amazonaws.com", description = "the machines" }, more)) end, {
    ["iam GetRole"] = { Role = { RoleName = "r", Arn = "arn:r", Description = "the machines", Tags = lab.tag_list("role", "r"),
      AssumeRolePolicyDocument = { Version = "2012-10-17", Statement = statements } } },
    ["iam ListAttachedRolePolicies"] = { AttachedPolicies = {}, IsTruncated = false },
    ["iam ListRolePolicies"] = { PolicyNames = {}, IsTruncated = false },
    ["iam UpdateAssumeRolePolicy"] = {}, ["iam UpdateRole"] = {},
  })
end

local ALLOWED = { Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }

T["role: one who was let in beside the service is told and shut out, another way to write the document is no difference"] = function()
  test.equal(trusting { { Sid = "", Effect = "Allow", Action = { "sts:AssumeRole" }, Principal = { Service = { "ec2.amazonaws.com" } } } }, {})
  test.equal(trusting(ALLOWED), {})
  local changes, calls = trusting { ALLOWED, { Effect = "Allow", Action = "sts:AssumeRole", Principal = { AWS = "arn:aws:iam::210987654321:root" } } }
  test.equal({ #changes.service[1].Statement, changes.service[2] }, { 2, "ec2.amazonaws.com" })
  test.equal(#calls, 1)
  changes = trusting { lab.merged(ALLOWED, { Condition = { StringEquals = { ["sts:ExternalId"] = "x" } } }) }
  test.truthy(changes.service, "a condition that nobody asked for")
end

T["role: its description is put back"] = function()
  local changes, calls = trusting({ ALLOWED }, { description = "the workers" })
  test.equal(changes, { description = { "the machines", "the workers" } })
  lab.same(calls, { { "iam UpdateRole", { RoleName = "r", Description = "the workers" } } })
end

-- Elastic Beanstalk --------------------------------------------------------

local LAUNCH, ASG, HEALTH = "aws:autoscaling:launchconfiguration", "aws:autoscaling:asg", "aws:elasticbeanstalk:healthreporting:system"
local MANAGED = "aws:elasticbeanstalk:managedactions"

--- What is told of an environment that answers with these options: { namespace, name, value }.
local function environment(want, options, more)
  local list = {}
  for i, o in ipairs(options) do list[i] = { Namespace = o[1], OptionName = o[2], Value = o[3] } end
  return drift(function() aws.eb_environment(lab.merged({ "shop-web", application = "a", settings = want }, more or {})) end, {
    ["elasticbeanstalk DescribeEnvironments"] = { Environments = { { EnvironmentName = "shop-web", EnvironmentArn = "arn:e", ApplicationName = "a",
      Status = "Ready", Health = "Green", CNAME = "c", PlatformArn = "arn:platform/Docker/4.9.3" } } },
    ["elasticbeanstalk DescribeConfigurationSettings"] = { ConfigurationSettings = { { OptionSettings = list } } },
    ["elasticbeanstalk ListTagsForResource"] = { ResourceTags =
      lab.tag_list("eb_environment", "shop-web", { ["elasticbeanstalk:environment-id"] = "e-1" }) },
    ["elasticbeanstalk UpdateEnvironment"] = {}, ["elasticbeanstalk DescribeEvents"] = { Events = {} },
    ["ec2 DescribeSecurityGroups"] = function(args)
      local groups = {}
      for i, id in ipairs(args.Filters[1].Values) do
        groups[i] = { GroupId = id, GroupName = id == "sg-eb" and "awseb-e-1-stack-AWSEBSecurityGroup-X" or "mine" }
      end
      return { SecurityGroups = groups }
    end,
  })
end

T["environment: reordered, defaulted, added and otherwise written options are no difference"] = function()
  test.equal(environment({
    [LAUNCH] = { SecurityGroups = "sg-2,sg-1", DisableIMDSv1 = true }, [ASG] = { MinSize = 1, MaxSize = 2.0 },
    ["aws:elasticbeanstalk:application"] = { ["Application Healthcheck URL"] = "" },
    [HEALTH] = { ConfigDocument = '{"Rules":{"Environment":{"Application":{"ApplicationRequests4xx":{"Enabled":false}}}}}' },
  }, {
    { HEALTH, "ConfigDocument",
      '{ "Version": 1, "Rules": { "Environment": { "Application": { "ApplicationRequests4xx": { "Enabled": false } }, "ELB": {} } } }' },
    { ASG, "MaxSize", "2" }, { ASG, "MinSize", "1" }, { ASG, "Cooldown", "360" },
    { LAUNCH, "SecurityGroups", "sg-1, sg-eb,sg-2" }, { LAUNCH, "DisableIMDSv1", "true" }, { LAUNCH, "EC2KeyName" },
    { "aws:elasticbeanstalk:application", "Application Healthcheck URL" },
  }), {})
end

T["environment: an option and a group that someone put there are told; only what differs is set"] = function()
  local changes, calls = environment({ [LAUNCH] = { SecurityGroups = "sg-1" }, [ASG] = { MinSize = "1", MaxSize = "2" } },
    { { LAUNCH, "SecurityGroups", "sg-1,sg-eb,sg-99" }, { ASG, "MinSize", "1" }, { ASG, "MaxSize", "9" } })
  test.equal(changes, { settings = { { [LAUNCH] = { SecurityGroups = "sg-1,sg-99" }, [ASG] = { MaxSize = "9" } },
                                     { [LAUNCH] = { SecurityGroups = "sg-1" }, [ASG] = { MaxSize = "2" } } } })
  lab.same(calls, { { "elasticbeanstalk UpdateEnvironment", { EnvironmentName = "shop-web", OptionSettings = {
    { Namespace = ASG, OptionName = "MaxSize", Value = "2" }, { Namespace = LAUNCH, OptionName = "SecurityGroups", Value = "sg-1" } } } } })
end

T["environment: a newer platform is no difference where Elastic Beanstalk updates it by itself"] = function()
  local want = { platform = "arn:platform/Docker/4.9.1" }
  test.equal(environment({}, { { MANAGED, "ManagedActionsEnabled", "true" } }, want), {})
  test.truthy(environment({}, { { MANAGED, "ManagedActionsEnabled", "false" } }, want).platform)
  test.truthy(environment({}, { { MANAGED, "ManagedActionsEnabled", "true" } }, { platform = "arn:platform/Docker/4.9.4" }).platform)
end

return T
