--- The app's Postgres and Redis: the add-on, its plan, its URL and what the
--- Data API says of it.
local secret = require "secret"

local M = {}

local known = {
  postgres = { service = "heroku-postgresql", attachment = "DATABASE", path = "/client/v11/databases/%s", by = "id" },
  redis = { service = "heroku-redis", attachment = "REDIS", path = "/redis/v0/databases/%s", by = "name" },
}

M.known = known

local function service_of(addon)
  local service = addon.addon_service
  return type(service) == "table" and service.name or service
end

--- Which add-on, and the config var that holds its URL: the owner of
--- DATABASE_URL or REDIS_URL, else the first one attached.
local function choose(app, kind)
  local addons, best, var = {}, nil, nil
  for _, addon in ipairs(app.addons) do
    if service_of(addon) == kind.service then addons[addon.id] = addon end
  end
  for _, attachment in ipairs(app.attachments) do
    local addon = attachment.addon and addons[attachment.addon.id]
    if addon and not attachment.namespace and (not best or attachment.name == kind.attachment) then
      best, var = addon, attachment.name .. "_URL"
    end
  end
  return best, var
end

--- The config vars as they are now, each a secret whatever its name.
---@return table<string, userdata>
function M.config(app)
  local vars = app.client:get("/apps/" .. app.id .. "/config-vars", { secrets = true })
  for name, value in pairs(vars) do
    if not secret.is(value) then vars[name] = secret.new(tostring(value)) end
  end
  return vars
end

local Store = {}

-- What can be done with any store, and with a Key-Value Store.
local methods = { hand_over = function(store, url) return require "heroku.handover".guard(store, url) end }
local redis_methods = {
  notifications = function(store) return require "heroku.notifications".of(store) end,
  notify = function(store) return require "heroku.notifications".guard(store) end,
}

--- `url` is read anew each time: Heroku may rotate credentials at any moment.
function Store.__index(store, name)
  if name == "url" then
    return M.config(store.app)[store.config_var]
  elseif name == "info" then
    local info = store.app.client:get(store.kind.path:format(store.addon[store.kind.by]), { data = true, secrets = { resource_url = true } })
    rawset(store, "info", info)
    return info
  end
  return methods[name] or rawget(store, "kind") == known.redis and redis_methods[name] or nil
end

--- The store of an app, or nil. An add-on of another app that is attached here counts.
---@param which "postgres"|"redis"
---@return table? store { addon, plan, config_var, url = secret, info, hand_over(url) }, and of Redis notifications(), notify();
---  hand_over: a guard that gives the app another store, its add-on staying under a second name
function M.find(app, which)
  local kind = known[which]
  local addon, var = choose(app, kind)
  if not addon then return nil end
  local plan = type(addon.plan) == "table" and addon.plan.name or addon.plan
  return setmetatable({ app = app, kind = kind, addon = addon, plan = plan, config_var = var }, Store)
end

return M
