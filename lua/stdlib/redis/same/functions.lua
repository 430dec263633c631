--- Libraries of functions (FUNCTION LOAD), which are no keys.
local names = require "redis.same.names"
local side = require "redis.same.sides"

local M = {}

--- The code of each library by its name.
local function code_of(list)
  local map = {}
  for _, library in ipairs(list.kind and {} or list) do
    local t = {}
    for i = 1, #library, 2 do t[library[i]] = library[i + 1] end
    map[t.library_name] = t.library_code
  end
  return map
end

--- Tells a comparison what differs, or what a server does not let us see.
---@param c redis.Comparison
function M.compare(c)
  local a, b = side.both(c, { { "FUNCTION", "LIST", "WITHCODE" } })
  a, b = a[1], b[1]
  if a.kind and b.kind then return end             -- neither has them, or lets us see them
  local in_a, in_b = code_of(a), code_of(b)
  if (a.kind and next(in_b)) or (b.kind and next(in_a)) then
    c.notes[#c.notes + 1] = "functions were not compared: " .. (a.kind and a or b).message
    return
  end
  for name, code in pairs(in_a) do
    if in_b[name] ~= code then
      c:differ("function", { db = 0 }, ("function library %s %s"):format(names.show(name), in_b[name] and "differs" or "is missing in b"))
    end
  end
  for name in pairs(in_b) do
    if not in_a[name] then c:differ("function", { db = 0 }, ("function library %s is only in b"):format(names.show(name))) end
  end
end

return M
