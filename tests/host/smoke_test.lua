--- The recipe's smoke tests against a server that comes up, answers wrongly, or never.
package.path = "recipes/?.lua;" .. package.path
local serve = require "rehearsal.serve"
local smoke = require "heroku_to_aws.smoke"
local test = require "test"
local T = test.cases()

local progress = { note = function() end }

local function site(handler)
  local server = serve.start { handler = handler }
  test.defer(function() server:stop() end)
  return "http://127.0.0.1:" .. server.port .. "/"
end

T["an app that starts is waited for, then every expectation counts"] = function()
  local asked = 0
  local url = site(function(request)
    asked = asked + 1
    if asked < 2 then return { status = 502, body = "" } end
    return request.path == "/health" and { body = "well" } or { status = 201, body = "a teapot" }
  end)
  local done = smoke.run(url, function(web)
    web:expect("/health")
    web:expect("/products", { status = 201, text = "teapot" })
  end, 60)(progress)
  test.equal({ done.passed, asked }, { 2, 3 })
end

T["a wrong answer is named; what the function itself raises ends the tests at once"] = function()
  local url = site(function() return { status = 404, body = "nothing" } end)
  local old = smoke.SETTLE
  smoke.SETTLE = 0
  test.defer(function() smoke.SETTLE = old end)
  test.raises("cannot test http://127.0.0.1:%d+/health: it answers with status 404; the environment's logs say more",
    smoke.run(url, function(web) web:expect "/health" end, 60), progress)
  test.raises("and not 200", smoke.run(url, function(web) web:expect("/health", { status = 200 }) end, 60), progress)
  test.raises('"teapot" is not in its answer', smoke.run(url, function(web) web:expect("/", { status = 404, text = "teapot" }) end, 60), progress)
  test.raises("too few", smoke.run(url, function(web) if #web:get("/").body < 100 then error "too few" end end, 60), progress)
  test.equal(smoke.run(nil, error, 60)(progress).skipped, true)
end

return T
