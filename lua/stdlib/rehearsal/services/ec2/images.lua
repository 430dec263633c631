--- The machine images that the rehearsal knows: Amazon Linux 2023, for both
--- processors, under the names that Amazon publishes in the parameter store.
local sign = require "sign"

local M = {}

--- Two images a region, with ids that stay the same from run to run.
function M.list(region)
  local list = {}
  for i, arch in ipairs { "x86_64", "arm64" } do
    list[i] = {
      ImageId = "ami-0" .. sign.sha256(region .. arch):sub(1, 16), Name = "al2023-ami-2023.9.20261110.0-kernel-6.1-" .. arch,
      Architecture = arch, State = "available", OwnerId = "137112412989", ImageOwnerAlias = "amazon", Public = true, ImageType = "machine",
      RootDeviceName = "/dev/xvda", RootDeviceType = "ebs", VirtualizationType = "hvm", Hypervisor = "xen", EnaSupport = true,
      CreationDate = "2026-11-10T00:00:00.000Z", Description = "Amazon Linux 2023 AMI " .. arch .. " HVM kernel-6.1",
      PlatformDetails = "Linux/UNIX", BlockDeviceMappings = {}, Tags = {},
    }
  end
  return list
end

function M.find(region, id)
  for _, image in ipairs(M.list(region)) do if image.ImageId == id then return image end end
end

--- "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64" -> image id
function M.parameter(region, name)
  local arch = name:match "^/aws/service/ami%-amazon%-linux%-latest/al2023%-ami%-kernel%-[%w%.]+%-([%w_]+)$"
  for _, image in ipairs(M.list(region)) do if image.Architecture == arch then return image.ImageId end end
end

return M
