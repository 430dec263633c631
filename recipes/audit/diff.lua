--- What has changed between two audits.
local json = require "json"

local M = {}

-- What is another at each look, and says nothing.
local VOLATILE = { at = true, requests_left = true, connections_used = true, cache_hit = true,
                   longest_transaction_seconds = true, locks_waited_for = true, clients = true, memory = true, sampled = true, dynos = true }

-- What tells the items of a list apart.
local IDENTITY = { "name", "type", "hostname", "version", "url", "user", "what", "ordinal" }

local function identity(item)
  if type(item) ~= "table" then return tostring(item) end
  if item.kind and item.state then return ("%s %s %s"):format(item.kind, item.name, item.state) end     -- a queue
  for _, member in ipairs(IDENTITY) do
    if item[member] ~= nil then return tostring(item[member]) end
  end
  return json.encode(item, { sort = true })
end

local function sorted(...)
  local seen, names = {}, {}
  for _, map in ipairs { ... } do
    for name in pairs(map) do
      if not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  table.sort(names)
  return names
end

local function is_list(t) return #t > 0 or next(t) == nil end

--- A list as a map by what its items are called; doubles are counted.
local function by_identity(list)
  local map = {}
  for _, item in ipairs(list) do
    local name, n = identity(item), 1
    while map[n == 1 and name or ("%s (%d)"):format(name, n)] ~= nil do n = n + 1 end
    map[n == 1 and name or ("%s (%d)"):format(name, n)] = item
  end
  return map
end

local function short(v)
  if v == nil or rawequal(v, json.null) then return "" end
  if type(v) == "table" then return is_list(v) and ("%d items"):format(#v) or identity(v) end
  return tostring(v)
end

local function compare(rows, path, a, b)
  if type(a) == "table" and type(b) == "table" then
    if is_list(a) and is_list(b) then a, b = by_identity(a), by_identity(b) end
    for _, name in ipairs(sorted(a, b)) do
      if not VOLATILE[name] then compare(rows, path == "" and name or path .. " / " .. name, a[name], b[name]) end
    end
  elseif a == nil then rows[#rows + 1] = { path, "", type(b) == "table" and "new" or short(b) }
  elseif b == nil then rows[#rows + 1] = { path, type(a) == "table" and "was there" or short(a), "" }
  elseif a ~= b then rows[#rows + 1] = { path, short(a), short(b) } end
end

--- Rows of what differs: where, before, now. An item that came is "new", one that went "was there".
---@param before table an audit, as its JSON is read
---@param now table
---@return { [1]: string, [2]: string, [3]: string }[]
function M.rows(before, now)
  local rows = {}
  compare(rows, "", { apps = before.apps, account = before.account }, { apps = now.apps, account = now.account })
  return rows
end

return M
