--- A secret in Secrets Manager. Its value is given, as a string or as a table that is kept as JSON, or generated once:
---
---     local key = aws.secret { "shop-config", value = { DATABASE_URL = url, SECRET_KEY_BASE = app.config.SECRET_KEY_BASE } }
---     local password = aws.secret { "shop-db-password", generate = function() return secret.random(32) end }
---     key.arn, password.value (a secret)
local aws = require "aws"
local diff = require "recipe.diff"
local errors = require "errors"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"

local LIMIT = 65536                                          -- bytes of a value
local SOON = 3600                                            -- seconds: a deletion that near was not scheduled, it is under way
local GONE = "ResourceNotFoundException"

--- Nil when it has none yet, and when the secret is gone or, as the second code says, going.
local function value_of(arn)
  local codes = GONE .. " InvalidRequestException"
  local answer = noun.found(codes, aws.secretsmanager.get_secret_value, aws.secretsmanager, { SecretId = arn })
  return answer and answer.SecretString
end

local function encode(value)
  local bytes = type(value) == "table" and json.encode(value, { sort = true }) or value
  if secret.size(bytes) > LIMIT then
    errors.raise { kind = "limit", message = ("its value has %d bytes, and a secret holds %d"):format(secret.size(bytes), LIMIT),
                   hint = "split it into two secrets" }
  end
  return bytes
end

--- Whether both say the same; JSON may be written in another order.
local function same(want, have)
  if recipe.is_unknown(have) then return true end            -- it is restored first
  if type(want) ~= "table" or have == nil then return diff.same(want, have) end
  return diff.same(want, json.decode(have, { secrets = true }))
end

local kind = recipe.kind {
  name = "aws.secret",
  options = {
    { "value", "a secret, or a table of them, kept as JSON", type = "any" },
    { "generate", "makes the value when there is none yet", type = "function" },
    { "active", "it is not scheduled for deletion", type = "boolean", default = true, one_of = { true } },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn", "value" }, summary = { "description" }, idempotent = true,
  compare = { tags = "given", generate = "ignore", value = same },

  read = noun.reader(GONE, function(spec, known)
    local args = { SecretId = known or spec.name }
    local s = aws.secretsmanager:describe_secret(args)
    local value = not s.DeletedDate and value_of(s.ARN) or nil
    if not (value or s.DeletedDate) then s = aws.secretsmanager:describe_secret(args) end    -- it may have been deleted since
    local active = not s.DeletedDate
    if not active and s.DeletedDate <= os.time() + SOON then return { id = s.ARN, deleting = true } end
    if not active then value = recipe.unknown(("aws.secret %q.value"):format(spec.name)) end
    return { id = s.ARN, arn = s.ARN, tags = noun.tag_map(s.Tags), description = s.Description, active = active, value = value }
  end),

  create = function(spec, ctx)
    local value = spec.value
    if value == nil then value = spec.generate() end
    return aws.secretsmanager:create_secret({
      Name = spec.name, SecretString = encode(value), Description = spec.description, Tags = noun.tags(spec, ctx),
      ClientRequestToken = ctx.token,
    }).ARN
  end,

  update = function(spec, current, changes)
    local is_other = changes.value
    if changes.active then
      aws.secretsmanager:restore_secret { SecretId = current.id }
      is_other = spec.value ~= nil and not same(spec.value, value_of(current.id))
    end
    if changes.description then
      aws.secretsmanager:update_secret { SecretId = current.id, Description = spec.description }
    end
    if is_other then
      aws.secretsmanager:put_secret_value { SecretId = current.id, SecretString = encode(spec.value) }
    end
    if changes.tags then
      aws.secretsmanager:tag_resource { SecretId = current.id, Tags = noun.tag_list(spec.tags) }
    end
  end,

  delete = function(current)
    noun.delete(GONE, function()
      aws.secretsmanager:delete_secret { SecretId = current.id, ForceDeleteWithoutRecovery = true }
    end)
  end,
}

--- Strings become secrets before anything can print or write them.
local function hidden(v)
  if type(v) == "string" then return secret.new(v) end
  if type(v) ~= "table" or recipe.is_unknown(v) or v == json.null then return v end
  local r = setmetatable({}, getmetatable(v))
  for k, x in pairs(v) do r[k] = hidden(x) end
  return r
end

return function(spec)
  if type(spec) == "table" then
    local copy = {}
    for k, v in pairs(spec) do copy[k] = v end
    copy.value = hidden(copy.value)
    if copy.value == nil and copy.generate == nil then
      errors.usage("aws.secret %q needs a value, or generate", tostring(spec[1] or spec.name))
    end
    spec = copy
  end
  return kind(spec)
end
