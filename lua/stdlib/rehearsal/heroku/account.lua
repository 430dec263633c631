--- The account: whose it is, its teams, spaces, invoices, keys and authorizations. What a rehearsal.yml says of it under
--- `account:` is there, and no more.
local api = require "rehearsal.heroku.api"
local catalog = require "rehearsal.heroku.catalog"
local json = require "json"
local pages = require "rehearsal.heroku.pages"
local views = require "rehearsal.heroku.views"

local null, list, map = json.null, pages.list, pages.map

local function given(a) return a.heroku.account end
local function since(a) return a.heroku.created_at end

local function enterprise(a, name)
  return { id = api.uuid("enterprise-account", name), name = name, created_at = since(a), updated_at = since(a), permissions = { "view" },
    trial = false, partner_benefits = false, identity_provider = null }
end

local function enterprises(a)
  local found, seen = {}, {}
  for _, team in ipairs(given(a).teams or {}) do
    if team.enterprise and not seen[team.enterprise] then
      seen[team.enterprise], found[#found + 1] = true, enterprise(a, team.enterprise)
    end
  end
  return found
end

local function team_view(a, team, i)
  return { id = api.uuid("team", team.name), name = team.name, role = team.role or "admin", type = team.enterprise and "enterprise" or "team",
    enterprise_account = team.enterprise and views.ref(team.enterprise, "enterprise-account") or null, identity_provider = null,
    credit_card_collections = not team.enterprise, default = i == 1, membership_limit = team.members_at_most or null,
    provisioned_licenses = team.enterprise ~= nil, created_at = since(a), updated_at = since(a) }
end

local function team(a)
  local i = nil
  for n, one in ipairs(given(a).teams or {}) do if one.name == a.team or api.uuid("team", one.name) == a.team then i = n end end
  if not i then api.not_found "team" end
  return given(a).teams[i], i
end

local function members(a)
  return map(team(a).members, function(m)
    return { id = api.uuid("member", a.team, m.email), email = m.email, role = m.role or "member", federated = false, created_at = since(a),
      updated_at = since(a), two_factor_authentication = true, identity_provider = null,
      user = { id = api.uuid("user", m.email), email = m.email, name = m.name or null } }
  end)
end

local function team_apps(a)
  local name, found = team(a).name, {}
  for _, app in ipairs(a.heroku.apps) do
    if app.team == name then found[#found + 1] = views.team_app(a.heroku, app) end
  end
  return found
end

local function invoice(a, one, i)
  return { id = api.uuid("invoice", one.from, tostring(i)), number = 9000 + i, period_start = one.from, period_end = one.to,
    charges_total = one.cents, credits_total = 0, total = one.cents, state = 1, created_at = since(a), updated_at = since(a) }
end

local function team_invoice(a, one, i)
  local view = invoice(a, one, i)
  view.addons_total, view.database_total, view.platform_total, view.payment_status = 0, 0, one.cents, "Paid"
  view.dyno_units, view.weighted_dyno_hours = 1.5, 1000.5
  return view
end

--- What each month from `start` on was used: dyno units, and cents of add-ons.
local function usage(a)
  if not (a.query.start or ""):find "^%d%d%d%d%-%d%d$" then api.invalid "Parameter start must be a month, as 2026-05." end
  local found, own = {}, team(a)
  for _, month in ipairs(own.usage or {}) do
    if month.month >= a.query.start then
      found[#found + 1] = { id = api.uuid("team", own.name), name = own.name, month = month.month, dynos = month.dynos, addons = month.addons,
        data = 0, partner = 0, connect = 0, space = 0, apps = map(a.heroku.apps, function(app)
          return { app_name = app.name, dynos = 1.0, addons = 0, data = 0, partner = 0 }
        end) }
    end
  end
  return json.array(found)
end

local function space_view(a, space)
  local owner = views.ref(space.team, "team")
  return { id = api.uuid("space", space.name), name = space.name, region = views.ref(space.region or "virginia", "region"),
    shield = space.shield == true, team = owner, organization = { name = owner.name }, state = "allocated",
    cidr = space.cidr or "10.0.0.0/16", data_cidr = "10.1.0.0/20",
    generation = views.ref(space.generation or "cedar", "generation"), created_at = since(a), updated_at = since(a) }
end

local function space(a, only)
  for _, one in ipairs(given(a).spaces or {}) do
    if (one.name == a.space or api.uuid("space", one.name) == a.space) and (not only or (one.generation or "cedar") == only) then return one end
  end
  api.not_found "space"
end

local function peering(one)
  return { type = "customer-managed", pcx_id = one.id, cidr_blocks = one.cidrs, status = "active", aws_vpc_id = one.vpc, aws_region = one.region,
    aws_account_id = one.account, expires = "2027-01-01T00:00:00Z" }
end

local function peering_info(a)
  local view = space_view(a, space(a, "cedar"))
  return { aws_account_id = "012345678910", aws_region = "us-east-1", vpc_id = "vpc-1234567890", vpc_cidr = view.cidr,
    dyno_cidr_blocks = { view.cidr }, unavailable_cidr_blocks = { "10.2.0.0/16" }, space_cidr_blocks = { view.data_cidr } }
end

local function vpn(one)
  local tunnel = { ip = "203.0.113.9", customer_ip = one.ip, pre_shared_key = one.key, status = "UP", status_message = "1 BGP ROUTES",
    last_status_change = "2026-01-01T00:00:00Z" }
  return { id = api.uuid("vpn", one.name), name = one.name, public_ip = one.ip, routable_cidrs = one.cidrs, space_cidr_block = "10.0.0.0/16",
    tunnels = { tunnel }, ike_version = 1, status = "active", status_message = "" }
end

local function ruleset(a)
  local own = space(a)
  return { id = api.uuid("ruleset", own.name), space = views.ref(own.name, "space"), created_at = since(a), created_by = a.heroku.email,
    rules = map(own.trusted or { "0.0.0.0/0" }, function(source) return { action = "allow", source = source } end) }
end

local function telemetry_of_space(a)
  local own = space(a)
  return map(own.telemetry, function(drain) return views.telemetry(drain, { id = api.uuid("space", own.name), type = "space" }, since(a)) end)
end

local function feature(row, enabled)
  return { id = api.uuid("account-feature", row[1]), name = row[1], description = row[2], display_name = row[2], doc_url = "",
    enabled = enabled, feedback_email = "feedback@heroku.com", state = "beta", created_at = "2013-01-01T12:00:00Z",
    updated_at = "2013-01-01T12:00:00Z" }
end

local function features(a)
  local on = {}
  for _, name in ipairs(given(a).features or {}) do on[name] = true end
  return map(catalog.account_features, function(row) return feature(row, on[row[1]] == true) end)
end

local function key(a, one)
  return { id = api.uuid("key", one.fingerprint), email = a.heroku.email, comment = one.comment, fingerprint = one.fingerprint,
    public_key = one.public, created_at = since(a), updated_at = since(a) }
end

local function authorization(a, one)
  local client = one.client and { id = api.uuid("client", one.client), name = one.client, redirect_uri = "https://example.com/callback" }
  return { id = api.uuid("authorization", one.description), description = one.description, scope = one.scope or { "global" },
    access_token = { id = api.uuid("token", one.description), token = one.token, expires_in = null }, client = client or null, grant = null,
    refresh_token = null, session = null, created_at = since(a), updated_at = since(a),
    user = { id = api.uuid("user", a.heroku.email), email = a.heroku.email, full_name = null } }
end

local function client(a, one)
  return { id = api.uuid("client", one.name), name = one.name, redirect_uri = one.redirect, secret = one.secret, ignores_delinquent = false,
    created_at = since(a), updated_at = since(a) }
end

--- A list of what the account has of a kind.
local function of(kind, view, attributes)
  return function(a) return list(map(given(a)[kind], function(one, i) return view(a, one, i) end), attributes) end
end

return {
  { "GET /account", function(a) return views.account(a.heroku) end },
  { "GET /account/rate-limits", function(a) return { remaining = math.floor(a.heroku.tokens) } end, free = true },
  { "GET /account/features", function(a) return list(features(a)) end },
  { "GET /account/invoices", of("invoices", invoice, { "id" }) },
  { "GET /account/keys", of("keys", key, { "id", "fingerprint" }) },
  { "GET /oauth/authorizations", of("authorizations", authorization, { "id" }) },
  { "GET /oauth/clients", of("clients", client) },
  { "GET /enterprise-accounts", function(a) return list(enterprises(a)) end },
  { "GET /teams", of("teams", team_view) },
  { "GET /teams/{team}", function(a) return team_view(a, team(a)) end },
  { "GET /teams/{team}/members", function(a) return list(members(a), { "id", "email" }) end },
  { "GET /teams/{team}/apps", function(a) return list(team_apps(a)) end },
  { "GET /teams/{team}/invoices", function(a) return list(map(team(a).invoices, function(one, i) return team_invoice(a, one, i) end), { "id" }) end },
  { "GET /teams/{team}/usage/monthly", usage },
  { "GET /spaces", of("spaces", space_view) },
  { "GET /spaces/{space}", function(a) return space_view(a, space(a)) end },
  { "GET /spaces/{space}/nat", function(a)
    local own = space(a)
    return { sources = json.array(own.nat or {}), state = "enabled", created_at = since(a), updated_at = since(a) }
  end },
  { "GET /spaces/{space}/peerings", function(a) return list(map(space(a, "cedar").peerings, peering), { "pcx_id" }) end },
  { "GET /spaces/{space}/peering-info", peering_info },
  { "GET /spaces/{space}/vpn-connections", function(a) return list(map(space(a, "cedar").vpns, vpn)) end },
  { "GET /spaces/{space}/inbound-ruleset", ruleset },
  { "GET /spaces/{space}/telemetry-drains", function(a) return list(telemetry_of_space(a), { "id" }) end },
}
