--- Lists in pages, as the Platform API cuts them: the request's Range names an
--- attribute, bounds and a size; 206 and Next-Range say that there is more.
---
---     Range: version ]4..; max=2, order=desc
---
--- "]" before the start leaves the start itself out. 200 items a page unless
--- the request says otherwise, 1,000 at most.
local json = require "json"

local M = { List = {} }

local SIZE, MOST = 200, 1000

--- A list that can be asked for by one of the attributes; each must be unique.
---@param items table[]
---@param attributes? string[] the first one is the default; { "id", "name" } without
function M.list(items, attributes)
  return setmetatable({ items = items, attributes = attributes or { "id", "name" } }, M.List)
end

--- What fn makes of each item.
---@param items table? none: no items
---@param fn fun(item: any, i: integer): any
---@return table
function M.map(items, fn)
  local out = {}
  for i, item in ipairs(items or {}) do out[i] = fn(item, i) end
  return out
end

local function refuse(message)
  error({ heroku = true, status = 416, body = { id = "range_not_satisfiable", message = message } }, 0)
end

local function parse(range, attributes, size)
  local o = { attribute = attributes[1], first = "", last = "", max = size or SIZE }
  if not range or range == "" then return o end
  local bounds, params = range:match "^([^;]*);?(.*)$"
  local attribute, exclusive, first, last = bounds:match "^%s*([%w_]+)%s+(%]?)%s*(.-)%.%.(.-)%s*$"
  if not attribute then refuse("The Range header is not valid: " .. range) end
  o.attribute, o.exclusive, o.first, o.last = attribute, exclusive == "]", first, last
  for part in params:gmatch "[^,;]+" do
    local name, value = part:match "^%s*(%w+)%s*=%s*(%w+)%s*$"
    if name == "max" and math.tointeger(tonumber(value)) then o.max = math.tointeger(tonumber(value))
    elseif name == "order" and (value == "asc" or value == "desc") then o.order = value
    else refuse("The Range header is not valid: " .. range) end
  end
  if o.max < 1 or o.max > MOST then refuse(("The page size must be between 1 and %d."):format(MOST)) end
  for _, known in ipairs(attributes) do if known == attribute then return o end end
  refuse(("The list cannot be sorted by %s; it can by %s."):format(attribute, table.concat(attributes, ", ")))
end

--- The page that a Range asks for.
---@param size? integer items of a page for requests that do not say; 200 without
---@return table answer
function M.answer(list, range, size)
  local o = parse(range, list.attributes, size)
  local items = table.move(list.items, 1, #list.items, 1, {})
  local is_number = #items > 0 and type(items[1][o.attribute]) == "number"
  local function key(value) return is_number and (tonumber(value) or refuse "The range's bounds must be numbers.") or value end
  local function before(a, b) if o.order == "desc" then return a > b end return a < b end
  table.sort(items, function(a, b) return before(a[o.attribute], b[o.attribute]) end)
  local page, more = json.array {}, false
  for _, item in ipairs(items) do
    local value = item[o.attribute]
    local too_early = o.first ~= "" and (before(value, key(o.first)) or o.exclusive and value == key(o.first))
    local too_late = o.last ~= "" and before(key(o.last), value)
    if not too_early and not too_late then
      if #page == o.max then more = true break end
      page[#page + 1] = item
    end
  end
  local tail = ("; max=%d%s"):format(o.max, o.order and ", order=" .. o.order or "")
  local headers = { ["Accept-Ranges"] = table.concat(list.attributes, ", ") }
  if #page > 0 then
    headers["Content-Range"] = ("%s %s..%s%s"):format(o.attribute, page[1][o.attribute], page[#page][o.attribute], tail)
  end
  if more then headers["Next-Range"] = ("%s ]%s..%s%s"):format(o.attribute, page[#page][o.attribute], o.last, tail) end
  return { status = more and 206 or 200, headers = headers, json = page }
end

return M
