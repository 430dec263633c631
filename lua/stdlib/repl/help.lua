--- help(x): what an AWS operation takes and answers, what a service can do, what a module's comments say of it.
local client = require "aws.client"
local comments = require "repl.comments"
local errors = require "errors"
local model = require "aws.model"
local options = require "options"
local shell = require "shell"
local sorted_keys = require "sorted_keys"

local M = {}

local DEPTH, WIDE_ENUM, MOST_LINES = 4, 12, 400

local OVERVIEW = [[
Lua 5.4 with these at hand: aws, heroku, pg, redis, ssh, http, json, yaml, fs...

  aws.ec2:describe_vpcs{ VpcIds = { "vpc-0a1b2c3d" } }
  aws.ec2:each("describe_volumes")          the items of all pages, for a loop
  aws.rds:wait("db_instance_available", { DBInstanceIdentifier = "shop" })
  aws.ec2:all("describe_volumes"):where{ State = "in-use" }:sort("-Size")
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

---@param of aws.Client
---@return string
function M.service(of)
  local service = of.model
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
  local methods = sorted_keys(client.methods(of))
  out[#out + 1] = "\nBeside them: " .. table.concat(methods, ", ")
  out[#out + 1] = ("\nhelp(%s.%s) shows one of them."):format(lua_name(service), groups[order[1]][1])
  return table.concat(out, "\n")
end

-- Modules and nouns ----------------------------------------------------------

local function module_name(value)
  for name in pairs(shell.modules) do
    if rawequal(package.loaded[name], value) then return name end
  end
end

local function noun_name(value)
  for _, name in ipairs(require("aws").names().nouns) do
    if rawequal(package.loaded["aws." .. name], value) then return name end
  end
end

-- What is asked about --------------------------------------------------------

local about

--- "aws.rds.describe_db_instances", "pg", "pg.open"
local function by_name(name)
  local parts = {}
  for part in name:gmatch "[%w_]+" do parts[#parts + 1] = part end
  local first = parts[1] or ""
  if first == "help" then return OVERVIEW end
  if shell.words[first] then return about(shell.words[first]()) end
  if not shell.modules[first] then
    local known, names = {}, require("aws").names()
    for module in pairs(shell.modules) do known[#known + 1] = module end
    for _, list in ipairs { names.services, names.nouns } do
      for _, word in ipairs(list) do
        if word == first then return about("aws." .. name) end
        known[#known + 1] = word
      end
    end
    errors.usage("there is no help about %q%s", name, options.suggestion(first, known))
  end
  local value = require(parts[1])
  for i = 2, #parts do value = value[parts[i]] end
  return about(value)
end

function about(value)
  if value == nil then return OVERVIEW end
  if client.is(value) then return M.service(value) end
  if type(value) == "string" then return by_name(value) end
  if type(value) == "function" then
    local found = client.operation_of(value)
    if found then return M.operation(found.client.model, found.operation) end
    local noun = noun_name(value)
    return noun and comments.of_noun(noun) or comments.of_function(value)
  end
  local module = type(value) == "table" and module_name(value)
  if module then return comments.of_module(module) end
  return ("a %s; help() says what there is help about"):format(type(value))
end

--- The text of help(value).
---@param value any a client, one of its methods, a module, a function, a name of these; nil: an overview
---@return string
function M.text(value) return about(value) end

return M
