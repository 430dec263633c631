--- Bodies of answers, read straight into tables by the shapes of a model: host/shape.c does it, and asks here for each
--- shape that it meets for the first time.
local errors = require "errors"
local host = require "host.shape"
local json = require "json"
local sensitive = require "aws.sensitive"

local M = {}

local KINDS = { struct = "struct", list = "list", map = "map", string = "string", blob = "blob", bool = "bool", int = "integer",
                long = "integer", float = "number", double = "number", timestamp = "timestamp" }

--- Members of XML answers that are read elsewhere.
local IN_HEAD = { header = true, headers = true, statusCode = true }

--- The name of a member's element: a flattened list goes by the name of its items.
local function element_of(model, member)
  if member.flattened then
    local target = model.shape(member.shape)
    if target.type == "list" and target.member.wire then return target.member.wire end
  end
  return member.wire or member.name
end

local function use(model, member, fallback)
  return { name = member.name, wire = member.wire or fallback or member.name, shape = member.shape, flat = member.flattened,
           secret = sensitive.is_marked(model.service, member) }
end

local function members_of(model, shape, is_xml)
  local list, rules = {}, sensitive.rules(model.service, shape)
  for _, member in ipairs(shape.members) do
    if not (is_xml and IN_HEAD[member.location]) then
      local rule = rules[member.name]
      list[#list + 1] = {
        name = member.name, wire = is_xml and element_of(model, member) or member.wire or member.name, shape = member.shape,
        flat = is_xml and member.flattened, attribute = is_xml and member.attribute,
        secret = rule == true, late = type(rule) == "function",
      }
    end
  end
  return list
end

--- What host.shape wants to know of a shape; see its head.
local function describe(model, name, is_xml)
  local shape = model.shape(name)
  if shape.document then return { kind = "document" } end
  local found = { kind = KINDS[shape.type], union = shape.union }
  if shape.type == "struct" then found.members = members_of(model, shape, is_xml) end
  if shape.type == "list" then found.item = use(model, shape.member) end
  if shape.type == "map" then found.item, found.key = use(model, shape.value, "value"), use(model, shape.key, "key") end
  return found
end

--- Shapes that are not in the model: what is around the output of a query operation, and around an error.
local REQUEST_ID, FAULT = "the request id", "the error"
local METADATA, ERRORS = "ResponseMetadata", "Errors"
local AROUND = {}

AROUND["query answer "] = function(model, words)
  local output, wrapper = words:match "^([^ ]*) ?(.*)$"
  local members = wrapper == "" and output ~= "" and members_of(model, model.shape(output), true) or {}
  if wrapper ~= "" then members[1] = { name = "result", wire = wrapper, shape = output } end
  members[#members + 1] = { name = METADATA, wire = METADATA, shape = "query metadata " }
  members[#members + 1] = { name = REQUEST_ID, wire = "requestId", shape = "string" }
  return members
end

AROUND["query metadata "] = function() return { { name = REQUEST_ID, wire = "RequestId", shape = "string" } } end

AROUND["error answer "] = function(model, name) -- <ErrorResponse><Error>, <Response><Errors><Error>, or S3's <Error>
  local members = members_of(model, model.shape(name), true)
  members[#members + 1] = { name = FAULT, wire = "Error", shape = name }
  members[#members + 1] = { name = ERRORS, wire = ERRORS, shape = "error list " .. name }
  return members
end

AROUND["error list "] = function(_, name) return { { name = FAULT, wire = "Error", shape = name } } end

local graphs = { xml = setmetatable({}, { __mode = "k" }), json = setmetatable({}, { __mode = "k" }) }

local function graph(model, format)
  local found = graphs[format][model]
  if found then return found end
  local is_xml = format == "xml"
  -- the graph must not keep the model alive: it would never be collected, being the value of a weak key
  local weak = setmetatable({ model = model }, { __mode = "v" })
  found = host.graph(function(name, member, values)
    local now = weak.model
    if member then return sensitive.rules(now.service, now.shape(name))[member](values) end
    local around, words = name:match "^(%l+ %l+ )(.*)$" -- the model's own names are one word
    if around then return { kind = "struct", members = AROUND[around](now, words) } end
    return describe(now, name, is_xml)
  end)
  graphs[format][model] = found
  return found
end

local function wrong(fmt, ...) errors.raise { kind = "protocol", message = fmt:format(...) } end

local function read(model, format, name, body)
  local g = graph(model, format)
  local value, more = g[format](g, name, body or "")
  if value == nil then wrong("%s", more.message) end
  if format == "xml" and more:lower() == "html" then wrong "the answer is a page of HTML" end
  return value, more
end

--- Reads an XML document whose root stands for a shape. Raises kind "protocol".
---@param model aws.Model
---@param name string of the shape
---@param body string|userdata
---@return table
function M.xml(model, name, body) return (read(model, "xml", name, body)) end

--- Reads JSON. Raises kind "protocol".
---@param model aws.Model
---@param name string of the shape
---@param body string|userdata
---@return any
function M.json(model, name, body)
  local value = read(model, "json", name, body)
  if value == json.null and not model.shape(name).document then wrong "the answer is null" end
  return value
end

local function answer_of(op) return "query answer " .. (op.output or "") .. (op.wrapper and " " .. op.wrapper or "") end

--- A reader of the answer of a query or ec2 operation, for http.request{ reader = }: large answers are read while they come.
---@param model aws.Model
---@param op aws.Operation
---@return userdata
function M.begin_query(model, op) return graph(model, "xml"):reader(answer_of(op)) end

--- Reads the answer of a query or ec2 operation.
---@param model aws.Model
---@param op aws.Operation
---@param body string|userdata or the reader that was given it
---@return table result
---@return string? request_id
function M.query(model, op, body)
  local root, name = read(model, "xml", answer_of(op), body)
  local id = root[METADATA] and root[METADATA][REQUEST_ID] or root[REQUEST_ID]
  root[METADATA], root[REQUEST_ID] = nil, nil
  if name == "Error" or name == "ErrorResponse" then wrong("the answer of status 200 is an error: <%s>", name) end
  if not (op.output and op.wrapper) then return root, id end
  return root.result or wrong("the answer, a <%s>, has no <%s>", name, op.wrapper), id
end

--- Reads the members of an error's shape. Raises kind "protocol".
---@param model aws.Model
---@param name string of the shape
---@param body string
---@return table
function M.fault(model, name, body)
  local root = read(model, "xml", "error answer " .. name, body)
  return root[FAULT] or root[ERRORS] and root[ERRORS][FAULT] or root
end

return M
