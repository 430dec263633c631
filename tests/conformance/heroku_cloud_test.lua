--- The rehearsal's Heroku as other clients see it: curl, psql, redis-cli, tar.
local fs = require "fs"
local json = require "json"
local lab_of = dofile "tests/support/heroku_lab.lua"
local process = require "process"
local secret = require "secret"
local sign = require "sign"
local task = require "task"
local test = require "test"
local text = require "text"

local T = test.cases()

local function by_name(items, name)
  for _, item in ipairs(items) do if item.name == name or item.type == name then return item end end
end

--- All pages of a list, one item each, by curl; and how often 206 was said.
local function pages_of_one(lab, path, range)
  local items, partial = {}, 0
  for _ = 1, 50 do
    local out = lab.curl(path, "-i", "-H", "Range: " .. range)
    local head, body = out:match "^(.-)\r\n\r\n(.*)$"
    for _, item in ipairs(json.decode(body)) do items[#items + 1] = item end
    local status, next_range = head:match "^HTTP/1.1 (%d+)", head:match "\nNext%-Range: ([^\r\n]+)"
    test.equal(next_range ~= nil, status == "206", "Next-Range goes with 206")
    if not next_range then return items, partial end
    partial, range = partial + 1, next_range
  end
  error "the pages have no end"
end

T["lists come in pages that join to the whole"] = function()
  local lab = lab_of.start()
  for _, path in ipairs { "/apps/tiny/formation", "/apps/tiny/dynos", "/apps/tiny/domains", "/apps/tiny/features", "/dyno-sizes" } do
    local whole = lab.get(path)
    local joined, partial = pages_of_one(lab, path, "id ..; max=1")
    test.equal(joined, whole, path)
    test.equal(partial, #whole - 1, path)
  end
  local newest_first = pages_of_one(lab, "/apps/tiny/releases", "version ..; max=1, order=desc")
  test.equal(newest_first[1].version, lab.app.release.version)
  for i = 2, #newest_first do test.equal(newest_first[i].version, newest_first[i - 1].version - 1) end
  test.equal(newest_first[#newest_first].version, 1)
  for _, range in ipairs { "nonsense", "id ..; max=1001", "id ..; max=0", "color ..", "id ..; order=sideways" } do
    local body, r = lab.get("/apps/tiny/features", { Range = range })
    test.equal({ r.status, body.id }, { 416, "range_not_satisfiable" }, range)
  end
end

T["refusals have Heroku's status, id and message"] = function()
  local lab = lab_of.start { formation = {} }
  local function refused(status, id, method, path, body, headers)
    local value, r = lab.call(method, path, body, headers)
    test.equal({ r.status, value.id }, { status, id }, method .. " " .. path)
    test.truthy(r.headers["request-id"], "a Request-Id")
    test.truthy(r.headers["ratelimit-remaining"], "a RateLimit-Remaining")
    return value, r
  end
  refused(401, "unauthorized", "GET", "/apps", nil, { Authorization = "Bearer wrong" })
  refused(401, "unauthorized", "GET", "/apps", nil, { Authorization = false })
  refused(406, "not_acceptable", "GET", "/apps", nil, { Accept = "application/vnd.heroku+json; version=2" })
  test.equal(refused(404, "not_found", "GET", "/apps/other"), { id = "not_found", message = "Couldn't find that app.", resource = "app" })
  refused(404, "not_found", "GET", "/no/such/endpoint")
  refused(404, "not_found", "GET", "/apps/tiny/pipeline-couplings")
  refused(404, "not_found", "PATCH", "/apps/tiny/formation", { updates = { { type = "cron", quantity = 1 } } })
  refused(422, "invalid_params", "PATCH", "/apps/tiny/formation", { updates = { { type = "web", quantity = "many" } } })
  refused(422, "invalid_params", "PATCH", "/apps/tiny/formation", { updates = { { type = "web", size = "Huge-9X" } } })
  refused(422, "invalid_params", "PATCH", "/apps/tiny", { maintenance = "yes" })
  local body = json.decode(lab.curl("/apps/tiny", "-X", "PATCH", "-d", "{broken"))
  test.equal(body.id, "bad_request")
  test.equal(lab.app.maintenance, false)
  for _, accept in ipairs { "3", "3.sdk", "3.pipelines", "3.filters", "3.webhooks" } do
    local _, r = lab.get("/account", { Accept = "application/vnd.heroku+json; version=" .. accept })
    test.equal(r.status, 200, accept)
  end
end

T["the account's requests run out and come back"] = function()
  local lab = lab_of.start { formation = {} }
  local _, r = lab.get "/apps"
  local left = tonumber(r.headers["ratelimit-remaining"])
  _, r = lab.get "/account/rate-limits"
  test.equal(tonumber(r.headers["ratelimit-remaining"]) >= left, true, "asking for the limit is free")
  lab.heroku.tokens, lab.heroku.tokens_at = 1, task.now()
  test.equal(select(2, lab.get "/apps").status, 200)
  lab.heroku.tokens, lab.heroku.tokens_at = -75, task.now()          -- the next comes back in a minute
  local body
  body, r = lab.get "/apps"
  test.equal({ r.status, body.id }, { 429, "rate_limit" })
  test.equal(select(2, lab.get "/account/rate-limits").status, 200)
  lab.heroku.tokens, lab.heroku.tokens_at = 0, task.now()
  lab_of.wait("a request comes back", function() return select(2, lab.get "/apps").status == 200 end)
end

T["an unchanged thing is 304, and HEAD has no body"] = function()
  local lab = lab_of.start { formation = {} }
  local _, first = lab.get "/apps/tiny"
  local _, again = lab.get("/apps/tiny", { ["If-None-Match"] = first.headers.etag })
  test.equal({ again.status, again.size }, { 304, 0 })
  lab.call("PATCH", "/apps/tiny", { maintenance = true })
  local changed, third = lab.get("/apps/tiny", { ["If-None-Match"] = first.headers.etag })
  test.equal({ third.status, changed.maintenance }, { 200, true })
  local _, head = lab.call("HEAD", "/apps/tiny")
  test.equal({ head.status, head.size }, { 200, 0 })
end

T["ids and names both identify, and stay the same"] = function()
  local lab = lab_of.start { formation = {} }
  local app = lab.get "/apps/tiny"
  test.match(app.id, "^%x+%-%x+%-5%x+%-8%x+%-%x+$")
  test.equal(lab.get("/apps/" .. app.id), app)
  local addon = lab.get "/apps/tiny/addons"[1]
  test.equal(lab.get("/addons/" .. addon.id), lab.get("/addons/" .. addon.name))
  test.equal(addon.plan.price, nil)
  local expanded = lab.get("/addons/" .. addon.id, { ["Accept-Expansion"] = "addon_service, plan" })
  test.equal({ expanded.plan.name, expanded.plan.price.unit, expanded.addon_service.human_name }, { "papertrail:choklad", "month", "Papertrail" })
  local included = lab.get("/apps/tiny/addon-attachments", { ["Accept-Inclusion"] = "addon:plan,config_vars" })[1]
  test.equal({ included.config_vars, included.addon.plan.price.cents }, { { "PAPERTRAIL_API_TOKEN" }, 0 })
  test.equal(lab.call("POST", "/filters/apps", { ["in"] = { id = { app.id, "other" } } })[1].name, "tiny")
  local entry = by_name(lab.get "/apps/tiny/formation", "worker")
  test.equal(lab.get("/apps/tiny/formation/" .. entry.id), entry)
  test.equal(entry.quantity, 0, "a type without dynos is there")
  local version = lab.app.release.version
  test.equal(lab.get("/apps/tiny/releases/" .. version), lab.get("/apps/tiny/releases/v" .. version))
end

T["a change of config is a release with new dynos; an add-on's var is its own"] = function()
  local lab = lab_of.start { formation = { web = { quantity = 1 } } }
  local before = lab.app.release.version
  test.equal(lab.web "/":json().color, "red")
  local vars = lab.call("PATCH", "/apps/tiny/config-vars", { COLOR = "blue", SHAPE = "round" })
  test.equal(vars, { COLOR = "blue", SHAPE = "round", PAPERTRAIL_API_TOKEN = "pt-1" })
  lab_of.wait("the new dyno has the new value", function()
    local r = lab.web "/"
    return r.status == 200 and r:json().color == "blue"
  end)
  test.equal(lab.app.release.version, before + 1)
  test.equal(lab.get("/apps/tiny/releases/" .. before + 1).description, "Set COLOR, SHAPE config vars")
  for _, value in ipairs { "other", json.null } do
    local body, r = lab.call("PATCH", "/apps/tiny/config-vars", { COLOR = "green", PAPERTRAIL_API_TOKEN = value })
    test.equal({ r.status, body.id, body.message },
      { 422, "invalid_params", "Cannot overwrite attachment values PAPERTRAIL_API_TOKEN." })
  end
  test.equal(lab.get "/apps/tiny/config-vars".COLOR, "blue", "a refused change changes nothing")
  test.equal(lab.call("PATCH", "/apps/tiny/config-vars", { SHAPE = json.null }).SHAPE, nil)
  test.equal(lab.get("/apps/tiny/releases/" .. before .. "/config-vars").COLOR, "red")
  local _, r = lab.call("POST", "/apps/tiny/releases", { release = tostring(before) })
  test.equal(r.status, 201)
  test.equal(lab.app.release.description, "Rollback to v" .. before)
  test.equal(lab.get "/apps/tiny/config-vars", { COLOR = "red", PAPERTRAIL_API_TOKEN = "pt-1" })
  lab_of.wait("the rolled back dyno", function()
    local answer = lab.web "/"
    return answer.status == 200 and answer:json().color == "red"
  end)
end

T["the release phase runs on each release, and one that fails does not count"] = function()
  local lab = lab_of.start { formation = {} }
  lab.app.process_types.release = "echo checking $COLOR; test \"$COLOR\" != bad"
  local version = lab.app.release.version
  lab.call("PATCH", "/apps/tiny/config-vars", { COLOR = "good" })
  lab_of.wait("the release phase", function() return lab.get("/apps/tiny/releases/" .. version + 1).status == "succeeded" end)
  lab.call("PATCH", "/apps/tiny/config-vars", { COLOR = "bad" })
  lab_of.wait("the release phase", function() return lab.get("/apps/tiny/releases/" .. version + 2).status == "failed" end)
  test.equal(lab.get("/apps/tiny/releases/" .. version + 1).current, true)
  test.match((lab.app.logs:text {}), "checking bad")
end

T["a formation of zero has no processes; the router says so; and back"] = function()
  local lab = lab_of.start()
  local web = lab.web "/":json().pid
  local worker = tonumber(lab_of.wait("the worker's line", function() return (lab.app.logs:text { dyno = "worker" }):match "worker (%d+) in" end))
  test.truthy(lab_of.is_alive(web) and lab_of.is_alive(worker), "both run")
  if fs.uid() == 0 then test.match(fs.read(("/proc/%d/status"):format(web)), "Uid:\t65534\t") end
  lab_of.signal("STOP", worker)            -- so that it does not end before we looked
  lab.curl("/apps/tiny/formation", "-X", "PATCH", "-d", '{"updates":[{"type":"web","quantity":"0"},{"type":"worker","quantity":0}]}')
  local stopping = lab.get "/apps/tiny/dynos"
  lab_of.signal("CONT", worker)
  test.truthy(by_name(stopping, "worker"), "a dyno that still ends is still listed")
  lab_of.wait("no dyno is left", function() return #lab.get "/apps/tiny/dynos" == 0 end)
  test.equal({ lab_of.is_alive(web), lab_of.is_alive(worker) }, { false, false })
  test.match((lab.app.logs:text {}), "worker done", "it could finish")
  local r = lab.web "/"
  test.equal(r.status, 503)
  test.match(r.body, "Application error")
  test.match((lab.app.logs:text { dyno = "router" }), "code=H14")
  lab.call("PATCH", "/apps/tiny/formation/web", { quantity = 2 })
  test.equal(lab.web "/".status, 200, "the router waits for a dyno that boots")
  lab_of.wait("both are up", function()
    local dynos = lab.get "/apps/tiny/dynos"
    return #dynos == 2 and dynos[1].state == "up" and dynos[2].state == "up"
  end)
  local seen = {}
  for _ = 1, 6 do seen[lab.web "/":json().pid] = true end
  test.equal(#(function() local n = {} for pid in pairs(seen) do n[#n + 1] = pid end return n end)(), 2, "both serve")
end

T["frozen and thawed: maintenance, zero, and what it was before"] = function()
  local lab = lab_of.start()
  local before = lab.get "/apps/tiny/formation"
  lab.call("PATCH", "/apps/tiny", { maintenance = true })
  local r = lab.web("/", { method = "POST", body = "x" })
  test.equal(r.status, 503)
  test.match(r.body, "undergoing maintenance")
  test.equal(by_name(lab.get "/apps/tiny/dynos", "worker.1").state, "up", "maintenance stops web traffic only")
  lab.call("PATCH", "/apps/tiny/formation", { updates = { { type = "web", quantity = 0 }, { type = "worker", quantity = 0 } } })
  lab_of.wait("all have stopped", function() return #lab.get "/apps/tiny/dynos" == 0 end)
  local updates = {}
  for _, entry in ipairs(before) do updates[#updates + 1] = { type = entry.type, quantity = entry.quantity } end
  lab.call("PATCH", "/apps/tiny/formation", { updates = updates })
  test.equal(lab.web "/".status, 503, "still in maintenance")
  lab.call("PATCH", "/apps/tiny", { maintenance = false })
  test.equal(lab.web "/".status, 200)
  for i, entry in ipairs(lab.get "/apps/tiny/formation") do test.equal(entry.quantity, before[i].quantity) end
end

T["the router passes requests and answers on as they are"] = function()
  local lab = lab_of.start { formation = { web = { quantity = 1 } } }
  local body = ("0123456789"):rep(1000)
  local r = lab.web("/a%20b?c=d&e", { method = "PUT", body = body, headers = { ["X-Own"] = "1", ["Content-Type"] = "text/weird" } })
  local seen = r:json()
  test.equal({ seen.method, seen.url, seen.body }, { "PUT", "/a%20b?c=d&e", body })
  test.equal({ seen.headers["x-own"], seen.headers["content-type"], seen.headers["x-forwarded-for"] }, { "1", "text/weird", "127.0.0.1" })
  test.equal(seen.headers.host, lab.app.router.url:match "//(.*)$")
  test.equal(r.headers.all["set-cookie"], { "a=1", "b=2" })
  test.equal(lab.web "/teapot".status, 418)
  local head = lab.web("/", { method = "HEAD" })
  test.equal({ head.status, head.size }, { 200, 0 })
end

T["a process that crashes is started again"] = function()
  local lab = lab_of.start { formation = { web = { quantity = 1 } } }
  local pid = lab.web "/":json().pid
  test.equal(lab.web "/crash".status, 503)
  lab_of.wait("it serves again", function()
    local r = lab.web "/"
    return r.status == 200 and r:json().pid ~= pid
  end)
  local log = lab.app.logs:text { source = "heroku" }
  test.match(log, "exited with status 3")
  test.match(log, "from up to crashed")
  pid = lab.web "/":json().pid
  local _, r = lab.call("DELETE", "/apps/tiny/dynos/web.1")
  test.equal(r.status, 202)
  test.truthy(lab.web "/":json().pid ~= pid, "a restarted dyno is another process")
end

T["a dyno ends with its first process, and stubborn children are killed"] = function()
  local lab = lab_of.start { formation = {} }
  local function child_of(command)
    local dyno = lab.call("POST", "/apps/tiny/dynos", { command = command })
    local pattern = dyno.name:gsub("%p", "%%%0") .. "%]: child (%d+)"
    return dyno, tonumber(lab_of.wait("the child's line", function() return (lab.app.logs:text {}):match(pattern) end))
  end
  local _, child = child_of "sleep 600 & echo child $!; exit 0"
  lab_of.wait("the dyno ends", function() return #lab.get "/apps/tiny/dynos" == 0 end)
  lab_of.wait("the child is gone", function() return not lab_of.is_alive(child) end)
  local _, stubborn = child_of "(trap '' TERM; while :; do sleep 1; done) & echo child $!; wait"
  lab.heroku:stop()
  lab_of.wait("the stubborn child is gone", function() return not lab_of.is_alive(stubborn) end)
end

T["one-off dynos run beside the formation, and logs tell"] = function()
  local lab = lab_of.start { formation = { web = { quantity = 1 } } }
  local dyno, r = lab.call("POST", "/apps/tiny/dynos", { command = "echo color $COLOR in $DYNO; sleep 30" })
  test.equal({ r.status, dyno.type }, { 201, "run" })
  lab_of.wait("its line", function() return (lab.app.logs:text {}):find("color red in " .. dyno.name, 1, true) end)
  lab.call("PATCH", "/apps/tiny/formation", { updates = { { type = "web", quantity = 0 } } })
  lab_of.wait("the formation ends", function() return #lab.get "/apps/tiny/dynos" == 1 end)
  test.equal(lab.get "/apps/tiny/dynos"[1].name, dyno.name)
  lab.call("POST", "/apps/tiny/dynos/" .. dyno.name .. "/actions/stop")
  lab_of.wait("it ends", function() return #lab.get "/apps/tiny/dynos" == 0 end)
  local session = lab.call("POST", "/apps/tiny/log-sessions", { dyno = "web", source = "app", lines = 2 })
  local out = process.run { "curl", "-sS", session.logplex_url, timeout = 300 }.stdout
  test.match(out, "^[%d-]+T[%d:.]+%+00:00 app%[web%.1%]: web listens\n.*app%[web%.1%]: and says so here\n$")
  local events = process.run { "curl", "-sS", "-H", "Accept: text/event-stream", session.logplex_url, timeout = 300 }.stdout
  test.match(events, "^id: %d+\ndata: [%d-]+T[%d:.]+%+00:00 app%[web%.1%]: web listens\n\nid: ")
  local tail = lab.call("POST", "/apps/tiny/log-sessions", { tail = true })
  local reader <close> = process.start { "curl", "-sSN", tail.logplex_url, stdout = "pipe" }
  task.within(120, "read the tail", function()
    reader:read_line()
    lab.app.logs:add("app", "web.1", "a line of later")
    repeat local line = reader:read_line() until not line or line:find("a line of later", 1, true)
  end)
end

T["the slug downloads, has its digest, and unpacks to the app; installs happen once"] = function()
  local install = "mkdir node_modules && date +%N > node_modules/stamp && ln -s ../web.js node_modules/link"
  local lab = lab_of.start { formation = {}, commands = { install = install } }
  local release = lab.get("/apps/tiny/releases", { Range = "version ..; max=1, order=desc" })[1]
  local slug = lab.get("/apps/tiny/slugs/" .. release.slug.id)
  test.equal(slug.process_types, { web = "node web.js", worker = "node worker.js" })
  local file = fs.join(lab.dir, "slug.tgz")
  test.equal(process.run { "curl", "-sSf", "-o", file, slug.blob.url, timeout = 300 }.code, 0)
  test.equal("SHA256:" .. sign.sha256_file(file), slug.checksum)
  test.equal(fs.stat(file).size, slug.size)
  local out = fs.join(lab.dir, "out")
  fs.mkdir_p(out)
  test.equal(process.run { "tar", "-xzf", file, "-C", out, timeout = 300 }.code, 0)
  for name, content in pairs(lab_of.files) do test.equal(fs.read(fs.join(out, "app", name)), content) end
  local stamp = fs.read(fs.join(out, "app/node_modules/stamp"))
  test.equal(fs.read(fs.join(out, "app/node_modules/link")), lab_of.files["web.js"])
  local again = require "rehearsal.heroku.build".make { app_dir = lab.app_dir, dir = fs.join(lab.dir, "second"),
    install = install, cache = fs.join(lab.dir, "cache") }
  test.equal(fs.read(fs.join(again.dir, "node_modules/stamp")), stamp, "from the cache")
  test.equal(again.slug().checksum, slug.checksum, "equal folders, equal slugs")
  fs.write(fs.join(lab.app_dir, "package-lock.json"), "{ }\n")
  local third = require "rehearsal.heroku.build".make { app_dir = lab.app_dir, dir = fs.join(lab.dir, "third"),
    install = install, cache = fs.join(lab.dir, "cache") }
  test.truthy(fs.read(fs.join(third.dir, "node_modules/stamp")) ~= stamp, "another lock file is another install")
end

T["Postgres has Heroku's rights: owner, no superuser, no replication"] = function()
  local lab = lab_of.start { formation = {}, addons = { { plan = "heroku-postgresql:standard-0", as = "DATABASE" } } }
  local store = lab.app.addons[1].store
  local url = store.url
  local parts = secret.parse_url(url)
  local roots = lab.cloud:env().PGSSLROOTCERT
  local function run(sql, sslmode)
    return process.run { "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, timeout = 300, env = {
      PATH = os.getenv "PATH", HOME = "/", PGHOST = parts.host, PGPORT = tostring(parts.port), PGUSER = parts.user,
      PGPASSWORD = parts.password, PGDATABASE = parts.path:sub(2), PGSSLMODE = sslmode or "require",
      PGSSLROOTCERT = roots } }
  end
  local function refused(sql, pattern)
    local r = run(sql)
    test.truthy(r.code ~= 0, sql .. " must be refused")
    test.match(r.stderr, pattern, sql)
  end
  test.equal(run "SELECT rolsuper, rolreplication, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user".stdout, "f|f|f|f\n")
  test.equal(run "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()".stdout, "t\n")
  for _, role in ipairs { "pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_signal_backend" } do
    test.equal(run(("SELECT pg_has_role('%s', 'member')"):format(role)).stdout, "t\n", role)
  end
  test.equal(run [[CREATE EXTENSION pgcrypto; CREATE SCHEMA own; CREATE TABLE own.t (id int); INSERT INTO own.t VALUES (1);
    SELECT count(*) FROM own.t]].stdout, "1\n")
  refused("ALTER SYSTEM SET work_mem = '1MB'", "permission denied")
  refused("SET session_replication_role = replica", "permission denied")
  refused("SELECT pg_create_logical_replication_slot('s', 'pgoutput')", "superuser or replication role")
  refused("CREATE ROLE other", "permission denied")
  refused("CREATE DATABASE other", "permission denied")
  test.match(run("SELECT 1", "disable").stderr, "no encryption")
  test.equal(run "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()".stdout, "t\n")

  local addon = lab.app.addons[1]
  local info, r = lab.get("/client/v11/databases/" .. addon.id)
  test.equal(r.status, 200)
  local rows = {}
  for _, row in ipairs(info.info) do rows[row.name] = row.values[1] end
  test.equal({ rows.Plan, rows.Status, rows.Tables }, { "Standard 0", "Available", "1" })
  test.match(rows.Connections, "^%d+/120$")
  test.match(rows["PG Version"], "^%d+%.%d+$")
  test.equal(secret.equal(url, info.resource_url), true)
  test.equal(lab.get("/postgres/v0/databases/" .. addon.name .. "/credentials")[1].credentials[1].user, parts.user)
  test.equal(lab.get("/postgres/v0/databases/" .. addon.name .. "/credentials/default").database, parts.path:sub(2))
  test.equal(lab.get "/client/v11/apps/tiny/transfers", {})
  test.equal(select(2, lab.get "/client/v11/databases/other").status, 404)

  -- the facts of a cutover: attach it under a second name, give the first one up, set the var
  local body
  body, r = lab.call("PATCH", "/apps/tiny/config-vars", { DATABASE_URL = "postgres://elsewhere/db" })
  test.equal({ r.status, body.message }, { 422, "Cannot overwrite attachment values DATABASE_URL." })
  local attachments = lab.get "/apps/tiny/addon-attachments"
  body, r = lab.call("DELETE", "/addon-attachments/" .. attachments[1].id)
  test.equal({ r.status, body.id }, { 422, "invalid_params" }, "the last attachment stays")
  local second
  second, r = lab.call("POST", "/addon-attachments", { app = "tiny", addon = addon.name, name = "OLD" })
  test.equal({ r.status, second.name }, { 201, "OLD" })
  r = select(2, lab.call("DELETE", "/addon-attachments/" .. attachments[1].id))
  test.equal(r.status, 200)
  local vars = lab.call("PATCH", "/apps/tiny/config-vars", { DATABASE_URL = "postgres://elsewhere/db" })
  test.equal(vars.DATABASE_URL, "postgres://elsewhere/db")
  test.equal(secret.equal(url, vars.OLD_URL), true)
  body, r = lab.call("POST", "/addon-attachments", { app = "tiny", addon = addon.name, name = "DATABASE" })
  test.equal({ r.status, body.id }, { 422, "invalid_params" }, "a var of the user's is in the way")
  lab.call("PATCH", "/apps/tiny/config-vars", { DATABASE_URL = json.null })
  r = select(2, lab.call("POST", "/addon-attachments", { app = "tiny", addon = addon.name, name = "DATABASE" }))
  test.equal(r.status, 201)
  local found = lab.call("POST", "/actions/addon-attachments/resolve", { addon_attachment = "DATABASE_URL", app = "tiny" })
  test.equal(found[1].addon.name, addon.name)
end

T["a Key-Value Store has TLS and a password, and its settings only through the API"] = function()
  local lab = lab_of.start { formation = {}, addons = { { plan = "heroku-redis:premium-0", as = "REDIS" } } }
  local addon = lab.app.addons[1]
  local parts = secret.parse_url(addon.store.url)
  test.equal(parts.scheme, "rediss")
  local function cli(...)
    local words = { "redis-cli", "-h", parts.host, "-p", tostring(parts.port), "--tls", "--insecure", ... }
    words.timeout, words.env = 120, { PATH = os.getenv "PATH", REDISCLI_AUTH = parts.password }
    return process.run(words).stdout
  end
  test.match(cli("SET", "a", "1"), "^OK")
  test.match(cli("CONFIG", "GET", "maxmemory"), "unknown command")
  test.match(cli("DEBUG", "SLEEP", "0"), "unknown command")
  local info = cli("INFO", "memory")
  test.match(info, "maxmemory_policy:noeviction")
  test.match(info, "maxmemory:52428800")
  local plain = process.run { "redis-cli", "-h", parts.host, "-p", tostring(parts.port), "PING", timeout = 300 }
  test.truthy(not plain.stdout:find "PONG", "plaintext is refused")
  local unknown = process.run { "redis-cli", "-h", parts.host, "-p", tostring(parts.port), "--tls", "--insecure", "PING", timeout = 300 }
  test.match(unknown.stdout .. unknown.stderr, "NOAUTH")

  test.equal(lab.get("/redis/v0/databases/" .. addon.name .. "/config").notify_keyspace_events.value, "")
  local set, r = lab.call("PATCH", "/redis/v0/databases/" .. addon.name .. "/config", { notify_keyspace_events = "Kx" })
  test.equal({ r.status, set.notify_keyspace_events.value }, { 200, "Kx" })
  local listener <close> = process.start { "redis-cli", "-h", parts.host, "-p", tostring(parts.port), "--tls", "--insecure",
    "PSUBSCRIBE", "__keyspace@0__:gone", stdout = "pipe", env = { PATH = os.getenv "PATH", REDISCLI_AUTH = parts.password } }
  task.within(120, "hear the key expire", function()
    for _ = 1, 3 do listener:read_line() end           -- it is subscribed
    cli("SET", "gone", "1", "PX", "10")
    local line
    repeat line = listener:read_line() until not line or line:find "expired"
    test.truthy(line, "the event")
  end)
  local body
  body, r = lab.call("PATCH", "/redis/v0/databases/" .. addon.name .. "/config", { maxmemory_policy = "best" })
  test.equal({ r.status, body.id }, { 422, "invalid_params" })
  local facts = lab.get("/redis/v0/databases/" .. addon.id)
  test.equal({ facts.plan, facts.prefer_native_tls }, { "premium-0", true })
end

T["our own client reads every fact of the app, and stops and starts it"] = function()
  local lab = lab_of.start { addons = { { plan = "heroku-postgresql:standard-0", as = "DATABASE" }, { plan = "heroku-redis:premium-0", as = "REDIS" },
    { plan = "scheduler:standard", as = "SCHEDULER" } } }
  local client = require "heroku.client".new { host = lab.cloud.url, data_host = "127.0.0.1", token = lab.heroku.key }
  local app = require "heroku.app".find(client, "tiny")
  test.equal({ app.name, app.stack, app.region, app.generation, app.maintenance }, { "tiny", "heroku-24", "us", "cedar", false })
  test.equal({ #app.formation, #app.dynos, #app.addons, #app.attachments, #app.domains, #app.drains, #app.collaborators },
    { 2, 2, 3, 3, 2, 1, 1 })
  test.equal(app.couplings, nil)
  test.equal(secret.is(app.config.COLOR), true)
  local conn <close> = require "pg".open(app.postgres.url)
  test.equal(conn:value "SELECT 1 + 1", 2)
  local kvs <close> = require "redis".open { url = app.redis.url, insecure = true }
  test.equal(kvs:ping(), "PONG")
  kvs:set("first", 1)
  local new = require "rehearsal.planes.redis".start { dir = fs.join(lab.dir, "new") }
  test.defer(function() new:stop() end)
  local copy <close> = require "redis".copy.start { from = { url = app.redis.url, insecure = true }, to = new.url,
    notifications = app.redis:notifications(), interval = 0.01 }
  test.equal(copy:wait().notifications, true)
  test.equal(lab.app.addons[2].store.settings.notify_keyspace_events, "AE")
  kvs:set("second", 2)
  local done = copy:finish()
  test.equal({ done.keys, done.moved, lab.app.addons[2].store.settings.notify_keyspace_events }, { 2, 1, "" })
  test.equal({ app.postgres.plan, app.redis.plan }, { "heroku-postgresql:standard-0", "heroku-redis:premium-0" })
  test.equal(app.postgres.info.database_name, lab.app.addons[1].store.database)
  test.equal(#app:download_slug(fs.join(lab.dir, "s.tgz")) > 0, true)
  app:set_maintenance(true)
  app:scale { web = 0, worker = 0 }
  app:wait_stopped(120)
  test.equal(#lab.app.dynos, 0)
  app:scale { web = 1 }
  app:set_maintenance(false)
  test.equal(lab.web "/".status, 200)
  test.equal(app:refresh().maintenance, false)
end

T["the calls are in the cloud's record by their routes"] = function()
  local lab = lab_of.start { formation = {} }
  lab.get "/apps/tiny/releases/1"
  lab.call("PATCH", "/apps/tiny", { maintenance = true })
  local seen = {}
  for _, c in ipairs(lab.cloud.calls) do seen[#seen + 1] = { c.api, c.operation, c.mutating, c.status } end
  test.equal(seen, { { "heroku", "GET /apps/{app}/releases/{release}", false, 200 }, { "heroku", "PATCH /apps/{app}", true, 200 } })
end

T["the sandbox command runs it all for other programs, and leaves nothing"] = function()
  local lab_dir = test.tmpdir()
  fs.chmod(lab_dir, 493)
  local app, ready = fs.join(lab_dir, "app"), fs.join(lab_dir, "env.json")
  fs.mkdir_p(app)
  for name, content in pairs(lab_of.files) do fs.write(fs.join(app, name), content) end
  fs.write(fs.join(app, "rehearsal.yml"), "app: { name: boxed }\nformation:\n  web: { quantity: 1 }\n")
  local sandbox <close> = process.start { fs.realpath "/proc/self/exe", "sandbox", "--app", app, "--dir", fs.join(lab_dir, "cloud"),
    "--ready-file", ready, stdout = fs.join(lab_dir, "out"), stderr = fs.join(lab_dir, "err") }
  lab_of.wait("it is ready", function()
    if not sandbox:is_running() then error(fs.read(fs.join(lab_dir, "err"))) end
    return fs.exists(ready)
  end)
  test.equal(fs.stat(ready).mode & 511, 384, "only its owner reads the file")
  local env = json.decode(fs.read(ready), { secrets = { HEROKU_API_KEY = true } })
  test.truthy(env.HKRUN_REHEARSAL_ISOLATED, "whether the network is isolated")
  test.equal(fs.read(fs.join(env.HKRUN_REHEARSAL_APP_DIR, "Procfile")), lab_of.files.Procfile)
  local r = process.run { "curl", "-sS", "-K", "-", timeout = 300, stdin = text(
    'url = "%s/apps/boxed"\nheader = "Accept: application/vnd.heroku+json; version=3"\nheader = "Authorization: Bearer %s"\n',
    env.HEROKU_HOST, env.HEROKU_API_KEY) }
  local found = json.decode(r.stdout)
  test.equal({ found.name, found.web_url }, { "boxed", env.HKRUN_REHEARSAL_APP_URL .. "/" })
  local web = json.decode(process.run { "curl", "-sS", found.web_url, timeout = 300 }.stdout)
  test.truthy(lab_of.is_alive(web.pid))
  sandbox:kill "INT"
  test.equal(sandbox:wait(120), 0)
  test.equal(lab_of.is_alive(web.pid), false)
  local bad = process.run { fs.realpath "/proc/self/exe", "sandbox", "--scael", "3", timeout = 300 }
  test.equal({ bad.code, bad.stderr }, { 2, "hkrun: hkrun sandbox has no option --scael (did you mean scale?)\n" })
end

return T
