--- Results of boto3, written as JSON by tests/conformance/boto3_judge/values.py, and their comparison with hkrun's.
local json = require "json"
local secret = require "secret"
local test = require "test"

local M = {}

--- Values that JSON cannot carry, as hkrun takes and gives them: { "$bytes" = hex }, { "$time" = seconds }, { "$number" = "nan" }.
function M.native(value)
  if type(value) ~= "table" then return value end
  if value["$bytes"] then return (value["$bytes"]:gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)) end
  if value["$time"] then return value["$time"] end
  if value["$number"] then return ({ nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge })[value["$number"]] end
  for k, v in pairs(value) do value[k] = M.native(v) end
  return value
end

local function differ(path, ours, theirs)
  error(("%s is %s, of boto3 %s"):format(path, secret.is(ours) and "another secret" or test.show(ours), test.show(theirs)), 0)
end

--- What boto3 leaves as text in JSON, and the protocols call numbers.
local ODD = { NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge }

local function equal(a, b)
  if type(a) ~= "number" or type(b) ~= "number" then return a == b end
  return a == b or (a ~= a and b ~= b) or math.type(a) == "float" and math.abs(a - b) < 1e-6
end

--- Raises what differs first.
---@param ours any
---@param theirs any native
---@param path string what the value is called
---@param alike? fun(ours: any, theirs: any): boolean what else counts as equal
function M.compare(ours, theirs, path, alike)
  if type(ours) == "number" then theirs = ODD[theirs] or theirs end
  if type(theirs) == "table" and type(ours) == "table" then
    for key, value in pairs(theirs) do M.compare(ours[key], value, path .. "." .. tostring(key), alike) end
    for key, value in pairs(ours) do
      if theirs[key] == nil then differ(path .. "." .. tostring(key), value, nil) end
    end
  elseif secret.is(ours) then
    if not (type(theirs) == "string" and (secret.equal(ours, theirs) or alike and alike(ours, theirs))) then differ(path, ours, theirs) end
  elseif not equal(ours, theirs) and not (ours == nil and theirs == json.null) and not (alike and alike(ours, theirs)) then
    differ(path, ours, theirs)
  end
end

return M
