--- How the API shows what the model holds.
local api = require "rehearsal.heroku.api"
local app_model = require "rehearsal.heroku.app"
local catalog = require "rehearsal.heroku.catalog"
local json = require "json"

local M = {}
local null = json.null

local function ref(name, kind) return { id = api.uuid(kind, name), name = name } end
M.ref = ref
local function app_ref(app) return { id = app.id, name = app.name } end
M.app_ref = app_ref

function M.account(heroku)
  local email = heroku.email
  return { id = api.uuid("user", email), email = email, name = "Rehearsal", allow_tracking = false, beta = false,
    country_of_residence = null, created_at = heroku.created_at, default_organization = null, default_team = null,
    delinquent_at = null, federated = false, identity_provider = null, last_login = heroku.created_at, sms_number = null,
    suspended_at = null, two_factor_authentication = false, updated_at = heroku.created_at, verified = true }
end

local function user(heroku) return { id = api.uuid("user", heroku.email), email = heroku.email } end
M.user = user

function M.app(heroku, app)
  return { id = app.id, name = app.name, acm = false, archived_at = null, buildpack_provided_description = "Node.js",
    build_stack = ref(app.stack, "stack"), stack = ref(app.stack, "stack"), created_at = app.created_at, updated_at = app.updated_at,
    released_at = app.released_at or null, generation = ref("cedar", "generation"), git_url = ("https://git.heroku.com/%s.git"):format(app.name),
    internal_routing = null, maintenance = app.maintenance, organization = null, owner = user(heroku), region = ref(app.region, "region"),
    repo_size = null, slug_size = app.build.made and app.build.made.size or null, space = null, team = null, web_url = app.router.url .. "/" }
end

function M.size_ref(name) return { id = api.uuid("dyno-size", name), name = name } end

function M.formation(app, entry)
  return { id = entry.id, type = entry.type, command = entry.command, quantity = entry.quantity, size = entry.size,
    dyno_size = M.size_ref(entry.size), app = app_ref(app), created_at = entry.created_at, updated_at = entry.updated_at }
end

function M.dyno(app, dyno)
  return { id = dyno.id, name = dyno.name, type = dyno.type, state = dyno.state, size = dyno.size, command = dyno.command,
    app = app_ref(app), attach_url = null, created_at = dyno.created_at, updated_at = dyno.updated_at,
    release = { id = dyno.release.id, version = dyno.release.version } }
end

function M.dyno_size(row)
  return { id = api.uuid("dyno-size", row[1]), name = row[1], memory = row[2], compute = row[3], dyno_units = row[3],
    precise_dyno_units = row[3], cost = { cents = row[4], unit = "month" }, dedicated = row[5], architecture = "amd64",
    private_space_only = false, generation = ref("cedar", "generation") }
end

function M.release(heroku, app, release)
  local plans = json.array {}
  for i, addon in ipairs(app.addons) do plans[i] = addon.plan end
  return { id = release.id, version = release.version, description = release.description, status = release.status,
    current = release == app:current(), eligible_for_rollback = release.slug ~= nil, app = app_ref(app), addon_plan_names = plans,
    artifacts = release.slug and { { id = release.slug.id, type = "slug" } } or json.array {}, output_stream_url = null,
    slug = release.slug and { id = release.slug.id } or null, user = user(heroku), oci_image = null,
    created_at = release.created_at, updated_at = release.updated_at }
end

function M.price(plan)
  local facts = catalog.plans[plan] or { cents = 0 }
  return { cents = facts.cents, contract = false, metered = false, unit = "month" }
end

function M.plan(name)
  local service, short = name:match "^(.-):(.*)$"
  local facts = catalog.plans[name] or {}
  return { id = api.uuid("plan", name), name = name, human_name = facts.label or short, description = name, price = M.price(name),
    addon_service = ref(service, "addon-service"), default = false, installable_inside_private_network = false,
    installable_outside_private_network = true, space_default = false, state = "ga", visible = true, compliance = null,
    created_at = "2012-01-01T12:00:00Z", updated_at = "2026-06-01T12:00:00Z" }
end

function M.addon_service(name)
  return { id = api.uuid("addon-service", name), name = name, human_name = catalog.services[name] or name, cli_plugin_name = null,
    state = "ga", supports_multiple_installations = true, supports_sharing = true, supported_generations = { ref("cedar", "generation") },
    created_at = "2012-01-01T12:00:00Z", updated_at = "2026-06-01T12:00:00Z" }
end

--- Whether a request wants more of an object: "Accept-Expansion: addon_service,plan".
local function wants(req, header, word)
  local given = req and req.headers[header] or ""
  return ("," .. given:gsub("%s", "") .. ","):find("," .. word .. ",", 1, true) ~= nil
end

---@param req? table the request, whose Accept-Expansion asks for whole objects
function M.addon(app, addon, req)
  local names = json.array {}
  for suffix in pairs(addon.values) do names[#names + 1] = addon.first_name .. suffix end
  table.sort(names)
  return { id = addon.id, name = addon.name, app = app_ref(app), config_vars = names, state = "provisioned", actions = json.array {},
    addon_service = wants(req, "accept-expansion", "addon_service") and M.addon_service(addon.service) or ref(addon.service, "addon-service"),
    plan = wants(req, "accept-expansion", "plan") and M.plan(addon.plan) or ref(addon.plan, "plan"),
    billed_price = M.price(addon.plan), billing_entity = { id = app.id, name = app.name, type = "app" }, provider_id = addon.id,
    provision_message = null, web_url = null, created_at = addon.created_at, updated_at = addon.created_at }
end

---@param req? table the request, whose Accept-Inclusion asks for more members
function M.attachment(app, attachment, req)
  local addon = attachment.addon
  local plan = wants(req, "accept-inclusion", "addon:plan") and M.plan(addon.plan) or ref(addon.plan, "plan")
  return { id = attachment.id, name = attachment.name, namespace = attachment.namespace or null, app = app_ref(app),
    addon = { id = addon.id, name = addon.name, app = app_ref(app), plan = plan },
    config_vars = wants(req, "accept-inclusion", "config_vars") and M.var_names(attachment) or nil,
    log_input_url = null, web_url = null, created_at = attachment.created_at, updated_at = attachment.created_at }
end

--- Names, sorted, of the vars that an attachment gives.
function M.var_names(attachment)
  local names = json.array {}
  for name in pairs(app_model.vars_of(attachment)) do names[#names + 1] = name end
  table.sort(names)
  return names
end

return M
