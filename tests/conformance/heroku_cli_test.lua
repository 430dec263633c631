--- Heroku's own CLI on the rehearsal's Heroku: what a developer types every day, and what it then says.
local cli_of = dofile "tests/support/heroku_cli.lua"
local json = require "json"
local sorted_keys = require "sorted_keys"
local lab_of = dofile "tests/support/heroku_lab.lua"
local task = require "task"
local test = require "test"

local T = test.cases()

local STORES = {
  { plan = "heroku-postgresql:standard-0", as = "DATABASE" }, { plan = "heroku-redis:premium-0", as = "REDIS" },
  { plan = "papertrail:choklad", as = "PAPERTRAIL", config = { PAPERTRAIL_API_TOKEN = "pt-1" } },
}

--- What each command must print, in its output or, for what is done, beside it.
local SAID = {
  ["auth:whoami"]                 = "^rehearsal@example%.com\n",
  ["ps -a tiny"]                  = "=== web %(Standard%-1X%): node web%.js %(1%).*web%.1: up",
  ["config -a tiny"]              = "COLOR: +red\nDATABASE_URL: +postgres://.*PAPERTRAIL_API_TOKEN: pt%-1\nREDIS_URL: +rediss://",
  ["config:get COLOR -a tiny"]    = "^red\n$",
  ["addons -a tiny"]              = "heroku%-postgresql %(postgresql%-.-standard%-0.-%$50/month.-as DATABASE.-heroku%-redis.-papertrail",
  ["domains -a tiny"]             = "tiny%.herokuapp%.com\n.*www%.example%.com +CNAME +%S+%.herokudns%.com",
  ["releases -a tiny"]            = "Current: v7.*v7 +Deploy.*v1 +Initial release",
  ["buildpacks -a tiny"]          = "=== tiny .-Buildpack.*heroku/nodejs\n",
  ["drains -a tiny"]              = "syslog%+tls://logs%.example%.com:6514 %(d%.",
  ["maintenance -a tiny"]         = "^off\n$",
  ["pg:info -a tiny"]             = "=== DATABASE_URL.*Plan: +Standard 0.*PG Version: +%d+%..*Add%-on: +postgresql%-",
  ["pg:backups -a tiny"]          = "No backups",
  ["pg:credentials -a tiny"]      = "default +active",
  ["pg:psql -a tiny -c select~6*7~as~answer"] = "answer.*42.*1 row",
  ["redis:info -a tiny"]          = "REDIS_URL.*Plan: +Premium 0.*Maxmemory: +noeviction",
  ["features -a tiny"]            = "%[ %] preboot",
  ["pipelines:info shop"]         = "=== shop.*tiny +production",
  ["webhooks -a tiny"]            = "tiny has no webhooks",
  ["logs -a tiny -n 50"]          = "app%[web%.1%]: web listens",
}

T["the Heroku CLI reads an app, changes it, and is refused as on Heroku"] = function()
  local lab = lab_of.start { addons = STORES, app = { name = "tiny", stack = "heroku-24", buildpacks = { "heroku/nodejs" } },
    pipeline = { name = "shop", stage = "production" } }
  local heroku = cli_of(lab.cloud)
  heroku "auth:whoami"                  -- the first run writes its files
  local lines = sorted_keys(SAID)
  for _, r in ipairs(task.map(lines, heroku, { limit = 4 })) do
    test.equal(r.code, 0, r.line .. ": " .. r.err)
    test.match(r.out, SAID[r.line], r.line)
  end

  local function done(line, pattern)
    local r = heroku(line)
    test.equal(r.code, 0, line .. ": " .. r.err)
    test.match(r.out .. r.err, pattern, line)
    return r.out
  end
  test.equal(json.decode(done("apps --all --json", "tiny"))[1].name, "tiny")
  local info = json.decode(done("apps:info -a tiny --json", "tiny"))
  test.equal({ info.app.stack.name, #info.addons, #info.dynos, info.pipeline_coupling.stage }, { "heroku-24", 3, 2, "production" })
  task.all {
    config = function()
      done("config:set COLOR=blue -a tiny", "Setting COLOR and restarting tiny%.%.%. done, v8")
      done("config:unset COLOR -a tiny", "Unsetting COLOR and restarting tiny%.%.%. done, v9")
    end,
    scale = function() done("ps:scale worker=2 -a tiny", "now running worker at 2:Standard%-1X") end,
    maintenance = function() done("maintenance:on -a tiny", "Enabling maintenance mode for tiny%.%.%. done") end,
    events = function() done("redis:keyspace-notifications -a tiny -c AKE", "set to 'AKE'") end,
  }
  test.equal(lab.get "/apps/tiny/config-vars".COLOR, nil)
  test.equal({ lab.get "/apps/tiny".maintenance, lab.get "/apps/tiny/formation/worker".quantity }, { true, 2 })
  local function refused(line, pattern)
    local r = heroku(line)
    test.truthy(r.code ~= 0, line .. " was refused")
    test.match(r.err, pattern, line)
  end
  task.all {
    app = function() refused("apps:info -a unknown", "Couldn't find that app.*not_found") end,
    var = function() refused("config:set PAPERTRAIL_API_TOKEN=mine -a tiny", "Cannot overwrite attachment values") end,
    pipeline = function() refused("pipelines:info other", "Pipeline not found") end,
  }
end

return T
