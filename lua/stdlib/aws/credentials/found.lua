--- What every place gives: credentials, made from strings, secrets or a JSON document.
local errors = require "errors"
local json = require "json"
local secret = require "secret"
local timestamp = require "aws.timestamp"

local M = {}

---@class aws.Credentials
---@field access_key_id string
---@field secret_access_key Secret
---@field session_token? Secret
---@field expires? number seconds since 1970
---@field source string where they were found
---@field asks? boolean whether somebody was asked for a code, and would be asked again

--- Makes credentials. A time that nobody can read is refused: they would be used for ever.
---@param source string
---@param id string
---@param key string|Secret
---@param token? string|Secret
---@param expires? string|number as AWS writes it, or seconds since 1970
---@return aws.Credentials
function M.make(source, id, key, token, expires)
  if type(expires) == "string" then
    expires = timestamp.parse(expires) or errors.usage("the end of the credentials is not a time: %s", expires)
  end
  return { access_key_id = id, secret_access_key = secret.new(key), session_token = token and token ~= "" and secret.new(token) or nil,
           expires = expires, source = source }
end

local SECRETS = { SecretAccessKey = true, SessionToken = true, Token = true }

--- Reads what agents, metadata services and processes write.
---@param source string
---@param text string
---@param token string the member with the session token: "Token" or "SessionToken"
---@return aws.Credentials?
---@return string? why
---@return table? document
function M.from_json(source, text, token)
  local doc, err = json.decode(text, { secrets = SECRETS })
  if type(doc) ~= "table" then return nil, "the answer is not JSON" .. (err and ": " .. err.message or "") end
  if not (doc.AccessKeyId and doc.SecretAccessKey) then
    return nil, ("the answer has no credentials%s"):format(type(doc.Message) == "string" and ": " .. doc.Message or ""), doc
  end
  return M.make(source, doc.AccessKeyId, doc.SecretAccessKey, doc[token], doc.Expiration ~= json.null and doc.Expiration or nil), nil, doc
end

return M
