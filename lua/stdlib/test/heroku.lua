--- The Heroku side of a test's cloud: one app, told as in a rehearsal.yml, in fewer words. See test.cloud.
local errors = require "errors"
local fs = require "fs"
local options = require "options"
local sides = require "rehearsal.heroku"

local declared = {
  { "app", "its name, or { name=, region=, stack=, generation=, buildpacks=, team=, space=, acm= }", type = "any", required = true },
  { "formation", "dynos by process type: { web = 2, worker = { quantity = 1, size = \"Standard-2X\" } }", type = "table", default = {} },
  { "config", "config vars", type = "table", default = {} },
  { "addons", "plans: \"heroku-postgresql:standard-0\", or { plan=, as=, config= }", type = "list", default = {} },
  { "domains", "domains of its own", type = "list", default = {} },
  { "drains", "log drains", type = "list", default = {} },
  { "webhooks", "URLs that Heroku calls at a release", type = "list", default = {} },
  { "pipeline", "it is in: { name=, stage=, review_apps= }", type = "table" },
  { "features", "names of those that are on", type = "list", default = {} },
  { "collaborators", "who else may do something with it: { email=, role= }", type = "list", default = {} },
  { "certificates", "those of its domains that have one", type = "list", default = {} },
  { "telemetry", "drains of OpenTelemetry, of a Fir app: { endpoint=, signals=, headers= }", type = "list", default = {} },
  { "autoscale", "of its web dynos: { min=, max=, p95=, alert= }", type = "table" },
  { "account", "teams, spaces, invoices, keys, and more apps, each as a rehearsal.yml has it", type = "table" },
  { "commands", "install, migrate, seed: commands that a cloud with servers runs first", type = "table", default = {} },
  { "source", "folder with its code and Procfile, beside the test or in the current folder", type = "string" },
}

local FIRST_NAMES = { ["heroku-postgresql"] = "DATABASE", ["heroku-redis"] = "REDIS" }

--- An add-on as a manifest has it: attached under the name that Heroku would give it.
local function addon(given)
  if type(given) == "string" then given = { plan = given } end
  local service = type(given) == "table" and type(given.plan) == "string" and given.plan:match "^(.-):"
  if not service then errors.usage "test.cloud: an add-on is \"SERVICE:PLAN\" or { plan = \"SERVICE:PLAN\", as =, config = }" end
  return { plan = given.plan, config = given.config, as = given.as or FIRST_NAMES[service] or service:upper():gsub("%W", "_") }
end

local function process_type(given) return type(given) == "number" and { quantity = math.tointeger(given) } or given end

--- A folder with nothing but a Procfile, for an app whose code does not matter.
local function no_source(dir, formation)
  local lines = {}
  for name in pairs(formation) do lines[#lines + 1] = ("%s: ./%s\n"):format(name, name) end
  table.sort(lines)
  fs.mkdir_p(dir)
  fs.write(fs.join(dir, "Procfile"), table.concat(lines))
  return dir
end

--- Starts it in a cloud. Without servers no process runs, and nothing is behind its databases; all else is as Heroku has it.
---@param cloud Cloud
---@param given table
---@param find fun(path: string): string where a file of the test's is
return function(cloud, given, find)
  local o = options.check(given, declared, "test.cloud: heroku")
  local app = type(o.app) == "table" and o.app or { name = o.app }
  if type(app.name) ~= "string" then errors.usage "test.cloud: heroku.app is the app's name" end
  if cloud.servers and not o.source then errors.usage "test.cloud: with servers = true the app on Heroku runs: give it a source" end
  local manifest = { app = app, formation = {}, config = o.config, addons = {}, domains = o.domains, drains = o.drains,
    webhooks = o.webhooks, pipeline = o.pipeline, commands = o.commands, features = o.features, collaborators = o.collaborators,
    certificates = o.certificates, telemetry = o.telemetry, autoscale = o.autoscale, account = o.account }
  for name, one in pairs(o.formation) do manifest.formation[name] = process_type(one) end
  for i, one in ipairs(o.addons) do manifest.addons[i] = addon(one) end
  local source = o.source and find(o.source) or no_source(fs.join(cloud.dir, "heroku-source"), manifest.formation)
  return sides.start(cloud, { app_dir = source, manifest = manifest })
end
