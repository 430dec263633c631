--- The app itself, and what stands around it: sizes, stacks, domains, drains, people.
local api = require "rehearsal.heroku.api"
local catalog = require "rehearsal.heroku.catalog"
local json = require "json"
local pages = require "rehearsal.heroku.pages"
local views = require "rehearsal.heroku.views"

local null, list, map = json.null, pages.list, pages.map

local function apps(a) return map(a.heroku.apps, function(app) return views.app(a.heroku, app) end) end

local function update_app(a)
  local o = api.body(a, { { "maintenance", type = "boolean" }, { "name", type = "string" }, { "build_stack", type = "string" } })
  local app = a.app
  if o.name and o.name ~= app.name then
    if not o.name:find "^[a-z][a-z0-9-]*[a-z0-9]$" or #o.name < 3 or #o.name > 30 then
      api.invalid "Name must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes."
    end
    app.name = o.name
  end
  if o.build_stack then app.stack = api.find(map(catalog.stacks, function(name) return views.ref(name, "stack") end), o.build_stack, "stack").name end
  if o.maintenance ~= nil and o.maintenance ~= app.maintenance then
    app.maintenance = o.maintenance
    app.logs:add("app", "api", ("Set maintenance mode %s by user %s"):format(o.maintenance and "on" or "off", a.heroku.email))
  end
  app.updated_at = api.now()
  return views.app(a.heroku, app)
end

--- POST /filters/apps: those of the ids (or names) that there are.
local function filter_apps(a)
  local given = (a.body or {})["in"]
  if type(given) ~= "table" then api.invalid "Parameter in is required." end
  local wanted = {}
  for _, field in ipairs { "id", "name" } do
    for _, value in ipairs(given[field] or {}) do wanted[value] = true end
  end
  local found = {}
  for _, app in ipairs(a.heroku.apps) do
    if wanted[app.id] or wanted[app.name] then found[#found + 1] = views.team_app(a.heroku, app) end
  end
  return list(found)
end

local function domain(app, d)
  local certificate
  for _, c in ipairs(app.certificates) do
    if c.hostname == d.hostname then certificate = { id = c.id, name = c.name } end
  end
  return { id = d.id, hostname = d.hostname, kind = d.kind, cname = d.cname or null, app = views.app_ref(app),
    acm_status = d.acm_status or null, acm_status_reason = d.acm_reason or null, sni_endpoint = certificate or null,
    status = d.kind == "custom" and "succeeded" or "none", created_at = d.created_at, updated_at = d.created_at }
end

local function add_domain(a)
  local o = api.body(a, { { "hostname", type = "string", required = true }, { "sni_endpoint", type = "string" } })
  for _, d in ipairs(a.app.domains) do
    if d.hostname == o.hostname then api.invalid("%s is currently in use by another app.", o.hostname) end
  end
  return domain(a.app, a.app:add_domain(o.hostname)), 201
end

local function remove_from(items, item)
  for i, other in ipairs(items) do if other == item then return table.remove(items, i) end end
end

local function delete_domain(a)
  local d = api.find(a.app.domains, a.domain, "domain", { "id", "hostname" })
  if d.kind == "heroku" then api.fail(403, "forbidden", "You may not remove the domain that Heroku gave.") end
  remove_from(a.app.domains, d)
  return domain(a.app, d)
end

--- A certificate's names and times; its chain is no secret, and stands here for one.
local function certificate(app, c)
  local domain = api.find(app.domains, c.hostname, "domain", { "hostname" })
  return { id = c.id, name = c.name, display_name = null, app = views.app_ref(app), domains = { domain.id }, created_at = app.created_at,
    updated_at = app.created_at, certificate_chain = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
    ssl_cert = { ["ca_signed?"] = true, ["self_signed?"] = false, cert_domains = { c.hostname }, id = api.uuid("certificate", c.name),
      issuer = "/C=US/O=Let's Encrypt/CN=R3", subject = "/CN=" .. c.hostname, starts_at = app.created_at, expires_at = "2027-01-01T00:00:00Z" } }
end

local function certificates(a) return map(a.app.certificates, function(c) return certificate(a.app, c) end) end

local function drain(app, d)
  local addon = d.addon and api.find(app.addons, d.addon, "add-on", { "first_name" })
  return { id = d.id, url = d.url, token = d.token, app = views.app_ref(app), created_at = d.created_at, updated_at = d.created_at,
    addon = addon and { id = addon.id, name = addon.name, app = views.app_ref(app) } or null }
end

local function drains(a) return map(a.app.drains, function(d) return drain(a.app, d) end) end

local function telemetry(a)
  return map(a.app.telemetry, function(d) return views.telemetry(d, { id = a.app.id, type = "app" }, a.app.created_at) end)
end

local function add_drain(a)
  local o = api.body(a, { { "url", type = "string", required = true } })
  if not o.url:find "^https://" and not o.url:find "^syslog" then api.invalid "Url is invalid." end
  return drain(a.app, a.app:add_drain(o.url)), 201
end

local function delete_drain(a)
  local d = api.find(a.app.drains, a.drain, "log drain", { "id", "url", "token" })
  remove_from(a.app.drains, d)
  return drain(a.app, d)
end

local function feature(a, row)
  return { id = api.uuid("feature", row[1]), name = row[1], description = row[2], display_name = row[2], doc_url = "",
    enabled = a.app.features[row[1]] == true, feedback_email = "feedback@heroku.com", state = "general",
    created_at = "2013-01-01T12:00:00Z", updated_at = "2013-01-01T12:00:00Z" }
end
local function features(a) return map(catalog.features, function(row) return feature(a, row) end) end

local function update_feature(a)
  local o = api.body(a, { { "enabled", type = "boolean", required = true } })
  local name = api.find(features(a), a.feature, "feature").name
  a.app.features[name] = o.enabled
  return api.find(features(a), name, "feature")
end

--- Whoever may do something with it; the first is the owner.
local function collaborators(a, permissions)
  local people = { { email = views.owner(a.heroku, a.app).email, role = "owner" } }
  for _, person in ipairs(a.app.collaborators) do people[#people + 1] = person end
  return map(people, function(person)
    return { id = api.uuid("collaborator", a.app.id, person.email), app = views.app_ref(a.app), role = person.role or null,
      user = { id = api.uuid("user", person.email), email = person.email, federated = false }, created_at = a.app.created_at,
      updated_at = a.app.created_at, permissions = permissions and map({ "view", "deploy" }, function(name)
        return { name = name, description = "May " .. name .. " the app." }
      end) or nil }
  end)
end

local function buildpacks(a)
  local installed = {}
  if a.app.generation == "fir" then return installed end      -- theirs are in the image
  for i, name in ipairs(a.app.buildpacks) do
    local url = name:find "^https?:" and name or "urn:buildpack:" .. name
    installed[i] = { ordinal = i - 1, buildpack = { name = name, url = url } }
  end
  return installed
end

local function webhook(app, hook)
  return { id = hook.id, app = views.app_ref(app), url = hook.url, include = hook.include, level = hook.level,
    created_at = hook.created_at, updated_at = hook.created_at }
end

local function delete_webhook(a)
  local hook = api.find(a.app.webhooks, a.webhook, "webhook")
  for i, one in ipairs(a.app.webhooks) do
    if one == hook then table.remove(a.app.webhooks, i) break end
  end
  return webhook(a.app, hook)
end

--- The app goes, with its add-ons and their data.
local function delete_app(a)
  local view = views.app(a.heroku, a.app)
  for i, one in ipairs(a.heroku.apps) do
    if one == a.app then table.remove(a.heroku.apps, i) break end
  end
  a.app:stop()
  for _, addon in ipairs(a.app.addons) do
    if addon.store then addon.store:stop() end
  end
  return view
end

local function stack(name)
  return { id = api.uuid("stack", name), name = name, default = name == "heroku-24",
    state = catalog.deprecated_stacks[name] and "deprecated" or "public",
    created_at = "2020-01-01T12:00:00Z", updated_at = "2024-01-01T12:00:00Z" }
end
local function stacks() return list(map(catalog.stacks, stack)) end
local function sizes() return list(map(catalog.dyno_sizes, views.dyno_size)) end

return {
  { "GET /apps", function(a) return list(apps(a)) end },
  { "GET /users/~/apps", function(a) return list(apps(a)) end },
  { "POST /filters/apps", filter_apps },
  { "GET /apps/{app}", function(a) return views.app(a.heroku, a.app) end },
  { "PATCH /apps/{app}", update_app },
  { "DELETE /apps/{app}", delete_app },
  { "GET /dyno-sizes", sizes },
  { "GET /apps/{app}/available-dyno-sizes", sizes },
  { "GET /dyno-sizes/{size}", function(a) return api.find(map(catalog.dyno_sizes, views.dyno_size), a.size, "dyno size") end },
  { "GET /stacks", stacks },
  { "GET /apps/{app}/available-stacks", stacks },
  { "GET /apps/{app}/domains", function(a)
    return list(map(a.app.domains, function(d) return domain(a.app, d) end), { "id", "hostname" })
  end },
  { "POST /apps/{app}/domains", add_domain },
  { "GET /apps/{app}/domains/{domain}", function(a)
    return domain(a.app, api.find(a.app.domains, a.domain, "domain", { "id", "hostname" }))
  end },
  { "DELETE /apps/{app}/domains/{domain}", delete_domain },
  { "GET /apps/{app}/sni-endpoints", function(a) return list(certificates(a)) end },
  { "GET /apps/{app}/log-drains", function(a) return list(drains(a), { "id", "url" }) end },
  { "POST /apps/{app}/log-drains", add_drain },
  { "GET /apps/{app}/log-drains/{drain}", function(a)
    return drain(a.app, api.find(a.app.drains, a.drain, "log drain", { "id", "url", "token" }))
  end },
  { "DELETE /apps/{app}/log-drains/{drain}", delete_drain },
  { "GET /apps/{app}/telemetry-drains", function(a) return list(telemetry(a), { "id" }) end },
  { "GET /apps/{app}/collaborators", function(a) return list(collaborators(a), { "id" }) end },
  { "GET /teams/apps/{app}/collaborators", function(a)
    if not a.app.team then api.not_found "team app" end
    return list(collaborators(a, true), { "id" })
  end },
  { "GET /apps/{app}/features", function(a) return list(features(a)) end },
  { "GET /apps/{app}/features/{feature}", function(a) return api.find(features(a), a.feature, "feature") end },
  { "PATCH /apps/{app}/features/{feature}", update_feature },
  { "GET /apps/{app}/buildpack-installations", function(a) return list(buildpacks(a), { "ordinal" }) end },
  { "DELETE /apps/{app}/webhooks/{webhook}", delete_webhook },
  { "GET /apps/{app}/webhooks", function(a) return list(map(a.app.webhooks, function(hook) return webhook(a.app, hook) end), { "id" }) end },
}
