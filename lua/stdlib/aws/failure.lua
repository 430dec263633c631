--- Error answers as error objects: what was called, AWS's code and message, the request id, what to do.
local errors = require "errors"

local M = {}

local THROTTLED = {}
for code in ([[Throttling ThrottlingException ThrottledException RequestThrottledException TooManyRequestsException
    ProvisionedThroughputExceededException TransactionInProgressException RequestLimitExceeded BandwidthLimitExceeded
    LimitExceededException RequestThrottled SlowDown PriorRequestNotComplete EC2ThrottledException]]):gmatch "%S+" do
  THROTTLED[code] = true
end

local TRANSIENT = { RequestTimeout = true, RequestTimeoutException = true, InternalError = true, ConditionalRequestConflict = true,
                    IDPCommunicationError = true }
local TRANSIENT_STATUS = { [500] = true, [502] = true, [503] = true, [504] = true }

local SKEWED = { RequestTimeTooSkewed = true, RequestExpired = true, InvalidSignatureException = true,
                 SignatureDoesNotMatch = true, RequestInTheFuture = true, AuthFailure = true }

local EXPIRED = { ExpiredToken = true, ExpiredTokenException = true, RequestExpired = true, TokenRefreshRequired = true }
local DENIED = { AccessDenied = true, AccessDeniedException = true, UnauthorizedOperation = true, AuthorizationError = true,
                 AuthorizationErrorException = true }
local UNKNOWN_KEY = { InvalidClientTokenId = true, UnrecognizedClientException = true, AuthFailure = true,
                      InvalidAccessKeyId = true, SignatureDoesNotMatch = true, InvalidSignatureException = true }

local function hint_for(code, model, op)
  if EXPIRED[code] then return "the credentials have expired: sign in again" end
  if DENIED[code] then return ("allow the action %s:%s to the user or role in use"):format(model.meta.signing_name, op.name) end
  if UNKNOWN_KEY[code] then return "check the access key and its secret" end
  if THROTTLED[code] then return "AWS asks for fewer calls: try again later" end
  if code == "OptInRequired" then return "the account is not signed up for this service" end
  return nil
end

--- Whether a code means that the clock may be wrong.
function M.may_be_skewed(code) return SKEWED[code] == true end

function M.is_throttling(code) return THROTTLED[code] == true end

function M.is_expired(code) return EXPIRED[code] == true end

---@class aws.Said              what a protocol read of an error answer
---@field code? string
---@field message? string
---@field request_id? string
---@field region? string        S3: where the bucket is

--- "ns#Name:http://..." -> "Name"
local function plain_code(text)
  return type(text) == "string" and text:match "^[^:]*":match "[^#]*$" or nil
end

--- Error answers whose body is a table: of the json protocols and of CBOR.
---@param model aws.Model
---@param response aws.WireResponse
---@param body table
---@return aws.Said
function M.said(model, response, body)
  local function first(...)
    for _, name in ipairs { ... } do if type(body[name]) == "string" then return body[name] end end
  end
  local header, code = response.headers["x-amzn-errortype"]
  if model.meta.protocol == "rest-json" then
    code = header or first("code", "Code", "__type", "error")
  else
    code = first "__type" or header or first("code", "Code")
  end
  local query = response.headers["x-amzn-query-error"]          -- a service that once spoke query keeps its codes
  return { code = query and query:match "^([^;]+);[^;]*$" or plain_code(code),
           message = first("message", "Message", "errorMessage", "error_description") }
end

--- The error's shape in the model: one that the operation names goes before others of the same code.
local function shape_of(model, op, code)
  for _, name in ipairs(op.errors) do
    local shape = model.shape(name)
    if name == code or shape.error and shape.error.code == code then return shape end
  end
  local known = model.errors[code]
  return known and model.shape(known.shape)
end

--- The members of the error that the model knows; nil if it does not know the error, or cannot read it.
local function data_of(model, op, response, code, protocol)
  local shape = protocol and shape_of(model, op, code)
  if not shape then return nil end
  local ok, data = pcall(protocol.data, model, shape, response)
  if ok then return data end
  if not errors.is(data) then error(data, 0) end
  return nil
end

local MEANS = { [403] = ", forbidden", [404] = ", not found", [412] = ", a condition does not hold" }    -- what HEAD answers, which has no body

--- What there is to say of an answer in which the service said nothing: it may not be the service's.
local function bare_message(response, request_id)
  local body = type(response.body) == "string" and response.body:sub(1, 200):lower() or ""
  local is_page = body:find "^%s*<!doctype html" or body:find "^%s*<html"
  return ("the service answered with status %d%s%s"):format(response.status, is_page and " and a page of HTML" or MEANS[response.status] or "",
                                                            request_id and (" (request %s)"):format(request_id) or "")
end

--- Makes the error of an answer that reports a failure.
---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@param said? aws.Said
---@param protocol? table that reads the members of the error
---@return Error error kind "remote", with service, operation, code, status, request_id, retry and data, its modelled members
function M.make(model, op, response, said, protocol)
  said = said or {}
  local code = said.code ~= "" and said.code or tostring(response.status)
  local request_id = said.request_id or M.request_id(response)
  local message = (said.message or ""):gsub("%.%s*$", "")
  if message == "" then message = bare_message(response, request_id) end
  local throttled = M.is_throttling(code)
  return errors.new {
    kind = "remote", op = ("call %s.%s"):format(model.service, op.name), service = model.service, operation = op.name,
    code = code, message = message, status = response.status, region = said.region,
    request_id = request_id, data = data_of(model, op, response, code, protocol), hint = hint_for(code, model, op),
    retry = throttled or TRANSIENT[code] == true or TRANSIENT_STATUS[response.status] == true, throttled = throttled,
  }
end

--- The request id that the headers name.
---@param response aws.WireResponse|{ headers?: table }
---@return string?
function M.request_id(response)
  local headers = response.headers or {}
  return headers["x-amzn-requestid"] or headers["x-amz-request-id"] or headers["x-amzn-request-id"]
end

return M
