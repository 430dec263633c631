--- How the API shows what the model holds.
local api = require "rehearsal.heroku.api"
local app_model = require "rehearsal.heroku.app"
local catalog = require "rehearsal.heroku.catalog"
local json = require "json"
local sorted_keys = require "sorted_keys"

local M = {}
local null = json.null

local function ref(name, kind) return { id = api.uuid(kind, name), name = name } end
M.ref = ref
local function app_ref(app) return { id = app.id, name = app.name } end
M.app_ref = app_ref

function M.account(heroku)
  local email, account = heroku.email, heroku.account
  local team = account.teams and account.teams[1] and ref(account.teams[1].name, "team") or null
  return { id = api.uuid("user", email), email = email, name = account.name or "Rehearsal", allow_tracking = false, beta = false,
    country_of_residence = account.country or null, created_at = heroku.created_at, default_organization = team, default_team = team,
    delinquent_at = null, federated = false, identity_provider = null, last_login = heroku.created_at, sms_number = null,
    suspended_at = null, two_factor_authentication = account.two_factor == true, updated_at = heroku.created_at, verified = true }
end

local function user(heroku) return { id = api.uuid("user", heroku.email), email = heroku.email } end
M.user = user

--- An app of a team belongs to a user that stands for the team.
local function owner(heroku, app)
  if not app.team then return user(heroku) end
  local email = app.team .. "@herokumanager.com"
  return { id = api.uuid("user", email), email = email }
end
M.owner = owner

--- Where the app is: for one whose processes run, this machine; Heroku gives the others a name with a few digits in it.
local function web_url(app)
  if app.router then return app.router.url .. "/" end
  return ("https://%s-%s.herokuapp.com/"):format(app.name, app.id:gsub("-", ""):sub(1, 12))
end

function M.app(heroku, app)
  local team, space = app.team and ref(app.team, "team") or null, null
  if app.space then
    local own = heroku:space(app.space)
    space = { id = api.uuid("space", app.space), name = app.space, shield = own.shield == true }
  end
  return { id = app.id, name = app.name, acm = app.acm, archived_at = null, buildpack_provided_description = app:description() or null,
    build_stack = ref(app.stack, "stack"), stack = ref(app.stack, "stack"), created_at = app.created_at, updated_at = app.updated_at,
    released_at = app.released_at or null, generation = ref(app.generation, "generation"),
    git_url = ("https://git.heroku.com/%s.git"):format(app.name), internal_routing = app.space and app.internal_routing or null,
    maintenance = app.maintenance, organization = team, owner = owner(heroku, app), region = ref(app.region, "region"), repo_size = null,
    slug_size = app.slug_size or app.build.made and app.build.made.size or null, space = space, team = team, web_url = web_url(app) }
end

--- The same, as the calls of teams show it.
function M.team_app(heroku, app)
  local view = M.app(heroku, app)
  local space = view.space ~= null and { id = view.space.id, name = view.space.name } or null
  return { id = view.id, name = view.name, archived_at = null, buildpack_provided_description = view.buildpack_provided_description,
    build_stack = view.build_stack, stack = view.stack, created_at = view.created_at, updated_at = view.updated_at,
    released_at = view.released_at, git_url = view.git_url, internal_routing = view.internal_routing, maintenance = view.maintenance,
    owner = view.owner, region = view.region, repo_size = null, slug_size = view.slug_size, space = space, web_url = view.web_url,
    team = app.team and { name = app.team } or null, joined = true, locked = false }
end

--- A drain of OpenTelemetry: an app's, or a space's.
function M.telemetry(drain, of, at)
  return { id = api.uuid("telemetry", of.id, drain.endpoint), owner = of, signals = drain.signals or { "traces", "metrics", "logs" },
    exporter = { type = "otlphttp", endpoint = drain.endpoint, headers = drain.headers }, created_at = at, updated_at = at }
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
  return { id = api.uuid("dyno-size", row[1]), name = row[1], memory = row[2], compute = row[3], precise_dyno_units = row[3] + 0.0,
    cost = row[4] and { cents = row[4], unit = "month" } or null, dedicated = row[5], architecture = "amd64", private_space_only = row[6] == "fir",
    generation = ref(row[6] or "cedar", "generation") }
end

--- What the Heroku CLI asks for by a variant of the version, "version=3.sdk", and the reference does not have.
local function sdk_image(app, release, req)
  if not (req.headers.accept or ""):find("version=3.sdk", 1, true) then return nil end
  return app.generation == "fir" and release.slug and { id = release.slug.id } or null
end

---@param req table the request
function M.release(heroku, app, release, req)
  local plans, is_fir = json.array {}, app.generation == "fir"
  for i, addon in ipairs(app.addons) do plans[i] = addon.plan end
  return { id = release.id, version = release.version, description = release.description, status = release.status,
    current = release == app:current(), eligible_for_rollback = release.slug ~= nil, app = app_ref(app), addon_plan_names = plans,
    artifacts = release.slug and { { id = release.slug.id, type = is_fir and "oci-image" or "slug" } } or json.array {},
    output_stream_url = null, slug = release.slug and not is_fir and { id = release.slug.id } or null, user = user(heroku),
    oci_image = sdk_image(app, release, req), created_at = release.created_at, updated_at = release.updated_at }
end

function M.price(plan)
  local facts = catalog.plans[plan] or { cents = 0 }
  return { cents = facts.cents, contract = false, unit = "month" }
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
    state = "ga", supports_multiple_installations = true, supports_sharing = true,
    supported_generations = { ref("cedar", "generation"), ref("fir", "generation") },
    created_at = "2012-01-01T12:00:00Z", updated_at = "2026-06-01T12:00:00Z" }
end

--- Whether a request wants more of an object: "Accept-Expansion: addon_service,plan".
local function wants(req, header, word)
  local given = req and req.headers[header] or ""
  return ("," .. given:gsub("%s", "") .. ","):find("," .. word .. ",", 1, true) ~= nil
end

--- The address that signs a person in at the add-on's provider.
function M.sso_url(app, addon) return ("https://addons-sso.heroku.com/apps/%s/addons/%s"):format(app.id, addon.id) end

---@param req? table the request, whose Accept-Expansion asks for whole objects
function M.addon(addon, req)
  local app, names = addon.app, json.array {}
  for suffix in pairs(addon.values) do names[#names + 1] = addon.first_name .. suffix end
  table.sort(names)
  return { id = addon.id, name = addon.name, app = app_ref(app), config_vars = names, state = "provisioned", actions = json.array {},
    addon_service = wants(req, "accept-expansion", "addon_service") and M.addon_service(addon.service) or ref(addon.service, "addon-service"),
    plan = wants(req, "accept-expansion", "plan") and M.plan(addon.plan) or ref(addon.plan, "plan"),
    billed_price = M.price(addon.plan), billing_entity = { id = app.id, name = app.name, type = "app" }, provider_id = addon.id,
    provision_message = "", web_url = M.sso_url(app, addon), created_at = addon.created_at, updated_at = addon.created_at }
end

---@param req? table the request, whose Accept-Inclusion asks for more members
function M.attachment(app, attachment, req)
  local addon = attachment.addon
  local plan = wants(req, "accept-inclusion", "addon:plan") and M.plan(addon.plan) or nil
  return { id = attachment.id, name = attachment.name, namespace = attachment.namespace or null, app = app_ref(app),
    addon = { id = addon.id, name = addon.name, app = app_ref(addon.app), plan = plan },
    config_vars = wants(req, "accept-inclusion", "config_vars") and M.var_names(attachment) or nil,
    log_input_url = null, web_url = M.sso_url(app, addon), created_at = attachment.created_at, updated_at = attachment.created_at }
end

--- Names, sorted, of the vars that an attachment gives.
function M.var_names(attachment)
  return json.array(sorted_keys(app_model.vars_of(attachment)))
end

return M
