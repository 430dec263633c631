--- recipes/audit.lua: an account of thirty apps that does not answer everything, and one whose stores are real.
package.path = "recipes/?.lua;" .. package.path
local api = require "rehearsal.heroku.api"
local account_of = dofile "tests/support/heroku_account.lua"
local diff = require "audit.diff"
local fs = require "fs"
local json = require "json"
local notable = require "audit.notable"
local read = require "audit.read"
local test = require "test"
local write = require "audit.write"

local T = test.cases()

local MARK = account_of.mark

--- A Heroku with an account of `apps` apps, one item a page, now and then a 429, and for what `refused` names by the end of
--- its path another answer: a status, or a body.
local function account(apps, refused)
  local of = account_of.of(apps)
  of.page_size = 1
  local cloud = test.cloud { heroku = { app = "app-00", formation = { web = 1 }, config = { SECRET = MARK }, account = of } }
  local side, calls = cloud.cloud.heroku, 0
  local handle = side.handle
  function side.handle(self, req, call)
    calls = calls + 1
    if calls % 50 == 0 then
      return { status = 429, headers = { ["Retry-After"] = "0" }, json = { id = "rate_limit", message = "wait" } }
    end
    for _, app in ipairs(side.apps) do
      for path, answer in pairs(refused or {}) do
        if req.path == path or req.path == path:gsub("app%-%d+", { [app.name] = app.id }) then
          if type(answer) == "string" then return { status = 200, headers = { ["Content-Type"] = "text/html" }, body = answer } end
          return { status = answer, json = { id = answer == 403 and "forbidden" or "not_found", message = "not for you" } }
        end
      end
    end
    return handle(self, req, call)
  end
  return cloud
end

local function by_name(items)
  local map = {}
  for _, item in ipairs(items) do map[item.name] = item end
  return map
end

T["an account of thirty apps: what is refused is a gap, and everything else is read, page by page"] = function()
  account(30, { ["/apps/app-03"] = 403, ["/apps/app-07/config-vars"] = 403, ["/apps/app-11/releases"] = 404,
    ["/apps/app-13/domains"] = "<html>busy</html>", ["/apps/app-14/formation"] = 500, ["/oauth/clients"] = 403,
    ["/apps/app-15/sni-endpoints"] = "[7]",
    ["/spaces/" .. api.uuid("space", "cedar-space") .. "/nat"] = 403, ["/plans/heroku-kafka:basic-0"] = 404 })
  local audit = read { stores = false }
  test.equal(#audit.apps, 31)
  local gaps = {}
  for _, row in ipairs(write.gaps(audit)) do gaps[#gaps + 1] = row[1] .. ": " .. row[2] end
  test.equal(gaps, { "the account: oauth_clients", "the account: the space cedar-space: nat",
    "the account: the plan heroku-kafka:basic-0", "app-03: the app", "app-07: config", "app-11: code",
    "app-11: releases", "app-13: domains", "app-14: formation", "app-15: certificates" })
  local apps = by_name(audit.apps)
  for n = 1, 30 do
    local name, is_fir = ("app-%02d"):format(n), n % 3 == 0
    local found = apps[name]
    if n ~= 3 then
      test.equal({ found.region, found.generation, found.formation and #found.formation, found.owner },
        { "eu", is_fir and "fir" or "cedar", n ~= 14 and 2 or nil, found.team and "crew@herokumanager.com" or "rehearsal@example.com" })
      test.equal(#found.dynos, n % 4 + 1, name)
      test.equal(found.pipeline, n % 2 == 0 and { name = "shop", stage = n == 2 and "production" or n == 6 and "review" or "staging",
        review_apps = true, automatic_review_apps = true } or nil)
      test.equal(found.webhooks, { { url = "https://hooks.example.com", include = { "api:release", "api:build" },
        level = n == 1 and "sync" or "notify" } })
      local exporter = { type = "otlphttp", endpoint = "https://t.example.com" }
      test.equal(found.telemetry, is_fir and { { signals = { "logs" }, exporter = exporter } } or nil)
      test.equal(found.drains[1] and found.drains[1].url, not is_fir and "syslog+tls://logs.example.com:" .. 6000 + n or nil)
      if n ~= 11 then test.truthy((is_fir and found.code.digest or found.code.commit) and found.code.process_types.web, name) end
      if n ~= 7 then
        local config = by_name(found.config)
        test.equal({ config.API_KEY.class, config.GREETING.class }, { "secret", "plain" })
      end
    end
  end
  local first, shared = by_name(apps["app-01"].addons), by_name(apps["app-05"].attachments).DATABASE
  for _, addon in pairs(first) do
    if addon.service == "heroku-postgresql" then
      test.equal(addon.attached_to, { "app-05", "app-10", "app-15", "app-20", "app-25", "app-30" })
      test.equal({ addon.billed_price, addon.billed_to, addon.info.Plan, addon.info.Following },
        { { cents = 5000, unit = "month", contract = false }, "app-01", "Standard 0", "postgres://ec2-1.compute-1.amazonaws.com:5432" })
      test.equal(shared, { name = "DATABASE", addon = addon.name, owner = "app-01" })
      test.equal(by_name(apps["app-05"].config).DATABASE_URL.addon, addon.name)
      test.equal(apps["app-05"].addons[1].app, "app-01", "whose it is")
    end
  end
  test.equal(apps["app-10"].attachments[1].credential, "analyst")
  test.equal({ apps["app-01"].autoscale, apps["app-01"].alerts },
    { { min = 1, max = 5, p95_milliseconds = 500 }, { { name = "LATENCY", over = 900 } } })
  test.equal(apps["app-07"].collaborators[1], { user = "a@example.com", permissions = { "deploy", "view" } })
  test.equal(audit.plans["heroku-postgresql:standard-0"], { cents = 5000, unit = "month", contract = false })
  test.truthy(not audit.plans["heroku-kafka:basic-0"])
end

T["the account: teams, spaces and where they come from, pipelines and their config vars by name, invoices, keys"] = function()
  account(10)
  local found = read({ apps = { "app-01" }, stores = false }).account
  test.equal({ found.email, found.two_factor, found.gaps }, { "rehearsal@example.com", true, {} })
  local crew = found.teams[1].name == "crew" and found.teams[1] or found.teams[2]
  test.equal({ crew.enterprise_account, crew.apps, crew.invoices[1].total, #crew.members }, { "acme", 2, 12345, 2 })
  local cedar, fir = by_name(found.spaces)["cedar-space"], by_name(found.spaces)["fir-space"]
  test.equal({ cedar.nat, cedar.trusted, cedar.peerings[1].aws_vpc_id, cedar.vpns[1].name, cedar.peering.aws_region, cedar.shield },
    { { "192.0.2.1", "192.0.2.2" }, { { action = "allow", source = "198.51.100.0/24" } }, "vpc-1", "office", "us-east-1", true })
  test.equal({ fir.nat, fir.generation, fir.peerings, fir.telemetry[1].exporter.endpoint },
    { { "192.0.2.3" }, "fir", nil, "https://spaces.example.com" })
  local pipeline = found.pipelines[1]
  test.equal({ pipeline.stages, pipeline.review_config, pipeline.test_config, pipeline.review_apps_now },
    { { production = 1, staging = 3, review = 1 }, { "REVIEW_KEY" }, { "CI_KEY" }, 1 })
  test.equal({ found.invoices[1].total, found.keys[1].comment, found.oauth_clients, #found.authorizations },
    { 4200, "laptop", { { name = "our-login" } }, 2 })
  test.truthy(by_name(found.features)["metrics-request-volume"].enabled)
end

T["nothing that only its owner may read is in any form of the audit; the same account twice is no change"] = function()
  account(10)
  test.truthy(require "heroku".app "app-00".slug)      -- its size is known from then on
  local audit = read { stores = false }
  local text, page = json.encode(audit, { sort = true }), write.markdown(audit)
  test.truthy(type(text) == "string" and not text:find(MARK, 1, true) and not page:find(MARK, 1, true), "no value, token or password is in it")
  test.match(page, "| crew | enterprise | admin | 2 | 2 |")
  test.equal(audit.format, 2)
  test.equal(diff.rows(json.decode(text), json.decode(json.encode(read { stores = false }))), {})
end

T["what needs a decision comes first, the most pressing before"] = function()
  account(10)
  local audit = read { stores = false }
  by_name(audit.apps)["app-02"].postgres = { tables = { { name = "public.a", no_key = true }, { name = "public.b", no_key = false } },
    extensions = { { name = "plpgsql" }, { name = "timescaledb" } }, large_objects = 3, prepared_transactions = 1, longest_transaction_seconds = 7200,
    connections_used = 90, connections_allowed = 100 }
  by_name(audit.apps)["app-02"].redis = { eviction = "allkeys-lru", queues = { { count = 4 } }, big_keys = { {} } }
  local said, rows = {}, notable.rows(audit)
  for _, row in ipairs(rows) do said[#said + 1] = row[1] .. ": " .. row[2] end
  local text = table.concat(said, "\n")
  for _, expected in ipairs { "app%-01: Heroku Scheduler is in use", "app%-02: Apache Kafka is in use: heroku%-kafka:basic%-0",
      "app%-04: its stack is deprecated: heroku%-20", "app%-05: it uses add%-ons of other apps: postgresql",
      "app%-01: other apps use its add%-ons: postgresql", "app%-10: it uses more credentials of PostgreSQL: analyst",
      "app%-10: it is in a private space: cedar%-space", "app%-03: it drains logs or telemetry: https://t%.example%.com",
      "app%-01: it has names of its own: app%-01%.example%.com", "app%-02: its pipeline has review apps: shop",
      "app%-01: web scales by itself: from 1 to 5", "app%-02: features are on: preboot",
      "the account: it signs its users in with Heroku %(OAuth%): our",
      "app%-02: PostgreSQL extensions that RDS does not list: timescaledb\n", "app%-02: 1 prepared transactions",
      "app%-02: a transaction has been open for 7200 s", "app%-02: tables without a primary key: 1, public%.a\n",
      "app%-02: 3 large objects", "app%-02: Redis evicts keys %(allkeys%-lru%) and holds 4 jobs", "app%-02: 90 of 100 connections",
      "app%-08: it is in maintenance", "app%-01: Heroku calls webhooks: https://hooks%.example%.com" } do
    test.match(text, expected)
  end
  test.match(rows[1][2], "Scheduler")
  test.match(rows[2][2], "Kafka")
  local brief = {}
  for _, row in ipairs(notable.rows(audit, true)) do brief[row[2]] = row[1] end
  test.equal({ brief["Heroku calls webhooks"], brief["its stack is deprecated: heroku-20"] }, { "app-01, app-02, app-03 and 7 more", "app-04" })
  test.equal(notable.rows { account = {}, apps = { { name = "a", gaps = { {} } } } }, {}, "an app that could not be read")
end

--- Whether the audit has a member by its path, in one of the items where the path goes into a list: "apps[].code.commit".
local function has(thing, path)
  local first, rest = path:match "^([^.]+)%.?(.*)$"
  if not first then return thing ~= nil end
  local name, is_list = first:gsub("%[%]$", "")
  local value = type(thing) == "table" and thing[name] or nil
  if is_list == 0 or value == nil then return has(value, rest) end
  for _, item in pairs(value) do
    if has(item, rest) then return true end
  end
  return false
end

--- The members that a table of docs/audit.md names, under its heading.
local function documented(heading)
  local section = fs.read "docs/audit.md":match("\n## " .. heading .. "\n(.-)\n## ")
  local paths = {}
  for row in section:gmatch "\n|([^\n]+)|" do
    for path in row:match "^.-|(.*)$":gmatch "`([%w_%[%].]+)`" do paths[#paths + 1] = path end
  end
  test.truthy(#paths > 8, heading)
  return paths
end

T["every row of Heroku's reference that a move depends on has its member, as docs/audit.md says"] = function()
  account(30)
  local audit = read { stores = false }
  for _, path in ipairs(documented "What Heroku says") do test.truthy(has(audit, path), path) end
end

T["stores that do not answer, and add-ons that may not be read, are gaps too"] = function()
  account(2, { ["/apps/app-02/addons"] = 403 })
  local audit, gaps = read { apps = { "app-01", "app-02" } }, {}
  for _, row in ipairs(write.gaps(audit)) do gaps[#gaps + 1] = row[1] .. ": " .. row[2] end
  test.equal(gaps, { "app-01: postgres", "app-01: redis", "app-02: addons", "app-02: config", "app-02: other_stores",
    "app-02: postgres", "app-02: redis" })
  test.equal({ #audit.apps[1].addons, #audit.apps[2].formation, #audit.apps[2].attachments }, { 4, 2, 2 })
end

T["an account with few requests left is read to its end, slowly, and that is said"] = function()
  local cloud = account(5)
  cloud.cloud.heroku.tokens = 120
  local audit = read { stores = false }
  test.equal({ #audit.apps, write.gaps(audit) }, { 6, {} })
  test.match(table.concat(cloud.output, "\n"), "warning: 6 apps take some 180 requests of Heroku's API, and the account has 1%d%d left")
end

T["the apps of a pipeline, some apps, and an app that is not there"] = function()
  account(10, { ["/apps/nowhere"] = 404 })
  local names = {}
  for _, app in ipairs(read({ pipeline = "shop", stores = false }).apps) do names[#names + 1] = app.name end
  table.sort(names)
  test.equal(names, { "app-02", "app-04", "app-06", "app-08", "app-10" })
  local two = read { apps = { "app-09", "nowhere" }, stores = false }
  test.equal({ two.apps[1].name, two.apps[2] },
    { "app-09", { name = "nowhere", gaps = { { what = "the app", code = "not_found", why = "not for you" } } } })
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
    addons = { "heroku-postgresql:standard-0", "heroku-redis:premium-0", { plan = "heroku-redis:mini", as = "CACHE" } } } }
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
  test.equal(run.reports.Apps[2], { "tiny", "us", "heroku-24", "1", "3", "4", "0" })
  local decide = {}
  for _, row in ipairs(run.reports["To decide"]) do decide[row[2]] = true end
  test.truthy(decide["tables without a primary key: 1, public.loose"] and decide["1 large objects in PostgreSQL"], test.show(decide))
  local audit = json.decode(fs.read(json_file))
  local db, r = audit.apps[1].postgres, audit.apps[1].redis
  test.equal({ #db.tables, db.large_objects, #db.extensions > 0, db.connections_allowed > 0 }, { 2, 1, true, true })
  for _, t in ipairs(db.tables) do
    test.equal(t.no_key, t.name == "public.loose", t.name)
    test.match(fs.read(page_file), ("| %s |[^\n]*| %s |\n"):format(t.name, t.no_key and "none" or "there"))
  end
  test.equal({ r.keys, r.types, r.expiring, r.big_keys[1].name }, { 3, { string = 2, list = 1 }, 1, "big" })
  local other = next(audit.apps[1].other_stores)
  test.match(other, "^redis%-")
  for _, path in ipairs(documented "What the stores say") do test.truthy(has(audit, path), path) end
  test.equal({ audit.apps[1].other_stores[other].keys, next(audit.apps[1].other_stores, other) }, { 0 })
  test.match(fs.read(page_file), "### PostgreSQL 15")
  test.truthy(not fs.read(json_file):find(MARK, 1, true) and not fs.read(page_file):find(MARK, 1, true), "no value, row or job is in it")
  test.equal(cloud:calls(), {})
  fs.write(dir .. "/other.json", "{}")
  test.raises("%-%-diff: .*other.json is no audit of this version of hkrun", test.plan, "recipes/audit.lua",
    { app = { "tiny" }, diff = dir .. "/other.json" })
  local again = test.plan("recipes/audit.lua", { app = { "tiny" }, diff = json_file })
  test.truthy(again.reports["Nothing has changed since " .. json_file], test.show(again.reports))
end

return T
