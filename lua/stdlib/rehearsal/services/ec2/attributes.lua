--- What can be changed of an instance while it lives: its attributes, its metadata service, its instance profile.
local C = require "rehearsal.services.ec2.common"
local security = require "rehearsal.services.ec2.security"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local function instance_of(cloud, ctx, id)
  return C._get(cloud, ctx, "instance", id, "InvalidInstanceID.NotFound")
end

function S.DescribeInstanceAttribute(cloud, p, ctx)
  local instance = instance_of(cloud, ctx, p.InstanceId)
  if p.Attribute == "disableApiTermination" then
    return { InstanceId = p.InstanceId, DisableApiTermination = { Value = instance.protected or false } }
  end
  if p.Attribute == "instanceType" then return { InstanceId = p.InstanceId, InstanceType = { Value = instance.InstanceType } } end
  if p.Attribute == "groupSet" then return { InstanceId = p.InstanceId, Groups = instance.SecurityGroups } end
  if p.Attribute == "sourceDestCheck" then return { InstanceId = p.InstanceId, SourceDestCheck = { Value = instance.SourceDestCheck } } end
  wire.fail("InvalidParameterValue", 400, "the rehearsal does not keep the attribute %s", p.Attribute)
end

local function regroup(cloud, ctx, instance, ids)
  local groups, old = {}, {}
  for i, id in ipairs(ids) do
    local group = C._get(cloud, ctx, "security-group", id, "InvalidGroup.NotFound")
    if group.VpcId ~= instance.VpcId then
      wire.fail("InvalidGroup.NotFound", 400, "The security group '%s' does not exist in VPC '%s'", id, instance.VpcId)
    end
    groups[i] = { GroupId = id, GroupName = group.GroupName }
  end
  for i, group in ipairs(instance.SecurityGroups) do old[i] = group.GroupId end
  security._use_groups(cloud, ctx, old, instance.InstanceId, nil)
  security._use_groups(cloud, ctx, ids, instance.InstanceId, true)
  instance.SecurityGroups = groups
  if instance.host then
    instance.host.groups = ids
    cloud.net:filter(instance.VpcId)
  end
end

function S.ModifyInstanceAttribute(cloud, p, ctx)
  local instance = instance_of(cloud, ctx, p.InstanceId)
  if p.InstanceType then
    if instance.State.Name ~= "stopped" then
      wire.fail("IncorrectInstanceState", 400, "The instance '%s' is not in the 'stopped' state.", p.InstanceId)
    end
    instance.InstanceType = p.InstanceType.Value
  end
  if p.DisableApiTermination then instance.protected = p.DisableApiTermination.Value end
  if p.SourceDestCheck then instance.SourceDestCheck = p.SourceDestCheck.Value end
  if p.Groups then regroup(cloud, ctx, instance, p.Groups) end
end

function S.ModifyInstanceMetadataOptions(cloud, p, ctx)
  local options = instance_of(cloud, ctx, p.InstanceId).MetadataOptions
  for _, name in ipairs { "HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags" } do
    if p[name] ~= nil then options[name] = p[name] end
  end
  return { InstanceId = p.InstanceId, InstanceMetadataOptions = options }
end

-- Instance profiles --------------------------------------------------------

--- Gives an instance a profile, by its name or its ARN.
function S._give_profile(cloud, instance, spec)
  local name = spec.Name or (spec.Arn or ""):match "[^/]+$" or ""
  local profile = cloud:service "iam"._profile(cloud, name)
                  or wire.fail("InvalidParameterValue", 400,
                    "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
  instance.IamInstanceProfile = { Arn = profile.Arn, Id = profile.InstanceProfileId }
  instance.association = "iip-assoc-0" .. sign.hex(sign.random(8))
end

local function shown(instance)
  return { AssociationId = instance.association, InstanceId = instance.InstanceId, IamInstanceProfile = instance.IamInstanceProfile,
           State = "associated" }
end

local function by_association(cloud, ctx, id)
  for _, instance in ipairs(C._list(cloud, ctx.region, "instance")) do
    if instance.association == id then return instance end
  end
  wire.fail("InvalidAssociationID.NotFound", 400, "An invalid association-id of '%s' was given", id)
end

function S.AssociateIamInstanceProfile(cloud, p, ctx)
  local instance = instance_of(cloud, ctx, p.InstanceId)
  if instance.IamInstanceProfile then
    wire.fail("IncorrectState", 400, "There is an existing association for instance %s", p.InstanceId)
  end
  S._give_profile(cloud, instance, p.IamInstanceProfile)
  return { IamInstanceProfileAssociation = shown(instance) }
end

function S.ReplaceIamInstanceProfileAssociation(cloud, p, ctx)
  local instance = by_association(cloud, ctx, p.AssociationId)
  S._give_profile(cloud, instance, p.IamInstanceProfile)
  return { IamInstanceProfileAssociation = shown(instance) }
end

function S.DisassociateIamInstanceProfile(cloud, p, ctx)
  local instance = by_association(cloud, ctx, p.AssociationId)
  local answer = shown(instance)
  instance.IamInstanceProfile, instance.association, answer.State = nil, nil, "disassociating"
  return { IamInstanceProfileAssociation = answer }
end

function S.DescribeIamInstanceProfileAssociations(cloud, p, ctx)
  local list = {}
  for _, instance in ipairs(C._list(cloud, ctx.region, "instance")) do
    if instance.association then list[#list + 1] = shown(instance) end
  end
  list = C._select(list, "AssociationId", p.AssociationIds, p.Filters, "InvalidAssociationID.NotFound")
  return { IamInstanceProfileAssociations = list }
end

return S
