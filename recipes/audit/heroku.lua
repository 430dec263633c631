--- Everything that Heroku's APIs say of an app, without the value of any config var. What cannot be read is a gap, with the
--- reason, and the rest goes on.
--- Sources: devcenter.heroku.com/articles/platform-api-reference (its resources by name), June 2026.
local config = require "heroku_to_aws.config"
local heroku = require "heroku"
local json = require "json"
local mapping = require "heroku_to_aws.mapping"
local parts = require "audit.parts"

local M = {}

local pick, picked, origin = parts.pick, parts.picked, parts.origin

---@class AuditPart what of an app is read: where, and what is kept of each item
local PARTS = {
  { "formation", "/formation", { "type", "quantity", "size", "command" } },
  { "dynos", "/dynos", { "name", "type", "state", "size" } },
  { "releases", "/releases", { "version", "description", "status", "created_at", "current", "user.email", "eligible_for_rollback" },
    range = "version ..; max=20, order=desc", only = 20 },
  { "builds", "/builds", { "status", "stack", "created_at" }, newest = "created_at", only = 5 },
  { "buildpacks", "/buildpack-installations", { "ordinal", "buildpack.name" }, generation = "cedar" },
  { "domains", "/domains", { "hostname", "kind", "cname", "acm_status", "acm_status_reason", "sni_endpoint.name" } },
  { "features", "/features", { "name", "enabled" } },
  { "webhooks", "/webhooks", { "url", "include", "level" }, version = "3.webhooks", url = true },
  { "drains", "/log-drains", { "url", "addon.name" }, url = true },
}

local function read_list(app, part)
  local _, path, names = table.unpack(part)
  local items = app.client:list("/apps/" .. app.id .. path, { range = part.range, version = part.version })
  if part.newest then table.sort(items, function(a, b) return a[part.newest] > b[part.newest] end) end
  local kept = json.array {}
  for i = 1, math.min(#items, part.only or #items) do
    kept[i] = pick(items[i], names)
    if part.url and kept[i].url then kept[i].url = origin(kept[i].url) end
  end
  return kept
end

local APP = { "name", "id", "region.name", "stack.name", "build_stack.name", "maintenance", "acm", "archived_at", "internal_routing", "slug_size",
  "released_at", "created_at", "web_url", "team.name", "space.name", "owner.email", "buildpack_provided_description" }

-- What of a data service's own words says nothing that another member does not, or is another at each look.
local NOT_TOLD = { Connections = true, Memory = true, ["Add-on"] = true, Created = true }

--- Of a database that this one follows, or that follows it, the Data API gives the whole URL, with its password.
local function value(v) return v:find("://", 1, true) and origin(v) or v end

--- What the Data API says of a store: "Plan", "PG Version", "Following", ...; no password is in it.
local function told(app, kind, addon)
  local said = app.client:get(kind.path:format(addon[kind.by]), { data = true, secrets = { resource_url = true, database_password = true } })
  local facts = {}
  for _, row in ipairs(said.info or {}) do
    local words = {}
    for i, v in ipairs(row.values or {}) do words[i] = value(tostring(v)) end
    if not NOT_TOLD[row.name] then facts[row.name] = table.concat(words, ", ") end
  end
  return facts
end

local STORES = { ["heroku-postgresql"] = { path = "/client/v11/databases/%s", by = "id" },
  ["heroku-redis"] = { path = "/redis/v0/databases/%s", by = "name" } }

--- An add-on: what it costs, whom it is billed to, who else uses it, and for the data services what they say of it.
local function addon(app, a, gaps)
  local found = pick(a, { "name", "state", "config_vars", "app.name", "billed_price" })
  found.service, found.plan = a.addon_service.name, a.plan.name
  found.billed_price = a.billed_price and pick(a.billed_price, { "cents", "unit", "contract" })
  found.billed_to = a.billing_entity and a.billing_entity.name
  local readers = {
    { "attached_to", function()
      local users = {}
      for _, attachment in ipairs(app.client:list("/addons/" .. a.id .. "/addon-attachments")) do
        if attachment.app.name ~= app.name then users[attachment.app.name] = true end
      end
      return next(users) and parts.names(users) or nil
    end },
    { "webhooks", function() return #app.client:list("/addons/" .. a.id .. "/webhooks", { version = "3.webhooks" }) end },
  }
  if STORES[found.service] then readers[3] = { "info", function() return told(app, STORES[found.service], a) end } end
  return parts.with(found, gaps, "the add-on " .. a.name, readers)
end

local function addons(app, gaps)
  local list = json.array {}
  for i, a in ipairs(app.addons) do list[i] = addon(app, a, gaps) end
  table.sort(list, parts.by_name)
  return list
end

--- Attachments: whose add-on each is, with which credential, and the config var that it owns.
local function attachments(app)
  local list = json.array {}
  for i, a in ipairs(app.attachments) do
    list[i] = pick(a, { "name", "addon.name", "namespace" })
    list[i].owner = a.addon and a.addon.app and a.addon.app.name
    list[i].credential = a.namespace and a.namespace:match "^credential:(.*)$"
  end
  table.sort(list, parts.by_name)
  return list
end

--- The names of the config vars and what they are (heroku_to_aws/tables.lua); of those that an add-on gives, whose it is.
local function config_vars(app)
  local facts = config.facts(app)
  local class, notes = mapping.config(facts)
  local list, owners = json.array {}, {}
  for _, a in ipairs(app.attachments) do owners[a.name .. "_URL"] = a.addon and a.addon.name end
  for _, a in ipairs(app.addons) do
    for _, name in ipairs(a.app.name == app.name and a.config_vars or {}) do owners[name] = owners[name] or a.name end
  end
  for i, name in ipairs(facts.names) do list[i] = { name = name, class = class[name], note = notes[name], addon = owners[name] } end
  return list
end

local function certificates(app)
  local list = json.array {}
  for i, c in ipairs(app.client:list("/apps/" .. app.id .. "/sni-endpoints")) do
    local cert = c.ssl_cert or {}
    list[i] = { name = c.name, domains = cert.cert_domains, issuer = cert.issuer, expires_at = cert.expires_at, self_signed = cert["self_signed?"] }
  end
  return list
end

local function telemetry(app)
  local list = json.array {}
  for i, drain in ipairs(app.client:list("/apps/" .. app.id .. "/telemetry-drains")) do list[i] = parts.telemetry(drain) end
  return list
end

--- What watches the web dynos: what scales them by itself, as `heroku ps:autoscale` sets it, and what tells of trouble.
local function monitors(app)
  local found = { alerts = json.array {} }
  for _, m in ipairs(app.client:get("/apps/" .. app.id .. "/formation/web/monitors", { metrics = true }) or {}) do
    if m.is_active and m.action_type == "scale" then
      found.autoscale = { min = m.min_quantity, max = m.max_quantity, p95_milliseconds = m.value }
    elseif m.is_active then found.alerts[#found.alerts + 1] = { name = m.name, over = m.value } end
  end
  return found
end

local function people(app)
  local path = app.info.team and "/teams/apps/" .. app.id .. "/collaborators" or "/apps/" .. app.id .. "/collaborators"
  local list = picked(app.client:list(path), { "user.email", "role", "permissions" })
  for _, person in ipairs(list) do
    local may = {}
    for _, permission in ipairs(person.permissions or {}) do may[permission.name] = true end
    person.permissions = next(may) and parts.names(may) or nil
  end
  table.sort(list, function(a, b) return (a.user or "") < (b.user or "") end)
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

--- The buildpacks of a Fir app, which are told by its image.
local function from_image(image)
  if not (image and image.buildpacks) then return nil end
  local list = json.array {}
  for i, b in ipairs(image.buildpacks) do list[i] = { ordinal = i - 1, buildpack = b.id } end
  return list
end

local function pipeline(app)
  if not app.couplings then return nil end
  return { name = app.pipeline and app.pipeline.name, stage = app.couplings.stage, review_apps = app.review_apps ~= nil,
           automatic_review_apps = app.review_apps and app.review_apps.automatic_review_apps }
end

--- One app.
---@param name string
---@param more? fun(app: HerokuApp, gaps: table[]): table[] more readers: { name, function }
---@return table
function M.app(name, more)
  local app, inner = heroku.app(name), json.array {}
  local readers = {
    { "addons", function() return addons(app, inner) end }, { "attachments", function() return attachments(app) end },
    { "config", function() return config_vars(app) end }, { "code", function() return code(app) end },
    { "certificates", function() return certificates(app) end }, { "collaborators", function() return people(app) end },
    { "pipeline", function() return pipeline(app) end },
  }
  for _, part in ipairs(PARTS) do
    if (part.generation or app.generation) == app.generation then
      readers[#readers + 1] = { part[1], function() return read_list(app, part) end }
    end
  end
  if app.generation == "fir" then readers[#readers + 1] = { "telemetry", function() return telemetry(app) end }
  else readers[#readers + 1] = { "monitors", function() return monitors(app) end } end
  for _, reader in ipairs(more and more(app, inner) or {}) do readers[#readers + 1] = reader end
  local found, gaps = parts.gather(readers)
  for _, gap in ipairs(inner) do gaps[#gaps + 1] = gap end
  table.sort(gaps, function(a, b) return a.what < b.what end)
  for member, value in pairs(pick(app.info, APP)) do found[member] = value end
  if found.monitors then found.autoscale, found.alerts, found.monitors = found.monitors.autoscale, found.monitors.alerts, nil end
  found.generation, found.gaps, found.buildpacks = app.generation, gaps, found.buildpacks or from_image(found.code)
  return found
end

return M
