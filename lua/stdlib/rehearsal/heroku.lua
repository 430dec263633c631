--- Heroku in the rehearsal: its Platform API and Data API, emulated, in front of
--- a real app: its processes, its PostgreSQL and its Redis.
---
---     local heroku = require "rehearsal.heroku".start(cloud, {
---       app_dir = "examples/shop", manifest = yaml.decode(fs.read "examples/shop/rehearsal.yml") })
---
--- The cloud passes requests on to heroku:handle; heroku:stop ends everything.
local api = require "rehearsal.heroku.api"
local app_model = require "rehearsal.heroku.app"
local dynos = require "rehearsal.heroku.dynos"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local options = require "options"
local router = require "rehearsal.heroku.router"
local secret = require "secret"
local serve = require "rehearsal.serve"
local sign = require "sign"
local sorted_keys = require "sorted_keys"
local stores = require "rehearsal.heroku.stores"
local task = require "task"

local M = {}

local DECLARED = {
  { "app_dir", "the app's folder", type = "string", required = true },
  { "manifest", "its rehearsal.yml, decoded", type = "table", required = true },
  { "orders", "ORDERS of the seed command", type = "integer" },
  { "jobs", "JOBS of the seed_jobs command", type = "integer" },
  { "may_replicate", "the app's PostgreSQL lets its role stream changes, which Heroku's never does", type = "boolean", default = false },
  { "cache", "where installed dependencies are kept", type = "string" },
}

---@class HerokuSide
---@field apps table[]
---@field app table the app of the manifest
local Heroku = {}
Heroku.__index = Heroku
Heroku.__close = function(heroku) heroku:stop() end

local routes = api.routes {
  require "rehearsal.heroku.account", require "rehearsal.heroku.pipelines", require "rehearsal.heroku.platform",
  require "rehearsal.heroku.runtime", require "rehearsal.heroku.releases", require "rehearsal.heroku.addons", require "rehearsal.heroku.data",
}

--- Answers a request; `call` is the cloud's record of it.
function Heroku:handle(req, call) return api.handle(self, req, call) end

--- How the Heroku CLI and our client find it. libpq verifies even sslmode=require
--- once PGSSLROOTCERT names a file, as the cloud's does for RDS; so that psql can
--- still reach Heroku's databases, whose certificates nobody knows, theirs are in it too.
function Heroku:env()
  local roots = { fs.read(self.cloud.ca.file) }
  for _, store in ipairs(self.stores) do
    if store.root then roots[#roots + 1] = fs.read(store.root) end
  end
  local file = fs.join(self.dir, "roots.pem")
  fs.write(file, table.concat(roots, "\n"))
  return { HEROKU_HOST = self.cloud.url, HEROKU_DATA_HOST = "127.0.0.1", HEROKU_API_KEY = self.key, PGSSLROOTCERT = file }
end

--- Puts up a page that needs no token, only its unguessable address: a slug, a
--- log. Heroku has these on other hosts too, so they have a server of their own.
---@param key string the same key keeps its address
---@param fn fun(req): table the answer
---@return string url
function Heroku:publish(key, fn)
  local path = self.addresses[key] or ("/%s/%s"):format(key, sign.hex(sign.random(16)))
  self.addresses[key], self.pages[path] = path, fn
  return self.files.url .. path
end

local function serve_pages(heroku)
  return serve.start { handler = function(req)
    local page = req.method == "GET" and heroku.pages[req.path]
    return page and page(req) or { status = 404, body = "not found\n" }
  end }
end


local WORDS = { "amber", "calm", "clear", "cubed", "curved", "flat", "graceful", "octagonal", "rigid", "shaped", "solid", "trim" }

local function addon_name(service, id)
  local n = tonumber(id:sub(1, 8), 16)
  return ("%s-%s-%05d"):format(service:gsub("^heroku%-", ""), WORDS[n % #WORDS + 1], n % 100000)
end

--- The values of an add-on by what follows its attachment's name in the var's.
local function values_of(given)
  local values = {}
  for name, value in pairs(given.config or {}) do
    if name:sub(1, #given.as + 1) ~= given.as .. "_" then
      errors.usage("the config var %s of the add-on %s must begin with %s_", name, given.plan, given.as)
    end
    values[name:sub(#given.as + 1)] = value
  end
  return values
end

--- Provisions one add-on of a manifest; where there are servers the data services get real ones.
local function provision(heroku, app, given, servers, may_replicate)
  local service = given.plan:match "^(.-):" or errors.usage("the add-on plan %s has no colon", given.plan)
  local id = api.uuid("addon", app.name, given.as)
  local addon = { id = id, name = addon_name(service, id), service = service, plan = given.plan, first_name = given.as,
    values = values_of(given), following = given.following, created_at = api.now() }
  local dir = fs.join(heroku.dir, "addons", addon.name)
  local is_data = service == "heroku-postgresql" or service == "heroku-redis"
  if is_data and not servers then addon.store = stores.none(given.plan)
  elseif service == "heroku-postgresql" then addon.store = stores.postgres(dir, given.plan, may_replicate)
  elseif service == "heroku-redis" then addon.store = stores.redis(dir, given.plan) end
  if addon.store then
    table.insert(heroku.stores, addon.store)
    addon.values._URL = addon.store.url
  end
  return addon
end

local function default_cache()
  local base = os.getenv "XDG_CACHE_HOME"
  if not base or base == "" then base = fs.join(os.getenv "HOME" or "/tmp", ".cache") end
  return fs.join(base, "hkrun", "apps")
end

--- The first releases, as an app's history has them.
local function first_releases(app)
  app:release_now("Initial release", true)
  app:release_now("Enable Logplex", true)
  for _, attachment in ipairs(app.attachments) do
    app:release_now(("Attach %s (@ref:%s)"):format(attachment.name, attachment.addon.name), true)
  end
  if next(app.vars) then
    local names = sorted_keys(app.vars)
    app:release_now(("Set %s config vars"):format(table.concat(names, ", ")), true)
  end
  local commit = sign.sha256("commit/" .. app.id):sub(1, 40)
  app.slug = { id = api.uuid("slug", app.name, commit), commit = commit, created_at = api.now() }
  app.deployed = app:release_now("Deploy " .. commit:sub(1, 8), true)
end

--- Runs the manifest's own commands before the formation starts.
local function prepare(app, commands, o)
  local env = { ORDERS = o.orders and tostring(o.orders), JOBS = o.jobs and tostring(o.jobs) }
  for _, name in ipairs { "migrate", "seed", "seed_jobs" } do
    if commands[name] then
      local progress = log.progress { what = ("%s of the app %s"):format(name, app.name) }
      local ok, e = pcall(app.run_command, app, name, commands[name], env)
      progress:done()
      if not ok then error(e, 0) end
    end
  end
end

--- Waits until every dyno of the formation is up.
local function wait_up(app)
  local deadline = task.now() + 60
  while true do
    local waiting
    for _, dyno in ipairs(app.dynos) do
      if dyno.state == "crashed" then
        errors.raise { kind = "io", op = ("start the dyno %s of the app %s"):format(dyno.name, app.name), code = dyno.code,
          message = (app.logs:text { dyno = dyno.name, lines = 20 }) }
      end
      if dyno.state ~= "up" then waiting = dyno.name end
    end
    if not waiting then return end
    if task.now() > deadline then
      errors.raise { kind = "timeout", op = "start the app " .. app.name, message = waiting .. " is not up after 60 s" }
    end
    task.sleep(0.05)
  end
end

--- Adds what a manifest says of an app to its model, which is then in the account.
---@param addons table[] its own, provisioned
local function furnish(heroku, app, manifest, addons)
  heroku.apps[#heroku.apps + 1] = app
  for _, addon in ipairs(addons) do
    addon.app = app
    table.insert(app.addons, addon)
    table.insert(app.attachments, app:new_attachment(addon, addon.first_name))
  end
  app:add_domain(app.name .. ".herokuapp.com", true)
  for _, hostname in ipairs(manifest.domains or {}) do app:add_domain(hostname) end
  for _, hostname in ipairs(manifest.certificates or {}) do app:add_certificate(hostname) end
  for _, url in ipairs(manifest.drains or {}) do app:add_drain(url.url or url, url.addon) end
  for _, hook in ipairs(manifest.webhooks or {}) do app:add_webhook(hook.url or hook, hook.include, hook.level) end
end

--- Whose add-on it is, and under which name, an app of the account uses: { of = "shop::DATABASE", as = "SHOP", credential = "analyst" }.
local function share(heroku, app, given)
  local owner, name = given.of:match "^(.-)::(.+)$"
  local of = api.find(heroku.apps, owner or "", "app")
  for _, attachment in ipairs(of.attachments) do
    if attachment.name == name then
      local namespace = given.credential and "credential:" .. given.credential
      table.insert(app.attachments, app:new_attachment(attachment.addon, given.as or name, namespace))
      return
    end
  end
  errors.usage("the add-on %s, which %s shall use, is not there", given.of, app.name)
end

--- The account's other apps: they are there for the API, without code, processes or servers.
local function more_apps(heroku, manifests)
  local made = {}
  for i, manifest in ipairs(manifests) do
    local own, shared = {}, {}
    for _, given in ipairs(manifest.addons or {}) do
      if given.of then shared[#shared + 1] = given else own[#own + 1] = provision(heroku, manifest.app, given, false) end
    end
    local app = app_model.new { manifest = manifest, dir = fs.join(heroku.dir, "more", manifest.app.name), servers = false }
    furnish(heroku, app, manifest, own)
    made[i] = { app = app, shared = shared }
  end
  for _, one in ipairs(made) do
    for _, given in ipairs(one.shared) do share(heroku, one.app, given) end
    first_releases(one.app)
    dynos.converge(one.app)
  end
end

--- A space of the account.
function Heroku:space(name) return api.find(self.account.spaces or {}, name, "space", { "name" }) end

local function set_up(heroku, o)
  local manifest, addons = o.manifest, o.manifest.addons or {}
  local made = task.all {
    app = function()
      return app_model.new { manifest = manifest, app_dir = fs.realpath(o.app_dir), dir = heroku.dir, cache = o.cache or default_cache(),
                             servers = heroku.cloud.servers }
    end,
    addons = function()
      return task.map(addons, function(given) return provision(heroku, manifest.app, given, heroku.cloud.servers, o.may_replicate) end)
    end,
  }
  local app = made.app
  heroku.app = app
  furnish(heroku, app, manifest, made.addons)
  if app.servers then app.router = router.start(app) end
  first_releases(app)
  if app.servers then prepare(app, manifest.commands or {}, o) end
  dynos.converge(app)
  wait_up(app)
  more_apps(heroku, heroku.account.apps or {})
end

--- Starts the Heroku side of a cloud; when it answers, the app runs.
---@param cloud Cloud
---@param given table see DECLARED
---@return HerokuSide
function M.start(cloud, given)
  local o = options.check(given, DECLARED, "heroku.start")
  if type(o.manifest.app) ~= "table" or type(o.manifest.app.name) ~= "string" then
    errors.usage("the manifest of %s names no app", o.app_dir)
  end
  local heroku = setmetatable({
    cloud = cloud, dir = fs.join(cloud.dir, "heroku"), apps = {}, stores = {}, routes = routes,
    email = "rehearsal@example.com",
    key = secret.concat { "HRKU-", secret.random(40) }, tokens = 4500, tokens_at = task.now(), created_at = api.now(), pages = {}, addresses = {},
    account = o.manifest.account or {},
  }, Heroku)
  fs.mkdir_p(heroku.dir)
  heroku.files = serve_pages(heroku)
  cloud.heroku = heroku
  local ok, e = pcall(set_up, heroku, o)
  if not ok then
    heroku:stop()
    cloud.heroku = nil
    error(e, 0)
  end
  return heroku
end

--- Ends the app, its router and its stores. Safe twice.
function Heroku:stop()
  if self.stopped then return end
  self.stopped = true
  for _, app in ipairs(self.apps) do app:stop() end
  for _, store in ipairs(self.stores) do store:stop() end
  self.files:stop()
end

return M
