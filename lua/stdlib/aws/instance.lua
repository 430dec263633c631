--- An EC2 instance. Its metadata service answers only to IMDSv2; its disk is encrypted.
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local function find(filters)
  local list = {}
  for r in aws.ec2:each("describe_instances", { Filters = filters }) do
    for _, i in ipairs(r.Instances) do
      if i.State.Name ~= "terminated" then list[#list + 1] = i end
    end
  end
  return list
end

--- The groups of its first interface, which are the machine's own.
local function groups_of(i)
  local list = i.SecurityGroups or {}
  for _, nic in ipairs(i.NetworkInterfaces or {}) do
    if nic.Attachment and nic.Attachment.DeviceIndex == 0 then list = nic.Groups or list end
  end
  local groups = {}
  for n, g in ipairs(list) do groups[n] = g.GroupId end
  return groups
end

local function shown(i)
  local groups = groups_of(i)
  local tags = noun.tag_map(i.Tags)
  return {
    id = i.InstanceId, subnet = i.SubnetId, type = i.InstanceType, image = i.ImageId, key = i.KeyName, groups = groups,
    address = i.PublicIpAddress, private_address = i.PrivateIpAddress, state = i.State.Name, tags = tags,
    running = i.State.Name == "pending" or i.State.Name == "running", deleting = i.State.Name == "shutting-down" or nil,
    host_key = tags["hkrun:host-key"], profile = i.IamInstanceProfile and i.IamInstanceProfile.Arn:match "[^/]+$",
    imdsv2 = not i.MetadataOptions or i.MetadataOptions.HttpTokens == "required",
  }
end

--- An instance has one profile at most.
local function set_profile(id, name, has_one)
  local profile = { Name = name }
  noun.settled("InvalidParameterValue", 60, function()       -- EC2 takes seconds to know a new profile
    if not has_one then return aws.ec2:associate_iam_instance_profile { InstanceId = id, IamInstanceProfile = profile } end
    local found = aws.ec2:describe_iam_instance_profile_associations { Filters = {
      { Name = "instance-id", Values = { id } }, { Name = "state", Values = { "associated", "associating" } } } }
    local association = found.IamInstanceProfileAssociations[1].AssociationId
    return aws.ec2:replace_iam_instance_profile_association { AssociationId = association, IamInstanceProfile = profile }
  end)
end

local HINTS = {
  InstanceLimitExceeded = "ask AWS for a higher quota of instances",
  VcpuLimitExceeded = "ask AWS for a higher quota of vCPUs (Running On-Demand Standard instances)",
  InsufficientInstanceCapacity = "take another instance type or another zone",
  UnsupportedOperation = "does this type exist in that zone, and for the image's processor?",
}

return recipe.kind {
  name = "aws.instance",
  options = {
    { "image", "AMI; a newer one does not replace an instance", type = "string", required = true },
    { "type", "instance type: t3.micro", type = "string", default = "t3.micro" },
    { "subnet", "the subnet or its id", type = "any", required = true },
    { "groups", "security groups or their ids", type = "list", required = true },
    { "key", "name of its key pair", type = "string" },
    { "profile", "name of its instance profile", type = "string" },
    { "public", "gets a public address", type = "boolean", default = false },
    { "gigabytes", "size of its disk; else the image's", type = "integer" },
    { "imdsv2", "its metadata service answers to nothing else", type = "boolean", default = true, one_of = { true } },
    { "user_data", "script for its first boot", type = "any" },
    { "running", "it runs", type = "boolean", default = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "address", "private_address", "host_key" }, fixed = { "subnet", "type", "key" }, summary = { "type", "subnet", "public" },
  idempotent = true,                                         -- ClientToken
  compare = { tags = "given", groups = "set", image = "ignore", gigabytes = "ignore", public = "ignore", user_data = "ignore" },

  read = function(spec, known, ctx)
    local i = noun.only(find(noun.ec2_filters(spec, known, ctx, "instance-id")), spec, "InstanceId")
    return i and shown(i)
  end,

  create = function(spec, ctx)
    local made = noun.hinted(HINTS, noun.settled, "InvalidParameterValue InvalidSubnetID.NotFound InvalidGroup.NotFound", 60, function()
      return aws.ec2:run_instances {
        ImageId = spec.image, InstanceType = spec.type, MinCount = 1, MaxCount = 1, ClientToken = ctx.token, KeyName = spec.key,
        NetworkInterfaces = { {
          DeviceIndex = 0, SubnetId = noun.id(spec.subnet), Groups = noun.ids(spec.groups), AssociatePublicIpAddress = spec.public,
        } },
        IamInstanceProfile = spec.profile and { Name = spec.profile } or nil, UserData = spec.user_data,
        MetadataOptions = { HttpTokens = "required", HttpEndpoint = "enabled" },
        BlockDeviceMappings = { { DeviceName = "/dev/xvda", Ebs = {
          VolumeType = "gp3", VolumeSize = spec.gigabytes, Encrypted = true, DeleteOnTermination = true } } },
        TagSpecifications = { noun.ec2_tags("instance", spec, ctx)[1], noun.ec2_tags("volume", spec, ctx)[1] },
      }
    end)
    return made.Instances[1].InstanceId
  end,

  ready = function(current, ctx)
    if not current.running or current.state == "running" then return nil end
    return noun.wait(ctx, "it does not run", ctx.timeout, function()
      local found = aws.ec2:describe_instances({ Filters = { { Name = "instance-id", Values = { current.id } } } }).Reservations[1]
      local i = found and found.Instances[1]
      local state = i and i.State.Name or "not seen yet"
      if state == "running" then return shown(i) end
      if state == "shutting-down" or state == "terminated" then
        local why = i.StateReason and i.StateReason.Message
        errors.raise { kind = "remote", message = "it was terminated: " .. (why or "EC2 does not say why") }
      end
      return nil, state
    end)
  end,

  update = function(spec, current, changes)
    if changes.groups then
      aws.ec2:modify_instance_attribute { InstanceId = current.id, Groups = noun.ids(spec.groups) }
    end
    if changes.profile then set_profile(current.id, spec.profile, current.profile ~= nil) end
    if changes.imdsv2 then
      aws.ec2:modify_instance_metadata_options { InstanceId = current.id, HttpTokens = "required", HttpEndpoint = "enabled" }
    end
    if changes.running and spec.running then
      if current.state == "stopping" then aws.ec2:wait("instance_stopped", { InstanceIds = { current.id } }) end
      aws.ec2:start_instances { InstanceIds = { current.id } }
    elseif changes.running then
      aws.ec2:stop_instances { InstanceIds = { current.id } }
    end
    if changes.tags then aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete("InvalidInstanceID.NotFound", function() aws.ec2:terminate_instances { InstanceIds = { current.id } } end)
  end,
}
