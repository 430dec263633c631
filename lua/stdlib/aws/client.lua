--- A client of one AWS service: checks arguments against the model, writes, signs and sends the request, tries again
--- what may work the next time, reads the answer. Nothing here knows what an operation means.
local config = require "aws.config"
local credentials = require "aws.credentials"
local endpoint = require "aws.endpoint"
local errors = require "errors"
local failure = require "aws.failure"
local http = require "http"
local log = require "log"
local model_of = require "aws.model"
local mutating = require "aws.mutating"
local options = require "options"
local paginate = require "aws.paginate"
local quirks = require "aws.quirks"
local retry = require "retry"
local s3 = require "aws.protocol.s3"
local secret = require "secret"
local shape = require "aws.shape"
local sign = require "sign"
local timestamp = require "aws.timestamp"
local wait = require "aws.wait"

local M = {}

local PROTOCOLS = {
  query = require "aws.protocol.query", ec2 = require "aws.protocol.ec2", json = require "aws.protocol.json",
  ["rest-json"] = require "aws.protocol.rest_json", ["rest-xml"] = require "aws.protocol.rest_xml",
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

local declared = {
  { "service", "botocore's name of the service", type = "string" },
  { "model", "a model made by aws.model.parse, for a service that hkrun does not ship", type = "table" },
  { "region", "region to call", type = "string" },
  { "profile", "profile of the shared files", type = "string" },
  { "endpoint", "URL to call instead of AWS's", type = "string" },
  { "credentials", "{ access_key_id, secret_access_key, session_token }", type = "table" },
  { "attempts", "how often to try in all", type = "integer" },
  { "timeout", "seconds for one answer", type = "number" },
  { "ca", "PEM file of the authorities to trust", type = "string" },
  { "fips", "use FIPS endpoints", type = "boolean" },
  { "dual_stack", "use dual-stack endpoints", type = "boolean" },
}

--- Makes a client. Raises "usage" for an unknown service, a missing region, a wrong endpoint.
---@param o { service?: string, model?: aws.Model, region?: string, profile?: string, endpoint?: string }
---@return aws.Client
function M.new(o)
  o = options.check(o, declared, "aws.client")
  if not (o.service or o.model) then errors.usage "aws.client needs the option service: botocore's name of the service" end
  local model = o.model or model_of.load(o.service)
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
    model = model, protocol = protocol, region = config.region(o.region, o.profile), given = given or false,
    options = o, tokens = 500, last_cost = 0, skew = 0, bucket_regions = {},
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

local function with_query(url, query)
  if #query == 0 then return url end
  local parts = { url, "?" }
  for i, pair in ipairs(query) do
    if i > 1 then parts[#parts + 1] = "&" end
    parts[#parts + 1] = secret.encode(pair[1], "url") .. "="
    parts[#parts + 1] = secret.encode(pair[2], "url")
  end
  return secret.concat(parts)
end

--- The request without its signature.
local function build(self, op, args, plain)
  shape.check(self.model, op, args)
  local written = quirks.arguments(self.model, op, args)
  local wire = self.protocol.request(self.model, op, written)
  local region = self.bucket_regions[args.Bucket] or self.region
  local place = endpoint.resolve(self.model, region, { endpoint = self.options.endpoint, profile = self.options.profile,
                                                       fips = self.options.fips, dual_stack = self.options.dual_stack })
  local base, path = place.url, wire.path
  if op.host_prefix and not place.custom then
    local prefix = op.host_prefix:gsub("{(%w+)}", function(name) return tostring(args[name]) end)
    base = base:gsub("://", "://" .. prefix, 1)
  end
  if self.model.service == "s3" then base, path = s3.address(base, path, args.Bucket, place.custom) end
  local hash = not plain and op.unsigned_payload and "UNSIGNED-PAYLOAD" or nil
  if self.model.service == "s3" and not plain then hash = s3.checksum(op, wire, written) or hash end
  if type(wire.body) == "table" and not hash then hash = sign.sha256_file(wire.body.file) end
  return { method = wire.method, url = with_query(base .. path, wire.query), headers = wire.headers, body = wire.body,
           hash = hash, region = place.region }
end

local function sign_with(self, op, request)
  local found = self.given or (not op.unsigned and credentials.get { profile = self.options.profile, region = self.region })
  if op.unsigned or found == credentials.NONE then return nil end
  return {
    method = request.method, url = request.url, headers = request.headers, payload_hash = request.hash,
    body = type(request.body) ~= "table" and request.body or nil, service = self.model.meta.signing_name, region = request.region,
    access_key = found.access_key_id, secret_key = found.secret_access_key, session_token = found.session_token,
    time = os.time() + self.skew,
  }
end

--- The signed request of a call, not sent.
---@param name string operation
---@param args? table
---@return { method: string, url: string|userdata, headers: table<string, string|userdata>, body: string|userdata|table }
function Client:request(name, args)
  local op = self:operation(name)
  local request = build(self, op, args or {})
  local claim = sign_with(self, op, request)
  if claim then request.headers = sign.sigv4(claim) end
  return { method = request.method, url = request.url, headers = request.headers, body = request.body }
end

--- A URL that carries its signature.
---@param name string operation
---@param args? table
---@param o? { expires?: integer } seconds, default 900
---@return string|userdata a secret if there is a session token
function Client:presign(name, args, o)
  local op = self:operation(name)
  local request = build(self, op, args or {}, true)
  if self.model.meta.protocol == "query" or self.model.meta.protocol == "ec2" then
    request.method, request.url, request.headers = "GET", secret.concat { request.url, "?", request.body }, {}
  elseif self.model.meta.protocol == "json" then
    errors.usage("aws.%s:%s cannot be presigned: its arguments are in the body", self.model.service, op.snake)
  end
  -- who follows the URL sends no header of ours
  if op.checksum_mode and (args or {})[op.checksum_mode] == nil then request.headers["x-amz-checksum-mode"] = nil end
  local claim = sign_with(self, op, request)
  if not claim then return request.url end
  claim.body, claim.payload_hash = nil, self.model.service == "s3" and "UNSIGNED-PAYLOAD" or nil
  return sign.presign(claim, o and o.expires)
end

--- Reads an answer; raises the error that it reports.
local function read(self, op, args, response)
  if response.status >= 300 or self.model.service == "s3" and s3.is_hidden_error(response) then
    local said = self.protocol.error(self.model, response)
    errors.raise(failure.make(self.model, op, response, said))
  end
  local ok, result, id = pcall(function()
    local result, id = self.protocol.result(self.model, op, response)
    quirks.result(self.model, op, args, response, result)
    return result, id
  end)
  if not ok then
    if not errors.is(result) then error(result, 0) end
    errors.raise { kind = "protocol", op = ("read the answer of %s.%s"):format(self.model.service, op.name), retry = result.retry,
                   message = result.message, cause = result, request_id = failure.request_id(response), status = response.status }
  end
  return result, { request_id = id or failure.request_id(response), status = response.status, headers = response.headers }
end

--- Reads a response that was got in another way.
---@param name string operation
---@param response { status: integer, headers?: table<string, string>, body?: string }
---@return table? result
---@return table meta { request_id, status, headers }, or the error
function Client:parse(name, response)
  local headers = {}
  for key, value in pairs(response.headers or {}) do headers[key:lower()] = value end
  local ok, result, meta = pcall(read, self, self:operation(name), {}, { status = response.status, headers = headers, body = response.body or "" })
  if ok then return result, meta end
  return nil, result
end

--- What a failed attempt teaches: the time, the bucket's region, that the token is over. True if it is worth another.
local function learn(self, op, args, e, response)
  local headers = response.headers
  if failure.may_be_skewed(e.code) and headers.date then
    local theirs = timestamp.parse(headers.date)
    local skew = theirs and math.floor(theirs - os.time())
    if skew and math.abs(skew - self.skew) > 240 then
      log.debug("the clock of %s differs by %d seconds", self.model.service, skew)
      self.skew = skew
      return true
    end
  end
  local region = self.model.service == "s3" and args.Bucket and (headers["x-amz-bucket-region"] or e.region)
  if region and region ~= (self.bucket_regions[args.Bucket] or self.region) then
    self.bucket_regions[args.Bucket] = region
    return true
  end
  if failure.is_expired(e.code) and not self.given and not op.unsigned then
    local now = credentials.get { profile = self.options.profile, region = self.region }
    if now.expires then
      credentials.forget()
      return true
    end
  end
  return false
end

local function send(self, op, args, opts)
  local request = build(self, op, args)
  local claim = sign_with(self, op, request)
  local body = request.body
  if body == "" and (request.method == "GET" or request.method == "HEAD") then body = nil end
  local ok, answer = pcall(http.request, {
    method = request.method, url = request.url, headers = claim and sign.sigv4(claim) or request.headers, body = body,
    ca = self.options.ca or config.env "AWS_CA_BUNDLE" or config.profile(self.options.profile).ca_bundle,
    timeout = opts.timeout or self.options.timeout, to_file = opts.to,
  })
  if not ok then
    if not errors.is(answer) or answer.kind == "cancelled" then error(answer, 0) end
    errors.raise { kind = answer.kind, op = ("call %s.%s"):format(self.model.service, op.name), message = answer.message,
                   code = answer.code, retry = answer.retry, cause = answer, service = self.model.service, operation = op.name }
  end
  local response = { status = answer.status, headers = answer.headers, body = answer.body }
  local read_ok, result, meta = pcall(read, self, op, args, response)
  if read_ok then
    if opts.to and result.Body == nil then result.Body = { file = opts.to, size = answer.size } end
    return result, meta
  end
  if errors.is(result, "remote") and learn(self, op, args, result, response) then result.retry, result.retry_after = true, 0 end
  local asked = tonumber(answer.headers["x-amz-retry-after"])
  if errors.is(result) and asked then result.asked = asked / 1000 end
  error(result, 0)
end

--- The 2026 numbers of the standard mode: a quota of 500 that a retry draws from and a success refills.
local function may_retry(self, e)
  if not e.retry then return false end
  local cost = e.throttled and 5 or 14
  if self.tokens < cost then return false end
  self.tokens, self.last_cost = self.tokens - cost, cost
  return true
end

--- How long AWS wants to wait: longer steps after throttling, and no less than the service asked for.
local function set_pause(e, attempt)
  local pause = math.random() * math.min((e.throttled and 1 or 0.05) * 2 ^ (attempt - 1), 20)
  if e.asked then pause = math.max(pause, math.min(e.asked, pause + 5)) end
  if e.retry_after == nil then e.retry_after = pause end
end

--- Calls an operation.
---@param name string "describe_vpcs" or "DescribeVpcs"
---@param args? table in AWS's parameter names
---@param opts? { to?: string, timeout?: number } to: the file that a streamed body goes into; seconds
---@return table result
---@return { request_id: string?, status: integer, headers: table<string, string> } meta
function Client:call(name, args, opts)
  local op = self:operation(name)
  args = shape.with_tokens(self.model, op, args or {}) -- the same token in every attempt
  local call = { service = self.model.service, operation = op.name, mutating = mutating.is_mutating(self.model.service, op.name) }
  for _, fn in ipairs(before) do fn(call) end
  local set = config.env "AWS_MAX_ATTEMPTS" or config.profile(self.options.profile).max_attempts
  local attempts = self.options.attempts or math.tointeger(tonumber(set)) or 3
  local ok, result, meta = pcall(retry.call, function(attempt)
    local done = table.pack(pcall(send, self, op, args, opts or {}))
    if done[1] then return done[2], done[3] end
    if errors.is(done[2]) and done[2].retry then set_pause(done[2], attempt) end
    error(done[2], 0)
  end, {
    attempts = attempts, base = 0.05, retryable = function(e) return may_retry(self, e) end,
    on_retry = function(e, seconds, attempt)
      log.debug("%s; attempt %d of %d in %.2f seconds", tostring(e), attempt + 1, attempts, seconds)
    end,
  })
  if ok then self.tokens, self.last_cost = math.min(500, self.tokens + math.max(self.last_cost, 1)), 0 end
  if not ok and not errors.is(result, "remote") then error(result, 0) end
  local told = ok and meta or result -- the error of a call has the same two fields
  call.request_id, call.status, call.error = told.request_id, told.status, not ok and result or nil
  for _, fn in ipairs(after) do fn(call) end
  if not ok then error(result, 0) end
  return result, meta
end

--- Iterates over the pages of a list.
---@param name string operation
---@param args? table
---@param opts? table as for a call
---@return fun(): table?
function Client:pages(name, args, opts) return paginate.pages(self, self:operation(name), args or {}, opts) end

--- Iterates over the items of all pages of a list.
---@param name string operation
---@param args? table
---@param opts? table as for a call
---@return fun(): any
function Client:each(name, args, opts) return paginate.each(self, self:operation(name), args or {}, opts) end

--- Waits until AWS says that something has come to be: `aws.rds:wait("db_instance_available", {...})`.
---@param name string waiter
---@param args? table
---@param o? { timeout?: number, delay?: number, what?: string } seconds
---@return table? result the last answer
function Client:wait(name, args, o) return wait.wait(self, name, args or {}, o) end

--- An operation as a method: client:describe_vpcs{...}.
function Client.__index(self, name)
  if Client[name] then return Client[name] end
  if type(name) ~= "string" then return nil end
  local op = Client.operation(self, name)
  local function method(me, args, opts)
    if getmetatable(me) ~= Client then
      errors.usage("call aws.%s:%s{...} with a colon", rawget(self, "model").service, name)
    end
    return Client.call(me, op.name, args, opts)
  end
  rawset(self, name, method)
  return method
end

function Client.__tostring(self) return ("aws.%s in %s"):format(self.model.service, self.region) end

Client.__name = "hkrun.aws.client"

return M
