--- How a call proves who asks: SigV4, for two services SigV2, a bearer token, or not at all.
local config = require "aws.config"
local credentials = require "aws.credentials"
local errors = require "errors"
local secret = require "secret"
local sign = require "sign"

local M = {}

local function token_name(model)
  return "AWS_BEARER_TOKEN_" .. (model.meta.signing_name or model.service):gsub("[- ]", "_"):upper()
end

local function refuse(model, op, why) errors.usage("aws.%s:%s %s", model.service:gsub("-", "_"), op.snake, why) end

--- How an operation is signed. Raises "usage" for what hkrun cannot do.
---@param model aws.Model
---@param op aws.Operation
---@return "v4"|"v2"|"bearer"|"none"
function M.kind(model, op)
  if op.unsigned then return "none" end
  local offered = {}
  for _, name in ipairs(op.auth or model.meta.auth or { "v4" }) do offered[name] = true end
  local version = model.meta.signature_version
  if version == "bearer" then offered = { bearer = true } end
  if version == "v2" then
    if model.meta.protocol == "query" then return "v2" end
    refuse(model, op, "needs signatures of version 2, which hkrun makes for the query protocol only")
  end
  if offered.bearer and config.env(token_name(model)) then return "bearer" end
  if offered.v4 then return "v4" end
  if offered.none then return "none" end
  if offered.bearer then refuse(model, op, ("needs a bearer token: set %s"):format(token_name(model))) end
  if offered.v4a then refuse(model, op, "needs SigV4a signatures, which hkrun does not make") end
  refuse(model, op, "asks for a signature that hkrun does not know")
end

--- What sign.sigv4 needs to sign a request; nil without credentials.
---@param self aws.Client
---@param request table as aws.request builds it
---@return SigV4?
function M.claim(self, request)
  local found = self.given or credentials.get { profile = self.options.profile, region = self.region }
  if found == credentials.NONE then return nil end
  return {
    method = request.method, url = request.place, query = request.query, headers = request.headers, payload_hash = request.hash,
    body = type(request.body) ~= "table" and request.body or nil, region = request.region,
    service = request.signing_name or self.model.meta.signing_name or self.model.service,
    access_key = found.access_key_id, secret_key = found.secret_access_key, session_token = found.session_token,
    time = os.time() + self.skew,
  }
end

--- The headers of a request, with its signature or its token. A signature of version 2 stands in the body.
---@param self aws.Client
---@param request table as aws.request builds it
---@return table<string, string|userdata> headers
---@return string|userdata|table body
---@return string? access_key_id that it is signed with
function M.sign(self, request)
  local version = request.signed_by
  if version == "v4" or version == "v2" then
    local claim = M.claim(self, request)
    if not claim then return request.headers, request.body end
    if version == "v4" then return sign.sigv4(claim), request.body, claim.access_key end
    return request.headers, require "aws.protocol.query".form(require "sigv2".form(claim, request.form)), claim.access_key
  end
  if version == "none" then return request.headers, request.body end
  local headers = {}
  for name, value in pairs(request.headers) do headers[name] = value end
  headers.Authorization = secret.concat { "Bearer ", secret.new(config.env(token_name(self.model))) }
  return headers, request.body
end

return M
