--- Eventual consistency: for some seconds after a change, questions to that service are answered from the state before it,
--- as EC2 and IAM do now and then. Changes see the truth. S3 and STS are consistent.
local json = require "json"

local Stale = {}
Stale.__index = Stale

local CONSISTENT = { s3 = true, sts = true }
local ARRAY = getmetatable(json.array {})

--- A copy of plain tables and lists; whatever else there is (processes, secrets, functions) is shared.
local function copy(v, seen)
  if type(v) ~= "table" then return v end
  local mark = getmetatable(v)
  if mark and mark ~= ARRAY then return v end
  if seen[v] then return seen[v] end
  local r = setmetatable({}, mark)
  seen[v] = r
  for k, x in next, v do r[copy(k, seen)] = copy(x, seen) end
  return r
end

--- Called before a change: keeps how the service was.
function Stale:change(cloud, service)
  if CONSISTENT[service] then return end
  local state, seen = {}, {}
  for key, store in pairs(cloud.state) do
    if key:sub(1, #service + 1) == service .. "/" then state[key] = copy(store, seen) end
  end
  self.before[service] = { state = state, at = self.now() }
end

--- The cloud that a question to the service sees.
function Stale:view(cloud, service)
  local before = self.before[service]
  if not before or self.now() - before.at > self.seconds then return cloud end
  self.old = self.old + 1
  local state = setmetatable(copy(before.state, {}), { __index = function(_, key)
    return key:sub(1, #service + 1) ~= service .. "/" and cloud.state[key] or nil
  end })
  return setmetatable({ state = state }, { __index = cloud })
end

---@param seconds number
---@return table stale with `old`, how many questions had an old answer
return function(seconds)
  return setmetatable({ seconds = seconds, before = {}, old = 0, now = require("task").now }, Stale)
end
