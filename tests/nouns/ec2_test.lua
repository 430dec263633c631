--- The nouns of EC2, request by request (see tests/support/noun_lab.lua).
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local function found_by(noun, name)
  return { Filters = { { Name = "tag:hkrun:key", Values = { ("aws.%s:%s"):format(noun, name) } },
                       { Name = "tag:hkrun:recipe", Values = { "lab" } } } }
end

local function specification(kind, noun, name)
  return { { ResourceType = kind, Tags = lab.tag_list(noun, name) } }
end

--- The call that sets a tag of the recipe's.
local function tagging(id)
  return { "ec2 CreateTags", { Resources = { id }, Tags = { { Key = "team", Value = "shop" } } } }
end
local TEAM = { tags = { team = "shop" } }

local VPC = { VpcId = "vpc-1", CidrBlock = "10.9.0.0/16", State = "available", Tags = lab.tag_list("vpc", "shop") }

local function named(on) return { "ec2 ModifyVpcAttribute", { VpcId = "vpc-1", EnableDnsHostnames = { Value = on } } } end

lab.case(T, {
  noun = "vpc", want = { "shop", cidr = "10.9.0.0/16" },
  absent = { ["ec2 DescribeVpcs"] = { Vpcs = {} } },
  there = { ["ec2 DescribeVpcs"] = { Vpcs = { VPC } },
            ["ec2 DescribeVpcAttribute"] = { EnableDnsSupport = { Value = true }, EnableDnsHostnames = { Value = true } } },
  looks = { { "ec2 DescribeVpcs", found_by("vpc", "shop") }, { "ec2 DescribeVpcAttribute", { VpcId = "vpc-1", Attribute = "enableDnsSupport" } },
            { "ec2 DescribeVpcAttribute", { VpcId = "vpc-1", Attribute = "enableDnsHostnames" } } },
  gone = { ["ec2 DescribeVpcAttribute"] = "InvalidVpcID.NotFound" },
  create = {
    { "ec2 CreateVpc", { CidrBlock = "10.9.0.0/16", TagSpecifications = specification("vpc", "vpc", "shop") }, { Vpc = VPC } }, named(true),
  },
  change = {
    { "its instances get no names", want = { dns_hostnames = false }, calls = { named(false) } },
    { "a tag is added", want = TEAM, calls = { tagging "vpc-1" } },
  },
  fixed = { cidr = "10.8.0.0/16" },
  delete = { { "ec2 DeleteVpc", { VpcId = "vpc-1" } } },
})

local function gateway(attachments)
  return { InternetGateways = { { InternetGatewayId = "igw-1", Attachments = attachments, Tags = lab.tag_list("internet_gateway", "shop") } } }
end

lab.case(T, {
  noun = "internet_gateway", want = { "shop", vpc = "vpc-1" },
  absent = { ["ec2 DescribeInternetGateways"] = { InternetGateways = {} } },
  there = { ["ec2 DescribeInternetGateways"] = gateway { { VpcId = "vpc-1", State = "available" } } },
  looks = { { "ec2 DescribeInternetGateways", found_by("internet_gateway", "shop") } },
  create = {
    { "ec2 CreateInternetGateway", { TagSpecifications = specification("internet-gateway", "internet_gateway", "shop") },
      { InternetGateway = { InternetGatewayId = "igw-1" } } },
    { "ec2 AttachInternetGateway", { InternetGatewayId = "igw-1", VpcId = "vpc-1" } },
  },
  change = {
    { "one that a run left unattached is attached", there = { ["ec2 DescribeInternetGateways"] = gateway {} },
      calls = { { "ec2 AttachInternetGateway", { InternetGatewayId = "igw-1", VpcId = "vpc-1" } } } },
    { "one that is not to be attached is detached", want = { attached = false },
      calls = { { "ec2 DetachInternetGateway", { InternetGatewayId = "igw-1", VpcId = "vpc-1" } } } },
    { "a tag is added", want = TEAM, calls = { tagging "igw-1" } },
  },
  fixed = { vpc = "vpc-2" },
  delete = {
    { "ec2 DetachInternetGateway", { InternetGatewayId = "igw-1", VpcId = "vpc-1" } },
    { "ec2 DeleteInternetGateway", { InternetGatewayId = "igw-1" } },
  },
})

local function subnet(more)
  return { Subnets = { lab.merged({ SubnetId = "subnet-1", VpcId = "vpc-1", CidrBlock = "10.9.0.0/24", AvailabilityZone = "us-east-1a",
    MapPublicIpOnLaunch = false, State = "available", Tags = lab.tag_list("subnet", "a") }, more or {}) } }
end

lab.case(T, {
  noun = "subnet", want = { "a", vpc = "vpc-1", cidr = "10.9.0.0/24", zone = "us-east-1a" },
  absent = { ["ec2 DescribeSubnets"] = { Subnets = {} } }, there = { ["ec2 DescribeSubnets"] = subnet() },
  looks = { { "ec2 DescribeSubnets", found_by("subnet", "a") } },
  create = { { "ec2 CreateSubnet", { VpcId = "vpc-1", CidrBlock = "10.9.0.0/24", AvailabilityZone = "us-east-1a",
    TagSpecifications = specification("subnet", "subnet", "a") }, { Subnet = { SubnetId = "subnet-1" } } } },
  change = {
    { "its instances get public addresses", want = { public = true },
      calls = { { "ec2 ModifySubnetAttribute", { SubnetId = "subnet-1", MapPublicIpOnLaunch = { Value = true } } } } },
    { "its instances get no public addresses any more", there = { ["ec2 DescribeSubnets"] = subnet { MapPublicIpOnLaunch = true } },
      calls = { { "ec2 ModifySubnetAttribute", { SubnetId = "subnet-1", MapPublicIpOnLaunch = { Value = false } } } } },
    { "a tag is added", want = TEAM, calls = { tagging "subnet-1" } },
  },
  fixed = { vpc = "vpc-2", cidr = "10.9.1.0/24", zone = "us-east-1b" },
  delete = { { "ec2 DeleteSubnet", { SubnetId = "subnet-1" } } },
})

lab.case(T, {
  noun = "subnet", title = "a public one", want = { "p", vpc = "vpc-1", cidr = "10.9.0.0/24", zone = "us-east-1a", public = true },
  absent = { ["ec2 DescribeSubnets"] = { Subnets = {} } },
  there = { ["ec2 DescribeSubnets"] = subnet { MapPublicIpOnLaunch = true, Tags = lab.tag_list("subnet", "p") } },
  create = {
    { "ec2 CreateSubnet", { VpcId = "vpc-1", CidrBlock = "10.9.0.0/24", AvailabilityZone = "us-east-1a",
      TagSpecifications = specification("subnet", "subnet", "p") }, { Subnet = { SubnetId = "subnet-1" } } },
    { "ec2 ModifySubnetAttribute", { SubnetId = "subnet-1", MapPublicIpOnLaunch = { Value = true } } },
  },
  delete = { { "ec2 DeleteSubnet", { SubnetId = "subnet-1" } } },
})

local LOCAL = { DestinationCidrBlock = "10.9.0.0/16", GatewayId = "local", Origin = "CreateRouteTable", State = "active" }
local OUT = { DestinationCidrBlock = "0.0.0.0/0", GatewayId = "igw-1", Origin = "CreateRoute", State = "active" }

local function associated(subnet_id, table_id)
  return { RouteTableAssociationId = "assoc-" .. subnet_id, SubnetId = subnet_id, RouteTableId = table_id, Main = false }
end

--- Our table by its tags or its id; who asks for a subnet's table gets `elsewhere[subnet]`.
local function tables(routes, subnets, elsewhere)
  return function(args)
    local by = args.Filters[1]
    if by.Name == "association.subnet-id" then return { RouteTables = { elsewhere and elsewhere[by.Values[1]] } } end
    local associations = { { RouteTableAssociationId = "assoc-main", Main = true, RouteTableId = "rtb-1" } }
    for _, s in ipairs(subnets) do associations[#associations + 1] = associated(s, "rtb-1") end
    return { RouteTables = { { RouteTableId = "rtb-1", VpcId = "vpc-1", Routes = { LOCAL, table.unpack(routes) },
                               Associations = associations, Tags = lab.tag_list("route_table", "public") } } }
  end
end

local function route(gateway_id) return { { to = "0.0.0.0/0", gateway = gateway_id } } end

lab.case(T, {
  noun = "route_table", want = { "public", vpc = "vpc-1", subnets = { "subnet-1" }, routes = route "igw-1" },
  absent = { ["ec2 DescribeRouteTables"] = { RouteTables = {} } },
  there = { ["ec2 DescribeRouteTables"] = tables({ OUT }, { "subnet-1" }) },
  looks = { { "ec2 DescribeRouteTables", found_by("route_table", "public") } },
  create = {
    { "ec2 CreateRouteTable", { VpcId = "vpc-1", ClientToken = "(token)",
      TagSpecifications = specification("route-table", "route_table", "public") }, { RouteTable = { RouteTableId = "rtb-1" } } },
    { "ec2 CreateRoute", { RouteTableId = "rtb-1", DestinationCidrBlock = "0.0.0.0/0", GatewayId = "igw-1" } },
    { "ec2 AssociateRouteTable", { RouteTableId = "rtb-1", SubnetId = "subnet-1" } },
  },
  change = {
    { "a route that is missing is made", there = { ["ec2 DescribeRouteTables"] = tables({}, { "subnet-1" }) },
      calls = { { "ec2 CreateRoute", { RouteTableId = "rtb-1", DestinationCidrBlock = "0.0.0.0/0", GatewayId = "igw-1" } } } },
    { "a route to another gateway is replaced", want = { routes = route "nat-7" },
      calls = { { "ec2 ReplaceRoute", { RouteTableId = "rtb-1", DestinationCidrBlock = "0.0.0.0/0", NatGatewayId = "nat-7" } } } },
    { "a route too many is deleted", want = { routes = {} },
      calls = { { "ec2 DeleteRoute", { RouteTableId = "rtb-1", DestinationCidrBlock = "0.0.0.0/0" } } } },
    { "a subnet more is taken in, and one that was in another table is moved", want = { subnets = { "subnet-1", "subnet-2", "subnet-3" } },
      there = { ["ec2 DescribeRouteTables"] = tables({ OUT }, { "subnet-1" }, { ["subnet-3"] = {
        RouteTableId = "rtb-9", Associations = { associated("subnet-3", "rtb-9") } } }) },
      calls = {
        { "ec2 AssociateRouteTable", { RouteTableId = "rtb-1", SubnetId = "subnet-2" } },
        { "ec2 ReplaceRouteTableAssociation", { AssociationId = "assoc-subnet-3", RouteTableId = "rtb-1" } },
      } },
    { "a subnet too many is let go", want = { subnets = {} },
      calls = { { "ec2 DisassociateRouteTable", { AssociationId = "assoc-subnet-1" } } } },
    { "a tag is added", want = TEAM, calls = { tagging "rtb-1" } },
  },
  fixed = { vpc = "vpc-2" },
  delete = {
    { "ec2 DisassociateRouteTable", { AssociationId = "assoc-subnet-1" } },
    { "ec2 DeleteRouteTable", { RouteTableId = "rtb-1" } },
  },
})

local KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"

lab.case(T, {
  noun = "key_pair", want = { "shop-bastion", public_key = KEY .. " made by hkrun" },
  absent = { ["ec2 DescribeKeyPairs"] = { KeyPairs = {} } },
  there = { ["ec2 DescribeKeyPairs"] = { KeyPairs = { { KeyPairId = "key-1", KeyName = "shop-bastion", PublicKey = KEY .. " shop-bastion",
    KeyFingerprint = "x", Tags = lab.tag_list("key_pair", "shop-bastion") } } } },
  looks = { { "ec2 DescribeKeyPairs", { Filters = { { Name = "key-name", Values = { "shop-bastion" } } }, IncludePublicKey = true } } },
  create = { { "ec2 ImportKeyPair", { KeyName = "shop-bastion", PublicKeyMaterial = KEY .. " made by hkrun",
    TagSpecifications = specification("key-pair", "key_pair", "shop-bastion") }, { KeyPairId = "key-1", KeyName = "shop-bastion" } } },
  change = { { "a tag is added", want = TEAM, calls = { tagging "key-1" } } },
  fixed = { public_key = "ssh-ed25519 AAAAother" },
  delete = { { "ec2 DeleteKeyPair", { KeyName = "shop-bastion" } } },
})

local function instance(more)
  return { Reservations = { { Instances = { lab.merged({ InstanceId = "i-1", SubnetId = "subnet-1", InstanceType = "t3.micro", ImageId = "ami-1",
    KeyName = "shop", SecurityGroups = { { GroupId = "sg-1" } }, PublicIpAddress = "203.0.113.9", PrivateIpAddress = "10.9.0.9",
    State = { Name = "running" }, Tags = lab.tag_list("instance", "shop"),
    NetworkInterfaces = { { Attachment = { DeviceIndex = 0 }, Groups = { { GroupId = "sg-1" } } },
                          { Attachment = { DeviceIndex = 1 }, Groups = { { GroupId = "sg-other" } } } } }, more or {}) } } } }
end

lab.case(T, {
  noun = "instance", want = { "shop", image = "ami-1", subnet = "subnet-1", groups = { "sg-1" }, key = "shop", public = true },
  absent = { ["ec2 DescribeInstances"] = instance { State = { Name = "terminated" } } },
  there = { ["ec2 DescribeInstances"] = instance() },
  looks = { { "ec2 DescribeInstances", found_by("instance", "shop") } },
  create = { { "ec2 RunInstances", { ImageId = "ami-1", InstanceType = "t3.micro", MinCount = 1, MaxCount = 1, ClientToken = "(token)",
    KeyName = "shop", MetadataOptions = { HttpTokens = "required", HttpEndpoint = "enabled" },
    NetworkInterfaces = { { DeviceIndex = 0, SubnetId = "subnet-1", Groups = { "sg-1" }, AssociatePublicIpAddress = true } },
    BlockDeviceMappings = { { DeviceName = "/dev/xvda", Ebs = { VolumeType = "gp3", Encrypted = true, DeleteOnTermination = true } } },
    TagSpecifications = { specification("instance", "instance", "shop")[1], specification("volume", "instance", "shop")[1] },
  }, { Instances = { { InstanceId = "i-1" } } } } },
  change = {
    { "it moves into other groups", want = { groups = { "sg-1", "sg-2" } },
      calls = { { "ec2 ModifyInstanceAttribute", { InstanceId = "i-1", Groups = { "sg-1", "sg-2" } } } } },
    { "one that someone stopped is started", there = { ["ec2 DescribeInstances"] = instance { State = { Name = "stopped" } } },
      calls = { { "ec2 StartInstances", { InstanceIds = { "i-1" } } } } },
    { "one that is not to run is stopped", want = { running = false }, calls = { { "ec2 StopInstances", { InstanceIds = { "i-1" } } } } },
    { "a tag is added", want = TEAM, calls = { tagging "i-1" } },
  },
  fixed = { subnet = "subnet-2", type = "t3.small", key = "other" },
  delete = { { "ec2 TerminateInstances", { InstanceIds = { "i-1" } } } },
})

return T
