--- Lists with helpers that read well on one line. Every list that AWS, Heroku, PostgreSQL, Redis or json.decode answers
--- has them; `list(x)` gives them to another table or collects an iterator.
---
---     aws.ec2:all("describe_volumes"):where{ State = "available" }:select("VolumeId", "Size", "Tags.Name"):sort("-Size")
---
--- A value is named by its path: "State.Name" is a member of a member, "Tags.Owner" the value of a tag, and a path
--- through a list ("IpPermissions.IpRanges.CidrIp") means each of its items. Wherever a path stands, a function of the
--- item does too. All but `each` answer something new; nothing is changed in place.
local errors = require "errors"
local host = require "host.list"
local path = require "list.path"

local M = {}

---@class List
---@field [integer] any
---@field n? integer rows of a query; beside it what the service or the server says of the whole
---@field [string] any
local List = {}
M.methods = List                                            -- host/list.c finds these two

local get, mark = path.get, host.mark

--- The order of the columns, of lists whose rows have one.
local columns = setmetatable({}, { __mode = "k" })

--- The names of the columns in their order, if the list knows it: after select, count, a query.
---@param x table
---@return string[]?
function M.columns(x)
  local own = rawget(x, "columns")                          -- of a query
  return columns[x] or type(own) == "table" and type(own[1]) == "string" and own or nil
end

--- Gives a list its order of columns.
---@param x table
---@param names string[]?
---@return List
function M.ordered(x, names)
  columns[x] = names
  return mark(x)
end

--- A list of what an iterator gives, the list of an answer, or a table with the helpers: list(pg.open(url):rows("select ..."))
---@param x table|function
---@return List
function M.new(x, state, control, closing)
  if host.is_answer(x) then
    return (require("show").main(x)) or errors.usage "list: the answer has no list, or several: name one of its members"
  end
  if type(x) == "table" then return host.is(x) and x or mark(x) end
  if type(x) ~= "function" then errors.usage("list needs a table or an iterator, not a %s", type(x)) end
  local r = {}
  for item in x, state, control, closing do r[#r + 1] = item end
  return mark(r)
end

--- The value of a tag of something, however its service writes tags: tag(volume, "Name").
---@param x table
---@param name string
---@return any value nil if it has no such tag
M.tag = path.tag

M.answer_methods = {}

--- Writes the answer of a call into a file, as list:save does.
function M.answer_methods:save(file) return require "show.save".save(self, file) end

--- The items for which all conditions hold. `false` also matches what is not there, a list any of its values. With an
--- operator: `where("Size", ">", 100)`, `where("Tags.Owner", "~=", "ops")`, `where("Name", "like", "prod-*")`. Through a
--- list it is enough that one item matches; `~=` asks that none does.
---@param condition table|function|string `{ State = "available", ["Tags.Env"] = { "dev", "test" } }`, a function, a path
---@param ... any an operator and a value
---@return List
function List:where(condition, ...)
  local keep = require("list.where").test(condition, ...)
  local r = {}
  for _, item in ipairs(self) do
    if keep(item) then r[#r + 1] = item end
  end
  return M.ordered(r, M.columns(self))
end

-- Columns ------------------------------------------------------------------

--- "Zone=AvailabilityZone" and { Zone = path or function } name a column; a path names it by its last part, or all of
--- it where that name is taken.
local function wanted_columns(...)
  local list, taken = {}, {}
  local function add(name, at)
    taken[name] = true
    list[#list + 1] = { name = name, at = at }
  end
  local function one(word)
    local name, at = word:match "^([^=]+)=(.+)$"
    if name then return add(name, at) end
    local short = path.last(word)
    add(taken[short] and word or short, word)
  end
  for i = 1, select("#", ...) do
    local word = select(i, ...)
    if type(word) == "table" then
      for _, at in ipairs(word) do one(at) end
      local names = {}
      for name in pairs(word) do names[#names + 1] = type(name) == "string" and name or nil end
      table.sort(names)
      for _, name in ipairs(names) do add(name, word[name]) end
    elseif type(word) == "string" then one(word)
    else errors.usage("select needs paths and tables { Name = path }, not a %s", type(word)) end
  end
  if #list == 0 then errors.usage "select needs the names of columns" end
  return list
end

--- Rows with only these columns, in this order: `select("VolumeId", "Tags.Name", "Zone=AvailabilityZone", { GiB = "Size" })`.
---@param ... string|table
---@return List
function List:select(...)
  local wanted, names, r = wanted_columns(...), {}, {}
  for i, column in ipairs(wanted) do names[i] = column.name end
  for i, item in ipairs(self) do
    local row = {}
    for _, column in ipairs(wanted) do row[column.name] = get(item, column.at) end
    r[i] = row
  end
  return M.ordered(r, names)
end

--- The values at a path, or what the function makes of each item; what is nil is left out.
---@param at string|function
---@return List
function List:map(at)
  local r = {}
  for _, item in ipairs(self) do r[#r + 1] = get(item, at) end
  return mark(r)
end

--- The items of the lists at a path, one after the other: `reservations:flatten("Instances")`.
---@param at? string
---@return List
function List:flatten(at)
  local r = {}
  for _, item in ipairs(self) do
    local inner = get(item, at)
    if path.is_list(inner) then table.move(inner, 1, #inner, #r + 1, r) elseif inner ~= nil then r[#r + 1] = inner end
  end
  return mark(r)
end

-- Order --------------------------------------------------------------------

local RANK = { boolean = 1, number = 2, string = 3 }

--- Values in an order that also holds for mixed types; nil comes last, whichever way.
local function precedes(a, b)
  if type(a) ~= type(b) then return (RANK[type(a)] or 4) < (RANK[type(b)] or 4) end
  if type(a) == "boolean" then return not a and b end
  if RANK[type(a)] then return a < b end
  return tostring(a) < tostring(b)
end

local function sort_key(items, at)
  local keys, numeric = {}, true
  for i, item in ipairs(items) do
    keys[i] = get(item, at)
    numeric = numeric and (keys[i] == nil or tonumber(keys[i]) ~= nil)
  end
  if numeric then
    for i in pairs(keys) do keys[i] = tonumber(keys[i]) end
  end
  return keys
end

--- The items in the order of the values at these paths, "-Size" and `("Size", "desc")` downwards; equal ones stay as they
--- were, those without a value come last. Text that is a number in every row (as in a bill) counts as one. A function
--- compares two items as in table.sort.
---@param ... string|function
---@return List
function List:sort(...)
  local n, r, keys, down = #self, {}, {}, {}
  for i = 1, n do r[i] = i end
  local by = { ... }
  if type(by[1]) == "function" then
    local before = by[1]
    table.sort(r, function(a, b)
      if before(self[a], self[b]) then return true end
      return not before(self[b], self[a]) and a < b
    end)
  else
    for i = #by, 2, -1 do
      if by[i] == "desc" or by[i] == "asc" then
        if by[i] == "desc" then by[i - 1] = "-" .. by[i - 1] end
        table.remove(by, i)
      end
    end
    for k = 1, math.max(#by, 1) do
      local sign, at = tostring(by[k] or ""):match "^(%-?)(.*)$"
      keys[k], down[k] = sort_key(self, at ~= "" and at or nil), sign == "-"
    end
    table.sort(r, function(a, b)
      for k, key in ipairs(keys) do
        local x, y = key[a], key[b]
        if x ~= y and (x == nil or y == nil) then return y == nil end
        if x ~= y then
          if precedes(x, y) then return not down[k] end
          if precedes(y, x) then return down[k] end
        end
      end
      return a < b
    end)
  end
  for i = 1, n do r[i] = self[r[i]] end
  return M.ordered(r, M.columns(self))
end

--- At most n items from the beginning; from the end with a negative n.
---@param n integer
---@return List
function List:limit(n)
  local first, last = 1, math.min(n, #self)
  if n < 0 then first, last = math.max(#self + n + 1, 1), #self end
  return M.ordered(table.move(self, first, last, 1, {}), M.columns(self))
end

--- The items without repetition: of equal values at the path the first.
---@param at? string
---@return List
function List:unique(at)
  local r, seen = {}, {}
  for _, item in ipairs(self) do
    local key = get(item, at)
    if key == nil then key = seen end
    if not seen[key] then
      seen[key] = true
      r[#r + 1] = item
    end
  end
  return M.ordered(r, M.columns(self))
end

-- Ends ---------------------------------------------------------------------

--- How many there are.
---@return integer
function List:count() return #self end

---@return any item nil of an empty list
function List:first() return self[1] end

---@return any item nil of an empty list
function List:last() return self[#self] end

--- Calls fn with each item.
---@param fn fun(item: any)
---@return List self
function List:each(fn)
  for _, item in ipairs(self) do fn(item) end
  return self
end

--- The sum of the numbers at a path; text that is a number counts.
---@param at? string
---@return number
function List:sum(at)
  local total = 0
  for _, item in ipairs(self) do
    local value = get(item, at)
    for _, one in ipairs(path.is_list(value) and value or { value }) do total = total + (tonumber(one) or 0) end
  end
  return total
end

--- The items by the value at a path: `group("State").available` is a list; `pairs` goes through them in order,
--- `:count()` and `:sum("Size")` make a row of each.
---@param at string|function
---@return ListGroups
function List:group(at)
  return require "list.groups".new(self, at)
end

--- Writes it into a file whose name says how: .json, .yaml, .csv, .txt or .md. Secrets are written as (secret).
---@param file string
---@return string what was written
function List:save(file) return require "show.save".save(self, file) end

return setmetatable(M, { __call = function(_, ...) return M.new(...) end })
