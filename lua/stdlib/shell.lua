--- What the REPL and `-e` share: an environment in which the modules are at hand, and how a value is shown.
local log = require "log"
local secret = require "secret"
local unknown = require "recipe.unknown"

local M = {}

local modules = {}
for name in ("aws csv errors fs heroku http json list log pg process procfile recipe redis retry secret show sign ssh task term text xml yaml zip")
  :gmatch "%S+" do modules[name] = true end

--- The names of the modules that are at hand.
M.modules = modules

--- A table of globals: Lua's own, and hkrun's modules, each loaded when it is first named.
---@return table
function M.environment()
  local env = {}
  return setmetatable(env, {
    __index = function(_, name)
      if modules[name] then
        local m = require(name)
        rawset(env, name, m)
        return m
      end
      return rawget(_G, name)
    end,
  })
end

--- Compiles an expression or statements.
---@param code string
---@param env table
---@param name string
---@return function|nil chunk
---@return string|nil err
function M.compile(code, env, name)
  local chunk = load("return " .. code, name, "t", env)
  if chunk then return chunk end
  return load(code, name, "t", env)
end

--- Whether code breaks off: more lines could make it whole.
---@param code string
---@return boolean
function M.is_incomplete(code)
  local as_value, err = load("return " .. code, "=code", "t")
  if as_value then return false end
  local as_statement, other = load(code, "=code", "t")
  return not as_statement and (err:find "<eof>'?$" or other:find "<eof>'?$") ~= nil
end

local function is_name(k) return type(k) == "string" and k:find "^[%a_][%w_]*$" end

local function order(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) == "number" and type(b) ~= "number" or tostring(a) < tostring(b)
end

local function show(v, indent, seen)
  if type(v) == "string" then return ("%q"):format(v):gsub("\\\n", "\\n") end
  if type(v) ~= "table" or secret.is(v) or unknown.is(v) then return tostring(v) end
  local meta = getmetatable(v)
  if type(meta) == "table" and meta.__tostring then return tostring(v) end
  if seen[v] then return "{ ... }" end
  seen[v] = true
  local keys, parts, size = {}, {}, 0
  local n = #v
  for k in next, v do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then keys[#keys + 1] = k end
  end
  table.sort(keys, order)
  local inner = indent .. "  "
  for i = 1, n do parts[#parts + 1] = show(v[i], inner, seen) end
  for _, k in ipairs(keys) do
    parts[#parts + 1] = (is_name(k) and k or "[" .. show(k, inner, seen) .. "]") .. " = " .. show(v[k], inner, seen)
  end
  seen[v] = nil
  if #parts == 0 then return "{}" end
  for _, p in ipairs(parts) do size = size + #p + 2 end
  if size + #indent <= 100 and not table.concat(parts):find "\n" then return "{ " .. table.concat(parts, ", ") .. " }" end
  return "{\n" .. inner .. table.concat(parts, ",\n" .. inner) .. ",\n" .. indent .. "}"
end

--- A value as Lua would write it; secrets are "(secret)".
---@param v any
---@return string
function M.show(v) return (show(v, "", {})) end

--- Prints what code returned. Of a table and more, the table: what follows it (an
--- AWS call's headers and request id) is for code that asks for it.
---@param results table as of table.pack
---@param show_one fun(v: any): string
---@param say? fun(line: string) instead of printing
function M.print(results, show_one, say)
  local n = type(results[1]) == "table" and 1 or results.n
  for i = 1, n do (say or M.say)(show_one(results[i])) end
end

function M.say(line) log.out("%s", line) end

return M
