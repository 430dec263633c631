--- What the rehearsal cloud holds, as lines that are equal for two migrations that ended alike: ids are replaced by the
--- names of what they stand for; moments, addresses, keys that were made on the way and the order of lists do not count.
local json = require "json"

local M = {}

--- Members that say how the rehearsal does it, or when: not what there is.
local SKIPPED = {}
for name in ([[order tokens events host KeyFingerprint PublicDnsName PublicIpAddress PrivateDnsName streams dir folder file next config_name
    deployments deployment_id token storedBytes DbiResourceId RoleId InstanceProfileId
    StateValue StateReason reservation interfaces served servers serial turn next_address AvailableIpAddressCount
    completed_id started logs]]):gmatch "%S+" do SKIPPED[name] = true end

--- A number under such a name is a moment.
local MOMENTS = { "Time$", "Timestamp$", "^Date", "Date$", "At$", "_at$", "^created$", "^modified$", "^made$", "^from$", "^to$", "^ValidTill$" }

local function is_moment(key, value)
  if type(value) ~= "number" or type(key) ~= "string" then return false end
  for _, pattern in ipairs(MOMENTS) do
    if key:find(pattern) then return true end
  end
  return false
end

--- Since PostgreSQL 15 rds.force_ssl is 1 where nobody sets it: a parameter group in which it was never set is as good as one
--- in which it was set to 1.
local function effective(v)
  if not (type(v.set) == "table" and tostring(v.family):find "^postgres") then return v end
  local group, set = {}, {}
  for key, x in pairs(v) do group[key] = x end
  for name, own in pairs(v.set) do set[name] = own end
  local own = set["rds.force_ssl"]
  set["rds.force_ssl"] = own and own.value or tonumber(v.family:match "%d+") >= 15 and "1" or "0"
  group.set = set
  return group
end

--- The log group of the version that runs nothing: that it was deployed on the way is no difference.
local function is_parked(key) return type(key) == "string" and key:find "^/aws/elasticbeanstalk/.*/parked$" ~= nil end

--- Tasks of ECS, their network interfaces, what Run Command did and changes on their way through the DNS come and go; what is
--- to be is said by services, schedules and zones.
local function passes(key, v)
  return key == "tasks" and v.clusterArn ~= nil or tostring(key):find "^eni%-" or tostring(key):find "^ssm%-commands/"
         or key == "changes" and v.zones ~= nil
end

local function tag_of(value, wanted)
  for _, tag in ipairs(type(value.Tags) == "table" and value.Tags or {}) do
    if tag.Key == wanted then return tag.Value end
  end
end

--- ec2's ids as "subnet:shop-public-a", those of hosted zones as "zone:example.com.".
local function names_of(state)
  local names = {}
  for key, store in pairs(state) do
    for id, r in pairs(key:find "^ec2/" and store.resources or {}) do
      local value = r.value or {}
      names[id] = ("%s:%s"):format(r.kind, tag_of(value, "Name") or tag_of(value, "elasticbeanstalk:environment-name") or value.GroupName
        or value.KeyName or value.Description or "-")
    end
  end
  for id, zone in pairs((state["route53/global"] or {}).zones or {}) do names[id] = "zone:" .. zone.name end
  return names
end

local function plain_text(s, names)
  s = s:gsub("%a[%w]*%-0%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%f[%X]", function(id) return names[id] or id:match "^(.-)%-0" .. "-ID" end)
  s = s:gsub("%f[%w]e%-%x%x%x%x%x%x%x%x%x%x%f[%X]", "e-ID"):gsub("%f[%u](AWSEB%a*SecurityGroup)%-[%u%d]+", "%1-ID")
  s = s:gsub("%f[%w](awseb%-t?g?%-?)" .. ("[%u%d]"):rep(10) .. "%f[^%u%d]", "%1ID"):gsub("/" .. ("%x"):rep(16) .. "%f[%X]", "/ID")
  s = s:gsub("%f[%x]" .. ("%x"):rep(32) .. "%f[%X]", "HEX")
  s = s:gsub("(:secret:[%w/_%-]+)%-%w%w%w%w%w%w%f[^%w]", "%1-ID"):gsub("%f[%d]198%.18%.%d+%.%d+", "PUBLIC"):gsub("%f[%d]127%.0%.0%.1:%d+", "CLOUD")
  s = s:gsub("%f[%d](10%.%d+%.%d+%.%d+)%f[^%d](.?)", function(address, after) return (after == "/" and address or "PRIVATE") .. after end)
  s = s:gsub("ns%-%d+%.awsdns%-%d+%.", "NS."):gsub("%f[%w]Z[%u%d]+%f[%W]", names)
  s = s:gsub("ssh%-ed25519 %S+", "KEY"):gsub("/[%w/%-]*/hkrun%-%l+%-%w+", "DIR"):gsub("%d%d%d%d%-%d%d%-%d%dT[%d:.]+Z", "MOMENT")
  return (s:gsub("%x%x%x%x%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%-%x%x%x%x%x%x%x%x%x%x%x%x", "UUID"))
end

local function canonical(v, names)
  if type(v) == "string" then return plain_text(v, names) end
  if type(v) ~= "table" then return v end
  local copy, named = {}, {}
  if #v == 1 then return { ["-"] = canonical(v[1], names) } end
  if #v > 0 then
    for i, x in ipairs(v) do copy[i] = json.encode(canonical(x, names), { sort = true }) end
    table.sort(copy)
    return copy
  end
  for key, x in pairs(effective(v)) do
    if not SKIPPED[key] and not is_moment(key, x) and not is_parked(key) and not passes(key, v) then
      local name = plain_text(key, names)
      named[name] = named[name] or {}
      table.insert(named[name], canonical(x, names))
    end
  end
  for name, list in pairs(named) do                          -- two of one name: that must show
    if #list > 1 then
      table.sort(list, function(a, b) return json.encode(a, { sort = true }) < json.encode(b, { sort = true }) end)
    end
    for i, x in ipairs(list) do copy[name .. ("'"):rep(i - 1)] = x end
  end
  return copy
end

local function flatten(v, path, lines)
  if type(v) ~= "table" then
    lines[#lines + 1] = ("%s = %s"):format(path, tostring(v))
  else
    for key, x in pairs(v) do flatten(x, path .. "/" .. (type(key) == "number" and "-" or key), lines) end
  end
  return lines
end

--- The lines of what the inspector's page "state" says.
---@return string[]
function M.lines(state)
  local lines = flatten(canonical(state, names_of(state)), "", {})
  table.sort(lines)
  return lines
end

--- What is in one list of lines and not in the other: "- line" was wanted, "+ line" is there instead.
---@param got string[]
---@param wanted string[]
---@return string[]
function M.differences(got, wanted)
  local count, list = {}, {}
  for _, line in ipairs(got) do count[line] = (count[line] or 0) + 1 end
  for _, line in ipairs(wanted) do count[line] = (count[line] or 0) - 1 end
  for line, n in pairs(count) do
    for _ = 1, math.abs(n) do list[#list + 1] = (n > 0 and "+ " or "- ") .. line end
  end
  table.sort(list, function(a, b) return a:sub(3) < b:sub(3) end)
  return list
end

return M
