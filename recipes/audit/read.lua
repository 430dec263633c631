--- An audit as a table.
---
---     local audit = require "audit.read" { apps = { "shop" } }
---     audit.apps[1].formation[1].size      -- "Standard-1X"
local account = require "audit.account"
local client = require "heroku.client"
local errors = require "errors"
local heroku = require "audit.heroku"
local heroku_app = require "heroku"
local log = require "log"
local parts = require "audit.parts"
local stores = require "audit.stores"
local task = require "task"

local FORMAT = 2                        -- of the table and its JSON; another number when a member changes its meaning

local REQUESTS = 30                     -- that an app takes, about

--- Which apps are meant: those that are named, those of the pipeline, else all.
local function names_of(o, at)
  if #(o.apps or {}) > 0 then return o.apps end
  if o.pipeline then return account.in_pipeline(o.pipeline, at) end
  return heroku_app.apps()
end

--- Reads the account and apps. An app that cannot be read at all has only its name and the reason among its gaps.
---@param o { apps: string[]?, pipeline: string?, stores: boolean? } stores: also what PostgreSQL and Redis say of themselves
---@return { format: integer, at: string, account: table, plans: table<string, table>, apps: table[] }
return function(o)
  local at = client.new()
  local audit = { format = FORMAT, at = os.date "!%Y-%m-%dT%H:%M:%SZ", account = account.read(at) }
  local names = names_of(o, at)
  local left = audit.account.requests_left
  if left and #names * REQUESTS > left then
    log.warn("%d apps take some %d requests of Heroku's API, and the account has %d left: they come back at 75 a minute, so this may take a while",
      #names, #names * REQUESTS, left)
  end
  local p <close> = log.progress { what = "look at the apps on Heroku", total = #names, unit = "apps" }
  local done = 0
  audit.apps = task.map(names, function(name)
    local ok, app = pcall(heroku.app, name, o.stores ~= false and stores.readers or nil)
    done = done + 1
    p:update(done)
    if ok then return app end
    if #names == 1 or errors.is(app, "cancelled") then error(app, 0) end
    return { name = name, gaps = { parts.gap("the app", app) } }
  end, { limit = 4 })
  if #(o.apps or {}) == 0 then table.sort(audit.apps, function(a, b) return a.name < b.name end) end
  local gaps
  audit.plans, gaps = account.plans(at, audit.apps)
  table.move(gaps, 1, #gaps, #audit.account.gaps + 1, audit.account.gaps)
  return audit
end
