--- recipes/audit.lua: an account of thirty apps that does not answer everything, and one whose stores are real.
package.path = "recipes/?.lua;" .. package.path
local diff = require "audit.diff"
local fs = require "fs"
local json = require "json"
local process = require "process"
local read = require "audit.read"
local serve = require "rehearsal.serve"
local test = require "test"
local write = require "audit.write"

local T = test.cases()

local MARK = "HUSH4711"
local null = json.null

--- App number n of the account: each third is of Fir, each second in the pipeline, each fifth uses the first app's database.
local function app(n)
  return { id = ("id-%02d"):format(n), name = ("app-%02d"):format(n), generation = { name = n % 3 == 0 and "fir" or "cedar" },
    region = { name = "eu" }, stack = { name = n % 3 == 0 and "cnb" or "heroku-24" }, build_stack = { name = "heroku-24" },
    maintenance = false, team = null, space = null,
    owner = { email = "owner@example.com" }, web_url = "https://x.herokuapp.com/", slug_size = n * 1000, released_at = "2026-01-01T00:00:00Z" }
end

local function addon(n)
  return { id = "addon-" .. n, name = "postgresql-" .. n, state = "provisioned", addon_service = { name = "heroku-postgresql" },
    plan = { name = "heroku-postgresql:standard-0" }, app = { name = app(n).name }, config_vars = { "DATABASE_URL" },
    billed_price = { cents = 5000, unit = "month", contract = false } }
end

local function attachment(n)
  return { name = "DATABASE", app = { name = app(n).name }, addon = { id = "addon-1", name = "postgresql-1" }, namespace = null }
end

local function attachments_of_first()
  local list = {}
  for n = 1, 30 do
    if n == 1 or n % 5 == 0 then list[#list + 1] = attachment(n) end
  end
  return list
end

local LISTS = {
  formation = function(n)
    return { { type = "web", quantity = n % 4, size = "Standard-1X", command = "run" },
             { type = "worker", quantity = 1, size = "Basic", command = "work" } }
  end,
  dynos = function() return { { name = "web.1", type = "web", state = "up", size = "Standard-1X" } } end,
  addons = function(n) return (n == 1 or n % 5 == 0) and { addon(1) } or n % 2 == 0 and { addon(n) } or {} end,
  ["addon-attachments"] = function(n) return { attachment(n) } end,
  releases = function(n)
    local artifact = n % 3 == 0 and { { type = "oci-image", id = "image-1" } } or { { type = "slug", id = "s" } }
    return { { version = 2, description = "Deploy", status = "succeeded", created_at = "2026-01-02T00:00:00Z", current = true,
      artifacts = artifact, slug = n % 3 ~= 0 and { id = "s" } or null } }
  end,
  builds = function() return { { status = "succeeded", stack = "heroku-24", created_at = "2026-01-01T00:00:00Z" } } end,
  ["buildpack-installations"] = function() return { { ordinal = 0, buildpack = { name = "heroku/ruby" } } } end,
  domains = function(n)
    return { { hostname = "a.example.com", kind = "custom", cname = "x.herokudns.com", acm_status = n == 2 and "failed" or null } }
  end,
  ["sni-endpoints"] = function() return {} end,
  features = function() return { { name = "preboot", enabled = true } } end,
  collaborators = function() return { { user = { email = "a@example.com" }, role = "member" } } end,
  webhooks = function()
    return { { url = "https://u:" .. MARK .. "@hooks.example.com/x?token=" .. MARK, include = { "api:release" }, level = "notify" } }
  end,
  ["log-drains"] = function() return { { url = "syslog+tls://" .. MARK .. "@logs.example.com:6514", token = MARK, addon = null } } end,
  ["telemetry-drains"] = function()
    return { { signals = { "logs" }, exporter = { type = "otlp", endpoint = "https://t.example.com/" .. MARK, headers = { key = MARK } } } }
  end,
}

--- A Heroku with that account: pages of one item, now and then a 429, and 403 or 404 for what `refused` names.
local function account(refused)
  local calls = 0
  local function answer(req)
    calls = calls + 1
    if calls % 17 == 0 then
      return { status = 429, headers = { ["Retry-After"] = "0" }, json = { id = "rate_limit", message = "slow down" } }
    end
    local status = refused[req.path]
    if status then return { status = status, json = { id = status == 403 and "forbidden" or "not_found", message = "not for you" } } end
    local function list(items)
      local at = tonumber((req.headers.range or ""):match "^id (%d+)%.%.") or 1
      if #items <= 1 then return { json = json.array(items) } end
      if at == #items then return { json = { items[at] } } end
      return { status = 206, headers = { ["Next-Range"] = ("id %d..; max=1"):format(at + 1) }, json = { items[at] } }
    end
    local id, rest = req.path:match "^/apps/([%w-]+)(.*)$"
    local n = id and tonumber(id:match "(%d+)$")
    if n and rest == "" then return { json = app(n) } end
    if n and rest == "/config-vars" then
      return { json = { DATABASE_URL = "postgres://u:" .. MARK .. "@h.example.com/d", COLOR = MARK, API_KEY = MARK } }
    end
    if n and rest == "/pipeline-couplings" then
      if n % 2 == 1 then return { status = 404, json = { id = "not_found", message = "none" } } end
      return { json = { stage = "staging", app = { id = id }, pipeline = { id = "p1" } } }
    end
    if n and rest == "/slugs/s" then
      return { json = { id = "s", commit = "abc", process_types = { web = "run", release = "migrate" }, blob = { url = MARK } } }
    end
    if n and rest == "/oci-images/image-1" then
      return { json = { { id = "image-1", digest = "sha256:1", process_types = { web = { command = "run" } } } } }
    end
    if n and LISTS[rest:sub(2)] then return list(LISTS[rest:sub(2)](n)) end
    if req.path == "/apps" then
      local all = {}
      for i = 1, 30 do all[i] = app(i) end
      return list(all)
    end
    if req.path:find "^/addons/" then return list(req.path == "/addons/addon-1/addon-attachments" and attachments_of_first() or {}) end
    if req.path == "/account" then return { json = { email = "me@example.com" } } end
    if req.path == "/account/rate-limits" then return { json = { remaining = 4000 } } end
    if req.path == "/pipelines/p1" then return { json = { id = "p1", name = "shop" } } end
    if req.path == "/pipelines/p1/review-app-config" then return { json = { automatic_review_apps = true } } end
    if req.path == "/pipelines/p1/pipeline-couplings" then return list { { app = { id = "id-02" } }, { app = { id = "id-04" } } } end
    if req.path == "/dyno-sizes" then return list { { name = "Basic", memory = 0.5, cost = { cents = 700, unit = "month" } } } end
    return { json = json.array {} }
  end
  local server = serve.start { handler = answer }
  local before = {}
  for name, value in pairs { HEROKU_HOST = server.url, HEROKU_DATA_HOST = "127.0.0.1", HEROKU_API_KEY = "k" } do
    before[name] = os.getenv(name) or false
    process.setenv { [name] = value }
  end
  test.defer(function() process.setenv(before) server:stop() end)
end

T["an account of thirty apps: what is refused is a gap, and everything else is read, page by page"] = function()
  account { ["/apps/app-03"] = 403, ["/apps/id-07/config-vars"] = 403, ["/apps/id-11/releases"] = 404, ["/spaces"] = 403 }
  local audit = read { stores = false }
  test.equal(#audit.apps, 30)
  local gaps = {}
  for _, row in ipairs(write.gaps(audit)) do gaps[#gaps + 1] = row[1] .. ": " .. row[2] end
  test.equal(gaps, { "the account: spaces", "app-03: the app", "app-07: config", "app-11: code", "app-11: releases" })
  for n, found in ipairs(audit.apps) do
    if n ~= 3 then
      test.equal({ found.name, found.region, found.generation, #found.formation, #found.dynos },
        { app(n).name, "eu", app(n).generation.name, 2, 1 })
      test.equal(found.pipeline, n % 2 == 0 and { name = "shop", stage = "staging", review_apps = true, automatic_review_apps = true } or nil)
      test.equal(found.webhooks, { { url = "https://hooks.example.com", include = { "api:release" }, level = "notify" } })
      local telemetry = { { signals = { "logs" }, exporter = { type = "otlp", endpoint = "https://t.example.com" } } }
      test.equal(found.telemetry, n % 3 == 0 and telemetry or nil)
      if n ~= 11 then test.equal(found.code.digest or found.code.commit, n % 3 == 0 and "sha256:1" or "abc") end
      if n ~= 7 then
        local classes = {}
        for _, var in ipairs(found.config) do classes[var.name] = var.class end
        test.equal(classes.API_KEY, "secret")
        test.equal(#found.config, 3)
      end
    end
  end
  test.equal(audit.apps[1].addons[1].attached_to, { "app-05", "app-10", "app-15", "app-20", "app-25", "app-30" })
  test.equal(audit.apps[5].addons[1].app, "app-01", "whose it is")
  test.equal(audit.apps[1].addons[1].billed_price, { cents = 5000, unit = "month", contract = false })
  local text, page = json.encode(audit, { sort = true }), write.markdown(audit)
  test.truthy(not text:find(MARK, 1, true) and not page:find(MARK, 1, true), "no value, token or password is in it")
  test.match(page, "| app%-03 | the app | not for you |")
  test.equal(diff.rows(json.decode(text), json.decode(json.encode(read { stores = false }))), {})
end

T["the apps of a pipeline, one app, and an app that is not there"] = function()
  account { ["/apps/nowhere"] = 404 }
  local found = read { pipeline = "p1", stores = false }
  test.equal({ #found.apps, found.apps[1].name, found.apps[2].name }, { 2, "app-02", "app-04" })
  test.equal(read({ apps = { "app-09" }, stores = false }).apps[1].name, "app-09")
  test.equal(test.raises("not for you", read, { apps = { "nowhere" } }).kind, "not_found")
end

T["what has changed is told: values, what is new, what is gone; not what changes at each look"] = function()
  local before = { at = "a", account = { requests_left = 5 }, apps = {
    { name = "one", formation = { { type = "web", quantity = 1 }, { type = "old", quantity = 1 } }, dynos = { { name = "web.1" } },
      postgres = { bytes = 1, connections_used = 3 } },
    { name = "gone" } } }
  local now = { at = "b", account = { requests_left = 4 }, apps = {
    { name = "new" },
    { name = "one", formation = { { type = "web", quantity = 3 }, { type = "clock", quantity = 1 } }, dynos = { { name = "web.2" } },
      postgres = { bytes = 2, connections_used = 9 } } } }
  test.equal(diff.rows(before, now), {
    { "apps / gone", "was there", "" }, { "apps / new", "", "new" }, { "apps / one / formation / clock", "", "new" },
    { "apps / one / formation / old", "was there", "" }, { "apps / one / formation / web / quantity", "1", "3" },
    { "apps / one / postgres / bytes", "1", "2" } })
end

T["the recipe writes JSON and Markdown, looks into the stores, and asks and changes nothing"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  fs.write(dir .. "/web.js", "require('node:http').createServer((q, r) => r.end('hi')).listen(process.env.PORT)", 420)
  fs.write(dir .. "/Procfile", "web: node web.js\n", 420)
  local cloud <close> = test.cloud { servers = true, heroku = { app = "tiny", source = dir, formation = { web = 1 }, config = { COLOR = MARK },
    addons = { "heroku-postgresql:standard-0", "heroku-redis:premium-0" } } }
  local app_side = require "heroku".app "tiny"
  test.truthy(app_side.slug)                           -- its size is known from then on
  local pg, redis = require "pg", require "redis"
  do
    local db <close> = pg.open { url = app_side.postgres.url, sslmode = "require" }
    db:exec "CREATE TABLE orders (id int PRIMARY KEY, note text); CREATE TABLE loose (v text); SELECT lo_create(7)"
    db:query("INSERT INTO loose VALUES ($1)", MARK)
    local r <close> = redis.open { url = app_side.redis.url, insecure = true }
    r:set("k", MARK, "EX", 1000)
    r:rpush("list", MARK)
    r:command("SET", "big", ("x"):rep(2000000))
  end
  local json_file, page_file = dir .. "/audit.json", dir .. "/audit.md"
  local run = test.plan("recipes/audit.lua", { app = { "tiny" }, write = { json_file, page_file } })
  test.equal(run.reports.Apps[2], { "tiny", "us", "heroku-24", "1", "2", "3", "0" })
  local audit = json.decode(fs.read(json_file))
  local db, r = audit.apps[1].postgres, audit.apps[1].redis
  test.equal({ #db.tables, db.large_objects, #db.extensions > 0, db.connections_allowed > 0 }, { 2, 1, true, true })
  for _, t in ipairs(db.tables) do test.equal(t.no_key, t.name == "public.loose", t.name) end
  test.equal({ r.keys, r.types, r.expiring, r.big_keys[1].name }, { 3, { string = 2, list = 1 }, 1, "big" })
  test.match(fs.read(page_file), "### PostgreSQL 15")
  test.truthy(not fs.read(json_file):find(MARK, 1, true) and not fs.read(page_file):find(MARK, 1, true), "no value, row or job is in it")
  test.equal(cloud:calls(), {})
  local again = test.plan("recipes/audit.lua", { app = { "tiny" }, diff = json_file })
  test.truthy(again.reports["Nothing has changed since " .. json_file], test.show(again.reports))
end

return T
