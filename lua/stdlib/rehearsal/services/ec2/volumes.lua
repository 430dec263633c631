--- EBS volumes: the disks of the instances, and those that stand alone. They hold nothing.
local C = require "rehearsal.services.ec2.common"
local wire = require "rehearsal.wire"

local S = {}

local function add(cloud, ctx, fields, tag_specifications)
  local id = cloud:new_id "vol"
  local volume = { VolumeId = id, VolumeType = "gp3", CreateTime = cloud.clock:now(), Encrypted = false, MultiAttachEnabled = false,
                   SnapshotId = "", State = "available", Attachments = {} }
  for name, value in pairs(fields) do volume[name] = value end
  return C._add(cloud, ctx, "volume", id, volume, tag_specifications)
end

local function volume_of(cloud, ctx, id) return C._get(cloud, ctx, "volume", id, "InvalidVolume.NotFound") end

--- The root disk of a new instance.
function S._attach_root(cloud, ctx, instance, p)
  local mapping = p.BlockDeviceMappings and p.BlockDeviceMappings[1] or {}
  local ebs, device = mapping.Ebs or {}, mapping.DeviceName or instance.RootDeviceName
  local ends_with_it = ebs.DeleteOnTermination ~= false
  local volume = add(cloud, ctx, { Size = ebs.VolumeSize or 8, VolumeType = ebs.VolumeType or "gp3", Encrypted = ebs.Encrypted or false,
    AvailabilityZone = instance.Placement.AvailabilityZone, State = "in-use" }, p.TagSpecifications)
  volume.Attachments = { { VolumeId = volume.VolumeId, InstanceId = instance.InstanceId, Device = device, State = "attached",
                           AttachTime = cloud.clock:now(), DeleteOnTermination = ends_with_it } }
  instance.BlockDeviceMappings = { { DeviceName = device, Ebs = { VolumeId = volume.VolumeId, Status = "attached",
                                     AttachTime = cloud.clock:now(), DeleteOnTermination = ends_with_it } } }
end

--- Lets go of the disks of an instance that is terminated.
function S._release(cloud, ctx, instance)
  for _, volume in ipairs(C._list(cloud, ctx.region, "volume")) do
    local to = volume.Attachments[1]
    if to and to.InstanceId == instance.InstanceId then
      if to.DeleteOnTermination then C._remove(cloud, ctx, volume.VolumeId)
      else volume.State, volume.Attachments = "available", {} end
    end
  end
end

function S.CreateVolume(cloud, p, ctx)
  if not p.AvailabilityZone then wire.fail("MissingParameter", 400, "The request must contain the parameter AvailabilityZone") end
  if not (p.Size or p.SnapshotId) then wire.fail("MissingParameter", 400, "The request must contain the parameter size or snapshotId") end
  if p.SnapshotId then wire.fail("InvalidSnapshot.NotFound", 400, "The snapshot '%s' does not exist.", p.SnapshotId) end
  local before = C._by_token(cloud, ctx, p.ClientToken)
  if before then return before end
  local volume = add(cloud, ctx, { Size = p.Size, VolumeType = p.VolumeType or "gp2", Encrypted = p.Encrypted or false,
    AvailabilityZone = p.AvailabilityZone, State = "creating" }, p.TagSpecifications)
  cloud:after(5, function() if volume.State == "creating" then volume.State = "available" end end)
  return C._keep_token(cloud, ctx, p.ClientToken, volume)
end

function S.DescribeVolumes(cloud, p, ctx)
  local list = C._select(C._list(cloud, ctx.region, "volume"), "VolumeId", p.VolumeIds, p.Filters, "InvalidVolume.NotFound")
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Volumes = page, NextToken = token }
end

function S.DeleteVolume(cloud, p, ctx)
  local volume = volume_of(cloud, ctx, p.VolumeId)
  local to = volume.Attachments[1]
  if to then wire.fail("VolumeInUse", 400, "Volume %s is currently attached to %s", p.VolumeId, to.InstanceId) end
  C._remove(cloud, ctx, p.VolumeId)
end

return S
