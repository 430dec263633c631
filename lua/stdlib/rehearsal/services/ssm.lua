--- AWS Systems Manager in the rehearsal: Amazon's public parameters.
local images = require "rehearsal.services.ec2.images"
local wire = require "rehearsal.wire"

local S = {}

local function parameter(cloud, region, name)
  local id = images.parameter(region, name)
  return id and { Name = name, Type = "String", Value = id, Version = 1, LastModifiedDate = cloud.clock:now() - 86400, DataType = "text",
                  ARN = ("arn:aws:ssm:%s::parameter%s"):format(region, name) }
end

function S.GetParameter(cloud, p, ctx)
  return { Parameter = parameter(cloud, ctx.region, p.Name) or wire.fail("ParameterNotFound", 400, "Parameter %s not found.", p.Name) }
end

function S.GetParameters(cloud, p, ctx)
  local found, invalid = {}, {}
  for _, name in ipairs(p.Names) do
    local value = parameter(cloud, ctx.region, name)
    table.insert(value and found or invalid, value or name)
  end
  return { Parameters = found, InvalidParameters = invalid }
end

return S
