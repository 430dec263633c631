--- What may stand at the end of a piece of Lua: services, operations, parameters and their values from the models of
--- AWS, fields and methods of values that are there. Looks only at what is in memory: no network, no function is called.
local client = require "aws.client"
local lexer = require "repl.lexer"
local lists = require "host.list"
local model = require "aws.model"
local shell = require "shell"

local M = {}

---@class repl.Completion
---@field word string           what is there of it
---@field items string[]        what it can become, sorted
---@field suffix string         what follows an item: " = " after a parameter, the quote after a value

local function keys_of(t, wanted)
  local list = {}
  for key, value in next, t do
    if type(key) == "string" and key:find "^[%a_][%w_]*$" and (not wanted or wanted(value)) then list[#list + 1] = key end
  end
  return list
end

local function is_callable(v)
  local meta = type(v) == "table" and getmetatable(v)
  return type(v) == "function" or type(meta) == "table" and meta.__call ~= nil
end

local function is_aws(v) return v ~= nil and rawequal(v, package.loaded.aws) end

--- A field of a value, without calling anything of the value's own.
local function field(value, name)
  if is_aws(value) then
    for _, service in ipairs(value.names().services) do
      if service == name then return value[name] end
    end
  end
  if type(value) ~= "table" then return nil end
  local found = rawget(value, name)
  if found ~= nil or client.is(value) then return found end
  local meta = getmetatable(value)
  return type(meta) == "table" and type(meta.__index) == "table" and field(meta.__index, name) or nil
end

local function global(env, name)
  if rawget(env, name) ~= nil then return rawget(env, name) end
  if shell.modules[name] or shell.words[name] then return env[name] end
  return rawget(_G, name)
end

--- The value of an expression; nil where only running it would tell.
local function value_of(env, chain)
  local value
  for i, step in ipairs(chain) do
    if step.how == "call" then return nil end
    if i == 1 then value = global(env, step.name) else value = field(value, step.name) end
    if value == nil then return nil end
  end
  return value
end

local CALLERS = { all = true, each = true, pages = true, call = true, request = true, presign = true }

local operations = setmetatable({}, { __mode = "k" })

local function operation_names(service)
  local list = operations[service]
  if not list then
    list = {}
    for i, name in ipairs(service.names "operations") do list[i] = model.snake(name) end
    operations[service] = list
  end
  return list
end

local function methods_of(value)
  if client.is(value) then
    local list = table.move(operation_names(value.model), 1, #operation_names(value.model), 1, {})
    for name in pairs(client.methods(value)) do list[#list + 1] = name end
    return list
  end
  if lists.is(value) then return keys_of(require("list").methods, is_callable) end
  if lists.is_answer(value) then return keys_of(require("list").answer_methods, is_callable) end
  local list, seen = {}, {}
  while type(value) == "table" or type(value) == "string" do
    if type(value) == "table" then
      for _, key in ipairs(keys_of(value, is_callable)) do
        if not seen[key] and not key:find "^_" then list[#list + 1], seen[key] = key, true end
      end
    end
    local meta = getmetatable(value)
    value = type(meta) == "table" and type(meta.__index) == "table" and meta.__index or nil
  end
  return list
end

local function fields_of(value)
  if is_aws(value) then
    local names = value.names()
    local list = keys_of(value, is_callable)
    for _, kind in ipairs { names.services, names.nouns } do
      for _, name in ipairs(kind) do if rawget(value, name) == nil or kind == names.services then list[#list + 1] = name end end
    end
    return list
  end
  if client.is(value) then return methods_of(value) end
  if type(value) ~= "table" then return {} end
  local list = {}
  for _, key in ipairs(keys_of(value)) do if not key:find "^__" then list[#list + 1] = key end end
  return list
end

--- The operation that a call is of, and which of its values is the table of parameters.
local function operation_of(env, frame)
  local chain = frame.call
  local last = chain and chain[#chain]
  if not last or #chain < 2 or last.how == "call" or last.how == "[" then return nil end
  local service = value_of(env, table.move(chain, 1, #chain - 1, 1, {}))
  if not client.is(service) then return nil end
  local op = type(last.name) == "string" and service.model.operation_named(last.name)
  if op then return service.model, op, 0 end
  if not frame.first then return nil end
  if CALLERS[last.name] then return service.model, service.model.operation_named(frame.first), 1 end
  if last.name ~= "wait" then return nil end
  for _, name in ipairs(service.model.names "waiters") do
    if model.snake(name) == frame.first or name == frame.first then
      return service.model, service.model.operations[service.model.waiters[name].operation], 1
    end
  end
end

local function inner(service, shape, key)
  local member
  if shape.type == "struct" then member = key and shape.by_name[key]
  elseif shape.type == "list" then member = shape.member
  elseif shape.type == "map" then member = key and shape.value end
  return member and service.shape(member.shape)
end

--- The shape that the innermost open table has in the parameters of a call.
local function shape_at(env, stack)
  local from, service, op, position
  for i = #stack, 1, -1 do
    if stack[i].open ~= "{" or stack[i].call then from = i break end
  end
  if from then service, op, position = operation_of(env, stack[from]) end
  if not (op and op.input) then return nil end
  local at = from
  if stack[from].open == "(" then
    at = from + 1
    if not stack[at] or stack[from].index ~= position then return nil end
  end
  local shape = service.shape(op.input)
  for i = at + 1, #stack do
    shape = inner(service, shape, stack[i - 1].key)
    if not shape then return nil end
  end
  return service, shape
end

--- The names that a call takes as its first string: operations, waiters.
local function first_strings(env, frame)
  local chain = frame.call
  local last = chain and chain[#chain]
  if not last or #chain < 2 or frame.index ~= 0 then return nil end
  local service = value_of(env, table.move(chain, 1, #chain - 1, 1, {}))
  if not client.is(service) then return nil end
  if CALLERS[last.name] then return operation_names(service.model) end
  if last.name ~= "wait" then return nil end
  local list = {}
  for i, name in ipairs(service.model.names "waiters") do list[i] = model.snake(name) end
  return list
end

local function strings(env, at)
  local top = at.stack[#at.stack]
  if not top then return {} end
  local service, shape = shape_at(env, at.stack)
  if not shape then return first_strings(env, top) or {} end
  local wanted = inner(service, shape, top.key)
  return wanted and wanted.enum or {}
end

local function globals(env)
  local list = keys_of(env)
  for _, more in ipairs { shell.modules, shell.words, lexer.keywords, _G } do
    for _, key in ipairs(keys_of(more)) do if rawget(env, key) == nil then list[#list + 1] = key end end
  end
  return list
end

local function parameters(env, at)
  local top = at.stack[#at.stack]
  if not top or top.open ~= "{" or top.key or at.access then return nil end
  local _, shape = shape_at(env, at.stack)
  if not shape or shape.type ~= "struct" then return nil end
  local list = {}
  for _, member in ipairs(shape.members) do
    if not top.given[member.name] then list[#list + 1] = member.name end
  end
  return list
end

local function matching(list, word)
  local function of(fold)
    local found, seen, start = {}, {}, fold(word)
    for _, item in ipairs(list) do
      if not seen[item] and fold(item:sub(1, #word)) == start then found[#found + 1], seen[item] = item, true end
    end
    return found
  end
  local found = of(function(s) return s end)
  if not found[1] then found = of(string.lower) end
  table.sort(found)
  return found
end

--- What can follow a text.
---@param env table the globals
---@param text string from the beginning of the entry up to the cursor
---@return repl.Completion
function M.at(env, text)
  local at = lexer.read(text)
  if not at then return { word = "", items = {}, suffix = "" } end
  local top = at.stack[#at.stack]
  local is_help = at.quote and (at.chain or top and top.call or {})[1]
  if is_help and is_help.name == "help" then return M.at(env, at.word) end
  local list, suffix
  if at.quote then
    list, suffix = strings(env, at), at.quote == "[" and "]]" or at.quote
  elseif at.access then
    local value = at.chain and value_of(env, at.chain)
    list = at.access == ":" and methods_of(value) or fields_of(value)
  else
    list, suffix = parameters(env, at), " = "
    if not list then list, suffix = at.word == "" and top and {} or globals(env), "" end
  end
  return { word = at.word, items = matching(list, at.word), suffix = suffix or "" }
end

--- The longest beginning that all items share.
---@param items string[]
---@return string
function M.common(items)
  local prefix = items[1] or ""
  for _, item in ipairs(items) do
    while item:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
  end
  return prefix
end

--- The widths of the columns that the first `count` names make in so many rows; nil if they are too wide.
local function widths_of(items, count, rows, width)
  local widths, total = {}, -2
  for first = 1, count, rows do
    local widest = 0
    for i = first, math.min(first + rows - 1, count) do widest = math.max(widest, #items[i]) end
    widths[#widths + 1], total = widest, total + widest + 2
    if total > width and #widths > 1 then return nil end
  end
  return widths
end

--- How many rows the first `count` names take, and the widths of their columns.
local function layout(items, count, width)
  for rows = 1, count do
    local widths = widths_of(items, count, rows, width)
    if widths then return rows, widths end
  end
end

--- Names in columns, as ls shows them.
---@param items string[]
---@param width integer of the terminal
---@param most integer rows; another one says how many names are left out
---@return string
function M.columns(items, width, most)
  local count = #items
  local rows, widths = layout(items, count, width)
  while rows > most do
    count = math.max(most, count * 19 // 20)
    rows, widths = layout(items, count, width)
  end
  local lines = {}
  for row = 1, rows do
    local cells = {}
    for column, wide in ipairs(widths) do
      local at = (column - 1) * rows + row
      if at <= count then cells[column] = ("%-" .. math.min(wide, 99) .. "s"):format(items[at]) end
    end
    lines[row] = table.concat(cells, "  "):gsub("%s+$", "")
  end
  if count < #items then lines[#lines + 1] = ("... and %d more"):format(#items - count) end
  return table.concat(lines, "\n")
end

return M
