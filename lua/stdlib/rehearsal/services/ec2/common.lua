--- What the parts of EC2 share: one table of resources by id, tags, filters.
local like = require "rehearsal.wildcard"
local wire = require "rehearsal.wire"

local M = {}

--- All resources of a region: { [id] = resource }, each with Tags.
function M._all(cloud, region)
  local store = cloud:store("ec2", region)
  store.resources = store.resources or {}
  store.order = store.order or {}
  return store.resources, store.order
end

--- Keeps a new resource. `kind` is the API's resource type: "vpc", "subnet".
function M._add(cloud, ctx, kind, id, resource, tag_specifications)
  local all, order = M._all(cloud, ctx.region)
  resource.Tags = {}
  for _, spec in ipairs(tag_specifications or {}) do
    if spec.ResourceType == kind then
      for _, tag in ipairs(spec.Tags or {}) do table.insert(resource.Tags, { Key = tag.Key, Value = tag.Value or "" }) end
    end
  end
  all[id] = { kind = kind, id = id, value = resource }
  order[#order + 1] = id
  return resource
end

--- What a call with this token was answered before; nil for the first one.
function M._by_token(cloud, ctx, token)
  local store = cloud:store("ec2", ctx.region)
  store.tokens = store.tokens or {}
  return token and store.tokens[ctx.operation .. token]
end

--- Remembers the answer to a call with this token, and returns it.
function M._keep_token(cloud, ctx, token, answer)
  local store = cloud:store("ec2", ctx.region)
  store.tokens = store.tokens or {}
  if token then store.tokens[ctx.operation .. token] = answer end
  return answer
end

function M._remove(cloud, ctx, id)
  local all, order = M._all(cloud, ctx.region)
  all[id] = nil
  for i, other in ipairs(order) do if other == id then table.remove(order, i) break end end
end

--- The resource of a kind, or AWS's NotFound error.
function M._get(cloud, ctx, kind, id, code)
  local found = M._all(cloud, ctx.region)[id]
  if not found or found.kind ~= kind then
    wire.fail(code, 400, "The %s ID '%s' does not exist", kind, tostring(id))
  end
  return found.value
end

--- The resources of a kind, in the order of their creation.
function M._list(cloud, region, kind)
  local all, order = M._all(cloud, region)
  local list = {}
  for _, id in ipairs(order) do
    if all[id] and all[id].kind == kind then list[#list + 1] = all[id].value end
  end
  return list
end

local function pascal(name)
  return (name:gsub("^%l", string.upper):gsub("%-(%l)", function(c) return c:upper() end))
end

--- Filter names whose field is not simply the same words.
local FIELDS = {
  ["status"] = "State", ["volume-id"] = "VolumeId", ["attachment.instance-id"] = "Attachments[].InstanceId",
  ["cidr"] = "CidrBlock", ["attachment.vpc-id"] = "Attachments[].VpcId", ["association.subnet-id"] = "Associations[].SubnetId",
  ["association.route-table-association-id"] = "Associations[].RouteTableAssociationId", ["association.main"] = "Associations[].Main",
  ["instance-state-name"] = "State.Name", ["instance.group-id"] = "SecurityGroups[].GroupId", ["availability-zone"] = "AvailabilityZone",
  ["is-default"] = "IsDefault", ["default-for-az"] = "DefaultForAz", ["owner-id"] = "OwnerId", ["key-name"] = "KeyName",
  ["group-id"] = "GroupId", ["name"] = "Name", ["architecture"] = "Architecture",
}

local function values_at(item, path)
  local values = { item }
  for part, many in path:gmatch "([^.%[]+)(%[?%]?)" do
    local next_values = {}
    for _, v in ipairs(values) do
      local found = v[part]
      if found ~= nil then
        if many ~= "" then for _, e in ipairs(found) do next_values[#next_values + 1] = e end
        else next_values[#next_values + 1] = found end
      end
    end
    values = next_values
  end
  return values
end

local function tag_value(item, key)
  for _, tag in ipairs(item.Tags or {}) do if tag.Key == key then return tag.Value end end
end

local function fits(item, filter)
  local name, candidates = filter.Name
  local key = name:match "^tag:(.*)$"
  if key then candidates = { tag_value(item, key) }
  elseif name == "tag-key" then
    candidates = {}
    for _, tag in ipairs(item.Tags or {}) do candidates[#candidates + 1] = tag.Key end
  else candidates = values_at(item, FIELDS[name] or pascal(name)) end
  for _, value in ipairs(candidates) do
    for _, wanted in ipairs(filter.Values or {}) do if like(tostring(value), wanted) then return true end end
  end
  return false
end

--- The items that all filters let through and whose id is asked for.
---@param field string the member that holds the id: "VpcId"
---@param ids? string[]
---@param code string the error for an id that does not exist
function M._select(items, field, ids, filters, code)
  local wanted, seen, result = {}, {}, {}
  for _, id in ipairs(ids or {}) do wanted[id] = true end
  for _, item in ipairs(items) do
    if not ids or #ids == 0 or wanted[item[field]] then
      seen[item[field]] = true
      local ok = true
      for _, filter in ipairs(filters or {}) do ok = ok and fits(item, filter) end
      if ok then result[#result + 1] = item end
    end
  end
  for _, id in ipairs(ids or {}) do
    if not seen[id] then wire.fail(code, 400, "The ID '%s' does not exist", id) end
  end
  return result
end

function M.CreateTags(cloud, p, ctx)
  local all = M._all(cloud, ctx.region)
  for _, id in ipairs(p.Resources) do
    local found = all[id] or wire.fail("InvalidID", 400, "The ID '%s' is not valid", id)
    for _, tag in ipairs(p.Tags) do
      local kept = false
      for _, old in ipairs(found.value.Tags) do
        if old.Key == tag.Key then old.Value = tag.Value or "" kept = true end
      end
      if not kept then table.insert(found.value.Tags, { Key = tag.Key, Value = tag.Value or "" }) end
    end
  end
end

function M.DeleteTags(cloud, p, ctx)
  local all = M._all(cloud, ctx.region)
  for _, id in ipairs(p.Resources) do
    local tags = all[id] and all[id].value.Tags or {}
    for i = #tags, 1, -1 do
      for _, tag in ipairs(p.Tags or { { Key = tags[i].Key } }) do
        if tags[i].Key == tag.Key and (tag.Value == nil or tag.Value == tags[i].Value) then table.remove(tags, i) break end
      end
    end
  end
end

function M.DescribeTags(cloud, p, ctx)
  local all, order = M._all(cloud, ctx.region)
  local list = {}
  for _, id in ipairs(order) do
    for _, tag in ipairs(all[id].value.Tags) do
      list[#list + 1] = { ResourceId = id, ResourceType = all[id].kind, Key = tag.Key, Value = tag.Value }
    end
  end
  local result = {}
  for _, tag in ipairs(list) do
    local ok = true
    for _, filter in ipairs(p.Filters or {}) do ok = ok and fits(tag, filter) end
    if ok then result[#result + 1] = tag end
  end
  return { Tags = result }
end

local ZONES = { "a", "b", "c" }

function M.DescribeAvailabilityZones(_, _, ctx)
  local list = {}
  for i, letter in ipairs(ZONES) do
    list[i] = { ZoneName = ctx.region .. letter, ZoneId = ("%s-az%d"):format(ctx.region:gsub("%-", ""):sub(1, 4), i), State = "available",
                RegionName = ctx.region, ZoneType = "availability-zone", GroupName = ctx.region, OptInStatus = "opt-in-not-required",
                NetworkBorderGroup = ctx.region, Messages = {} }
  end
  return { AvailabilityZones = list }
end

function M.DescribeRegions()
  local list = {}
  for _, name in ipairs { "us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1" } do
    list[#list + 1] = { RegionName = name, Endpoint = "ec2." .. name .. ".amazonaws.com", OptInStatus = "opt-in-not-required" }
  end
  return { Regions = list }
end

function M.DescribeAccountAttributes()
  return { AccountAttributes = { { AttributeName = "supported-platforms", AttributeValues = { { AttributeValue = "VPC" } } } } }
end

return M
