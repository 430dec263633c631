--- From a model as botocore has it (service-2.json, paginators-1.json, waiters-2.json) to the text that aws.model.text
--- reads. The text shows a new botocore as a diff of one line per operation or shape, and holds no documentation. A
--- line is one of
---
---     m KEY VALUE                               a fact of the service
---     o NAME METHOD URI TRAIT...                an operation
---     s NAME KIND TRAIT... | MEMBER:SHAPE;TRAIT... a shape; a struct names no kind; MEMBER! is required
---     p NAME TRAIT...                           a paginator
---     w NAME TRAIT... | ACCEPTOR...             a waiter; an acceptor is state;matcher;expected;argument
---
--- Three things are written short, for they are most of it. The input CreateVpcRequest of CreateVpc is ~Request. The
--- errors of more than half of the operations stand in `m errors`; an operation names what it has besides, and with -
--- before it what it lacks. A member whose shape is its own name with a capital names none: `Tags!` or `tags;low`. And
--- what is no more than a type and a size has no line: a scalar is a letter and its least~greatest, `s1~64`, a list is
--- what it holds and its size, `[s]~10`.
local errors = require "errors"
local json = require "json"
local sorted_keys = require "sorted_keys"
local text = require "aws.model.text"

local M = {}

local PREFERRED = { "json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor", "query", "ec2" } -- botocore's own order

local KINDS = {
  structure = "struct", list = "list", map = "map", string = "string", character = "string", integer = "int", long = "long",
  float = "float", double = "double", boolean = "bool", blob = "blob", timestamp = "timestamp",
}

local META = { "apiVersion", "endpointPrefix", "globalEndpoint", "jsonVersion", "serviceFullName", "serviceId",
               "signatureVersion", "signingName", "targetPrefix", "xmlNamespace", "awsQueryCompatible" }

-- botocore's word, ours. A word with no value stands for true.
local OF_REF = { { "queryName", "query" }, { "flattened", "flat" }, { "xmlAttribute", "attr" }, { "streaming", "stream" },
                 { "idempotencyToken", "token" }, { "hostLabel", "host" }, { "timestampFormat", "time" },
                 { "jsonvalue", "json" }, { "sensitive", "secret" }, { "eventpayload", "eventpayload" },
                 { "eventheader", "eventheader" }, { "document", "document" } }
local OF_SHAPE = { { "exception", "error" }, { "min", "min" }, { "max", "max" }, { "union", "union" }, { "payload", "payload" },
                   { "eventstream", "eventstream" }, { "document", "document" }, { "sensitive", "secret" }, { "enum", "enum" } }
local OF_ERROR = { { "code", "code" }, { "httpStatusCode", "status" }, { "senderFault", "sender" } }
local OF_OPERATION = { { "unsignedPayload", "unsigned" }, { "idempotent", "idempotent" }, { "readonly", "readonly" } }
local OF_CHECKSUM = { { "requestAlgorithmMember", "sum" }, { "requestChecksumRequired", "sum_required" },
                      { "requestValidationModeMember", "sum_mode" }, { "responseAlgorithms", "sum_answer" } }
local OF_PAGINATOR = { { "input_token", "in" }, { "output_token", "out" }, { "limit_key", "limit" }, { "more_results", "more" },
                       { "result_key", "result" } }
local OF_WAITER = { { "operation", "op" }, { "delay", "delay" }, { "maxAttempts", "tries" } }

-- What a use of a shape takes over from the shape; what gives a scalar or a list a line.
local INHERITED = { "locationName", "flattened", "timestampFormat", "xmlNamespace", "sensitive", "streaming" }
local NOTED = { "union", "payload", "exception", "eventstream", "enum" }
for _, pair in ipairs(OF_REF) do NOTED[#NOTED + 1] = pair[1] end

--- A value as one word: blanks and the characters of the grammar are %-escaped; % alone is the empty word.
local function word(value)
  if type(value) == "table" then
    local words = {}
    for i, v in ipairs(value) do words[i] = v == "" and "%" or word(v) end
    return table.concat(words, ",")
  end
  if math.type(value) == "float" and math.tointeger(value) then value = math.tointeger(value) end
  return (tostring(value):gsub("[%s%%,;|]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function traits(line, source, pairs_of)
  for _, pair in ipairs(pairs_of) do
    local value = source[pair[1]]
    if value == true then line[#line + 1] = pair[2]
    elseif value ~= nil and value ~= false and value ~= json.null then line[#line + 1] = pair[2] .. "=" .. word(value) end
  end
end

local function namespace(line, source)
  local ns = source.xmlNamespace
  if type(ns) ~= "table" then return end
  if ns.uri then line[#line + 1] = "ns=" .. word(ns.uri) end
  if ns.prefix then line[#line + 1] = "prefix=" .. word(ns.prefix) end
end

local function capital(name) return name:sub(1, 1):upper() .. name:sub(2) end

local function refuse(s, message, ...)
  errors.raise { kind = "invalid", op = "read the service model " .. s.where, message = message:format(...) }
end

local function shape_named(s, name, used_by)
  local shape = type(name) == "string" and s.shapes[name]
  if type(shape) ~= "table" then refuse(s, "%s needs the shape %s, which it does not have", used_by, tostring(name)) end
  if not KINDS[shape.type] then refuse(s, "its shape %s has the unknown type %s", name, tostring(shape.type)) end
  return shape
end

local short -- (s, name, shape)

--- What a shape is called in the text. A name that reads as a scalar's gets a _.
local function name_of(s, name, used_by)
  local known = s.names[name]
  if not known then
    known = short(s, name, shape_named(s, name, used_by)) or (name:find "^%l$" or text.LETTERS[name]) and name .. "_" or word(name)
    s.names[name] = known
  end
  return known
end

--- A use of a shape. What the shape says of its own place on the wire is written at each use.
local function ref(s, use, member, used_by, mark)
  if type(use) ~= "table" then refuse(s, "%s has a member %s that is no table", used_by, tostring(member)) end
  local target, merged = shape_named(s, use.shape, used_by), {}
  for _, key in ipairs(INHERITED) do merged[key] = target[key] end
  for key, value in pairs(use) do merged[key] = value end
  local wire, place, name = merged.locationName, merged.location, name_of(s, use.shape)
  local line = { word(member) .. mark .. (name == capital(member) and "" or ":" .. name) }
  if place then
    line[2] = place .. (wire and wire ~= member and "=" .. word(wire) or "")
  elseif wire == member:sub(1, 1):lower() .. member:sub(2) and wire ~= member then
    line[2] = "low" -- most of EC2: InstanceId goes by instanceId
  elseif wire and wire ~= member then
    line[2] = "wire=" .. word(wire)
  end
  traits(line, merged, OF_REF)
  namespace(line, merged)
  return table.concat(line, ";")
end

--- "s1~64", "[s]~10": what stands for a scalar, or a list of no lists, that is no more than that; nil for another shape.
function short(s, name, shape)
  for _, key in ipairs(NOTED) do if shape[key] then return nil end end
  local found, held = text.LETTERS[KINDS[shape.type]], shape.member
  if shape.type == "list" then
    local used_by = "its shape " .. name
    if type(held) == "table" and shape_named(s, held.shape, used_by).type == "list" then return nil end
    found = ref(s, held, "member", used_by, ""):match "^member:([^;]+)$"
    found = found and "[" .. found .. "]"
  end
  if not found then return nil end
  if shape.min or shape.max then found = found .. word(shape.min or "") .. "~" .. word(shape.max or "") end
  s.lineless[name] = true
  return found
end

-- Operations --------------------------------------------------------------------------------------------------------

--- The kinds of signature of an operation, or of a service, in the order in which they are offered.
local SIGNATURES = { ["aws.auth#sigv4"] = "v4", ["aws.auth#sigv4a"] = "v4a", ["smithy.api#noAuth"] = "none",
                     ["smithy.api#httpBearerAuth"] = "bearer" }

local function signatures(offered)
  local list = {}
  for i, name in ipairs(offered or {}) do list[i] = SIGNATURES[name] or name end
  return list[1] and word(list) or nil
end

local function error_names(op)
  local set = {}
  for _, e in ipairs(op.errors or {}) do set[tostring(e.shape)] = true end
  return set
end

--- The errors of more than half of the operations.
local function common_errors(operations)
  local counts, all, common = {}, 0, {}
  for _, op in pairs(operations) do
    all = all + 1
    for name in pairs(error_names(op)) do counts[name] = (counts[name] or 0) + 1 end
  end
  for name, count in pairs(counts) do if count > all / 2 then common[name] = true end end
  return common
end

local function operation(s, name, op)
  local http, line = op.http or {}, {}
  line[1] = ("o %s %s %s"):format(name, http.method or "POST", (http.requestUri or "/"):gsub("%s", "%%20"))
  for _, pair in ipairs { { "in", "input" }, { "out", "output" } } do
    local use = op[pair[2]]
    if use then
      local shape = name_of(s, use.shape, "its operation " .. name)
      if shape:sub(1, #name) == name then shape = "~" .. shape:sub(#name + 1) end
      line[#line + 1] = pair[1] .. "=" .. shape
    end
  end
  local input = op.input or {}
  traits(line, op.output or {}, { { "resultWrapper", "wrap" } })
  traits(line, input, { { "locationName", "root" } })
  namespace(line, input)
  if http.responseCode ~= 200 then traits(line, http, { { "responseCode", "status" } }) end
  local auth = op.authtype == "v4-unsigned-body" and "v4" or op.authtype or signatures(op.auth)
  if auth then line[#line + 1] = "auth=" .. auth end
  if op.authtype == "v4-unsigned-body" and not op.unsignedPayload then line[#line + 1] = "unsigned" end
  traits(line, op, OF_OPERATION)
  traits(line, op.endpoint or {}, { { "hostPrefix", "host" } })
  traits(line, op.httpChecksum or {}, OF_CHECKSUM)
  if op.httpChecksumRequired then line[#line + 1] = "md5_required" end
  traits(line, op.requestcompression or {}, { { "encodings", "compress" } })
  local has, words = error_names(op), {}
  for _, other in ipairs(sorted_keys(has)) do if not s.common[other] then words[#words + 1] = other end end
  for _, other in ipairs(sorted_keys(s.common)) do if not has[other] then words[#words + 1] = "-" .. other end end
  if words[1] then line[#line + 1] = "errors=" .. word(words) end
  return table.concat(line, " ")
end

-- Shapes ------------------------------------------------------------------------------------------------------------

local function shape_line(s, name, shape)
  local kind, used_by = KINDS[shape.type], "its shape " .. name
  local line = { "s " .. name_of(s, name, used_by) .. (kind == "struct" and "" or " " .. kind) }
  traits(line, shape, OF_SHAPE)
  namespace(line, shape)
  if shape.exception then
    traits(line, shape.error or {}, OF_ERROR)
    traits(line, shape, { { "fault", "fault" } })
  end
  if kind == "struct" then
    local required = {}
    for _, member in ipairs(shape.required or {}) do required[member] = true end
    line[#line + 1] = "|"
    for _, member in ipairs(json.keys(shape.members or {})) do
      line[#line + 1] = ref(s, shape.members[member], member, used_by, required[member] and "!" or "")
    end
  elseif kind == "list" then
    line[#line + 1] = "| " .. ref(s, shape.member, "member", used_by, "")
  elseif kind == "map" then
    line[#line + 1] = "| " .. ref(s, shape.key, "key", used_by, "") .. " " .. ref(s, shape.value, "value", used_by, "")
  end
  return table.concat(line, " ")
end

-- Paginators and waiters ----------------------------------------------------------------------------------------------

local function paginator(name, p)
  local line = { "p " .. name }
  traits(line, p, OF_PAGINATOR)
  return table.concat(line, " ")
end

local function waiter(name, w)
  local line = { "w " .. name }
  traits(line, w, OF_WAITER)
  line[#line + 1] = "|"
  for _, a in ipairs(w.acceptors or {}) do
    line[#line + 1] = table.concat({ word(a.state), word(a.matcher), word(json.encode(a.expected)), word(a.argument or "") }, ";")
  end
  return table.concat(line, " ")
end

-- The whole ---------------------------------------------------------------------------------------------------------

local function protocol(s)
  local offered = s.meta.protocols or { s.meta.protocol }
  for _, name in ipairs(PREFERRED) do
    for _, other in ipairs(offered) do if other == name then return name end end
  end
  if not offered[1] then refuse(s, "its metadata names no protocol") end
  refuse(s, "hkrun speaks none of its protocols: %s", table.concat(offered, ", "))
end

local function facts(s)
  local lines = { "m protocol " .. protocol(s) }
  for _, key in ipairs(META) do
    local value = s.meta[key]
    if type(value) == "table" then value = "true" end
    if value ~= nil and value ~= json.null then
      lines[#lines + 1] = ("m %s %s"):format(key:gsub("%u", "_%0"):lower(), tostring(value))
    end
  end
  local auth = signatures(s.meta.auth)
  if auth and auth ~= "v4" then lines[#lines + 1] = "m auth " .. auth end
  if next(s.common) then lines[#lines + 1] = "m errors " .. word(sorted_keys(s.common)) end
  return lines
end

--- The text of a model.
---@param parts { service: table, paginators?: table, waiters?: table } as decoded from the three files; the order of members
--- is kept where json.decode was told so
---@param where string what it is, for errors: a path
---@param source string the first line of the text: where it comes from
---@return string
function M.text(parts, where, source)
  local given = parts.service
  local s = { where = where, names = {}, lineless = {} }
  if type(given) ~= "table" then refuse(s, "it is no JSON object") end
  for _, part in ipairs { "metadata", "operations" } do
    if type(given[part]) ~= "table" then refuse(s, "it has no %s; it should be a service-2.json of botocore", part) end
  end
  s.meta, s.shapes, s.common = given.metadata, given.shapes or {}, common_errors(given.operations)
  local lines = facts(s)
  table.insert(lines, 1, "# " .. source)
  for _, name in ipairs(sorted_keys(given.operations)) do lines[#lines + 1] = operation(s, name, given.operations[name]) end
  for _, name in ipairs(sorted_keys(s.shapes)) do
    name_of(s, name, "it")
    if not s.lineless[name] then lines[#lines + 1] = shape_line(s, name, s.shapes[name]) end
  end
  local pages, waits = parts.paginators and parts.paginators.pagination, parts.waiters and parts.waiters.waiters
  for _, name in ipairs(sorted_keys(pages)) do lines[#lines + 1] = paginator(name, pages[name]) end
  for _, name in ipairs(sorted_keys(waits)) do lines[#lines + 1] = waiter(name, waits[name]) end
  return table.concat(lines, "\n") .. "\n"
end

return M
