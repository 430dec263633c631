--- The items of a list by a value that they have: what list:group answers.
local list = require "list"
local path = require "list.path"

local M = {}

---@class ListGroups
---@field [any] List the items with that value
local Groups = {}
local meta = { __index = Groups }

local names = setmetatable({}, { __mode = "k" })            -- of the column that the groups go by

local function keys_of(groups)
  local keys = {}
  for key in next, groups do keys[#keys + 1] = key end
  return list.new(keys):sort()
end

---@param items List
---@param at string|fun(item: any): any
---@return ListGroups
function M.new(items, at)
  local groups = {}
  local function put(key, item)
    if key == nil then key = "(none)" elseif type(key) == "table" then key = tostring(key) end
    local group = groups[key]
    if not group then
      group = list.ordered({}, list.columns(items))
      groups[key] = group
    end
    if group[#group] ~= item then group[#group + 1] = item end
  end
  for _, item in ipairs(items) do
    local key = path.get(item, at)
    if path.is_list(key) and #key > 0 then
      for _, one in ipairs(key) do put(one, item) end
    else
      put(key, item)
    end
  end
  names[groups] = type(at) == "string" and path.last(at) or "Group"
  return setmetatable(groups, meta)
end

--- Whether a value is what list:group answers.
function M.is(x) return getmetatable(x) == meta end

local function rows(groups, column, value, total)
  local name, r = names[groups], {}
  for i, key in ipairs(keys_of(groups)) do r[i] = { [name] = key, [column] = value(groups[key]) } end
  if total then r = list.new(r):sort("-" .. column) end
  return list.ordered(r, { name, column })
end

--- A row for each group, with how many are in it; the largest first.
---@return List
function Groups:count() return rows(self, "Count", function(group) return #group end, true) end

--- A row for each group, with the sum of the numbers at a path; the largest first.
---@param at string
---@return List
function Groups:sum(at) return rows(self, path.last(at), function(group) return group:sum(at) end, true) end

--- Writes the rows of :count() into a file, as list:save does.
---@param file string
---@return string what was written
function Groups:save(file) return require "show.save".save(self:count(), file) end

function meta.__len(self) return #keys_of(self) end
function meta.__pairs(self)
  local keys, i = keys_of(self), 0
  return function()
    i = i + 1
    if keys[i] ~= nil then return keys[i], self[keys[i]] end
  end
end

return M
