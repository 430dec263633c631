--- Tables of named options, checked against what is declared.
local errors = require "errors"

local M = {}

--- How far two lists of bytes are apart (Damerau-Levenshtein, adjacent swaps count 1), or `limit` if it is that or more.
local function distance(a, b, limit)
  local from, a_last, b_last = 1, #a, #b
  while from <= a_last and a[from] == b[from] do from = from + 1 end -- names of one service have much in common
  while a_last >= from and b_last >= from and a[a_last] == b[b_last] do a_last, b_last = a_last - 1, b_last - 1 end
  local before, above, row = {}, {}, {}
  for j = from - 1, b_last do above[j] = j - from + 1 end
  for i = from, a_last do
    row[from - 1] = i - from + 1
    local least = row[from - 1]
    for j = from, b_last do
      local d = above[j - 1] + (a[i] == b[j] and 0 or 1)
      if above[j] < d then d = above[j] + 1 end
      if row[j - 1] < d then d = row[j - 1] + 1 end
      if i > from and j > from and a[i] == b[j - 1] and a[i - 1] == b[j] and before[j - 2] < d then d = before[j - 2] + 1 end
      row[j] = d
      if d < least then least = d end
    end
    if least >= limit then return limit end
    before, above, row = above, row, before
  end
  return math.min(above[b_last], limit)
end

--- The name of the list nearest to a misspelt one, or nil if none is near.
---@param names string[]
---@return string?
function M.nearest(name, names)
  local best, least = nil, math.max(2, #name // 3) + 1
  local bytes = { name:lower():byte(1, -1) }
  for _, candidate in ipairs(names) do
    if math.abs(#candidate - #name) <= least then
      local d = distance(bytes, { candidate:lower():byte(1, -1) }, least + 1)
      if d < least or (d == least and best and candidate < best) then best, least = candidate, d end
    end
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

local indexes = setmetatable({}, { __mode = "k" })            -- declared -> its rows by name

local function index_of(declared)
  local index = indexes[declared]
  if not index then
    index = {}
    for _, d in ipairs(declared) do index[d[1]] = d end
    indexes[declared] = index
  end
  return index
end

local function refuse_unknown(name, declared, where)
  local names = {}
  for i, d in ipairs(declared) do names[i] = tostring(d[1]) end
  errors.usage("%s has no option %s%s", where, tostring(name), M.suggestion(tostring(name), names))
end

--- Checks a table of options; returns a copy with the defaults filled in.
--- Raises kind "usage" for an unknown, missing or wrong one.
---@param given table
---@param declared table[] { name, help, type=, default=, required=, one_of= }
---@param where string whose options they are: "aws.subnet"
---@return table
function M.check(given, declared, where)
  local known, result = index_of(declared), {}
  for name in pairs(given) do
    if not known[name] then refuse_unknown(name, declared, where) end
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
