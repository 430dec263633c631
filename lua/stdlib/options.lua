--- Tables of named options, checked against what is declared.
local errors = require "errors"

local M = {}

--- How far two words are apart (Damerau-Levenshtein, adjacent swaps count 1).
local function distance(a, b)
  local rows = {}
  for i = 0, #a do rows[i] = { [0] = i } end
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local d = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = d
    end
  end
  return rows[#a][#b]
end

--- The name of the list nearest to a misspelt one, or nil if none is near.
---@param names string[]
---@return string?
function M.nearest(name, names)
  local best, least = nil, math.max(2, #name // 3) + 1
  for _, candidate in ipairs(names) do
    local d = distance(name:lower(), candidate:lower())
    if d < least or (d == least and best and candidate < best) then best, least = candidate, d end
  end
  return best
end

--- " (did you mean x?)", or ""
function M.suggestion(name, names)
  local near = M.nearest(name, names)
  return near and (" (did you mean %s?)"):format(near) or ""
end

local function is_type(value, want)
  if want == nil or want == "any" then return true end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__hkrun_unknown then return true end
  if want == "integer" then return math.type(value) == "integer" end
  if want == "list" then return type(value) == "table" end
  if want == "secret" then return type(value) == "userdata" or type(value) == "string" end
  if want == "string" then return type(value) == "string" end
  return type(value) == want
end

--- Checks a table of options; returns a copy with the defaults filled in.
--- Raises kind "usage" for an unknown, missing or wrong one.
---@param given table
---@param declared table[] { name, help, type=, default=, required=, one_of= }
---@param where string whose options they are: "aws.subnet"
---@return table
function M.check(given, declared, where)
  local known, names, result = {}, {}, {}
  for _, d in ipairs(declared) do
    known[d[1]] = d
    names[#names + 1] = tostring(d[1])
  end
  for name in pairs(given) do
    if not known[name] then
      errors.usage("%s has no option %s%s", where, tostring(name), M.suggestion(tostring(name), names))
    end
  end
  for _, d in ipairs(declared) do
    local name, value = d[1], given[d[1]]
    if value == nil then value = d.default end
    if value == nil then
      if d.required then errors.usage("%s needs the option %s: %s", where, tostring(name), d[2] or "") end
    else
      if not is_type(value, d.type) then
        errors.usage("%s: %s must be %s %s, not %s", where, tostring(name),
          d.type:find "^[aeiou]" and "an" or "a", d.type, type(value))
      end
      if d.one_of and type(value) == "string" then
        local ok = false
        for _, choice in ipairs(d.one_of) do ok = ok or choice == value end
        if not ok then
          errors.usage("%s: %s must be one of %s, not %s", where, tostring(name), table.concat(d.one_of, ", "), value)
        end
      end
      result[name] = value
    end
  end
  return result
end

return M
