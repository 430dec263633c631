--- The nouns and the clients of `aws`, as an editor must know them: what a noun takes, with types, and what it gives.
local kinds = require "recipe.kind"
local model = require "aws.model"
local resource = require "host.resource"
local stubs = require "editor.stubs"

local M = {}

local TYPES = { string = "string", integer = "integer", number = "number", boolean = "boolean", table = "table", list = "any[]",
                secret = "string|Secret", ["function"] = "function", any = "any" }

--- The type of an option. In a plan any value may be unknown yet, which no type says.
local function type_of(o)
  if not o.one_of or o.type ~= "string" then return TYPES[o.type or "string"] end
  local choices = {}
  for i, choice in ipairs(o.one_of) do choices[i] = ("%q"):format(choice) end
  return table.concat(choices, "|")
end

--- The rows `{ "name", "help", type = ..., ... }` that a source declares.
local function rows_of(text)
  local rows = {}
  for row in (text:match "local declared = (%b{})" or "{}"):sub(2, -2):gmatch "%b{}" do
    local ok, o = pcall(load("return " .. row, "row", "t", {}) or error)
    if ok and type(o[1]) == "string" and type(o[2]) == "string" then rows[#rows + 1] = o end
  end
  return rows
end

--- Fields that a kind's outputs and options are.
local function field(name, optional, type, help)
  return ("---@field %s%s %s%s"):format(name, optional and "?" or "", type, help and " " .. help:gsub("\n", " ") or "")
end

local function returns_of(block)
  for _, line in ipairs(block or {}) do
    local type = line:match "^%-%-%-@return (.*)$"
    if type then return type end
  end
end

--- What a noun takes.
local function spec_of(class, rows, out)
  out[#out + 1] = "---@class " .. class
  out[#out + 1] = "---@field [1] string its name"
  for _, o in ipairs(rows) do
    if o[1] ~= "name" then out[#out + 1] = field(o[1], not o.required, type_of(o), o[2]) end
  end
  out[#out + 1] = ""
end

--- What a noun gives: what was asked for, and what only the service knows.
local function given_by(class, kind, out)
  out[#out + 1] = "---@class " .. class
  local seen = {}
  local function add(name, type)
    if not seen[name] then out[#out + 1], seen[name] = field(name, false, type), true end
  end
  add("id", "string")
  for _, o in ipairs(kind.options) do add(o[1], type_of(o)) end
  for _, name in ipairs(kind.outputs) do add(name, "any") end
  add("name", "string")
  out[#out + 1] = ""
end

--- One noun, or another function of `aws`: its options as a class, what it gives as another, and the function.
local function noun(name, out)
  local path, spec, given = "aws/" .. name, ("aws.%s.Spec"):format(name), ("aws.%s.Noun"):format(name)
  local text = table.concat(stubs.lines(path), "\n")
  local heading = stubs.heading(path)
  local block, args = stubs.returned(path)
  if text:find "recipe%.kind%s*{" then
    local kind = kinds.find("aws." .. name)
    spec_of(spec, kind.declared, out)
    given_by(given, kind, out)
    table.move(heading, 1, #heading, #out + 1, out)
    table.move({ "---@param spec " .. spec, "---@return " .. given }, 1, 2, #out + 1, out)
    args = "(spec)"
  elseif text:find "local declared = {" and block then
    spec_of(spec, rows_of(text), out)
    table.move(heading, 1, #heading, #out + 1, out)
    table.move({ "---@param spec " .. spec, "---@return " .. (returns_of(block) or "any") }, 1, 2, #out + 1, out)
    args = "(spec)"
  elseif block and block[1] then
    table.move(block, 1, #block, #out + 1, out)
  else
    return
  end
  out[#out + 1] = ("function M.%s%s end"):format(name, args)
  out[#out + 1] = ""
end

local function names(folder, ending)
  local list = {}
  for _, path in ipairs(resource.list(folder)) do
    list[#list + 1] = path:match("^" .. folder:gsub("%p", "%%%0") .. "([%w_%-]+)%" .. ending .. "$")
  end
  table.sort(list)
  return list
end

--- All nouns of `aws`.
---@return string[] lines
function M.all()
  local out = {}
  for _, name in ipairs(names("stdlib/aws/", ".lua")) do noun(name, out) end
  return out
end

--- The services that the nouns are made of; their operations are worth being named. Others take any.
local NAMED = {}
for name in ([[acm cloudwatch dms ec2 ecr ecs elasticache elasticbeanstalk elbv2 iam logs rds route53 s3 scheduler secretsmanager
               sns sqs ssm sts]]):gmatch "%S+" do
  NAMED[name] = true
end

local CALL = "---@field %s fun(self: aws.Client, args?: table, opts?: table): table, table"

--- The clients: a class for each service that the nouns call, with its operations; and the fields of `aws`.
---@return string[] classes
---@return string[] fields
function M.clients()
  local classes, fields = {}, {}
  for _, service in ipairs(names("stdlib/aws/models/", ".txt")) do
    local name = service:gsub("%-", "_")
    if NAMED[service] then
      classes[#classes + 1] = ("---@class aws.client.%s: aws.Client"):format(name)
      for _, operation in ipairs(model.load(service).names "operations") do classes[#classes + 1] = CALL:format(model.snake(operation)) end
      classes[#classes + 1] = ""
    end
    fields[#fields + 1] = ("---@field %s aws.%s"):format(name, NAMED[service] and "client." .. name or "AnyClient")
  end
  classes[#classes + 1] = "---@class aws.AnyClient: aws.Client"
  classes[#classes + 1] = "---@field [string] fun(self: aws.Client, args?: table, opts?: table): table, table"
  classes[#classes + 1] = ""
  return classes, fields
end

return M
