--- What hkrun knows of an AWS service: its operations, shapes, paginators and waiters, read from the text that
--- `make models` makes of botocore's data, or from a service-2.json at run time. A service is opened without being
--- decoded; an operation or a shape is decoded when it is first asked for. The client uses it to write requests and read
--- responses, the rehearsal cloud to do the reverse, the REPL to complete names.
---
---     local rds = model.load("rds")
---     rds.operations.CreateDBInstance.input            --> "CreateDBInstanceMessage"
---     rds.shape("CreateDBInstanceMessage").by_name.DBInstanceIdentifier.required  --> true

local errors = require "errors"
local options = require "options"
local text = require "aws.model.text"

local M = {}

---@class aws.Meta              facts of the service
---@field protocol string       the best that it offers: "json" "rest-json" "rest-xml" "smithy-rpc-v2-cbor" "query" "ec2"
---@field api_version string
---@field endpoint_prefix string first label of the host: "monitoring" for cloudwatch
---@field signing_name string   name in the signature; the endpoint_prefix where botocore names no other
---@field signature_version string "v4", "bearer", "v2", or "s3": no second escaping of the path, payload hash header
---@field auth string[]         signatures that it takes, in its order: "v4" "v4a" "bearer"
---@field errors string[]       what more than half of the operations may answer
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
---@field auth? string[]        where it differs from the service's: "v4" "v4a" "none" "bearer"
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
---@field shape string          name of the shape; a scalar of which only type and size are said is "string", "string1~64"
---@field wire? string          name on the wire, where it is not `name`
---@field query? string         ec2: name in requests, where it is not made of `wire`
---@field location? string      "uri" "querystring" "header" "headers" (a prefix of headers) "statusCode"; else the body
---@field required? boolean
---@field sensitive? boolean
---@field flattened? boolean    of lists and maps: no element around the members
---@field attribute? boolean    an XML attribute
---@field event_payload? boolean of an event in a stream: the member that is its body
---@field event_header? boolean of an event in a stream: a header of it
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

M.snake = text.snake

--- Opens a model that was written by hand, in the text form.
---@param service string
---@param lines string
---@return aws.Model
function M.parse(service, lines) return text.open(service, text.sorted(lines)) end

local loaded = {}

local function file_of(service) return "stdlib/aws/models/" .. service .. ".txt" end

--- Whether there is a model of a service, by botocore's name; nothing is read for that.
---@param service string
---@return boolean
function M.has(service)
  return loaded[service] ~= nil or require("host.resource").list(file_of(service))[1] ~= nil
end

--- The services that hkrun has a model of, by botocore's names, sorted.
---@return string[]
function M.services()
  local list = {}
  for _, file in ipairs(require("host.resource").list "stdlib/aws/models/") do
    list[#list + 1] = file:match "([^/]+)%.txt$"
  end
  for service in pairs(loaded) do
    if not require("host.resource").list(file_of(service))[1] then list[#list + 1] = service end
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
  local bytes = name:find "^[%w-]+$" and require("host.resource").read(file_of(name))
  if not bytes then
    errors.usage("there is no AWS service %s%s", service, options.suggestion(name, M.services()))
  end
  loaded[name] = text.open(name, bytes)
  return loaded[name]
end

--- Opens a model that hkrun does not ship: a table as decoded from a service-2.json, the path of one, or a model that
--- was opened before. See aws.load_model.
---@param what string|table
---@return aws.Model
function M.open(what)
  if type(what) == "table" and type(what.shape) == "function" then return what end
  return require("aws.model.file").open(what)
end

--- Has M.load, and so aws.NAME, answer with this model from here on.
---@param model aws.Model
function M.add(model) loaded[model.service] = model end

--- Forgets a model; the one that hkrun ships, if there is one, answers again.
---@param service string
function M.remove(service) loaded[service] = nil end

return M
