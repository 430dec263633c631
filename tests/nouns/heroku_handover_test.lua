--- The app on Heroku gets another database: the attachment makes room and comes back, wherever it was cut off.
local errors = require "errors"
local heroku = require "heroku"
local labs = dofile "tests/support/heroku_lab.lua"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local secret = require "secret"
local test = require "test"
local T = test.cases()

local NEW = "postgres://rds:secret@db.example.com/app"

local function cloud()
  local lab = labs.start { formation = {}, addons = { { plan = "heroku-postgresql:standard-0", as = "DATABASE" } } }
  return lab, { token = lab.heroku.key, host = lab.cloud.url, data_host = "127.0.0.1" }
end

local function state(lab)
  local names, config = {}, lab.get "/apps/tiny/config-vars"
  for i, a in ipairs(lab.get "/apps/tiny/addon-attachments") do names[i] = a.name end
  table.sort(names)
  return table.concat(names, " "), config.DATABASE_URL, config.HEROKU_POSTGRESQL_OLD_URL
end

T["the var is the new one, the add-on stays under a second name; undone all is as it was"] = function()
  local lab, opts = cloud()
  local l, fail, holds = recipe_lab(), true, nil
  local _, before = state(lab)
  local _, r = lab.call("PATCH", "/apps/tiny/config-vars", { DATABASE_URL = NEW })
  test.equal(r.status, 422, "an attachment's value cannot be overwritten")
  local function move()
    local app = heroku.app("tiny", opts)
    local over <close> = app.postgres:hand_over(secret.new(NEW))
    if recipe.planning() then return end
    local names, url, old = state(lab)
    test.equal({ names, url, old }, { "HEROKU_POSTGRESQL_OLD", NEW, before })
    holds = over.def.holds(over.facts)
    if fail then errors.raise { kind = "remote", message = "the app does not like it" } end
    over:keep()
  end
  l:plan(move)
  test.equal({ state(lab) }, { "DATABASE", before }, "a plan changes nothing")
  test.raises("the app does not like it", l.apply, l, move)
  test.equal({ state(lab) }, { "DATABASE", before })
  fail = false
  l:apply(move)
  test.equal({ (select(2, state(lab))), holds }, { NEW, true })
  l:rollback(move)
  test.equal({ state(lab) }, { "DATABASE", before }, "rolled back")
  test.truthy(not l:text():find("rds:secret", 1, true), "the password is said nowhere")
end

T["cut off after any call it is undone; applied again and rolled back it is as it was: never without a database"] = function()
  local lab, opts = cloud()
  local _, before = state(lab)
  local meta = getmetatable(require "heroku.client".new(opts)).__index
  local call = meta.call
  test.defer(function() meta.call = call end)
  for n = 1, 3 do
    local l, left = recipe_lab(), n
    function meta.call(...)
      local r = table.pack(call(...))
      local method = select(2, ...)
      if method ~= "GET" then
        left = left - 1
        if left == 0 then error(errors.new { kind = "network", message = "cut off" }, 0) end
      end
      return table.unpack(r, 1, r.n)
    end
    local function move()
      local over <close> = heroku.app("tiny", opts).postgres:hand_over(secret.new(NEW))
      if not recipe.planning() then over:keep() end
    end
    test.raises("cut off", l.apply, l, move)
    test.equal({ state(lab) }, { "DATABASE", before }, "undone after call " .. n)
    l:apply(move)
    test.equal((select(2, state(lab))), NEW)
    l:rollback(move)
    test.equal({ state(lab) }, { "DATABASE", before })
  end
end

return T
