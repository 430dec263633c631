--- One Heroku app: facts, read when they are first asked for, and the few
--- changes that a migration makes.
local errors = require "errors"
local freeze = require "heroku.freeze"
local log = require "log"
local remove = require "heroku.remove"
local sorted_keys = require "sorted_keys"
local stores = require "heroku.stores"
local task = require "task"
local http = require "http"
local sign = require "sign"

local M = {}

---@class HerokuApp
---@field name string
---@field id string
---@field info table what GET /apps/NAME says
---@field region string
---@field stack string "heroku-24", "container"
---@field generation string "cedar" or "fir"
---@field maintenance boolean
---@field web_url? string
---@field formation table[] { type, quantity, size, command, ... }, also quantity 0
---@field dynos table[]
---@field addons table[]
---@field attachments table[] those of this app
---@field config table<string, userdata> each value a secret
---@field domains table[]
---@field releases table[] the newest first
---@field slug? table { id, checksum, commit, process_types, stack, size, url = secret }
---@field drains table[] url and token are secrets
---@field couplings? table { stage, pipeline }
---@field pipeline? table { name, ... }
---@field stages table[] the apps of its pipeline that may be read: { stage, name }
---@field review_apps? table of its pipeline: { automatic_review_apps, ... }
---@field webhooks table[] { url, include, ... }
---@field collaborators table[]
---@field features table[]
---@field buildpacks table[]
---@field postgres? table { addon, plan, version, url, info }, and hand_over(url): a guard that gives the app another database
---@field redis? table the same, and notifications() for redis.copy.start, notify() as a guard: its keyspace notifications
local App = {}

local function list(suffix, opts)
  return function(app) return app.client:list("/apps/" .. app.id .. suffix, opts) end
end

local readers = {
  formation = list "/formation",
  dynos = list "/dynos",
  addons = list "/addons",
  attachments = list "/addon-attachments",
  domains = list "/domains",
  releases = list("/releases", { range = "version ..; max=1000, order=desc" }),
  drains = list("/log-drains", { secrets = { url = true, token = true } }),
  collaborators = list "/collaborators",
  features = list "/features",
  buildpacks = list "/buildpack-installations",
  webhooks = list("/webhooks", { version = "3.webhooks" }),
}

function readers.config(app) return stores.config(app) end

--- What may not be there.
local function optional(app, path)
  local ok, found = pcall(app.client.get, app.client, path)
  if ok then return found end
  if errors.is(found, "not_found") then return nil end
  error(found, 0)
end

function readers.couplings(app) return optional(app, "/apps/" .. app.id .. "/pipeline-couplings") end

function readers.pipeline(app) return app.couplings and optional(app, "/pipelines/" .. app.couplings.pipeline.id) end

--- The apps of its pipeline, those that may be read: { { stage = "staging", name = "shop-staging" }, ... }, itself among them.
function readers.stages(app)
  local list = {}
  for _, c in ipairs(app.couplings and optional(app, ("/pipelines/%s/pipeline-couplings"):format(app.couplings.pipeline.id)) or {}) do
    local ok, other = pcall(app.client.get, app.client, "/apps/" .. c.app.id)
    if ok then list[#list + 1] = { stage = c.stage, name = other.name }
    elseif not errors.is(other, "not_found") and not (errors.is(other) and other.code == "forbidden") then error(other, 0) end
  end
  return list
end

function readers.review_apps(app)
  return app.couplings and optional(app, "/pipelines/" .. app.couplings.pipeline.id .. "/review-app-config")
end

--- The slug of the newest release that has one and did not fail.
function readers.slug(app)
  for _, release in ipairs(app.releases) do
    if release.slug and release.status ~= "failed" then
      local slug = app.client:get("/apps/" .. app.id .. "/slugs/" .. release.slug.id, { secrets = { url = true } })
      slug.url = slug.blob and slug.blob.url
      slug.release = release.version
      return slug
    end
  end
end

function readers.postgres(app) return stores.find(app, "postgres") end
function readers.redis(app) return stores.find(app, "redis") end

function App.__index(app, name)
  if App[name] then return App[name] end
  local reader = readers[name]
  if not reader then return nil end
  local value = reader(app)
  rawset(app, name, value)
  return value
end

local function take(app, info)
  rawset(app, "info", info)
  app.id, app.name, app.maintenance, app.web_url = info.id, info.name, info.maintenance == true, info.web_url
  app.region = info.region and info.region.name
  app.stack = info.build_stack and info.build_stack.name or info.stack and info.stack.name
  app.generation = type(info.generation) == "table" and info.generation.name or info.generation or "cedar"
end

--- Forgets what was read, so that the next look is a new one.
function App:refresh()
  for name in pairs(readers) do rawset(self, name, nil) end
  take(self, self.client:get("/apps/" .. self.id))
  return self
end

--- Turns maintenance mode, which stops web traffic only, on or off.
---@param on boolean
function App:set_maintenance(on)
  take(self, (self.client:call("PATCH", "/apps/" .. self.id, { json = { maintenance = on },
    what = ("turn maintenance mode of %s %s"):format(self.name, on and "on" or "off") })))
end

--- Sets how many dynos of each type run.
---@param quantities table<string, integer> { web = 0, worker = 2 }
function App:scale(quantities)
  local updates = {}
  for _, name in ipairs(sorted_keys(quantities)) do updates[#updates + 1] = { type = name, quantity = quantities[name] } end
  if #updates == 0 then return end
  self.client:call("PATCH", "/apps/" .. self.id .. "/formation", { json = { updates = updates }, what = "scale the app " .. self.name })
  rawset(self, "formation", nil)
  rawset(self, "dynos", nil)
end

local ONE_OFF = { run = true, scheduler = true }

--- Stops a dyno: a one-off one ends, one of the formation is started anew.
---@param name string "run.4711"
function App:stop_dyno(name)
  local ok, e = pcall(self.client.call, self.client, "POST", ("/apps/%s/dynos/%s/actions/stop"):format(self.id, name),
    { what = ("stop the dyno %s of %s"):format(name, self.name) })
  if not ok and not errors.is(e, "not_found") then error(e, 0) end        -- it has ended by itself
end

--- Waits until no dyno is left. One-off dynos (`heroku run`, the scheduler's)
--- are not stopped by scaling: they are named, and waited for too, or stopped.
---@param timeout? number seconds, 300 by default
---@param stop_one_off? boolean
function App:wait_stopped(timeout, stop_one_off)
  timeout = timeout or 300
  local deadline, told, pause = task.now() + timeout, {}, 0.25
  local p <close> = log.progress { what = ("wait until the dynos of %s have stopped"):format(self.name) }
  while true do
    local left = {}
    for _, dyno in ipairs(readers.dynos(self)) do
      left[#left + 1] = dyno.name
      if ONE_OFF[dyno.type] and not told[dyno.name] then
        told[dyno.name] = true
        log.warn("the one-off dyno %s of %s still runs; %s", dyno.name, self.name, stop_one_off and "it is stopped" or "waiting for it to end")
        if stop_one_off then self:stop_dyno(dyno.name) end
      end
    end
    rawset(self, "dynos", nil)
    if #left == 0 then return end
    local still = "these dynos still run: " .. table.concat(left, ", ")
    p:note(still)
    if task.now() >= deadline then
      errors.raise { kind = "timeout", op = "stop the app " .. self.name, retry = true,
        message = ("after %g s %s"):format(timeout, still),
        hint = ("`heroku ps:stop NAME -a %s` stops one"):format(self.name) }
    end
    task.sleep(pause)
    pause = math.min(pause * 1.5, 5)
  end
end

--- Stops all writers: maintenance on, every type to zero, all dynos gone; with `fence` also those that are not dynos.
--- A guard: undone when its block is left without keep().
--- timeout: seconds to wait for the dynos; quantities: how many ran, should all be stopped already by a freeze of which
--- no journal is here: undone, it is as before that. If the app answered at `path` ("/"), undoing waits until it does again.
--- one_off = "stop" stops one-off dynos, instead of waiting for them. fence: see pg.fence; patience and spare are its.
---@param opts? { timeout: number, quantities: table<string, integer>, path: string, one_off: "wait"|"stop", fence: function,
---  patience: number, spare: string[] }
---@return table guard
function App:freeze(opts) return freeze.new(self, opts) end

--- How many dynos of each type run; in a recipe that froze the app, how many ran before. The second value says whether
--- the freeze was kept: the app has moved.
---@return table<string, integer> quantities
---@return boolean moved
function App:quantities() return freeze.quantities(self) end

--- Removes an add-on for good, with its data and all its attachments. Safe twice, as the three below.
---@param name string the add-on's
function App:remove_addon(name) remove.addon(self, name) end

---@param id string
function App:remove_drain(id) remove.drain(self, id) end

---@param id string
function App:remove_webhook(id) remove.webhook(self, id) end

--- Deletes the app for good, with its add-ons and their data.
function App:delete() remove.app(self) end

--- Downloads the slug, a gzipped tar with ./app, and checks its digest.
---@param path string
---@return string path
function App:download_slug(path)
  local slug = self.slug
  if not (slug and slug.url) then
    errors.raise { kind = "not_found", op = "download the slug of " .. self.name, message = "no release has a slug",
      hint = "a container app has images instead: give the source folder" }
  end
  local answer = http.get(slug.url, { to_file = path, follow = 3 })
  local op = "download the slug of " .. self.name
  if not answer:ok() then
    errors.raise { kind = "remote", op = op, code = answer.status, message = "its address answered with status " .. answer.status,
      retry = answer.status >= 500 }
  end
  local wanted = slug.checksum and slug.checksum:match "^SHA256:(%x+)$"
  if wanted and sign.sha256_file(path) ~= wanted:lower() then
    errors.raise { kind = "protocol", op = op, message = "the bytes do not have the digest that Heroku states", retry = true }
  end
  return path
end

--- Finds an app by name or id.
---@param client HerokuClient
---@return HerokuApp
function M.find(client, name)
  local ok, info = pcall(client.get, client, "/apps/" .. name, { what = "read the Heroku app " .. name })
  if not ok then
    if errors.is(info, "not_found") then
      info.hint = "`heroku apps --all` lists the names; the token must belong to a collaborator"
    end
    error(info, 0)
  end
  local app = setmetatable({ client = client }, App)
  take(app, info)
  return app
end

return M
