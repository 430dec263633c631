local heroku = require "heroku"
local client = require "heroku.client"
local json = require "json"
local secret = require "secret"
local serve = require "rehearsal.serve"
local test = require "test"
local errors = require "errors"
local log = require "log"
local lab = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local fs = require "fs"
local sign = require "sign"

local T = test.cases()

local APP = { id = "11111111-aaaa", name = "shop", maintenance = false, region = { name = "us" }, stack = { name = "heroku-24" },
  build_stack = { name = "heroku-24" }, generation = json.null, team = json.null, web_url = "https://shop.example/" }

--- A small Heroku: routes["GET /apps/shop"] = answer, or function(req, n) -> answer; n counts the calls.
local function fake(routes)
  local seen, counts = {}, {}
  local server = serve.start { handler = function(req)
    local key = req.method .. " " .. req.path
    seen[#seen + 1] = { key = key, headers = req.headers, json = req.body and #req.body > 0 and json.decode(req.body) or nil }
    counts[key] = (counts[key] or 0) + 1
    local route = routes[key] or routes[(key:gsub("/apps/11111111%-aaaa", "/apps/shop"))]
    if type(route) == "function" then route = route(req, counts[key]) end
    if not route then return { status = 404, json = { id = "not_found", message = "Couldn't find that app." } } end
    return (route.status or route.json or route.body or route.file or route.drop) and route or { json = route }
  end }
  test.defer(function() server:stop() end)
  local opts = { host = server.url, data_host = "127.0.0.1", token = secret.new "t0ken-MARK" }
  return opts, seen, counts, server
end

T["facts are read when asked for, nulls left out, with version and token"] = function()
  local opts, seen = fake {
    ["GET /apps/shop"] = APP,
    ["GET /apps/shop/formation"] = { { type = "web", quantity = 2 }, { type = "worker", quantity = 0 } },
    ["GET /apps/shop/collaborators"] = { { user = { email = "a@example.com" } } },
  }
  local app = heroku.app("shop", opts)
  test.equal({ app.name, app.id, app.region, app.stack, app.generation, app.maintenance, app.info.team },
    { "shop", APP.id, "us", "heroku-24", "cedar", false, nil })
  test.equal(#seen, 1)
  test.equal(app.formation[2], { type = "worker", quantity = 0 })
  test.equal(app.formation[1].quantity, 2)
  test.equal(#seen, 2)
  test.equal(app.couplings, nil)
  test.equal(#app.collaborators, 1)
  test.equal(seen[1].headers.accept, "application/vnd.heroku+json; version=3")
  test.equal(seen[1].headers.authorization, "Bearer t0ken-MARK")
end

T["lists are read to their last page; a circle of pages is an error"] = function()
  local opts, seen = fake {
    ["GET /apps/shop"] = APP,
    ["GET /apps/shop/addons"] = function(req)
      local range = req.headers.range
      if not range then return { status = 206, headers = { ["Next-Range"] = "id ]a..; max=1" }, json = { { id = "a" } } } end
      if range == "id ]a..; max=1" then return { status = 206, headers = { ["Next-Range"] = "id ]b..; max=1" }, json = { { id = "b" } } } end
      return { json = { { id = "c" } } }
    end,
    ["GET /apps/shop/domains"] = function() return { status = 206, headers = { ["Next-Range"] = "id ]a..; max=1" }, json = { { id = "a" } } } end,
    ["GET /apps/shop/releases"] = { { version = 2 } },
  }
  local app = heroku.app("shop", opts)
  local names = {}
  for _, addon in ipairs(app.addons) do names[#names + 1] = addon.id end
  test.equal(names, { "a", "b", "c" })
  test.raises("go round in a circle", function() return app.domains end)
  test.equal(app.releases[1].version, 2)
  test.equal(seen[#seen].headers.range, "version ..; max=1000, order=desc")
end

T["config vars are secrets whatever their names, and the stores' URLs are read anew"] = function()
  local url = "postgres://u:one@h/d"
  local opts = fake {
    ["GET /apps/shop"] = APP,
    ["GET /apps/shop/config-vars"] = function() return { json = { DATABASE_URL = url, REDIS_URL = "rediss://x", id = "plain?", region = "eu" } } end,
    ["GET /apps/shop/addons"] = {
      { id = "a0", name = "pg-old", addon_service = { name = "heroku-postgresql" }, plan = { name = "heroku-postgresql:mini" } },
      { id = "a1", name = "pg-new", addon_service = { name = "heroku-postgresql" }, plan = { name = "heroku-postgresql:essential-0" } },
      { id = "a2", name = "redis-1", addon_service = { name = "heroku-redis" }, plan = { name = "heroku-redis:mini" } } },
    ["GET /apps/shop/addon-attachments"] = {
      { name = "HEROKU_POSTGRESQL_RED", addon = { id = "a0" }, namespace = json.null },
      { name = "DATABASE", addon = { id = "a1" }, namespace = json.null },
      { name = "READER", addon = { id = "a1" }, namespace = "credential:reader" },
      { name = "REDIS", addon = { id = "a2" }, namespace = json.null } },
    ["GET /client/v11/databases/a1"] = { plan = "Essential 0", resource_url = "postgres://MARK" },
    ["GET /redis/v0/databases/redis-1"] = { plan = "Mini" },
  }
  local app = heroku.app("shop", opts)
  test.truthy(app.config.DATABASE_URL ~= json.null, "a secret is not null")
  for name, value in pairs(app.config) do test.truthy(secret.is(value), name) end
  test.equal({ app.postgres.addon.name, app.postgres.plan, app.postgres.config_var }, { "pg-new", "heroku-postgresql:essential-0", "DATABASE_URL" })
  test.truthy(secret.equal(app.postgres.url, secret.new "postgres://u:one@h/d"))
  url = "postgres://u:two@h/d"
  test.truthy(secret.equal(app.postgres.url, secret.new "postgres://u:two@h/d"), "the rotated URL")
  test.equal(app.postgres.info.plan, "Essential 0")
  test.truthy(secret.is(app.postgres.info.resource_url))
  test.equal({ app.redis.plan, app.redis.info.plan }, { "heroku-redis:mini", "Mini" })
end

T["errors carry Heroku's id, a hint, and no secret"] = function()
  local replies = {
    ["/apps/u"] = { 401, "unauthorized", "auth", "heroku login" }, ["/apps/f"] = { 403, "forbidden", "auth", "owner" },
    ["/apps/t"] = { 403, "two_factor", "auth", "authorizations:create" }, ["/apps/n"] = { 404, "not_found", "not_found", "apps %-%-all" },
    ["/apps/v"] = { 402, "verification_required", "auth", "payment" }, ["/apps/i"] = { 422, "invalid_params", "invalid", "" },
  }
  local routes = {}
  for path, r in pairs(replies) do routes["GET " .. path] = { status = r[1], json = { id = r[2], message = "Said " .. r[2] } } end
  local opts, _, counts = fake(routes)
  for path, r in pairs(replies) do
    local e = test.raises("cannot read the Heroku app " .. path:sub(7) .. ": Said " .. r[2], heroku.app, path:sub(7), opts)
    test.equal({ e.code, e.kind, e.status, counts["GET " .. path] }, { r[2], r[3], r[1], 1 })
    test.match(tostring(e), r[4])
    test.truthy(not tostring(e):find "MARK")
  end
end

T["what Heroku repeats of a secret that it was sent is not in the error"] = function()
  local opts = fake { ["PATCH /apps/shop/config-vars"] = { status = 422, json = { id = "invalid_params", message = "KEY: hush-4711 is too long" } } }
  local body = { KEY = secret.new "hush-4711", OTHER = secret.new "" }
  test.raises("KEY: %(secret%) is too long", function() heroku.client(opts):call("PATCH", "/apps/shop/config-vars", { json = body }) end)
end

T["429 and 503 are waited out; a POST is not sent twice after a 503"] = function()
  local opts, _, counts = fake {
    ["GET /apps/shop"] = function(_, n)
      if n == 1 then
        return { status = 429, headers = { ["Retry-After"] = "0" },
                 json = { id = "rate_limit", message = "Your account reached the API limit." } }
      end
      if n == 2 then return { status = 503, body = "<html>unavailable</html>" } end
      return APP
    end,
    ["POST /apps"] = { status = 503, body = "" },
  }
  test.equal(heroku.app("shop", opts).name, "shop")
  test.equal(counts["GET /apps/shop"], 3)
  local e = test.raises("status 503", function() heroku.client(opts):call("POST", "/apps", { json = { name = "x" } }) end)
  test.equal({ e.retry, counts["POST /apps"] }, { true, 1 })
end

T["the token goes nowhere but to Heroku and this machine"] = function()
  local token = secret.new "x"
  for _, host in ipairs { "https://evil.example", "http://api.heroku.com", "https://api.heroku.com.evil.example",
                          "https://127.0.0.1.evil.example", "https://evil@x" } do
    test.equal(test.raises("the token is not sent there", heroku.client, { host = host, token = token }).kind, "usage")
  end
  local c = heroku.client { host = "https://api.staging.herokudev.com", data_host = "data.herokudev.com", token = token }
  test.equal({ c.base, c.data_base }, { "https://api.staging.herokudev.com", "https://data.herokudev.com" })
  test.equal(heroku.client({ host = "staging.herokudev.com", token = token }).base, "https://api.staging.herokudev.com")
end

T["the Heroku CLI's netrc is read"] = function()
  local netrc = "# machine api.heroku.com password no\nmachine git.heroku.com\n  login a\n  password wrong\n"
    .. "machine api.heroku.com\n  login a@b.c\n  password right\n"
  test.equal(client.netrc_password(netrc, "api.heroku.com"), "right")
  test.equal(client.netrc_password(netrc, "other"), nil)
end

T["the slug is that of the newest good release; its bytes are checked"] = function()
  local dir = test.tmpdir()
  local digest = sign.sha256 "slug bytes"
  local server
  local opts, _, _, own = fake {
    ["GET /apps/shop"] = APP,
    ["GET /apps/shop/releases"] = {
      { version = 4, status = "failed", slug = { id = "s4" } }, { version = 3, status = "succeeded", slug = { id = "s3" } },
    },
    ["GET /apps/shop/slugs/s3"] = function() return { json = { id = "s3", checksum = "SHA256:" .. digest, process_types = { web = "node web.js" },
      blob = { method = "get", url = server.url .. "/blob?Signature=MARK" } } } end,
    ["GET /blob"] = function(_, n) return { body = n == 1 and "slug bytes" or "other bytes" } end,
  }
  server = own
  local app = heroku.app("shop", opts)
  test.equal({ app.slug.id, app.slug.process_types.web, app.slug.release }, { "s3", "node web.js", 3 })
  test.truthy(secret.is(app.slug.url))
  test.equal(fs.read(app:download_slug(dir .. "/slug")), "slug bytes")
  test.truthy(not tostring(test.raises("digest", app.download_slug, app, dir .. "/slug2")):find "MARK")
end

--- A Heroku that obeys: formation, dynos, maintenance.
local function obedient()
  local state = { maintenance = false, web = 1, worker = 2, order = {} }
  local function app() local a = {} for k, v in pairs(APP) do a[k] = v end a.maintenance = state.maintenance return a end
  local opts = fake {
    ["GET /apps/shop"] = function() return { json = app() } end,
    ["PATCH /apps/shop"] = function(req)
      state.maintenance = json.decode(req.body).maintenance
      state.order[#state.order + 1] = "maintenance " .. tostring(state.maintenance)
      return { json = app() }
    end,
    ["GET /apps/shop/formation"] = function()
      return { json = { { type = "web", quantity = state.web }, { type = "worker", quantity = state.worker } } }
    end,
    ["PATCH /apps/shop/formation"] = function(req)
      for _, u in ipairs(json.decode(req.body).updates) do state[u.type] = u.quantity end
      state.order[#state.order + 1] = ("web %d worker %d"):format(state.web, state.worker)
      return { json = json.array {} }
    end,
    ["GET /apps/shop/dynos"] = function(_, n)
      local dynos = json.array {}
      if n < 3 then dynos[1] = { name = "run.1", type = "run" } end
      return { json = dynos }
    end,
  }
  return opts, state
end

T["freeze stops everything and thaw restores it; kept, it stays"] = function()
  local opts, state = obedient()
  local fail = true
  local function cutover()
    local app = heroku.app("shop", opts)
    recipe.stage "cutover"
    local freeze <close> = app:freeze { timeout = 20 }
    if recipe.planning() then return end
    test.equal({ state.maintenance, state.web, state.worker }, { true, 0, 0 })
    if fail then errors.raise { kind = "remote", message = "the copy differs" } end
    freeze:keep()
  end
  local l = lab()
  l:plan(cutover)
  test.equal(state.order, {}, "a plan changes nothing")
  test.raises("the copy differs", l.apply, l, cutover)
  test.equal(state.order, { "maintenance true", "web 0 worker 0", "web 1 worker 2", "maintenance false" })
  fail, state.order = false, {}
  l:apply(cutover)
  test.equal(state.order, { "maintenance true", "web 0 worker 0" })
  state.order = {}
  l:apply(cutover)
  test.equal(state.order, {}, "a second apply changes nothing")
end

T["an app that a freeze stopped of which no journal is left: frozen anew and undone it is as it was before that"] = function()
  for _, case in ipairs {
    { is = { true, 0, 0 }, was = { false, 3, 0 } },
    { is = { true, 1, 0 }, was = { true, 1, 0 } },             -- somebody has started it: what is counts
  } do
    local opts, state = obedient()
    state.maintenance, state.web, state.worker = table.unpack(case.is)
    test.raises("the copy differs", function()
      lab():apply(function()
        local app = heroku.app("shop", opts)
        local _ <close> = app:freeze { timeout = 20, quantities = { web = 3 } }
        if recipe.planning() then return end
        test.equal({ state.maintenance, state.web, state.worker }, { true, 0, 0 })
        test.equal(app:quantities(), { web = case.was[2], worker = case.was[3] })
        errors.raise { kind = "remote", message = "the copy differs" }
      end)
    end)
    test.equal({ state.maintenance, state.web, state.worker }, case.was)
    test.cleanup()
  end
end

T["the keyspace notifications of a Key-Value Store are switched by the Data API, and by a guard"] = function()
  local setting, sets = "Kx", {}
  local opts = fake {
    ["GET /apps/shop"] = APP,
    ["GET /apps/shop/addons"] = { { id = "a2", name = "redis-1", addon_service = { name = "heroku-redis" }, plan = { name = "heroku-redis:mini" } } },
    ["GET /apps/shop/addon-attachments"] = { { name = "REDIS", addon = { id = "a2" } } },
    ["GET /redis/v0/databases/redis-1/config"] = function() return { json = { notify_keyspace_events = { value = setting } } } end,
    ["PATCH /redis/v0/databases/redis-1/config"] = function(req)
      setting = json.decode(req.body).notify_keyspace_events
      sets[#sets + 1] = setting
      return { json = { notify_keyspace_events = { value = setting } } }
    end,
  }
  local by = heroku.app("shop", opts).redis:notifications()
  test.equal(by.read(), "Kx")
  by.on(by.read())
  by.off "Kx"
  test.equal(sets, { "KxAE", "Kx" })
  local fail = true
  local function move()
    recipe.stage "move"
    local _ <close> = heroku.app("shop", opts).redis:notify()
    if recipe.planning() then return end
    test.equal(setting, "KxAE")
    if fail then errors.raise { kind = "remote", message = "the copy failed" } end
  end
  local l = lab()
  sets = {}
  l:plan(move)
  test.equal(sets, {}, "a plan changes nothing")
  test.raises("the copy failed", l.apply, l, move)
  test.equal(sets, { "KxAE", "Kx" })
  fail = false
  l:apply(move)
  test.equal(sets, { "KxAE", "Kx", "KxAE", "Kx" })
end

T["a dyno that does not end is named, while it is waited for and at the deadline"] = function()
  local progress, notes = log.progress, {}
  test.defer(function() log.progress = progress end)
  function log.progress(o)
    local p = progress(o)
    return setmetatable({ note = function(_, s) notes[1] = o.what .. ": " .. s end }, { __close = function() p:done() end })
  end
  local opts = fake { ["GET /apps/shop"] = APP, ["GET /apps/shop/dynos"] = { { name = "run.7", type = "run" } } }
  local e = test.raises("after 0.3 s these dynos still run: run.7", function() heroku.app("shop", opts):wait_stopped(0.3) end)
  test.equal(e.kind, "timeout")
  test.equal(notes, { "wait until the dynos of shop have stopped: these dynos still run: run.7" })
end

return T
