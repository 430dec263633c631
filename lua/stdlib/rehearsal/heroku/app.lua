--- An app as Heroku knows it: config vars, add-ons and who owns which var,
--- releases, formation. Every change of code, config or add-ons makes a release,
--- runs the release phase, and restarts the dynos.
local api = require "rehearsal.heroku.api"
local build = require "rehearsal.heroku.build"
local dynos = require "rehearsal.heroku.dynos"
local errors = require "errors"
local fs = require "fs"
local logs = require "rehearsal.heroku.logs"
local process = require "process"
local task = require "task"

local M = {}

---@class HerokuAppModel
local App = {}
App.__index = App

--- The vars that an attachment of that name gives. An add-on's first name stands
--- at the front of its vars: attached as OTHER, PAPERTRAIL_API_TOKEN is OTHER_API_TOKEN.
function M.vars_of(attachment)
  local vars = {}
  for suffix, value in pairs(attachment.addon.values) do vars[attachment.name .. suffix] = value end
  return vars
end

--- Which attachment owns a var, if any.
function App:owner_of(name)
  for _, attachment in ipairs(self.attachments) do
    if M.vars_of(attachment)[name] ~= nil then return attachment end
  end
end

--- The config vars as the dynos see them.
---@return table<string, string|userdata>
function App:config()
  local all = {}
  for name, value in pairs(self.vars) do all[name] = value end
  for _, attachment in ipairs(self.attachments) do
    for name, value in pairs(M.vars_of(attachment)) do all[name] = value end
  end
  return all
end

--- The whole environment of a command of this app.
function App:environment(more)
  local env = { PATH = os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin", HOME = self.dyno_dir, LANG = "C.UTF-8" }
  for name, value in pairs(self:config()) do env[name] = value end
  for name, value in pairs(more or {}) do env[name] = value end
  return env
end

--- Runs one of the manifest's commands to its end; raises when it fails.
function App:run_command(what, command, more)
  local r = process.run { "sh", "-c", command, cwd = self.dyno_dir, env = self:environment(more), user = "nobody", timeout = 600 }
  for line in (r.stdout .. r.stderr):gmatch "[^\n]+" do self.logs:add("app", "release." .. #self.releases, line) end
  if r.code ~= 0 then
    errors.raise { kind = "io", op = ("%s of the app %s"):format(what, self.name), code = r.code,
                   message = (r.stderr ~= "" and r.stderr or r.stdout):sub(-2000):gsub("%s+$", "") }
  end
end

local function copy_of(t)
  local copy = {}
  for k, v in pairs(t) do copy[k] = v end
  return copy
end

--- The release that counts: the newest that succeeded.
function App:current()
  for i = #self.releases, 1, -1 do
    if self.releases[i].status == "succeeded" then return self.releases[i] end
  end
end

--- A release; `quietly` is for the time before the app runs.
function App:release_now(description, quietly)
  local release = {
    id = api.uuid("release", self.name, tostring(#self.releases + 1)), version = #self.releases + 1, description = description,
    status = "pending", created_at = api.now(), updated_at = api.now(), vars = copy_of(self.vars), slug = self.slug,
    config = self:config(),
  }
  self.releases[#self.releases + 1] = release
  self.release, self.updated_at, self.released_at = release, release.created_at, release.created_at
  if quietly then release.status = "succeeded" else self:work(function() self:roll_out(release) end) end
  return release
end

--- The release phase, then new dynos.
function App:roll_out(release)
  local command = self.servers and self.process_types.release
  local ok, e = true, nil
  if command then ok, e = pcall(self.run_command, self, "run the release phase", command) end
  if errors.is(e, "cancelled") then error(e, 0) end
  release.status, release.updated_at = ok and "succeeded" or "failed", api.now()
  if not ok then
    self.logs:add("heroku", "release." .. release.version, "Release command failed: " .. tostring(e))
    return
  end
  if release == self.releases[#self.releases] then dynos.restart(self) end   -- a newer one restarts them itself
end

--- Does work in the background, one after the other.
function App:work(fn)
  local before = self.worker
  self.worker = task.spawn(function()
    if before then pcall(before.join, before) end
    if self.closed then return end
    local ok, e = xpcall(fn, errors.handler)
    if not ok and not errors.is(e, "cancelled") then self.logs:add("heroku", "api", "Error: " .. tostring(e)) end
  end)
end

function App:new_attachment(addon, name, namespace)
  return { id = api.uuid("attachment", self.id, addon.id, name), name = name, addon = addon, namespace = namespace, created_at = api.now() }
end

---@param is_own? boolean the name that Heroku gives
function App:add_domain(hostname, is_own)
  local d = { id = api.uuid("domain", self.id, hostname), hostname = hostname, kind = is_own and "heroku" or "custom", created_at = api.now(),
    cname = not is_own and api.uuid("dns", hostname):sub(1, 8) .. ".herokudns.com" or nil }
  table.insert(self.domains, d)
  return d
end

--- A certificate for one of its domains; with automatic ones Heroku made it.
function App:add_certificate(hostname)
  local d = api.find(self.domains, hostname, "domain", { "hostname" })
  if self.acm then d.acm_status, d.acm_reason = "cert issued", "Certificate issued" end
  table.insert(self.certificates, { id = api.uuid("sni", self.id, hostname), name = "sni-" .. self.id:sub(1, 8), hostname = hostname })
end

---@param addon? string the first name of the app's add-on whose drain it is
function App:add_drain(url, addon)
  local id = api.uuid("drain", self.id, url)
  local d = { id = id, url = url, token = "d." .. id, addon = addon, created_at = api.now() }
  table.insert(self.drains, d)
  return d
end

--- A call of Heroku's at each event of the kinds.
function App:add_webhook(url, include, level)
  table.insert(self.webhooks, { id = api.uuid("webhook", self.id, url), url = url, include = include or { "api:release" },
    level = level or "notify", created_at = api.now() })
end

--- What the buildpack says the app is.
function App:description()
  if self.generation == "fir" then return nil end
  return (self.buildpacks[1] or "heroku/nodejs"):match "nodejs" and "Node.js" or (self.buildpacks[1]:gsub("^.*/", ""))
end

--- The formation entry of a type.
function App:process_type(name) return api.find(self.formation, name, "formation", { "type", "id" }) end

local function formation_of(app, given)
  local types, list = {}, {}
  for name in pairs(app.process_types) do types[#types + 1] = name end
  table.sort(types)
  for _, name in ipairs(types) do
    local wanted = given[name] or {}
    list[#list + 1] = { id = api.uuid("formation", app.name, name), type = name, command = app.process_types[name],
      quantity = wanted.quantity or 0, size = wanted.size or (app.generation == "fir" and "dyno-1c-0.5gb" or "Standard-1X"),
      created_at = app.created_at, updated_at = app.created_at }
  end
  return list
end

--- Makes the app of a manifest from its folder; nothing runs yet.
---@param o { manifest: table, app_dir: string?, dir: string, cache: string, servers: boolean } servers: its processes run;
---  without a folder it is one that the API shows, and no more
---@return HerokuAppModel
function M.new(o)
  local given = o.manifest.app
  local app = setmetatable({
    id = api.uuid("app", given.name), name = given.name, region = given.region or "us", stack = given.stack or "heroku-24",
    buildpacks = given.buildpacks or {}, maintenance = false, created_at = api.now(), updated_at = api.now(),
    vars = {}, addons = {}, attachments = {}, releases = {}, dynos = {}, domains = {}, drains = {}, webhooks = {}, features = {}, sessions = {},
    logs = logs.new(), dir = o.dir, servers = o.servers, generation = given.generation or "cedar", team = given.team, space = given.space,
    acm = given.acm == true, internal_routing = given.internal_routing == true, slug_size = given.slug_size, autoscale = o.manifest.autoscale,
    collaborators = o.manifest.collaborators or {}, telemetry = o.manifest.telemetry or {}, certificates = {},
  }, App)
  if app.generation == "fir" then app.stack = given.stack or "cnb" end
  for _, name in ipairs(o.manifest.features or {}) do app.features[name] = true end
  for name, value in pairs(o.manifest.config or {}) do app.vars[name] = tostring(value) end
  if not o.app_dir then
    app.build = build.on_paper(fs.join(o.dir, "slug"), o.manifest.formation or {})
    app.process_types, app.maintenance = app.build.process_types, given.maintenance == true
    app.formation, app.pipeline = formation_of(app, o.manifest.formation or {}), o.manifest.pipeline
    return app
  end
  fs.mkdir_p(o.dir)
  app.build = build.make { app_dir = o.app_dir, dir = fs.join(o.dir, "slug"), cache = o.cache,
    install = o.servers and o.manifest.commands and o.manifest.commands.install }
  app.process_types = app.build.process_types
  app.dyno_dir = fs.join(o.dir, "app")
  build.copy(app.build.dir, app.dyno_dir)             -- the dynos' disk, which is theirs to write
  if fs.uid() == 0 then process.run { "chown", "-R", "nobody", app.dyno_dir } end
  app.formation, app.pipeline = formation_of(app, o.manifest.formation or {}), o.manifest.pipeline
  return app
end

--- Ends its processes.
function App:stop()
  self.closed, self.logs.closed = true, true
  if self.worker then
    self.worker:cancel()
    pcall(self.worker.join, self.worker)
  end
  dynos.stop(self)
  if self.router then self.router:stop() end
end

return M
