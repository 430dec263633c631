--- AWS Systems Manager in the rehearsal: the Parameter Store, with Amazon's public parameters in it, Run Command, and Session
--- Manager.
local images = require "rehearsal.services.ec2.images"
local secret = require "secret"
local wire = require "rehearsal.wire"

local S = {}
for _, part in ipairs { "commands", "sessions" } do
  for name, fn in pairs(require("rehearsal.services.ssm." .. part)) do S[name] = fn end
end

local function store(cloud, region) return cloud:store("ssm", region) end

local LIMITS = { Standard = 4096, Advanced = 8192 }

local function public(cloud, region, name)
  local id = images.parameter(region, name)
  return id and { Name = name, Type = "String", Value = id, Version = 1, LastModifiedDate = cloud.clock:now() - 86400, DataType = "text",
                  ARN = ("arn:aws:ssm:%s::parameter%s"):format(region, name) }
end

--- By name, or by ARN. Without decryption a SecureString's value is not said.
local function parameter(cloud, region, name, decrypt)
  name = name:match "^arn:[^:]+:ssm:[^:]+:%d+:parameter(/.*)$" or name
  local p = store(cloud, region)[name]
  if not p then return public(cloud, region, name) end
  return { Name = p.Name, Type = p.Type, Value = (decrypt or p.Type ~= "SecureString") and p.Value or secret.new "AQICAHgQ", Version = p.Version,
           LastModifiedDate = p.LastModifiedDate, DataType = "text", ARN = p.ARN }
end

function S.GetParameter(cloud, p, ctx)
  local found = parameter(cloud, ctx.region, p.Name, p.WithDecryption)
  return { Parameter = found or wire.fail("ParameterNotFound", 400, "Parameter %s not found.", p.Name) }
end

function S.GetParameters(cloud, p, ctx)
  local found, invalid = {}, {}
  for _, name in ipairs(p.Names) do
    local value = parameter(cloud, ctx.region, name, p.WithDecryption)
    table.insert(value and found or invalid, value or name)
  end
  return { Parameters = found, InvalidParameters = invalid }
end

function S.PutParameter(cloud, p, ctx)
  local all = store(cloud, ctx.region)
  local old = all[p.Name]
  if p.Name:find "^/?aws" or p.Name:find "^/?ssm" then
    wire.fail("ValidationException", 400, "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
  end
  if old and not p.Overwrite then
    wire.fail("ParameterAlreadyExists", 400,
      "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
  end
  if p.Overwrite and p.Tags and #p.Tags > 0 then
    wire.fail("ValidationException", 400, "Invalid request: tags and overwrite can't be used together.")
  end
  local kind = p.Type or old and old.Type or wire.fail("ValidationException", 400, "A parameter type is required when you create a parameter.")
  local tier = p.Tier == "Advanced" and "Advanced" or old and old.Tier or "Standard"
  if secret.size(p.Value) > LIMITS[tier] then
    wire.fail("ValidationException", 400, tier == "Standard" and "Standard tier parameters support a maximum parameter value of 4096 characters."
      or "Advanced tier parameters support a maximum parameter value of 8192 characters.")
  end
  local arn = cloud:arn("ssm", ctx.region, "parameter" .. (p.Name:find "^/" and p.Name or "/" .. p.Name))
  all[p.Name] = { Name = p.Name, Type = kind, Value = p.Value, Tier = tier, Description = p.Description or old and old.Description, ARN = arn,
                  Version = old and old.Version + 1 or 1, LastModifiedDate = cloud.clock:now(), tags = old and old.tags or p.Tags or {} }
  return { Version = all[p.Name].Version, Tier = tier }
end

function S.DeleteParameter(cloud, p, ctx)
  local all = store(cloud, ctx.region)
  if not all[p.Name] then wire.fail("ParameterNotFound", 400, "Parameter %s not found.", p.Name) end
  all[p.Name] = nil
end

function S.DescribeParameters(cloud, p, ctx)
  local list = {}
  for _, one in pairs(store(cloud, ctx.region)) do
    list[#list + 1] = { Name = one.Name, ARN = one.ARN, Type = one.Type, Tier = one.Tier, Description = one.Description, Version = one.Version,
                        LastModifiedDate = one.LastModifiedDate, DataType = "text" }
  end
  table.sort(list, function(a, b) return a.Name < b.Name end)
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Parameters = page, NextToken = token }
end

local function tagged(cloud, region, p)
  if p.ResourceType ~= "Parameter" then wire.fail("InvalidResourceType", 400, "the rehearsal tags parameters only") end
  return store(cloud, region)[p.ResourceId] or wire.fail("InvalidResourceId", 400, "The resource %s does not exist.", p.ResourceId)
end

function S.ListTagsForResource(cloud, p, ctx) return { TagList = tagged(cloud, ctx.region, p).tags } end

function S.AddTagsToResource(cloud, p, ctx)
  local one = tagged(cloud, ctx.region, p)
  for _, tag in ipairs(p.Tags) do
    for i = #one.tags, 1, -1 do if one.tags[i].Key == tag.Key then table.remove(one.tags, i) end end
    table.insert(one.tags, tag)
  end
end

--- The value that an environment's "arn:...:parameter/NAME" stands for.
---@return string|Secret
function S._value(cloud, reference)
  local region = reference:match "^arn:aws[%w%-]*:ssm:([%w%-]+):%d+:parameter/"
  local found = region and parameter(cloud, region, reference, true)
  return found and found.Value or wire.fail("ParameterNotFound", 400, "Parameter %s not found.", reference)
end

return S
