--- A client of one AWS service: checks arguments against the model, writes, signs and sends the request, tries again
--- what may work the next time, reads the answer. Nothing here knows what an operation means.
local calls = require "calls"
local config = require "aws.config"
local credentials = require "aws.credentials"
local endpoint = require "aws.endpoint"
local errors = require "errors"
local lists = require "host.list"
local fs = require "fs"
local model_of = require "aws.model"
local mutating = require "aws.mutating"
local options = require "options"
local readonly = require "readonly"
local request_of = require "aws.request"
local retries = require "aws.retries"
local secret = require "secret"
local send = require "aws.send"
local shape = require "aws.shape"
local signing = require "aws.signing"
local sign = require "sign"

local M = {}

--- Their modules, each loaded with the first client that speaks it.
local PROTOCOLS = {
  query = "aws.protocol.query", ec2 = "aws.protocol.ec2", json = "aws.protocol.json", ["rest-json"] = "aws.protocol.rest_json",
  ["rest-xml"] = "aws.protocol.rest_xml", ["smithy-rpc-v2-cbor"] = "aws.protocol.rpc_v2_cbor",
}

---@class aws.Client
---@field model aws.Model
---@field region string
local Client = {}

---@class aws.Call what a hook is told
---@field service string "ec2"
---@field operation string "CreateVpc"
---@field mutating boolean whether it can change something
---@field request_id? string after the call
---@field status? integer after the call
---@field error? Error after a call that failed

local before, after = {}, {}

local function add_hook(list, fn)
  list[#list + 1] = fn
  return function()
    for i, other in ipairs(list) do if other == fn then table.remove(list, i) return end end
  end
end

--- Has fn told of each call, before it is sent; an error that it raises stops the call.
---@param fn fun(call: aws.Call)
---@return fun() remove
function M.before_call(fn) return add_hook(before, fn) end

--- Has fn told of each call that was answered.
---@param fn fun(call: aws.Call)
---@return fun() remove
function M.on_call(fn) return add_hook(after, fn) end

--- What a service offers beside its operations: methods in a module.
local EXTRAS = { s3 = "aws.transfer" }

local function extras_of(model)
  local module = EXTRAS[model.service]
  return module and require(module) or {}
end

local declared = {
  { "service", "botocore's name of the service", type = "string" },
  { "model", "a service-2.json of botocore: its path, what it decodes to, or what aws.load_model returned", type = "any" },
  { "region", "region to call", type = "string" },
  { "profile", "profile of the shared files", type = "string" },
  { "endpoint", "URL to call instead of AWS's", type = "string" },
  { "credentials", "{ access_key_id, secret_access_key, session_token }", type = "table" },
  { "attempts", "how often to try in all", type = "integer" },
  { "retry_mode", "adaptive: calls slow down when AWS asks for fewer; standard; legacy is the same", type = "string",
    one_of = { "legacy", "standard", "adaptive" } },
  { "timeout", "seconds for one whole answer", type = "number" },
  { "connect_timeout", "seconds to connect", type = "number" },
  { "ca", "PEM file of the authorities to trust", type = "string" },
  { "fips", "use FIPS endpoints", type = "boolean" },
  { "dual_stack", "use dual-stack endpoints", type = "boolean" },
}

--- Makes a client. Raises "usage" for an unknown service; its region is looked up at its first request.
---@param o { service?: string, model?: string|table, region?: string, profile?: string, endpoint?: string }
---@return aws.Client
function M.new(o)
  o = options.check(o, declared, "aws.client")
  if not (o.service or o.model) then errors.usage "aws.client needs the option service: botocore's name of the service" end
  local model = o.model and model_of.open(o.model) or model_of.load(o.service)
  local protocol = PROTOCOLS[model.meta.protocol]
  if not protocol then errors.usage("hkrun does not speak the protocol %s of %s", model.meta.protocol, model.service) end
  local given = o.credentials
  if given and given ~= credentials.NONE then
    if not (given.access_key_id and given.secret_access_key) then
      errors.usage "aws.client: credentials needs access_key_id and secret_access_key"
    end
    given = { access_key_id = given.access_key_id, secret_access_key = secret.new(given.secret_access_key),
              session_token = given.session_token and secret.new(given.session_token), source = given.source or "argument" }
  end
  return setmetatable({
    model = model, protocol = require(protocol), given = given or false,
    options = o, retries = retries.new(model.service, o), skew = 0, bucket_regions = {}, discovered = false,
  }, Client)
end

--- An operation of the service by boto3's name or AWS's. Raises "usage", with the nearest name.
---@param name string
---@return aws.Operation
function Client:operation(name)
  local op = self.model.operation_named(name)
  if op then return op end
  local names = self.model.names "operations"
  for i, known in ipairs(names) do names[i] = model_of.snake(known) end
  errors.usage("aws.%s has no operation %s%s", self.model.service:gsub("-", "_"), name, options.suggestion(name, names))
end

local function has_header(headers, wanted)
  for name in pairs(headers) do if name:lower() == wanted then return true end end
  return false
end

local function size_of(body)
  if type(body) == "table" then return body.length or fs.stat(body.file).size - (body.offset or 0) end
  return secret.is(body) and secret.size(body) or #(body or "")
end

--- The signed request of a call, not sent: what the wire gets.
---@param name string operation
---@param args? table
---@return { method: string, url: string|userdata, headers: table<string, string|userdata>, body: string|userdata|table }
function Client:request(name, args)
  local request = request_of.build(self, self:operation(name), args or {})
  local headers, signed, body = {}, signing.sign(self, request)
  for key, value in pairs(signed) do headers[key] = value end
  if not has_header(headers, "host") then headers.Host = request.place:match "^%a+://([^/]+)" end
  local is_bare = request.method == "GET" or request.method == "HEAD"
  if not is_bare or size_of(body) > 0 then headers["Content-Length"] = ("%d"):format(size_of(body)) end
  return { method = request.method, url = request.url, headers = headers, body = body }
end

--- A URL that carries its signature.
---@param name string operation
---@param args? table
---@param o? { expires?: integer } seconds, default 900
---@return string|userdata a secret if there is a session token
function Client:presign(name, args, o)
  local op, protocol = self:operation(name), self.model.meta.protocol
  if protocol == "json" or protocol == "smithy-rpc-v2-cbor" then
    errors.usage("aws.%s:%s cannot be presigned: its arguments are in the body", self.model.service, op.snake)
  end
  local request = request_of.build(self, op, args or {}, true)
  if request.signed_by == "v2" then errors.usage("aws.%s:%s cannot be presigned: its signature is of version 2", self.model.service, op.snake) end
  if request.form then request.method, request.query, request.headers, request.body = "GET", request.form, {}, nil end
  -- who follows the URL sends no header of ours
  if op.checksum_mode and (args or {})[op.checksum_mode] == nil then request.headers["x-amz-checksum-mode"] = nil end
  local claim = request.signed_by == "v4" and signing.claim(self, request)
  if not claim then return request_of.url(request.place, request.query) end
  if self.model.service == "s3" then claim.body, claim.payload_hash = nil, "UNSIGNED-PAYLOAD" end
  return sign.presign(claim, o and o.expires)
end

--- Reads a response that was got in another way.
---@param name string operation
---@param response { status: integer, headers?: table<string, string>, body?: string }
---@return table? result
---@return table meta { request_id, status, headers }, or the error
function Client:parse(name, response)
  local headers, spelling = {}, {}
  for key, value in pairs(response.headers or {}) do
    headers[key:lower()], spelling[key:lower()] = value, key
  end
  local ok, result, meta = pcall(send.read, self, self:operation(name), {},
                                 { status = response.status, headers = headers, spelling = spelling, body = response.body or "" })
  if ok then return lists.answer(result), meta end
  return nil, result
end

--- Calls an operation.
---@param name string "describe_vpcs" or "DescribeVpcs"
---@param args? table in AWS's parameter names
---@param opts? { to?: string|table, timeout?: number, connect_timeout?: number, once?: boolean, progress?: fun(sent, received) }
--- to: the file that a streamed body goes into, or the range { file, offset, length } of one; seconds for one whole answer,
--- and to connect; once: never sent again when its reply was lost, because it has no token and would make a second thing;
--- the error is `lost` then
---@return table result
---@return { request_id: string?, status: integer, headers: table<string, string>, attempts: integer } meta
function Client:call(name, args, opts)
  local op = self:operation(name)
  args = shape.with_tokens(self.model, op, args or {}) -- the same token in every attempt
  local call = { service = self.model.service, operation = op.name, mutating = mutating.is_mutating(self.model.service, op) }
  if call.mutating then readonly.refuse(("call %s.%s"):format(call.service, call.operation)) end
  calls.use(call.service .. "." .. call.operation)
  for _, fn in ipairs(before) do fn(call) end
  local ok, result, meta = pcall(send.call, self, op, args, opts or {})
  if not ok and not errors.is(result, "remote") then error(result, 0) end
  local told = ok and meta or result -- the error of a call has the same two fields
  call.request_id, call.status, call.error = told.request_id, told.status, not ok and result or nil
  for _, fn in ipairs(after) do fn(call) end
  if ok and call.mutating then calls.note(call.service .. "." .. call.operation, call.request_id) end
  if not ok then error(result, 0) end
  return lists.answer(result), meta
end

--- Iterates over the pages of a list.
---@param name string operation
---@param args? table
---@param opts? table as for a call, and page_size: how many items to ask for at once
---@return fun(): table?
function Client:pages(name, args, opts) return require("aws.paginate").pages(self, self:operation(name), args or {}, opts) end

--- Iterates over the items of all pages of a list. Where an operation answers with several lists, the items of all come,
--- each with the name of its list ("Versions"); the entries of a map come with their names too.
---@param name string operation
---@param args? table
---@param opts? table as for `pages`
---@return fun(): any, string, string? item, list, name
function Client:each(name, args, opts) return require("aws.paginate").each(self, self:operation(name), args or {}, opts) end

--- The items of all pages as one list, which has the helpers of `list`: `aws.ec2:all("describe_volumes"):count()`. Of an
--- operation without pages, the only list of its answer.
---@param name string operation
---@param args? table
---@param opts? table as for `pages`
---@return List
function Client:all(name, args, opts) return require("aws.paginate").all(self, self:operation(name), args or {}, opts) end

--- Waits until AWS says that something has come to be: `aws.rds:wait("db_instance_available", {...})`.
---@param name string waiter
---@param args? table
---@param o? { timeout?: number, delay?: number, what?: string, progress?: fun(state: string, seconds: number) } seconds
---@return table? result the last answer
function Client:wait(name, args, o) return require("aws.wait").wait(self, name, args or {}, o) end

--- What the methods of clients call, for who asks about them (`help(aws.rds.describe_db_instances)`).
local methods = setmetatable({}, { __mode = "k" })

--- An operation as a method: client:describe_vpcs{...}; and the region, when it is first needed.
function Client.__index(self, name)
  if Client[name] then return Client[name] end
  if type(name) ~= "string" then return nil end
  if name == "region" then
    local region = config.region(self.options.region, self.options.profile, function() return endpoint.global_region(self.model) end)
    rawset(self, name, region)
    return region
  end
  local offered = extras_of(rawget(self, "model"))[name]
  if offered then return offered end
  local op = Client.operation(self, name)
  local function method(me, args, opts)
    if getmetatable(me) ~= Client then
      errors.usage("call aws.%s:%s{...} with a colon", rawget(self, "model").service, name)
    end
    return Client.call(me, op.name, args, opts)
  end
  rawset(self, name, method)
  methods[method] = { client = self, operation = op }
  return method
end

--- The methods of a client beside its operations, by name.
---@param client aws.Client
---@return table<string, function>
function M.methods(client)
  local all = {}
  for _, set in ipairs { Client, extras_of(client.model) } do
    for name, value in pairs(set) do
      if type(value) == "function" and not name:find "^_" then all[name] = value end
    end
  end
  return all
end

--- What a method of a client calls.
---@param method any
---@return { client: aws.Client, operation: aws.Operation }? nil for anything else
function M.operation_of(method) return methods[method] end

---@return boolean
function M.is(value) return type(value) == "table" and getmetatable(value) == Client end

function Client.__tostring(self)
  local known, region = pcall(function() return self.region end)
  return ("aws.%s in %s"):format(self.model.service, known and region or "no region")
end

Client.__name = "hkrun.aws.client"

return M
