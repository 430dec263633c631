--- Which columns a table of structs has, the useful ones first: the name, what identifies a row, its state, its kind and
--- size; long identifiers, nested values and what few rows have come last.
local cell = require "show.cell"
local list = require "list"
local path = require "list.path"

local M = {}

---@class show.Column
---@field name string
---@field get fun(row: table): any
---@field numbers boolean whether all its values are numbers, shown as numbers
---@field rank number

--- Names by what they mean, the first that fits.
local RANKS = {
  { "^Name$", 1 }, { "^name$", 1 }, { "Arn$", 70 }, { "ARN$", 70 }, { "OwnerId$", 60 }, { "RequesterId$", 66 },
  { "State$", 20 }, { "Status$", 20 }, { "^state$", 20 }, { "^status$", 20 }, { "^Health", 21 }, { "StateValue$", 20 },
  { "Type$", 28 }, { "Class$", 28 }, { "^type$", 28 }, { "^Engine$", 27 }, { "^Runtime$", 29 }, { "Version$", 34 },
  { "^Size$", 24 }, { "^size$", 24 }, { "Size$", 31 }, { "Bytes$", 31 }, { "Storage$", 30 }, { "Count$", 32 }, { "^Memory", 32 }, { "^Port$", 33 },
  { "Zone$", 36 }, { "Region$", 36 }, { "Cidr", 26 }, { "IpAddress$", 35 }, { "Address$", 37 }, { "Time$", 40 },
  { "Date$", 40 }, { "_at$", 40 }, { "Modified$", 40 }, { "Description$", 43 }, { "^Dns", 50 }, { "DnsName$", 46 },
}

local function is_identity(name)
  return name:find "Id$" or name:find "ID$" or name:find "Identifier$" or name:find "Name$" or name == "id" or name == "Key" or name == "key"
end

local function by_name(name)
  for _, rule in ipairs(RANKS) do
    if name:find(rule[1]) then return rule[2] end
  end
  return 45
end

--- The member that is the row's own identifier: named as what is listed (VolumeId of Volumes), else the one whose stem
--- other members have too (InstanceId beside InstanceType).
local function own_identity(order, what)
  local best, most = nil, 0
  for _, c in ipairs(order) do
    local stem = c.name:match "^(.+)Id$" or c.name:match "^(.+)Identifier$" or c.name:match "^(.+)Name$" or c.name:match "^(.+)ID$"
    if stem then
      local shared = what == stem and 1000 or 0
      for _, other in ipairs(order) do
        if other ~= c and other.name:sub(1, #stem) == stem then shared = shared + 1 end
      end
      if shared > most or shared == most and best and c.name < best.name and most > 0 then best, most = c, shared end
    end
  end
  return best
end

local KEYS = { Key = true, key = true, id = true }

--- Whether an identifier says which row it is: it differs in every row. Of a single row nobody knows.
local function tells_apart(c, rows)
  return KEYS[c.name] or rows > 1 and c.distinct == rows and not c.name:find "ZoneId$"
end

--- @param c { name: string, present: integer, distinct: integer, nested: integer, booleans: integer, arns: integer }
--- @param rows integer
local function rank(c, rows, own)
  local r = by_name(c.name)
  if is_identity(c.name) and r > 1 and r ~= 60 and r ~= 66 then
    r = own and 3 or tells_apart(c, rows) and (c.name:find "Name$" and 6 or 7) or 38
  end
  if c.booleans == c.present then r = math.max(r, 48) end
  if c.nested == c.present then r = math.max(r, 62) end
  if c.arns == c.present then r = math.max(r, 70) end
  if c.present * 3 < rows then r = r + 25 end
  return r
end

local function value_of(key) return function(row) return rawget(row, key) end end

local function name_tag(row) return path.tag(row, "Name") end

local function gather(rows)
  local found, order, lifted = {}, {}, 0
  for i, row in ipairs(rows) do
    if name_tag(row) ~= nil then lifted = lifted + 1 end
    for k, v in next, row do
      local c = found[k]
      if not c then
        c = { name = tostring(k), key = k, present = 0, distinct = 0, nested = 0, booleans = 0, arns = 0, numeric = true, seen = {} }
        found[k] = c
        order[#order + 1] = c
      end
      c.present = c.present + 1
      if type(v) == "string" and v:find "^arn:" then c.arns = c.arns + 1 end
      if type(v) == "boolean" then c.booleans = c.booleans + 1 end
      if type(v) ~= "number" or cell.time(c.name, v) then c.numeric = false end
      local shown = v
      if not cell.is_scalar(v) then shown = not path.is_list(v) and cell.word(v) or nil end   -- { Name = "running", Code = 16 }
      if shown ~= nil then
        if not c.seen[shown] then
          c.seen[shown] = i
          c.distinct = c.distinct + 1
        end
      else
        c.nested = c.nested + 1
      end
    end
  end
  return found, order, lifted
end

--- The columns of rows, in their order. A list that knows its own order (after select, of a query) has that.
---@param rows table[]
---@param o { columns?: string[], what?: string } what: the member that the rows are of ("Volumes")
---@return show.Column[]
function M.of(rows, o)
  local given = o.columns or list.columns(rows)
  local found, order, lifted = gather(rows)
  local result = {}
  if given then
    for i, name in ipairs(given) do
      local c = found[name]
      local get = c and value_of(name) or function(row) return path.get(row, name) end
      result[i] = { name = name, get = get, numbers = c ~= nil and c.numeric, rank = i }
    end
    return result
  end
  local own = own_identity(order, o.what and o.what:gsub("ies$", "y"):gsub("s$", ""))
  for i, c in ipairs(order) do
    result[i] = { name = c.name, get = value_of(c.key), numbers = c.numeric, rank = rank(c, #rows, c == own) }
  end
  if lifted > 0 and not found.Name then result[#result + 1] = { name = "Name", get = name_tag, numbers = false, rank = 4 } end
  table.sort(result, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.name < b.name
  end)
  return result
end

return M
