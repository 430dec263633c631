--- What the audit says of an account, and what Heroku's own CLI prints of it: the same. HKRUN_AGREEMENT=all compares all of
--- thirty apps, in some minutes.
package.path = "recipes/?.lua;" .. package.path
local account_of = dofile "tests/support/heroku_account.lua"
local cli_of = dofile "tests/support/heroku_cli.lua"
local fs = require "fs"
local json = require "json"
local read = require "audit.read"
local sorted_keys = require "sorted_keys"
local task = require "task"
local test = require "test"
local yaml = require "yaml"

local T = test.cases()

--- What JSON says is null is not there.
local function without_nulls(v)
  if rawequal(v, json.null) then return nil end
  if type(v) ~= "table" then return v end
  for k, x in pairs(v) do v[k] = without_nulls(x) end
  return v
end

--- Each item as one line of the named members ("plan.name" reaches into one), sorted.
local function lines(items, members)
  local found = {}
  for i, item in ipairs(items or {}) do
    local words = {}
    for j, member in ipairs(members) do
      local value = item
      for part in member:gmatch "[^.]+" do value = type(value) == "table" and value[part] or nil end
      words[j] = value == nil and "-" or tostring(value)
    end
    found[i] = table.concat(words, " ")
  end
  table.sort(found)
  return found
end

--- The drains of an audit show no more than the host: the CLI's are cut likewise.
local function host(url) return url:gsub("^([%w+]+://)[^/]*@", "%1"):gsub("^([%w+]+://[^/]+).*$", "%1") end

-- A command of an app, what of its JSON is compared, and what the audit has in its place.
local OF_APP = {
  { "apps:info --json", function(said)
    return { said.app.name, said.app.stack.name, said.app.region.name, said.app.generation.name, said.app.maintenance, said.app.acm,
      said.app.owner.email, said.app.team and said.app.team.name or "-", said.app.space and said.app.space.name or "-", said.app.web_url,
      lines(said.addons, { "name", "plan.name", "state", "app.name", "billed_price.cents", "billing_entity.name" }),
      lines(said.dynos, { "name", "type", "state", "size" }), said.pipeline_coupling and said.pipeline_coupling.stage or "-",
      lines(said.collaborators, { "user.email", "role" }) }
  end, function(app)
    return { app.name, app.stack, app.region, app.generation, app.maintenance, app.acm, app.owner, app.team or "-", app.space or "-", app.web_url,
      lines(app.addons, { "name", "plan", "state", "app", "billed_price.cents", "billed_to" }),
      lines(app.dynos, { "name", "type", "state", "size" }), app.pipeline and app.pipeline.stage or "-",
      lines(app.collaborators, { "user", "role" }) }
  end },
  { "addons --json", function(said)
    local attachments = {}
    for _, addon in ipairs(said) do
      for _, a in ipairs(addon.attachments or {}) do attachments[#attachments + 1] = { name = a.name, addon = addon.name, app = a.app.name } end
    end
    return { lines(said, { "name", "addon_service.name", "plan.name", "app.name" }), lines(attachments, { "addon", "app" }) }
  end, function(app)
    local attachments = {}
    for _, a in ipairs(app.attachments) do attachments[#attachments + 1] = { addon = a.addon, app = app.name } end
    for _, addon in ipairs(app.addons) do
      for _, user in ipairs(addon.attached_to or {}) do attachments[#attachments + 1] = { addon = addon.name, app = user } end
    end
    return { lines(app.addons, { "name", "service", "plan", "app" }), lines(attachments, { "addon", "app" }) }
  end },
  { "domains --json", function(said) return lines(said, { "hostname", "kind", "cname", "acm_status", "sni_endpoint.name" }) end,
    function(app) return lines(app.domains, { "hostname", "kind", "cname", "acm_status", "sni_endpoint" }) end },
  { "releases --json", function(said) return lines(said, { "version", "description", "status", "current", "user.email" }) end,
    function(app) return lines(app.releases, { "version", "description", "status", "current", "user" }) end },
  { "config --json", sorted_keys, function(app)
    local found = {}
    for i, var in ipairs(app.config) do found[i] = var.name end
    return found
  end },
  { "drains --json", function(said)
    for _, drain in ipairs(said) do drain.url = host(drain.url) end
    return lines(said, { "url", "addon.name" })
  end, function(app) return lines(app.drains, { "url", "addon" }) end },
  { "ps --json", function(said) return lines(said, { "name", "state", "size", "command" }) end, function(app)
    local commands, found = {}, {}
    for _, p in ipairs(app.formation) do commands[p.type] = p.command end
    for i, d in ipairs(app.dynos) do found[i] = { name = d.name, state = d.state, size = d.size, command = commands[d.type] } end
    return lines(found, { "name", "state", "size", "command" })
  end },
  { "features --json", function(said) return lines(said, { "name", "enabled" }) end,
    function(app) return lines(app.features, { "name", "enabled" }) end },
  { "buildpacks --json", function(said) return lines(said, { "ordinal", "buildpack.name" }) end,
    function(app) return lines(app.buildpacks, { "ordinal", "buildpack" }) end },
}

-- The same of the account.
local OF_ACCOUNT = {
  { "apps --all --json", function(said) return lines(said, { "name" }) end, function(audit) return lines(audit.apps, { "name" }) end },
  { "teams --json", function(said) return lines(said, { "name", "role", "type" }) end,
    function(audit) return lines(audit.account.teams, { "name", "role", "type" }) end },
  { "pipelines:info shop --json", function(said)
    local found = {}
    for i, app in ipairs(said.apps) do found[i] = ("%s %s"):format(app.name, app.pipelineCoupling.stage) end
    table.sort(found)
    return found
  end, function(audit)
    local found = {}
    for _, app in ipairs(audit.apps) do
      if app.pipeline then found[#found + 1] = ("%s %s"):format(app.name, app.pipeline.stage) end
    end
    table.sort(found)
    return found
  end },
  { "spaces:info cedar-space --json", function(said)
    return { said.name, said.region.name, said.shield, said.outbound_ips.sources }
  end, function(audit)
    for _, space in ipairs(audit.account.spaces) do
      if space.name == "cedar-space" then return { space.name, space.region, space.shield, space.nat } end
    end
  end },
  { "keys --json", function(said) return #said end, function(audit) return #audit.account.keys end },
  { "authorizations --json", function(said) return lines(said, { "description", "client.name" }) end,
    function(audit) return lines(audit.account.authorizations, { "description", "client" }) end },
}

-- The sample app, one that owns a shared add-on, one that uses it, one of Fir; and the commands that are worth a process each in every run.
local SOME = { shop = { 1, 5 }, ["app-01"] = { 1, 2 }, ["app-10"] = { 2 }, ["app-03"] = { 1, 4 } }
local SOME_OF_ACCOUNT = { 3, 4 }

T["the audit and the Heroku CLI say the same of apps of each kind, and of the account"] = function()
  local all = os.getenv "HKRUN_AGREEMENT" == "all"
  local shop = yaml.decode(fs.read "examples/shop/rehearsal.yml")
  local tests = test.cloud { heroku = { app = shop.app, source = "examples/shop", formation = shop.formation, config = shop.config,
    addons = shop.addons, domains = shop.domains, drains = shop.drains, account = account_of.of(all and 30 or 10) } }
  local heroku = cli_of(tests.cloud)
  local audit = read { stores = false }
  local todo = {}
  for _, app in ipairs(audit.apps) do
    test.equal(app.gaps, {}, app.name)
    for i, command in ipairs(OF_APP) do
      local wanted = all
      for _, n in ipairs(SOME[app.name] or {}) do wanted = wanted or n == i end
      if wanted then todo[#todo + 1] = { ("%s -a %s"):format(command[1], app.name), command, app } end
    end
  end
  for i, command in ipairs(OF_ACCOUNT) do
    local wanted = all
    for _, n in ipairs(SOME_OF_ACCOUNT) do wanted = wanted or n == i end
    if wanted then todo[#todo + 1] = { command[1], command, audit } end
  end
  local first = table.remove(todo, 1)
  local function compare(one)
    local line, command, thing = table.unpack(one)
    local r = heroku(line)
    test.equal(r.code, 0, line .. ": " .. r.err)
    test.equal(command[2](without_nulls(json.decode(r.out))), command[3](thing), line)
  end
  compare(first)                        -- the first run writes the CLI's files
  task.map(todo, compare, { limit = 3 })
end

return T
