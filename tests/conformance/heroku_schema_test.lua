--- Every answer of the rehearsal's Heroku against the schema of Heroku's Platform API, by a validator that is not ours. The
--- Data API has no schema; Heroku's CLI is its judge (heroku_cli_test.lua).
local account_of = dofile "tests/support/heroku_account.lua"
local http = require "http"
local json = require "json"
local process = require "process"
local test = require "test"
local text = require "text"

local T = test.cases()

-- What Heroku's CLI asks for and the schema does not have.
local NOT_IN_SCHEMA = { ["GET /apps/{app}/formation/{type}/monitors"] = true }

local function is_data(route) return route:find "/client/v11/" or route:find "/redis/v0/" or route:find "/postgres/v0/" end

--- The reads that an account and its apps answer, by what stands for each {word} of a route.
local function reads(heroku, app)
  local function first(list, field) return list[1] and list[1][field or "id"] end
  local addon = first(app.addons)
  return { app = app.name, addon = addon, attachment = first(app.attachments), service = "heroku-postgresql", plan = "heroku-postgresql:standard-0",
    size = "Standard-1X", type = "web", dyno = first(app.dynos, "name"), release = "v1",
    slug = app.slug and app.slug.id, image = app.slug and app.slug.id,
    domain = first(app.domains), drain = first(app.drains), feature = "preboot", team = first(heroku.account.teams or {}, "name"),
    space = app.space or first(heroku.account.spaces or {}, "name"), pipeline = app.pipeline and app.pipeline.name,
    stage = "review", webhook = first(app.webhooks) }
end

--- A client that keeps each answer for the judge.
local function recorder(cloud, heroku)
  local answers = {}
  local function call(method, path, body, query)
    local r = http.request { method = method, url = cloud.url .. path .. (query or ""), json = body, timeout = 120, headers = {
      Accept = "application/vnd.heroku+json; version=3", Authorization = text("Bearer %s", heroku.key) } }
    local value = r.body ~= "" and json.decode(r.body) or nil
    return value, r
  end
  return answers, call, function(method, path, body, query)
    local value, r = call(method, path, body, query)
    if r.status >= 400 then error(("%s %s: %d %s"):format(method, path, r.status, r.body), 2) end
    answers[#answers + 1] = { method = method, path = path, status = r.status, body = value }
    return value
  end
end

local function judge(answers)
  local schema = process.run { "tools/heroku-schema.sh", timeout = 300 }
  test.equal(schema.code, 0, schema.stderr)
  local r = process.run { test.tool "python", "-B", "tests/support/heroku_schema.py", (schema.stdout:gsub("%s+$", "")),
    stdin = json.encode(answers), timeout = 120 }
  test.equal(r.code, 0, r.stderr)
  return json.decode(r.stdout)
end

--- Asks every GET of the routes, for one app; a route whose thing this app has not answers 404 or is left out.
local function read_all(heroku, app, call, record, exercised)
  local with = reads(heroku, app)
  for _, routes in pairs(heroku.routes) do
    for _, route in ipairs(routes) do
      local is_complete = true
      local path = route.name:match "^GET (.+)$"
      path = path and path:gsub("{(%w+)}", function(word) is_complete = is_complete and with[word] ~= nil return tostring(with[word]) end)
      if path and is_complete and not is_data(route.name) and not NOT_IN_SCHEMA[route.name] then
        local query = path:find "/usage/monthly$" and "?start=2026-01" or ""
        local value, r = call("GET", path, nil, query)
        if r.status == 404 then test.equal(value.id, "not_found", path)
        else
          record("GET", path, nil, query)
          exercised[route.name] = true
        end
      end
    end
  end
end

T["every answer conforms to the Platform API's schema: each route, Cedar and Fir, with everything and with nothing in it"] = function()
  local tests = test.cloud { heroku = { app = { name = "tiny", buildpacks = { "heroku/nodejs" } }, formation = { web = 1, worker = 1 },
    config = { COLOR = "red" }, addons = { "heroku-postgresql:standard-0", "heroku-redis:premium-0" }, account = account_of.of(10) } }
  local cloud, heroku = tests.cloud, tests.cloud.heroku
  local answers, call, record = recorder(cloud, heroku)
  local exercised = {}
  for _, app in ipairs(heroku.apps) do
    if app == heroku.app or #app.addons > 1 or app.space or app.name == "app-03" then read_all(heroku, app, call, record, exercised) end
  end
  local function change(route, path, body)
    exercised[route] = true
    return record(route:match "^%u+", path, body)
  end
  change("POST /filters/apps", "/filters/apps", { ["in"] = { id = { heroku.apps[1].id, heroku.apps[4].id } } })
  change("PATCH /apps/{app}", "/apps/tiny", { maintenance = true })
  change("PATCH /apps/{app}/config-vars", "/apps/tiny/config-vars", { COLOR = "blue" })
  change("PATCH /apps/{app}/formation", "/apps/tiny/formation", { updates = { { type = "web", quantity = 2 } } })
  change("PATCH /apps/{app}/formation/{type}", "/apps/tiny/formation/web", { quantity = 1 })
  change("PATCH /apps/{app}/features/{feature}", "/apps/tiny/features/preboot", { enabled = true })
  local hostname = change("POST /apps/{app}/domains", "/apps/tiny/domains", { hostname = "new.example.com", sni_endpoint = json.null })
  change("DELETE /apps/{app}/domains/{domain}", "/apps/tiny/domains/" .. hostname.id)
  local drain = change("POST /apps/{app}/log-drains", "/apps/tiny/log-drains", { url = "https://new.example.com" })
  change("DELETE /apps/{app}/log-drains/{drain}", "/apps/tiny/log-drains/" .. drain.id)
  change("DELETE /apps/{app}/webhooks/{webhook}", "/apps/app-01/webhooks/" .. heroku.apps[2].webhooks[1].id)
  local second = change("POST /addon-attachments", "/addon-attachments", { addon = heroku.app.addons[1].id, app = "tiny", name = "SECOND" })
  change("POST /actions/addons/resolve", "/actions/addons/resolve", { addon = "DATABASE", app = "tiny" })
  change("POST /actions/addon-attachments/resolve", "/actions/addon-attachments/resolve", { addon_attachment = "SECOND", app = "tiny" })
  change("DELETE /addon-attachments/{attachment}", "/addon-attachments/" .. second.id)
  change("POST /apps/{app}/releases", "/apps/tiny/releases", { slug = heroku.app.slug.id })
  change("POST /apps/{app}/dynos", "/apps/tiny/dynos", { command = "ls" })
  change("POST /apps/{app}/log-sessions", "/apps/tiny/log-sessions", { lines = 1 })
  change("POST /apps/{app}/dynos/{dyno}/actions/stop", "/apps/tiny/dynos/web.1/actions/stop")
  change("DELETE /apps/{app}/dynos/{dyno}", "/apps/tiny/dynos/web.1")
  change("DELETE /apps/{app}/formations/{type}", "/apps/tiny/formations/web")
  change("DELETE /apps/{app}/dynos", "/apps/tiny/dynos")
  change("DELETE /apps/{app}/addons/{addon}", "/apps/tiny/addons/" .. heroku.app.addons[2].id)
  change("DELETE /apps/{app}", "/apps/app-02")

  local left = {}
  for _, routes in pairs(heroku.routes) do
    for _, route in ipairs(routes) do
      if not is_data(route.name) and not exercised[route.name] and not NOT_IN_SCHEMA[route.name] then left[#left + 1] = route.name end
    end
  end
  table.sort(left)
  test.equal(left, {}, "routes that nothing asked")
  local verdict = judge(answers)
  test.truthy(#verdict.failures == 0, "\n" .. table.concat(verdict.failures, "\n"))
  test.truthy(#verdict.links >= 70, ("%d links of the schema were met by %d answers"):format(#verdict.links, #answers))
end

return T
