--- JSON (RFC 8259). Integers keep their 64 bits, arrays their mark; strings
--- must be UTF-8; 256 levels at most.
local host = require "host.json"
local list = require "host.list"

local M = {}

--- JSON's null, in both directions. Test it with `value == json.null`.
M.null = host.null

--- Marks a table as an array, so that an empty one is written as []. Arrays
--- that decode answers have the mark.
---@generic T: table
---@param list T
---@return T list the same table
M.array = list.mark

--- Whether a table has the mark.
---@return boolean
M.is_array = list.is

--- Writes a value. Members are sorted by name unless sort = false, so equal
--- values give equal text. Raises for what JSON cannot hold: functions, NaN,
--- tables that mix a list with names.
---@param value any
---@param opts? { pretty: boolean, sort: boolean }
---@return string|Secret json a secret if the value holds one; the unknown that it holds, if any
function M.encode(value, opts)
  return host.encode(value, opts and opts.pretty, not opts or opts.sort ~= false)
end

--- Reads a document. `secrets = true` makes every string a secret, a set of
--- names those at or below the members so named: they are never Lua strings.
--- In a document that is a secret itself, every string and number is one, but
--- for a fixed list of members that hold identifiers, dates and states.
--- `ordered = true` remembers the order of the members of each object, for
--- json.keys and yaml.encode.
---@param text string|Secret
---@param opts? { secrets: boolean|table<string, true>, ordered: boolean }
---@return any value
---@return table? err kind "invalid" or "limit", with line and column
function M.decode(text, opts)
  return host.decode(text, opts and opts.secrets, opts and opts.ordered)
end

--- The names of an object: those that were decoded with `ordered = true` in
--- their order, then all others, sorted.
---@param object table<string, any>
---@return string[]
function M.keys(object)
  local list, listed, rest = {}, {}, {}
  for _, key in ipairs(host.orders[object] or {}) do
    if object[key] ~= nil and not listed[key] then list[#list + 1], listed[key] = key, true end
  end
  for key in pairs(object) do
    if not listed[key] then rest[#rest + 1] = key end
  end
  table.sort(rest)
  return table.move(rest, 1, #rest, #list + 1, list)
end

--- `json(x)` is the text of a result for people and files: indented, secrets as "(secret)", bytes as base64.
return setmetatable(M, { __call = function(_, value)
  return M.encode(require("show.plain").of(value), { pretty = true })
end })
