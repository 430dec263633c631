--- The freeze on a Heroku that runs: one-off dynos, and the app that answers again when it is thawed.
local errors = require "errors"
local heroku = require "heroku"
local labs = dofile "tests/support/heroku_lab.lua"
local recipe = require "recipe"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local test = require "test"
local T = test.cases()

T["one-off dynos are stopped where that is wanted; thawed, the app answers before the recipe goes on"] = function()
  local lab = labs.start { addons = {} }
  local opts = { token = lab.heroku.key, host = lab.cloud.url, data_host = "127.0.0.1" }
  local dyno = lab.call("POST", "/apps/tiny/dynos", { command = "sleep 600", attach = false })
  test.equal(dyno.type, "run")
  local l, frozen = recipe_lab(), nil
  test.raises("the copy failed", l.apply, l, function()
    local app = heroku.app("tiny", opts)
    local _ <close> = app:freeze { timeout = 60, one_off = "stop", path = "/health" }
    if recipe.planning() then return end
    frozen = { #lab.get "/apps/tiny/dynos", lab.web("/").status }
    errors.raise { kind = "remote", message = "the copy failed" }
  end)
  test.equal(frozen, { 0, 503 })
  test.match(l:text(), "the one%-off dyno run%.%d+ of tiny still runs; it is stopped")
  test.match(l:text(), "tiny answers on Heroku, with status 200")
  test.equal(lab.web("/").status, 200)
end

return T
