--- Where a value stands in a row: "VolumeId", "State.Name", "Tags.Owner", "IpPermissions.IpRanges.CidrIp".
--- A name looks into a struct; into a list of tags it is the key of one; into another list it looks into each item.
local host = require "host.list"

local M = {}

local PAIRS = { { "Key", "Value" }, { "key", "value" }, { "TagKey", "TagValue" }, { "Name", "Value" } }
local MEMBERS = { "Tags", "TagList", "TagSet", "tags", "TagsList" }

--- Whether a table is a list: it has the mark, or items.
---@param x any
---@return boolean
function M.is_list(x) return type(x) == "table" and (host.is(x) or rawget(x, 1) ~= nil) end

--- The two members that a list of tags is made of; nil for another list.
local function pair_of(x)
  local first = rawget(x, 1)
  if type(first) ~= "table" then return nil end
  for _, pair in ipairs(PAIRS) do
    if type(rawget(first, pair[1])) == "string" and rawget(first, pair[2]) ~= nil then return pair end
  end
end

local function tag_of(x, pair, name)
  for _, item in ipairs(x) do
    if item[pair[1]] == name then return item[pair[2]] end
  end
end

--- The value of a tag, however the service writes its tags; nil if it has none of that name.
---@param x table what has tags, or the tags themselves
---@param name string
---@return any
function M.tag(x, name)
  if type(x) ~= "table" then return nil end
  for _, member in ipairs(MEMBERS) do
    local tags = rawget(x, member)
    if type(tags) == "table" then x = tags break end
  end
  if not M.is_list(x) then return rawget(x, name) end
  local pair = pair_of(x)
  return pair and tag_of(x, pair, name)
end

local walk

local function project(x, path)
  local found = {}
  for _, item in ipairs(x) do
    local got = walk(item, path)
    if M.is_list(got) then table.move(got, 1, #got, #found + 1, found) elseif got ~= nil then found[#found + 1] = got end
  end
  return #found > 0 and host.mark(found) or nil
end

function walk(x, path)
  if type(x) ~= "table" then return nil end
  if M.is_list(x) then
    local pair = pair_of(x)
    local value = pair and tag_of(x, pair, path)
    if value ~= nil then return value end
    local index, rest = path:match "^(%d+)%.?(.*)$"
    if not index then return project(x, path) end
    value = x[math.tointeger(tonumber(index))]
    return rest == "" and value or walk(value, rest)
  end
  local value = x[path]
  if value ~= nil then return value end
  local head, rest = path:match "^([^.]+)%.(.+)$"
  if head then return walk(x[head], rest) end
end

--- What stands at a path; the item itself without one. Through a list it is the list of what its items have there.
---@param x any
---@param path? string|fun(x: any): any
---@return any
function M.get(x, path)
  if path == nil then return x end
  if type(path) == "function" then return path(x) end
  return walk(x, path)
end

--- The last name of a path: what a column of it is called.
---@param path string
---@return string
function M.last(path) return path:match "([^.]+)$" or path end

return M
