--- Values that exist only after apply.
--- Plan hands them out for the outputs of things that are not there yet. They may be passed on and printed; computing
--- with them raises and names the field. Lua cannot intercept truthiness or `==`: recipes branch only on facts that
--- were read before.
local errors = require "errors"

local M = {}

local paths, origins = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })
local mt = { __hkrun_unknown = true, __name = "unknown" }

local function path_of(a, b)
  return paths[a] or paths[b] or "this value"
end

local function refuse(a, b)
  errors.raise {
    kind = "unknown",
    message = path_of(a, b) .. " is known only after apply",
    hint = "pass it on as it is, use text() to build strings with it, or move this step into recipe.once",
  }
end

for _, event in ipairs { "index", "newindex", "call", "concat", "len", "unm", "bnot", "add", "sub", "mul", "div", "mod",
  "pow", "idiv", "band", "bor", "bxor", "shl", "shr", "lt", "le", "pairs" } do
  mt["__" .. event] = refuse
end

function mt.__tostring() return "(known after apply)" end

--- Makes an unknown value.
---@param path string what it will be, for error messages: `aws.vpc "shop".id`
---@param origin? string the key of what makes it known
---@return table unknown
function M.new(path, origin)
  local v = setmetatable({}, mt)
  paths[v], origins[v] = path, origin and { origin } or {}
  return v
end

--- One that stands for all of a list: what is built of them.
function mt.__hkrun_joined(list)
  local v = M.new(path_of(list[1]))
  for _, u in ipairs(list) do table.move(origins[u], 1, #origins[u], #origins[v] + 1, origins[v]) end
  return v
end

--- True for an unknown value.
---@param v any
---@return boolean
function M.is(v)
  if type(v) ~= "table" then return false end
  local m = getmetatable(v)
  return type(m) == "table" and rawget(m, "__hkrun_unknown") == true
end

--- True when v is unknown or holds an unknown value somewhere inside.
---@param v any
---@return boolean
function M.inside(v, seen)
  if type(v) ~= "table" then return false end
  if M.is(v) then return true end
  seen = seen or {}
  if seen[v] then return false end
  seen[v] = true
  for _, x in next, v do
    if M.inside(x, seen) then return true end
  end
  return false
end

--- The keys of what must be made before v is known, each once.
---@param v any
---@return string[]
function M.origins(v)
  local list, seen = {}, {}
  local function look(x)
    if type(x) ~= "table" or seen[x] then return end
    seen[x] = true
    for _, key in ipairs(origins[x] or {}) do
      if not seen[key] then
        seen[key] = true
        list[#list + 1] = key
      end
    end
    for _, y in next, x do look(y) end
  end
  look(v)
  return list
end

--- What the unknown value stands for.
---@param v table
---@return string
function M.path(v) return path_of(v) end

return M
