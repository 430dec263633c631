--- Error answers as error objects: what was called, AWS's code and message, the request id, what to do.
local errors = require "errors"

local M = {}

local THROTTLED = {}
for code in ([[Throttling ThrottlingException ThrottledException RequestThrottledException TooManyRequestsException
    ProvisionedThroughputExceededException TransactionInProgressException RequestLimitExceeded BandwidthLimitExceeded
    LimitExceededException RequestThrottled SlowDown PriorRequestNotComplete EC2ThrottledException]]):gmatch "%S+" do
  THROTTLED[code] = true
end

local TRANSIENT = { RequestTimeout = true, RequestTimeoutException = true, InternalError = true, ConditionalRequestConflict = true }
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

--- Makes the error of an answer that reports a failure.
---@param model aws.Model
---@param op aws.Operation
---@param response aws.WireResponse
---@param said? { code?: string, message?: string, request_id?: string } what the protocol read of it
---@return Error error kind "remote", with service, operation, code, status, request_id, retry
function M.make(model, op, response, said)
  said = said or {}
  local code = said.code ~= "" and said.code or tostring(response.status)
  local message = (said.message or ""):gsub("%.%s*$", "")
  if message == "" then message = ("the service answered with status %d"):format(response.status) end
  local throttled = M.is_throttling(code)
  return errors.new {
    kind = "remote", op = ("call %s.%s"):format(model.service, op.name), service = model.service, operation = op.name,
    code = code, message = message, status = response.status, region = said.region,
    request_id = said.request_id or M.request_id(response), hint = hint_for(code, model, op),
    retry = throttled or TRANSIENT[code] == true or TRANSIENT_STATUS[response.status] == true, throttled = throttled,
  }
end

--- The request id that the headers name.
---@param response aws.WireResponse
---@return string?
function M.request_id(response)
  local headers = response.headers
  return headers["x-amzn-requestid"] or headers["x-amz-request-id"] or headers["x-amzn-request-id"]
end

return M
