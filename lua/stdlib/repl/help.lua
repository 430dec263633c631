--- help(x): what an AWS operation takes and answers, what a service can do, what a module's comments say of it.
local client = require "aws.client"
local errors = require "errors"
local model = require "aws.model"
local options = require "options"
local resource = require "host.resource"
local shell = require "shell"

local M = {}

local DEPTH, WIDE_ENUM, MOST_LINES = 4, 12, 400

local OVERVIEW = [[
Lua 5.4 with these at hand: aws, heroku, pg, redis, ssh, http, json, yaml, fs...

  aws.ec2:describe_vpcs{ VpcIds = { "vpc-0a1b2c3d" } }
  aws.ec2:each("describe_volumes")          the items of all pages, in a for loop
  aws.rds:wait("db_instance_available", { DBInstanceIdentifier = "shop" })
  aws.ec2:all("describe_volumes"):where{ State = "available" }:select("VolumeId")
  json(x), yaml(x), csv(x), x:save("file")  a result in another form

  help(aws.rds)                             the operations of a service
  help(aws.rds.describe_db_instances)       parameters, values, what it answers
  help "pg", help(pg.open)                  a module, a function
  _                                         the last result
  :help                                     the commands, :write on among them

Tab completes services, operations, parameters and fields; Ctrl-R searches the
history; Ctrl-C ends what runs.]]

-- Operations -----------------------------------------------------------------

local TYPES = { int = "integer", long = "integer", float = "number", double = "number", bool = "boolean", blob = "bytes",
  timestamp = "time", string = "string" }

--- "string", "list of string", "map of string to integer"; and the struct inside, if there is one.
local function type_of(service, shape)
  if shape.document then return "any value" end
  if shape.type == "struct" then return shape.union and "one of" or "table", shape end
  if shape.type == "list" then
    local name, inner = type_of(service, service.shape(shape.member.shape))
    return "list of " .. (name == "table" and "tables" or name), inner
  end
  if shape.type == "map" then
    local name, inner = type_of(service, service.shape(shape.value.shape))
    return ("table of %s by name"):format(name == "table" and "tables" or name), inner
  end
  return TYPES[shape.type] or shape.type
end

--- The scalar at the bottom of lists, for its values.
local function scalar_of(service, shape)
  while shape.type == "list" do shape = service.shape(shape.member.shape) end
  return shape
end

local function values_of(shape)
  if not shape.enum then return "" end
  local list = table.move(shape.enum, 1, math.min(#shape.enum, WIDE_ENUM), 1, {})
  local more = #shape.enum > WIDE_ENUM and (", and %d more"):format(#shape.enum - WIDE_ENUM) or ""
  return ": " .. table.concat(list, " | ") .. more
end

local function members(out, service, shape, indent, depth, above, is_result)
  local width = 0
  for _, member in ipairs(shape.members) do width = math.max(width, math.min(#member.name, 34)) end
  for _, member in ipairs(shape.members) do
    local wanted = service.shape(member.shape)
    local kind, inner = type_of(service, wanted)
    local scalar = scalar_of(service, wanted)
    local marks = member.required and not is_result and ", required" or ""
    if member.sensitive or scalar.sensitive then marks = marks .. ", secret" end
    if member.idempotency_token then marks = marks .. ", filled in" end
    local line = ("%s%-" .. width .. "s  %s%s%s"):format(indent, member.name, kind, marks, values_of(scalar))
    local seen = inner and above[inner.name]
    if inner and (seen or depth <= 1) and #inner.members > 0 then line = line .. (seen and " (as above)" or " ...") end
    out[#out + 1] = line
    if inner and not seen and depth > 1 then
      above[inner.name] = true
      members(out, service, inner, indent .. "  ", depth - 1, above, is_result)
      above[inner.name] = nil
    end
  end
end

--- The deepest structure that stays within a screen or some.
local function structure(service, name, is_result)
  for depth = DEPTH, 1, -1 do
    local out = {}
    members(out, service, service.shape(name), "  ", depth, {}, is_result)
    if #out <= MOST_LINES // (DEPTH - depth + 1) or depth == 1 then return out end
  end
end

local function waiters_of(service, op)
  local list = {}
  for _, name in ipairs(service.names "waiters") do
    if service.waiters[name].operation == op.name then list[#list + 1] = model.snake(name) end
  end
  return list
end

local function lua_name(service) return "aws." .. service.service:gsub("-", "_") end

---@param service aws.Model
---@param op aws.Operation
---@return string
function M.operation(service, op)
  local changes = require("aws.mutating").is_mutating(service.service, op)
  local out = { ("%s:%s%s"):format(lua_name(service), op.snake, op.input and " { ... }" or "()"),
                changes and "Can change something: refused in read-only mode." or "Only reads." }
  local pages = service.paginators[op.name]
  if pages then
    out[#out + 1] = ("In pages: %s:%s(%q, { ... })"):format(lua_name(service), pages.result[1] and "each" or "pages", op.snake)
  end
  for _, name in ipairs(waiters_of(service, op)) do
    out[#out + 1] = ("Waiter: %s:wait(%q, { ... })"):format(lua_name(service), name)
  end
  out[#out + 1] = ""
  local input = op.input and structure(service, op.input) or {}
  out[#out + 1] = input[1] and "Parameters:" or "It takes no parameters."
  table.move(input, 1, #input, #out + 1, out)
  local output = op.output and structure(service, op.output, true) or {}
  out[#out + 1] = ""
  out[#out + 1] = output[1] and "Result:" or "Its result is empty."
  table.move(output, 1, #output, #out + 1, out)
  if op.errors[1] then
    out[#out + 1] = ""
    out[#out + 1] = "Errors: " .. table.concat(op.errors, ", ")
  end
  return table.concat(out, "\n")
end

-- Services -------------------------------------------------------------------

---@param service aws.Model
---@return string
function M.service(service)
  local groups, order = {}, {}
  for _, name in ipairs(service.names "operations") do
    local snake = model.snake(name)
    local verb = snake:match "^[^_]+"
    if not groups[verb] then
      groups[verb] = {}
      order[#order + 1] = verb
    end
    table.insert(groups[verb], snake)
  end
  table.sort(order)
  local out = { ("%s: %s, %d operations"):format(lua_name(service), service.meta.service_full_name or service.service,
    #service.names "operations"), "" }
  for _, verb in ipairs(order) do
    local line = " "
    for _, name in ipairs(groups[verb]) do
      if #line + #name > 100 then
        out[#out + 1] = line
        line = "   "
      end
      line = line .. " " .. name
    end
    out[#out + 1] = line
  end
  local waiters = service.names "waiters"
  for i, name in ipairs(waiters) do waiters[i] = model.snake(name) end
  if waiters[1] then out[#out + 1] = "\nWaiters: " .. table.concat(waiters, ", ") end
  out[#out + 1] = ("\nhelp(%s.%s) shows one of them."):format(lua_name(service), groups[order[1]][1])
  return table.concat(out, "\n")
end

-- Modules --------------------------------------------------------------------

local function lines_of(path)
  local source, lines = resource.read(path), {}
  for line in ((source or "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- A comment's words; its tags as they are.
local function words(lines, from, to)
  local out = {}
  for i = from, to do out[#out + 1] = (lines[i]:gsub("^%-%-%-? ?", ""):gsub("^@", "  ")) end
  return out
end

local function comment_above(lines, number)
  local from = number
  while from > 1 and lines[from - 1]:find "^%s*%-%-" do from = from - 1 end
  return words(lines, from, number - 1)
end

local function declared(line, module)
  return (line:gsub("^function M([.:])", module and module .. "%1" or "%1"):gsub("^function ", ""):gsub("^local function ", ""))
end

--- A function of ours by the comment above it.
local function of_function(fn)
  local info = debug.getinfo(fn, "S")
  local path = info.source:match "^@(stdlib/.*)$"
  if not path then return "a function that is not hkrun's; it says nothing about itself" end
  local lines = lines_of(path)
  local module = path:match "^stdlib/(.*)%.lua$":gsub("/", ".")
  local out = comment_above(lines, info.linedefined)
  table.insert(out, 1, declared(lines[info.linedefined] or "", module))
  return table.concat(out, "\n")
end

--- A module by its first comment and its documented functions.
local function of_module(name)
  local lines = lines_of(("stdlib/%s.lua"):format((name:gsub("%.", "/"))))
  local last = 0
  while lines[last + 1] and lines[last + 1]:find "^%-%-%-" do last = last + 1 end
  local out = words(lines, 1, last)
  out[#out + 1] = ""
  for i, line in ipairs(lines) do
    if line:find "^function M[.:]%l" and lines[i - 1]:find "^%-%-%-" then
      local about = comment_above(lines, i)
      local first = about[1] and about[1]:find "^  " and "" or about[1] or ""
      out[#out + 1] = ("  %-40s %s"):format(declared(line, name), first)
    end
  end
  return table.concat(out, "\n")
end

local function module_name(value)
  for name in pairs(shell.modules) do
    if rawequal(package.loaded[name], value) then return name end
  end
end

-- What is asked about --------------------------------------------------------

local about

--- "aws.rds.describe_db_instances", "pg", "pg.open"
local function by_name(name)
  local parts = {}
  for part in name:gmatch "[%w_]+" do parts[#parts + 1] = part end
  if shell.words[parts[1] or ""] then return about(shell.words[parts[1]]()) end
  if not shell.modules[parts[1] or ""] then
    local known = {}
    for module in pairs(shell.modules) do known[#known + 1] = module end
    errors.usage("there is no help about %q%s", name, options.suggestion(parts[1] or "", known))
  end
  local value = require(parts[1])
  for i = 2, #parts do value = value[parts[i]] end
  return about(value)
end

function about(value)
  if value == nil then return OVERVIEW end
  if client.is(value) then return M.service(value.model) end
  if type(value) == "string" then return by_name(value) end
  if type(value) == "function" then
    local found = client.operation_of(value)
    if found then return M.operation(found.client.model, found.operation) end
    return of_function(value)
  end
  local module = type(value) == "table" and module_name(value)
  if module then return of_module(module) end
  return ("a %s; help() says what there is help about"):format(type(value))
end

--- The text of help(value).
---@param value any a client, one of its methods, a module, a function, a name of these; nil: an overview
---@return string
function M.text(value) return about(value) end

return M
