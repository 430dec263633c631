--- Gives the app on Heroku another database, or Redis, while its add-on stays to go back to. DATABASE_URL is the value of
--- an attachment, which no config var may overwrite: so the add-on is attached under a second name, the attachment taken
--- off, and the var set; going back is the same in reverse. Each step makes a release and restarts the dynos that run.
--- devcenter.heroku.com/articles/managing-add-ons#attachments
local json = require "json"
local recipe = require "recipe"
local secret = require "secret"
local stores = require "heroku.stores"

local M = {}

local function attachments_of(store)
  local by_name = {}
  for _, a in ipairs(store.app.client:list("/apps/" .. store.app.id .. "/addon-attachments")) do
    if a.addon and a.addon.id == store.addon.id and not a.namespace then by_name[a.name] = a end
  end
  return by_name
end

local function forget(store) store.app:refresh() end

local function attach(store, name)
  if attachments_of(store)[name] then return end
  store.app.client:call("POST", "/addon-attachments", { json = { addon = store.addon.id, app = store.app.id, name = name, confirm = store.app.name },
    what = ("attach %s as %s"):format(store.addon.name, name) })
end

local function detach(store, name)
  local a = attachments_of(store)[name]
  if not a then return end
  store.app.client:call("DELETE", "/addon-attachments/" .. a.id, { what = ("take the attachment %s of %s off"):format(name, store.addon.name) })
end

--- A config var; nil removes it.
local function set(store, var, value)
  store.app.client:call("PATCH", "/apps/" .. store.app.id .. "/config-vars", { json = { [var] = value or json.null }, secrets = true,
    what = ("%s %s of %s"):format(value and "set" or "remove", var, store.app.name) })
end

--- A guard: the app's var is `url` until its block is left without keep(); `hkrun rollback` undoes it too.
---@param store table app.postgres or app.redis
---@param url any a secret, or a string
---@return table guard
function M.guard(store, url)
  local second = (store.kind == stores.known.redis and "HEROKU_REDIS" or "HEROKU_POSTGRESQL") .. "_OLD"
  local name = store.config_var:gsub("_URL$", "")
  if name == second then name = store.kind.attachment end    -- it is handed over
  local var = name .. "_URL"
  return recipe.guard {
    key = ("hand over %s of %s"):format(var, store.app.name),
    what = ("give %s on Heroku another %s; %s stays attached as %s"):format(store.app.name, var, store.addon.name, second),
    facts = function() return { had = attachments_of(store)[second] ~= nil } end,
    apply = function()
      attach(store, second)
      detach(store, name)
      set(store, var, url)
      forget(store)
    end,
    undo = function(facts)
      if not attachments_of(store)[name] then
        set(store, var, nil)
        attach(store, name)
      end
      if not facts.had then detach(store, second) end
      forget(store)
    end,
    by_hand = function()
      local app = store.app.name
      return ("heroku config:unset %s -a %s; heroku addons:attach %s --as %s -a %s"):format(var, app, store.addon.name, name, app)
    end,
    holds = function()
      local now = stores.config(store.app)[var]
      return now ~= nil and secret.equal(now, url) and attachments_of(store)[name] == nil
    end,
  }
end

return M
