--- Stops an app's writers, and lets them go again unless the cutover is kept.
local errors = require "errors"
local fence = require "pg.fence"
local http = require "http"
local log = require "log"
local options = require "options"
local recipe = require "recipe"
local task = require "task"

local M = {}

local declared = {
  { "timeout", "seconds to wait for the dynos", type = "number", default = 300 },
  { "quantities", "how many dynos ran before, where none does now because of a freeze that no journal here knows of", type = "table" },
  { "path", "what is asked for, to see that the app answers again once it is thawed", type = "string", default = "/" },
  { "one_off", "one-off dynos (heroku run, the Scheduler's): wait for them to end, or stop them", type = "string", default = "wait",
    one_of = { "wait", "stop" } },
  { "fence", "function() -> a database, as pg.open takes it, to which nobody is to write, whoever has its credentials", type = "function" },
  { "patience", "seconds that transactions there may go on before they are ended", type = "number", default = 60 },
  { "spare", "application names of sessions there that are left alone, as LIKE takes them", type = "list", default = {} },
}

local ANSWER = 180                      -- seconds that a web dyno may take to start

local function quantities_of(app)
  local quantities = {}
  for _, process in ipairs(app.client:list("/apps/" .. app.id .. "/formation")) do
    quantities[process.type] = math.tointeger(process.quantity)
  end
  return quantities
end

local function zero(quantities)
  local none = {}
  for name in pairs(quantities) do none[name] = 0 end
  return none
end

local function key_of(app) return "freeze " .. app.name end

--- How many dynos of each type run; while the recipe holds the app frozen, or has kept it so, how many ran before.
---@param app HerokuApp
---@return table<string, integer> quantities
---@return boolean moved whether the freeze was kept: the app lives elsewhere now
function M.quantities(app)
  local facts, kept = recipe.remembered(key_of(app))
  if facts then return facts.quantities, kept end
  return quantities_of(app), false
end

local function is_stopped(quantities)
  for _, n in pairs(quantities) do
    if n > 0 then return false end
  end
  return true
end

--- What the app says at a path: its status, or nil and why there is none.
local function ask(app, path)
  local ok, answer = pcall(http.get, app.web_url:gsub("/$", "") .. path, { timeout = 30 })
  if ok then return answer.status, "it answers with status " .. answer.status end
  if errors.is(answer, "cancelled") then error(answer, 0) end
  return nil, tostring(answer)
end

--- Waits until the app answers on Heroku as it did before the freeze.
local function prove(app, path)
  local stop, pause = task.now() + ANSWER, 0.1
  local p <close> = log.progress { what = ("wait until %s answers on Heroku"):format(app.name) }
  while true do
    local status, why = ask(app, path)
    if status and status < 500 then return log.info("    %s answers on Heroku, with status %d", app.name, status) end
    p:note(why)
    if task.now() > stop then
      errors.raise { kind = "timeout", op = "see that " .. app.name .. " answers on Heroku", message = ("after %d s %s"):format(ANSWER, why),
        hint = ("its dynos are started and maintenance mode is off: `heroku logs --tail -a %s` says more"):format(app.name) }
    end
    task.sleep(pause)
    pause = math.min(pause * 1.5, 3)
  end
end

--- How it is before the freeze: as it is now, or where another freeze has stopped it, as it was then. answers: the path
--- that the app answers, if it does.
local function before(app, o)
  local given, path = o.quantities, o.path
  app:refresh()
  local now, maintenance = quantities_of(app), app.maintenance
  local fenced = o.fence and fence.read(o.fence) or nil
  if given and not is_stopped(given) and is_stopped(now) then
    for name in pairs(now) do now[name] = given[name] or 0 end
    maintenance = false
    if fenced and fenced.database == "on" then fenced.database = nil end
    if fenced and fenced.role == "on" then fenced.role = nil end
  end
  local status = app.web_url and not maintenance and (now.web or 0) > 0 and ask(app, path)
  return { maintenance = maintenance, quantities = now, at = os.time(), answers = status and status < 500 and path or nil,
    fence = fenced }
end

--- The guard: its facts (maintenance, quantities, time) are in the journal before
--- anything is changed, so that a thaw after a crash knows them.
---@param app HerokuApp
---@param opts? table see declared
function M.new(app, opts)
  local o = options.check(opts or {}, declared, "app:freeze")
  return recipe.guard {
    key = key_of(app),
    what = ("freeze the Heroku app %s: maintenance on, all dynos stopped%s"):format(app.name, o.fence and ", its database read-only" or ""),
    downtime = true,
    facts = function() return before(app, o) end,
    apply = function(facts)
      app:set_maintenance(true)
      app:scale(zero(facts.quantities))
      app:wait_stopped(o.timeout, o.one_off == "stop")
      if o.fence then fence.close(o.fence, facts.fence or {}, o) end
    end,
    undo = function(facts)
      if o.fence then fence.open(o.fence, facts.fence or {}) end
      app:scale(facts.quantities)
      app:set_maintenance(facts.maintenance)
      if facts.answers then prove(app, facts.answers) end
    end,
    by_hand = function(facts)
      local words = {}
      for name, quantity in pairs(facts.quantities) do words[#words + 1] = name .. "=" .. quantity end
      table.sort(words)
      return ("%sheroku ps:scale %s --app %s%s"):format(o.fence and fence.by_hand(facts.fence or {}) .. "; " or "", table.concat(words, " "),
        app.name, facts.maintenance and "" or "; heroku maintenance:off --app " .. app.name)
    end,
    holds = function()
      app:refresh()
      if not app.maintenance then return false end
      for _, quantity in pairs(quantities_of(app)) do
        if quantity ~= 0 then return false end
      end
      return #app.dynos == 0 and (not o.fence or fence.holds(o.fence))
    end,
  }
end

return M
