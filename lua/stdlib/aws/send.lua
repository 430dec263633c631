--- Sending: one attempt, what it teaches, whether and when to try again.
local config = require "aws.config"
local credentials = require "aws.credentials"
local discovery = require "aws.endpoint.discovery"
local errors = require "errors"
local failure = require "aws.failure"
local http = require "http"
local log = require "log"
local mutating = require "aws.mutating"
local options = require "options"
local quirks = require "aws.quirks"
local request_of = require "aws.request"
local retry = require "retry"
local s3 = require "aws.protocol.s3"
local secret = require "secret"
local shape = require "aws.shape"
local signing = require "aws.signing"
local task = require "task"
local timestamp = require "aws.timestamp"

local M = {}

--- " (request 1a2b)": what AWS's support asks for.
local function named(request_id) return request_id and (" (request %s)"):format(request_id) or "" end

--- Reads an answer; raises the error that it reports.
---@param self aws.Client
---@param op aws.Operation
---@param args table
---@param response aws.WireResponse
---@return table result
---@return { request_id: string?, status: integer, headers: table } meta
function M.read(self, op, args, response)
  if response.status >= 300 or self.model.service == "s3" and s3.is_hidden_error(response) then
    local said = self.protocol.error(self.model, response)
    errors.raise(failure.make(self.model, op, response, said, self.protocol))
  end
  local ok, result, id = pcall(function()
    local result, id = self.protocol.result(self.model, op, response)
    quirks.result(self.model, op, args, response, result)
    return result, id
  end)
  if not ok then
    if not errors.is(result) then error(result, 0) end
    if result.kind == "remote" then                            -- a stream of events that ends with an error
      local e = failure.make(self.model, op, response, { code = result.code, message = result.message })
      e.data = result.data
      errors.raise(e)
    end
    local request_id = failure.request_id(response)
    errors.raise { kind = "protocol", op = ("read the answer of %s.%s%s"):format(self.model.service, op.name, named(request_id)),
                   retry = result.retry, message = result.message, cause = result, request_id = request_id, status = response.status }
  end
  return result, { request_id = id or failure.request_id(response), status = response.status, headers = response.headers }
end

--- What a failed attempt teaches: the time, the bucket's region, that the token is over. True if it is worth another.
local function learn(self, op, args, e, response, access_key_id)
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
  if discovery.forget(self, e) then
    discovery.ask(self, op)
    return true
  end
  if failure.is_expired(e.code) and access_key_id and not self.given then
    return credentials.reject({ profile = self.options.profile }, access_key_id)
  end
  return false
end

local HINTS = {                                                -- by codes of http.request
  unverified = "AWS_CA_BUNDLE names a PEM file of other authorities to trust, as of a proxy that looks inside",
  resolve = "look whether this machine has a network and a name server, and the region is spelled right",
  proxy = "the proxy is HTTPS_PROXY or HTTP_PROXY, http://user:password@host:port; NO_PROXY lists the hosts that go without",
}

--- The options of a call, beside its arguments.
M.OPTIONS = {
  { "to", "the file that a streamed body goes into, or the range { file =, offset =, length = } of one", type = "any" },
  { "progress", "called now and then with the bytes sent and received", type = "function" },
  { "timeout", "seconds for one whole answer", type = "number" },
  { "connect_timeout", "seconds to connect", type = "number" },
  { "headers", "headers beside those of the operation", type = "table" },
  { "deadline", "of task.now(): the call ends by then, and nothing is sent again after it", type = "number" },
  { "once", "never sent again when its reply was lost, because it would make a second thing", type = "boolean" },
}

--- The seconds that an attempt has.
local function time_left(self, opts)
  local timeout = opts.timeout or self.options.timeout
  if not opts.deadline then return timeout end
  return math.max(0.001, math.min(timeout or math.huge, opts.deadline - task.now()))
end

--- One attempt.
local function once(self, op, args, opts)
  local request = request_of.build(self, op, args)
  for name, value in pairs(opts.headers or {}) do request.headers[name] = value end
  local headers, body, access_key_id = signing.sign(self, request)
  if body == "" and (request.method == "GET" or request.method == "HEAD") then body = nil end
  local begin = not opts.to and self.protocol.begin
  local reader <close> = begin and begin(self.model, op) or nil
  local ok, answer = pcall(http.request, {
    method = request.method, url = request.url, headers = headers, body = body,
    ca = self.options.ca or config.env "AWS_CA_BUNDLE" or config.profile(self.options.profile).ca_bundle,
    timeout = time_left(self, opts), connect_timeout = opts.connect_timeout or self.options.connect_timeout,
    to_file = opts.to, reader = reader, fresh = opts.once, progress = opts.progress,
  })
  if not ok then
    if not errors.is(answer) or answer.kind == "cancelled" then error(answer, 0) end
    local request_id = failure.request_id(answer.cause or {})   -- of an answer that was cut off
    errors.raise { kind = answer.kind, op = ("call %s.%s%s"):format(self.model.service, op.name, named(request_id)),
                   message = answer.message, code = answer.code, retry = answer.retry, hint = HINTS[answer.code], cause = answer,
                   service = self.model.service, operation = op.name, request_id = request_id }
  end
  local response = { status = answer.status, headers = answer.headers, spelling = answer.headers.spelling, body = answer.body }
  local read_ok, result, meta = pcall(M.read, self, op, args, response)
  if read_ok then
    if opts.to and result.Body == nil then
      result.Body = { file = type(opts.to) == "table" and opts.to.file or opts.to, size = answer.size }
    end
    return result, meta
  end
  if errors.is(result, "remote") and learn(self, op, args, result, response, access_key_id) then result.retry, result.retry_after = true, 0 end
  if errors.is(result, "remote") then result.message = secret.hide(result.message, args) end
  local asked = tonumber(answer.headers["x-amz-retry-after"])
  if errors.is(result) and asked and asked >= 0 then result.asked = asked / 1000 end
  error(result, 0)
end

--- Whether a call may have done its work although it failed: the reply was lost on the way, or the service broke down.
local function is_lost(e)
  if e.kind == "remote" then return e.status >= 500 and e.status ~= 503 and not e.throttled end      -- 503: it was turned away
  return e.kind == "timeout" or e.kind == "protocol" or e.kind == "network" and e.code ~= "connect" and e.code ~= "resolve"
end

--- One attempt at the pace that AWS bears.
local function paced(self, op, args, opts, attempt)
  local pace = self.retries:is_adaptive() and self.retries.pace
  local seconds = pace and pace:take() or 0
  if seconds > 0 then task.sleep(seconds) end
  local done = table.pack(pcall(once, self, op, args, opts))
  local e = not done[1] and errors.is(done[2]) and done[2] or nil
  if pace and (done[1] or e and e.kind == "remote") then pace:answered(e ~= nil and e.throttled == true) end
  if done[1] then return done[2], done[3] end
  if e then
    e.attempts, e.lost = attempt, opts.once and is_lost(e) or nil
    e.retry_after = e.retry_after or self.retries:pause(e, attempt)
  end
  error(done[2], 0)
end

--- Sends a call until it succeeds or trying again is in vain. What makes something and carries no token is not sent
--- again when its reply was lost: the error says `lost`, and who called looks before asking again.
---@param self aws.Client
---@param op aws.Operation
---@param args table
---@param opts table of M.OPTIONS
---@return table result
---@return table meta
function M.call(self, op, args, opts)
  opts = options.check(opts, M.OPTIONS, ("aws.%s:%s"):format(self.model.service:gsub("-", "_"), op.snake))
  opts.once = opts.once or not (mutating.is_repeatable(self.model.service, op) or shape.has_token(self.model, op, args))
  discovery.ask(self, op)
  local retries = self.retries
  local spending, attempts = retries:begin(opts.deadline), 0
  local result, meta = retry.call(function(attempt)
    attempts = attempt
    return paced(self, op, args, opts, attempt)
  end, {
    attempts = spending.limit,
    retryable = function(e) return not e.lost and retries:allows(spending, e) end,
    on_retry = function(e, seconds, attempt)
      log.debug("%s; attempt %d in %.2f seconds", tostring(e), attempt + 1, seconds)
    end,
  })
  retries:succeeded(spending)
  meta.attempts = attempts
  return result, meta
end

return M
