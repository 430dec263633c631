--- Everything that Heroku's APIs say of apps, without the value of any config var. What cannot be read is a gap, with the
--- reason, and the rest goes on.
--- Sources: devcenter.heroku.com/articles/platform-api-reference (its resources by name), June 2026.
local config = require "heroku_to_aws.config"
local errors = require "errors"
local heroku = require "heroku"
local json = require "json"
local mapping = require "heroku_to_aws.mapping"
local task = require "task"

local M = {}

--- The members of a thing that are kept; "team.name" reaches into it and is kept as `team`.
local function pick(thing, names)
  local kept = {}
  for _, name in ipairs(names) do
    local outer, inner = name:match "^([%w_]+)%.([%w_]+)$"
    local value = thing[outer or name]
    if inner then value = type(value) == "table" and value[inner] or nil end
    kept[outer or name] = value
  end
  return kept
end

local function picked(list, names)
  local kept = json.array {}
  for i, thing in ipairs(list) do kept[i] = pick(thing, names) end
  return kept
end

--- "https://user:token@logs.example.com/in" -> "https://logs.example.com": what a drain's or a webhook's URL may show.
local function origin(url)
  local scheme, rest = url:match "^([%w+.-]+)://([^/?#]*)"
  return scheme and ("%s://%s"):format(scheme, (rest:gsub("^.*@", ""))) or "(unreadable)"
end

---@class AuditPart what of an app is read: where, and what is kept of each item
local PARTS = {
  { "formation", "/formation", { "type", "quantity", "size", "command" } },
  { "dynos", "/dynos", { "name", "type", "state", "size" } },
  { "attachments", "/addon-attachments", { "name", "addon.name", "app.name", "namespace" } },
  { "releases", "/releases", { "version", "description", "status", "created_at", "current" }, range = "version ..; max=20, order=desc", only = 20 },
  { "builds", "/builds", { "status", "stack", "created_at" }, newest = "created_at", only = 5 },
  { "buildpacks", "/buildpack-installations", { "ordinal", "buildpack.name" } },
  { "domains", "/domains", { "hostname", "kind", "cname", "acm_status", "acm_status_reason" } },
  { "certificates", "/sni-endpoints", { "name", "cname", "domains" } },
  { "features", "/features", { "name", "enabled" } },
  { "collaborators", "/collaborators", { "user.email", "role" } },
  { "webhooks", "/webhooks", { "url", "include", "level" }, version = "3.webhooks", url = true },
  { "drains", "/log-drains", { "url", "addon.name" }, url = true },
  { "telemetry", "/telemetry-drains", { "signals", "exporter" }, url = true, generation = "fir" },
}

local function read_list(app, part)
  local _, path, names = table.unpack(part)
  local items = app.client:list("/apps/" .. app.id .. path, { range = part.range, version = part.version })
  if part.newest then table.sort(items, function(a, b) return a[part.newest] > b[part.newest] end) end
  local kept = json.array {}
  for i = 1, math.min(#items, part.only or #items) do
    kept[i] = pick(items[i], names)
    if part.url and kept[i].url then kept[i].url = origin(kept[i].url) end
    local exporter = kept[i].exporter
    if exporter then kept[i].exporter = { type = exporter.type, endpoint = origin(exporter.endpoint or "") } end
  end
  return kept
end

local APP = { "name", "id", "region.name", "stack.name", "build_stack.name", "maintenance", "acm", "archived_at", "internal_routing", "slug_size",
  "released_at", "created_at", "web_url", "team.name", "space.name", "owner.email", "buildpack_provided_description" }

--- Add-ons with their price, and which apps they are attached to beside this one.
local function addons(app)
  local list = json.array {}
  for i, a in ipairs(app.client:list("/apps/" .. app.id .. "/addons")) do
    list[i] = pick(a, { "name", "state", "config_vars", "app.name", "billed_price" })
    list[i].service, list[i].plan = a.addon_service.name, a.plan.name
    list[i].billed_price = a.billed_price and pick(a.billed_price, { "cents", "unit", "contract" })
    local users = {}
    for _, attachment in ipairs(app.client:list("/addons/" .. a.id .. "/addon-attachments")) do
      if attachment.app.name ~= app.name then users[#users + 1] = attachment.app.name end
    end
    list[i].attached_to = users[1] and users or nil
  end
  return list
end

--- The names of the config vars and what they are (heroku_to_aws/tables.lua).
local function config_vars(app)
  local facts = config.facts(app)
  local class, notes = mapping.config(facts)
  local list = json.array {}
  for i, name in ipairs(facts.names) do list[i] = { name = name, class = class[name], note = notes[name] } end
  return list
end

local function code(app)
  if app.generation == "fir" then
    for _, release in ipairs(app.releases) do
      for _, artifact in ipairs(release.status ~= "failed" and release.artifacts or {}) do
        if artifact.type == "oci-image" then
          local image = app.client:get(("/apps/%s/oci-images/%s"):format(app.id, artifact.id))
          image = image[1] or image
          return pick(image, { "digest", "commit", "process_types", "buildpacks", "stack.name", "architecture" })
        end
      end
    end
    return nil
  end
  return app.slug and pick(app.slug, { "commit", "release", "size", "process_types", "buildpack_provided_description" })
end

local function pipeline(app)
  if not app.couplings then return nil end
  return { name = app.pipeline and app.pipeline.name, stage = app.couplings.stage, review_apps = app.review_apps ~= nil,
           automatic_review_apps = app.review_apps and app.review_apps.automatic_review_apps }
end

--- Runs the readers side by side; what fails is a gap.
---@return table found what each gave, by name
---@return { what: string, code: string?, why: string }[] gaps
local function gather(readers)
  local found, gaps = {}, json.array {}
  task.map(readers, function(r)
    local name, fn = table.unpack(r)
    local ok, value = pcall(fn)
    if ok then found[name] = value return end
    if not errors.is(value) or errors.is(value, "cancelled") or errors.is(value, "usage") then error(value, 0) end
    gaps[#gaps + 1] = { what = name, code = value.code and tostring(value.code), why = value.message }
  end, { limit = 4 })
  table.sort(gaps, function(a, b) return a.what < b.what end)
  return found, gaps
end
M.gather = gather

--- One app.
---@param name string
---@param more? fun(app: HerokuApp): table[] more readers: { name, function }
---@return table
function M.app(name, more)
  local app = heroku.app(name)
  local readers = { { "addons", function() return addons(app) end }, { "config", function() return config_vars(app) end },
                    { "code", function() return code(app) end }, { "pipeline", function() return pipeline(app) end } }
  for _, part in ipairs(PARTS) do
    if not part.generation or part.generation == app.generation then
      readers[#readers + 1] = { part[1], function() return read_list(app, part) end }
    end
  end
  for _, reader in ipairs(more and more(app) or {}) do readers[#readers + 1] = reader end
  local found, gaps = gather(readers)
  for member, value in pairs(pick(app.info, APP)) do found[member] = value end
  found.generation, found.gaps = app.generation, gaps
  return found
end

--- Whose token it is, and what belongs to no single app.
---@return table account
function M.account(client)
  local who = client:get("/account", { what = "read the Heroku account" })
  local found, gaps = gather {
    { "requests_left", function() return client:get("/account/rate-limits").remaining end },
    { "teams", function() return picked(client:list "/teams", { "name", "role", "type" }) end },
    { "spaces", function() return picked(client:list "/spaces", { "name", "region.name", "shield", "state", "generation.name" }) end },
    { "pipelines", function() return picked(client:list "/pipelines", { "name", "owner.type" }) end },
    { "dyno_sizes", function() return picked(client:list "/dyno-sizes", { "name", "memory", "cost", "generation.name" }) end },
    { "invoices", function() return picked(client:list "/account/invoices", { "period_start", "period_end", "total", "state" }) end },
  }
  found.email, found.gaps = who.email, gaps
  return found
end

--- The apps of a pipeline.
---@param name string or its id
---@return string[] names
function M.in_pipeline(name, client)
  local found = client:get("/pipelines/" .. name, { what = "read the Heroku pipeline " .. name })
  local names = {}
  for i, coupling in ipairs(client:list("/pipelines/" .. found.id .. "/pipeline-couplings")) do names[i] = coupling.app.name or coupling.app.id end
  return names
end

return M
