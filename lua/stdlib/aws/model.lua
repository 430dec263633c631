--- What hkrun knows of an AWS service: its operations, shapes, paginators and waiters, read from the text that
--- tools/models.py makes of botocore's data. A service is opened without being decoded; an operation or a shape is
--- decoded when it is first asked for. The client uses it to write requests and read responses, the rehearsal cloud to
--- do the reverse, the REPL to complete names.
---
---     local rds = model.load("rds")
---     rds.operations.CreateDBInstance.input            --> "CreateDBInstanceMessage"
---     rds.shape("CreateDBInstanceMessage").by_name.DBInstanceIdentifier.required  --> true

local errors = require "errors"
local options = require "options"

local M = {}

---@class aws.Meta              facts of the service
---@field protocol string       "query" "ec2" "json" "rest-json" "rest-xml" (the one we speak)
---@field api_version string
---@field endpoint_prefix string first label of the host: "monitoring" for cloudwatch
---@field signing_name string   name in the signature; the endpoint_prefix where botocore names no other
---@field signature_version string "v4", or "s3": no second escaping of the path, payload hash header
---@field service_id string     "Elastic Beanstalk"; upper-cased with _ it is the suffix of AWS_ENDPOINT_URL_
---@field service_full_name string
---@field json_version? string  "1.0" or "1.1"
---@field target_prefix? string before the dot in X-Amz-Target
---@field xml_namespace? string
---@field global_endpoint? string host of a service with one endpoint in the whole partition
---@field aws_query_compatible? boolean a json service that was a query one: errors carry x-amzn-query-error

---@class aws.Operation
---@field name string           "DescribeVpcs"
---@field snake string          "describe_vpcs"
---@field method string         HTTP method
---@field uri string            "/{Bucket}/{Key+}?tagging": labels of members whose location is "uri"; + keeps slashes
---@field input? string         name of the input's shape
---@field output? string        name of the output's shape
---@field wrapper? string       query: element around the result
---@field root? string          rest-xml: element of the body when no member is the payload
---@field xml_namespace? string of that element
---@field status? integer       HTTP status of success, where it is not 200
---@field unsigned boolean      sent without a signature
---@field unsigned_payload boolean the signature does not cover the body
---@field idempotent boolean
---@field readonly boolean      the model says that it changes nothing; few models say it of all that do
---@field host_prefix? string   "{RequestRoute}." before the host
---@field checksum_member? string member that names the checksum algorithm of the body
---@field checksum_required boolean the body must carry a checksum
---@field checksum_mode? string member that asks for the checksum of the answer
---@field checksum_answer string[] algorithms that an answer may use
---@field compress? string      "gzip": the body may be compressed
---@field errors string[]       names of error shapes

---@class aws.Shape
---@field name string
---@field type string           "struct" "list" "map" "string" "int" "long" "float" "double" "bool" "blob" "timestamp"
---@field members? aws.Member[] of a struct, in the model's order
---@field by_name? table<string, aws.Member> of a struct
---@field member? aws.Member    of a list
---@field key? aws.Member       of a map
---@field value? aws.Member     of a map
---@field payload? string       rest: the member that is the body
---@field union? boolean        exactly one member may be given
---@field document? boolean     any JSON value
---@field eventstream? boolean
---@field enum? string[]        allowed values
---@field enum_set? table<string, boolean>
---@field min? number           shortest length, or least value
---@field max? number           greatest length, or greatest value
---@field sensitive? boolean
---@field xml_namespace? string
---@field xml_prefix? string
---@field error? aws.Error      of a struct that is an error

---@class aws.Member            a use of a shape: a member of a struct or of a list, a key or a value of a map
---@field name string           the name in arguments and results: "VpcId"; "member", "key", "value" in lists and maps
---@field shape string          name of the shape; a scalar of which nothing is said goes by its type ("string")
---@field wire? string          name on the wire, where it is not `name`
---@field query? string         ec2: name in requests, where it is not made of `wire`
---@field location? string      "uri" "querystring" "header" "headers" (a prefix of headers) "statusCode"; else the body
---@field required? boolean
---@field sensitive? boolean
---@field flattened? boolean    of lists and maps: no element around the members
---@field attribute? boolean    an XML attribute
---@field streaming? boolean
---@field idempotency_token? boolean filled with a UUID by the client
---@field host_label? boolean   part of the host
---@field timestamp_format? string "iso8601" "rfc822" "unixTimestamp", where it is not the protocol's own
---@field json_value? boolean   in a header: any value, as JSON in base64
---@field xml_namespace? string
---@field xml_prefix? string

---@class aws.Error
---@field code string           as the service sends it: "DBInstanceNotFound"
---@field shape string          "DBInstanceNotFoundFault"
---@field status? integer       HTTP status
---@field sender boolean        the caller's fault, not the service's

---@class aws.Paginator
---@field input string[]        members that take the token
---@field output string[]       expressions that find the next token in a page
---@field result string[]       expressions that find the items of a page
---@field limit? string         member that sets the size of a page
---@field more? string          expression that says whether there is another page

---@class aws.Waiter
---@field operation string
---@field delay integer         seconds between two polls
---@field tries integer
---@field acceptors { state: "success"|"failure"|"retry", matcher: "path"|"pathAll"|"pathAny"|"status"|"error", expected: any, argument: string }[]

---@class aws.Model
---@field service string        "ec2"
---@field source string         first line of the descriptor: where it comes from
---@field meta aws.Meta
---@field operations table<string, aws.Operation>
---@field shape fun(name: string): aws.Shape
---@field errors table<string, aws.Error>  by code
---@field paginators table<string, aws.Paginator>  by operation
---@field waiters table<string, aws.Waiter>
---@field names fun(kind: "operations"|"paginators"|"waiters"|"shapes"): string[]  sorted
---@field operation_named fun(name: string): aws.Operation?  by either spelling

local function unescape(word)
  return (word:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "A,B" -> { "A", "B" }, unescaped.
local function split(words)
  local list = {}
  for word in (words or ""):gmatch "[^,]+" do list[#list + 1] = unescape(word) end
  return list
end

--- "x=1 y z=a" -> { x = "1", y = true, z = "a" }, still escaped.
local function traits(text, separator)
  local found = {}
  for word in text:gmatch("[^" .. (separator or " ") .. "]+") do
    local key, value = word:match "^([^=]+)=(.*)$"
    found[key or word] = value or true
  end
  return found
end

local text_of = function(value) return value and unescape(value) end

--- Names with capitals inside that botocore (_xform_cache) spells as one word.
local ONE_WORD = { "iSCSI", "HITs", "PartiQL", "WhatsApp", "OTel" }

--- The name that boto3 gives to an operation or a waiter: DescribeDBInstances -> describe_db_instances.
---@param name string
---@return string
function M.snake(name)
  if name:find("_", 1, true) then return name end
  for _, word in ipairs(ONE_WORD) do
    name = name:gsub(word, word:sub(1, 1):upper() .. word:sub(2):lower())
  end
  local head, plural = name:match "^(.-)(%u%u+s)$" -- ...ARNs, ...IDs: one word with its plural s
  if plural then name = head .. "_" .. plural:lower() end
  name = name:gsub("(.)(%u%l+)", "%1_%2")
  return (name:gsub("([%l%d])(%u)", "%1_%2"):lower())
end

local LOCATIONS = { uri = true, querystring = true, header = true, headers = true, statusCode = true }

--- "Key!:ObjectKey;uri=Key" -> a member.
local function decode_member(text)
  local name, required, rest = text:match "^([^:!]+)(!?):(.*)$"
  local shape, words = rest:match "^([^;]+);?(.*)$"
  local said = traits(words, ";")
  local member = {
    name = name, shape = shape, required = required == "!" or nil, wire = text_of(said.wire), query = said.query,
    flattened = said.flat, attribute = said.attr, streaming = said.stream, idempotency_token = said.token,
    host_label = said.host, timestamp_format = said.time, json_value = said.json, sensitive = said.secret,
    xml_namespace = text_of(said.ns), xml_prefix = said.prefix,
  }
  if said.low then member.wire = name:sub(1, 1):lower() .. name:sub(2) end
  for location in pairs(LOCATIONS) do
    if said[location] then
      member.location = location
      member.wire = said[location] ~= true and unescape(said[location]) or nil
    end
  end
  return member
end

local function decode_error(name, said)
  if not said.error then return nil end
  return { code = text_of(said.code) or name, shape = name, status = math.tointeger(tonumber(said.status)),
           sender = said.sender == true }
end

local function decode_shape(name, line)
  local kind, head, body = line:match "^(%S+) ?([^|]*)|?(.*)$"
  local said = traits(head)
  local shape = {
    name = name, type = kind, payload = said.payload, union = said.union, document = said.document,
    eventstream = said.eventstream, min = tonumber(said.min), max = tonumber(said.max), sensitive = said.secret,
    xml_namespace = text_of(said.ns), xml_prefix = said.prefix, error = decode_error(name, said),
  }
  if kind == "struct" then
    shape.members, shape.by_name = {}, {}
    for word in body:gmatch "%S+" do
      local member = decode_member(word)
      shape.members[#shape.members + 1] = member
      shape.by_name[member.name] = member
    end
  else
    for word in body:gmatch "%S+" do
      local member = decode_member(word)
      shape[member.name] = member -- member of a list; key and value of a map
    end
  end
  if said.enum then
    shape.enum, shape.enum_set = split(said.enum), {}
    for _, value in ipairs(shape.enum) do shape.enum_set[value] = true end
  end
  return shape
end

local function decode_operation(name, line)
  local method, uri, rest = line:match "^(%S+) (%S+) ?(.*)$"
  local said = traits(rest)
  return {
    name = name, snake = M.snake(name), method = method, uri = uri, input = said["in"], output = said.out,
    wrapper = said.wrap, root = said.root, xml_namespace = text_of(said.ns), status = math.tointeger(tonumber(said.status)),
    unsigned = said.auth == "none", unsigned_payload = said.unsigned == true, idempotent = said.idempotent == true, readonly = said.readonly == true,
    host_prefix = text_of(said.host), checksum_member = said.sum, checksum_mode = said.sum_mode,
    checksum_required = (said.sum_required or said.md5_required) == true, checksum_answer = split(said.sum_answer),
    compress = said.compress, errors = split(said.errors),
  }
end

local function decode_paginator(_, line)
  local said = traits(line)
  return { input = split(said["in"]), output = split(said.out), result = split(said.result),
           limit = text_of(said.limit), more = text_of(said.more) }
end

--- The model writes the expected value as JSON: "a string", 404, true.
local function expected_value(word)
  local quoted = word:match '^"(.*)"$'
  if quoted then return quoted end
  if word == "true" or word == "false" then return word == "true" end
  return math.tointeger(tonumber(word))
end

local function decode_waiter(_, line)
  local head, body = line:match "^([^|]*)| ?(.*)$"
  local said, acceptors = traits(head), {}
  for word in body:gmatch "%S+" do
    local state, matcher, expected, argument = word:match "^([^;]*);([^;]*);([^;]*);(.*)$"
    acceptors[#acceptors + 1] = { state = state, matcher = matcher, expected = expected_value(unescape(expected)),
                                  argument = unescape(argument) }
  end
  return { operation = said.op, delay = tonumber(said.delay), tries = tonumber(said.tries), acceptors = acceptors }
end

--- A table that decodes the line of a name when it is first indexed; nil for a name that the service does not have.
local function lazy(text, letter, decode)
  return setmetatable({}, { __index = function(known, name)
    if type(name) ~= "string" then return nil end
    local _, start = text:find("\n" .. letter .. " " .. name .. " ", 1, true)
    if not start then return nil end
    local value = decode(name, text:sub(start + 1, text:find("\n", start, true) - 1))
    known[name] = value
    return value
  end })
end

--- A table that is filled as a whole by `fill` when it is first indexed or walked.
local function filled_once(fill)
  local function now(t)
    setmetatable(t, nil)
    fill(t)
  end
  return setmetatable({}, {
    __index = function(t, key) now(t); return t[key] end,
    __pairs = function(t) now(t); return next, t, nil end,
  })
end

local LETTERS = { operations = "o", shapes = "s", paginators = "p", waiters = "w" }
local SCALARS = { "string", "int", "long", "float", "double", "bool", "blob", "timestamp" }

local function decode_meta(text)
  local meta, head = {}, text:sub(1, text:find("\no ", 1, true))
  for key, value in head:gmatch "\nm (%S+) ([^\n]*)" do meta[key] = value end
  meta.signing_name = meta.signing_name or meta.endpoint_prefix
  meta.aws_query_compatible = meta.aws_query_compatible == "true" or nil
  return meta
end

--- Opens a model that is given as text.
---@param service string
---@param text string what tools/models.py wrote
---@return aws.Model
function M.parse(service, text)
  local shapes = lazy(text, "s", decode_shape)
  for _, kind in ipairs(SCALARS) do shapes[kind] = { name = kind, type = kind } end
  local self = {
    service = service, source = text:match "^# ([^\n]*)", meta = decode_meta(text),
    operations = lazy(text, "o", decode_operation), paginators = lazy(text, "p", decode_paginator),
    waiters = lazy(text, "w", decode_waiter),
  }
  function self.shape(name)
    return shapes[name] or error(("the model of %s has no shape %s"):format(service, tostring(name)), 2)
  end
  function self.names(kind)
    local list, mark = {}, "\n" .. LETTERS[kind] .. " "
    local from, start = text:find(mark, 1, true)
    while from do
      list[#list + 1] = text:match("^%S+", start + 1)
      from, start = text:find(mark, start, true)
    end
    return list
  end
  self.errors = filled_once(function(t)
    for name, head in text:gmatch "\ns (%S+) struct ([^|\n]*)" do
      local found = decode_error(name, traits(head))
      if found then t[found.code] = found end
    end
  end)
  local by_letters = filled_once(function(t)
    for _, name in ipairs(self.names "operations") do t[name:lower()] = name end
  end)
  function self.operation_named(name)
    local found = self.operations[name] or self.operations[by_letters[name:gsub("_", "")]]
    return found and (found.name == name or found.snake == name) and found or nil
  end
  return self
end

local loaded = {}

--- The services that hkrun has a model of, sorted, as in `aws.NAME`.
---@return string[]
function M.services()
  local list = {}
  for _, file in ipairs(require("host.resource").list "stdlib/aws/models/") do
    list[#list + 1] = file:match "([^/]+)%.txt$"
  end
  table.sort(list)
  return list
end

--- Opens the model of a service; the same table each time. Raises "usage" for a service that hkrun has no model of.
---@param service string botocore's name of it; _ may stand for -
---@return aws.Model
function M.load(service)
  local name = service:gsub("_", "-")
  if loaded[name] then return loaded[name] end
  local text = name:find "^[%w-]+$" and require("host.resource").read("stdlib/aws/models/" .. name .. ".txt")
  if not text then
    errors.usage("there is no AWS service %s%s", service, options.suggestion(name, M.services()))
  end
  loaded[name] = M.parse(name, text)
  return loaded[name]
end

return M
