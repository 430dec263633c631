--- The app's environment on AWS: secrets in one secret of Secrets Manager, of which the environment takes each by its key, or
--- in a parameter each where the platform is too old for keys; the rest as plain environment properties.
local aws = require "aws"
local secret = require "secret"
local task = require "task"
local text = require "text"

local M = {}

local function parsed(value)
  local ok, url = pcall(secret.parse_url, value)
  return ok and url or nil
end

--- The names of the vars that lead to a store: its attachments', those with the same value, and those whose URL leads to the
--- same database in another way, as a connection pool or another credential does.
local function ways(app, store, notes)
  local names = {}
  if not store then return names end
  local url, at = store.url, parsed(store.url)
  for _, attachment in ipairs(app.attachments) do
    if attachment.addon and attachment.addon.id == store.addon.id and app.config[attachment.name .. "_URL"] then
      names[attachment.name .. "_URL"] = true
    end
  end
  for name, value in pairs(app.config) do
    local own = not names[name] and parsed(value)
    if secret.equal(value, url) then names[name] = true
    elseif own and own.host == at.host and own.scheme:sub(1, 5) == at.scheme:sub(1, 5) then     -- redis or rediss, postgres or postgresql
      names[name] = true
      notes[name] = "it was another way to the same store (a pool, or another credential): it gets the new store's own URL"
    elseif not own and secret.equal(value, secret.new(at.host)) then
      notes[name] = "it is the host of the store on Heroku, and goes along as it is: set it anew"
    end
  end
  return names
end

--- What the config vars are, without their values.
---@param app HerokuApp
---@return table facts of mapping.config
function M.facts(app)
  local facts = { names = {}, addons = {}, passwords = {}, sizes = {}, stale = {} }
  for name, value in pairs(app.config) do
    facts.names[#facts.names + 1] = name
    facts.sizes[name] = secret.size(value)
    local url = parsed(value)
    if url and url.password and secret.size(url.password) > 0 then facts.passwords[name] = true end
    if url and url.host and url.host:find "%.compute[%w.-]*%.amazonaws%.com$" and (url.scheme:find "^postgres" or url.scheme:find "^redis") then
      facts.stale[name] = "it leads to a store on Heroku that this recipe does not move"
    end
  end
  table.sort(facts.names)
  for _, addon in ipairs(app.addons) do
    for _, name in ipairs(addon.config_vars or {}) do facts.addons[name] = addon.addon_service.name end
  end
  local notes = {}
  facts.postgres, facts.redis = ways(app, app.postgres, notes), ways(app, app.redis, notes)
  for _, list in ipairs { facts.postgres, facts.redis } do
    for name in pairs(list) do facts.stale[name] = nil end
  end
  for name, note in pairs(notes) do facts.stale[name] = note end
  return facts
end

--- The values on AWS, by what they become.
---@param app HerokuApp
---@param plan table
---@param new { db: table?, cache: table? } the new stores
---@return table<string, Secret> plain
---@return table<string, any> secrets those of the stores are unknown until these exist
function M.values(app, plan, new)
  local plain, secrets = {}, {}
  for name, value in pairs(app.config) do
    local class = plan.config[name]
    if class == "database" then secrets[name] = new.db.url
    elseif class == "cache" then secrets[name] = new.cache.url
    elseif class == "plain" then plain[name] = value
    elseif class == "secret" or class == "addon" then secrets[name] = value end
  end
  return plain, secrets
end

--- One secret, and a reference to each of its keys.
local function by_key(name, secrets)
  local refs = {}
  if next(secrets) == nil then return refs end
  local kept = aws.secret { name .. "/config", value = secrets, description = "config vars of " .. name }
  for key in pairs(secrets) do refs[key] = text("%s:%s", kept.arn, key) end
  return refs
end

--- A parameter for each.
local function by_parameter(name, secrets)
  local make = {}
  for key, value in pairs(secrets) do
    make[key] = function() return aws.parameter { ("/%s/config/%s"):format(name, key), value = value }.arn end
  end
  return task.all(make)
end

--- Puts the app's config vars where the environment finds them.
---@param app HerokuApp
---@param plan table
---@param new { db: table?, cache: table? } the new stores
---@return { plain: table<string, Secret>, secrets: table<string, any>, hide: table } secrets: NAME = the ARN that it is read
--- from; hide: all values
function M.keep(app, plan, new)
  local plain, secrets = M.values(app, plan, new)
  local refs = (plan.platform.secrets == "parameter" and by_parameter or by_key)(plan.name, secrets)
  return { plain = plain, secrets = refs, hide = secrets }
end

return M
