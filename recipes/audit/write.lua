--- An audit as Markdown.
local notable = require "audit.notable"
local sorted_keys = require "sorted_keys"

local M = {}

--- Text in a cell: pipes and line ends would break the table.
local function cell(v)
  if v == nil then return "" end
  if type(v) == "table" then
    local words = {}
    if #v > 0 then
      for i, x in ipairs(v) do words[i] = tostring(x) end
    else
      for _, name in ipairs(sorted_keys(v)) do words[#words + 1] = ("%s %s"):format(name, tostring(v[name])) end
    end
    v = table.concat(words, ", ")
  end
  return (tostring(v):gsub("[\r\n]+", " "):gsub("|", "\\|"))
end

local function tabulate(out, columns, rows)
  out("| " .. table.concat(columns, " | ") .. " |")
  out("|" .. (" --- |"):rep(#columns))
  for _, row in ipairs(rows) do
    local cells = {}
    for i = 1, #columns do cells[i] = cell(row[i]) end
    out("| " .. table.concat(cells, " | ") .. " |")
  end
  out ""
end

local function price(p) return p and p.cents and ("$%.2f a %s"):format(p.cents / 100, p.unit or "month") or nil end

-- Title, member of the app, columns, and a row of each item.
local LISTS = {
  { "Processes", "formation", { "type", "dynos", "size", "command" }, function(p) return { p.type, p.quantity, p.size, p.command } end },
  { "Running dynos", "dynos", { "name", "state", "size" }, function(d) return { d.name, d.state, d.size } end },
  { "Add-ons", "addons", { "name", "plan", "state", "price", "of the app", "also used by" }, function(a)
    return { a.name, a.plan, a.state, price(a.billed_price), a.app, a.attached_to }
  end },
  { "What the stores' service says", "addons", { "name", "says" }, function(a) return a.info and { a.name, a.info } end },
  { "Attachments", "attachments", { "name", "add-on", "of the app", "credential" }, function(a)
    return { a.name, a.addon, a.owner, a.credential or a.namespace }
  end },
  { "Config vars", "config", { "name", "class", "of the add-on", "note" }, function(c) return { c.name, c.class, c.addon, c.note } end },
  { "Domains", "domains", { "name", "kind", "target", "certificate" }, function(d)
    return { d.hostname, d.kind, d.cname, d.acm_status or d.sni_endpoint }
  end },
  { "Certificates", "certificates", { "name", "of", "by", "until" }, function(c) return { c.name, c.domains, c.issuer, c.expires_at } end },
  { "Buildpacks", "buildpacks", { "order", "name" }, function(b) return { b.ordinal, b.buildpack } end },
  { "Releases", "releases", { "version", "what", "status", "when", "who" }, function(r)
    return { "v" .. r.version, r.description, r.status, r.created_at, r.user }
  end },
  { "Builds", "builds", { "when", "status", "stack" }, function(b) return { b.created_at, b.status, b.stack } end },
  { "Log drains", "drains", { "to", "add-on" }, function(d) return { d.url, d.addon } end },
  { "Telemetry drains", "telemetry", { "signals", "to" }, function(t) return { t.signals, t.exporter and t.exporter.endpoint } end },
  { "Webhooks", "webhooks", { "to", "of" }, function(w) return { w.url, w.include } end },
  { "Features that are on", "features", { "name" }, function(f) return f.enabled and { f.name } end },
  { "People", "collaborators", { "who", "role", "may" }, function(c) return { c.user, c.role, c.permissions } end },
}

-- The same of the account.
local ACCOUNT = {
  { "Teams", "teams", { "name", "kind", "my role", "apps", "members" }, function(t)
    return { t.name, t.type, t.role, t.apps, t.members and #t.members }
  end },
  { "Private spaces", "spaces", { "name", "region", "generation", "shield", "addresses", "outbound addresses", "peerings", "VPNs" }, function(s)
    return { s.name, s.region, s.generation, s.shield and "yes", s.cidr, s.nat, s.peerings and #s.peerings, s.vpns and #s.vpns }
  end },
  { "Pipelines", "pipelines", { "name", "apps by stage", "review apps", "config vars of review apps", "of test runs" }, function(p)
    return { p.name, p.stages, p.review_apps and ("%d now"):format(p.review_apps_now or 0), p.review_config, p.test_config }
  end },
  { "Invoices", "invoices", { "from", "to", "total" }, function(i)
    return { i.period_start, i.period_end, i.total and ("$%.2f"):format(i.total / 100) }
  end },
  { "SSH keys", "keys", { "comment", "fingerprint" }, function(k) return { k.comment, k.fingerprint } end },
  { "OAuth authorizations", "authorizations", { "what for", "scope", "client" }, function(a) return { a.description, a.scope, a.client } end },
  { "OAuth clients", "oauth_clients", { "name" }, function(c) return { c.name } end },
}

--- Each list of a thing that has items, as a table under its title.
local function lists(out, of, thing)
  for _, one in ipairs(of) do
    local title, member, columns, row_of = table.unpack(one)
    local rows = {}
    for _, item in ipairs(thing[member] or {}) do rows[#rows + 1] = row_of(item) or nil end
    if rows[1] then
      out(("### %s\n"):format(title))
      tabulate(out, columns, rows)
    end
  end
end

local function bytes(n)
  if not n then return nil end
  for _, unit in ipairs { { 1e12, "TB" }, { 1e9, "GB" }, { 1e6, "MB" }, { 1e3, "kB" } } do
    if n >= unit[1] then return ("%.1f %s"):format(n / unit[1], unit[2]) end
  end
  return n .. " B"
end

local function postgres(out, db, name)
  out(("### PostgreSQL %s%s\n"):format(db.version, name and " of " .. name or ""))
  tabulate(out, { "what", "is" }, { { "size", bytes(db.bytes) }, { "tables", #db.tables }, { "sequences", db.sequences },
    { "large objects", db.large_objects }, { "connections", ("%d of %d"):format(db.connections_used, db.connections_allowed) },
    { "longest transaction", db.longest_transaction_seconds .. " s" }, { "prepared transactions", db.prepared_transactions },
    { "locks waited for", db.locks_waited_for } })
  local rows = {}
  for i = 1, math.min(#db.tables, 20) do
    local t = db.tables[i]
    rows[i] = { t.name, t.rows, bytes(t.bytes), t.no_key and "none" or "there" }
  end
  if rows[1] then tabulate(out, { "largest tables", "rows, about", "size", "primary key" }, rows) end
  rows = {}
  for i, e in ipairs(db.extensions) do rows[i] = { e.name, e.version, e.schema } end
  tabulate(out, { "extension", "version", "schema" }, rows)
end

local function redis(out, r, name)
  out(("### %s%s\n"):format(r.version, name and " of " .. name or ""))
  tabulate(out, { "what", "is" }, { { "keys", r.keys }, { "memory", bytes(r.memory) }, { "eviction", r.eviction },
    { "looked at", r.sampled .. " keys" }, { "by type", r.types }, { "of these expire", r.expiring } })
  local rows = {}
  for i, k in ipairs(r.big_keys) do rows[i] = { k.name, k.type, bytes(k.bytes) } end
  if rows[1] then tabulate(out, { "large key", "type", "size" }, rows) end
  rows = {}
  for _, q in ipairs(r.queues) do
    if q.count > 0 then rows[#rows + 1] = { q.kind, q.name, q.state, q.count } end
  end
  if rows[1] then tabulate(out, { "queue of", "name", "state", "jobs" }, rows) end
end

local function app_page(out, app)
  out(("## %s\n"):format(app.name))
  local rows = {}
  for _, row in ipairs { { "generation", app.generation }, { "region", app.region }, { "stack", app.stack }, { "team", app.team },
    { "space", app.space }, { "owner", app.owner }, { "maintenance", app.maintenance and "on" or "off" }, { "released", app.released_at },
    { "slug", bytes(app.slug_size) }, { "pipeline", app.pipeline and ("%s, stage %s"):format(app.pipeline.name or "?", app.pipeline.stage) },
    { "scales by itself", app.autoscale and ("from %d to %d"):format(app.autoscale.min, app.autoscale.max) },
    { "release process", app.code and app.code.process_types and app.code.process_types.release } } do
    if row[2] ~= nil then rows[#rows + 1] = row end
  end
  tabulate(out, { "what", "is" }, rows)
  lists(out, LISTS, app)
  if app.postgres then postgres(out, app.postgres) end
  if app.redis then redis(out, app.redis) end
  for _, name in ipairs(sorted_keys(app.other_stores or {})) do
    local facts = app.other_stores[name];
    (facts.tables and postgres or redis)(out, facts, name)
  end
end

--- What could not be read, of all apps.
---@return { [1]: string, [2]: string, [3]: string }[] rows app, what, why
function M.gaps(audit)
  local rows = {}
  local function add(of, gaps)
    for _, gap in ipairs(gaps or {}) do rows[#rows + 1] = { of, gap.what, gap.why } end
  end
  add("the account", audit.account.gaps)
  for _, app in ipairs(audit.apps) do add(app.name, app.gaps) end
  return rows
end

--- The whole page.
---@param audit table of recipes/audit.lua
---@return string markdown
function M.markdown(audit)
  local lines = {}
  local function out(line) lines[#lines + 1] = line end
  out(("# Heroku audit of %s\n"):format(audit.at))
  local rows = {}
  for i, app in ipairs(audit.apps) do
    local dynos = 0
    for _, p in ipairs(app.formation or {}) do dynos = dynos + p.quantity end
    rows[i] = { app.name, app.region, app.stack, dynos, #(app.addons or {}), app.pipeline and app.pipeline.stage, #app.gaps }
  end
  tabulate(out, { "app", "region", "stack", "dynos", "add-ons", "stage", "not read" }, rows)
  rows = notable.rows(audit)
  if rows[1] then
    out "## To decide\n"
    tabulate(out, { "app", "what is so", "what to decide" }, rows)
  end
  rows = M.gaps(audit)
  if rows[1] then
    out "## Not read\n"
    tabulate(out, { "of", "what", "why" }, rows)
  end
  out(("## The account of %s\n"):format(audit.account.email))
  lists(out, ACCOUNT, audit.account)
  for _, app in ipairs(audit.apps) do app_page(out, app) end
  return table.concat(lines, "\n")
end

return M
