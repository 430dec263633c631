--- What an app leaves behind on Heroku, and a move to AWS on both sides: counted before, and again at the end.
local aws = require "aws"
local errors = require "errors"
local heroku = require "heroku"
local pg = require "pg"

local M = {}

--- Whether nobody uses the app on Heroku any more.
---@param app HerokuApp
function M.is_frozen(app)
  for _, p in ipairs(app.formation) do
    if p.quantity > 0 then return false end
  end
  return app.maintenance and #app.dynos == 0
end

local DATA = { ["heroku-postgresql"] = true, ["heroku-redis"] = true }

--- What is to be removed, in this order: those who are told of the app, its add-ons, those with data last.
---@param app HerokuApp
---@return { list: { title: string, remove: fun(app: HerokuApp) }[], shared: string[] } shared: add-ons that other apps use
function M.on_heroku(app)
  local list, shared = {}, {}
  local function add(title, fn) list[#list + 1] = { title = title, remove = fn } end
  for _, hook in ipairs(app.webhooks) do add("remove the webhook " .. hook.id, function(a) a:remove_webhook(hook.id) end) end
  for _, drain in ipairs(app.drains) do add("remove the log drain " .. drain.id, function(a) a:remove_drain(drain.id) end) end
  for _, with_data in ipairs { false, true } do
    for _, addon in ipairs(app.addons) do
      if (DATA[addon.addon_service.name] or false) == with_data and addon.app.name == app.name then
        add(("remove the add-on %s (%s)"):format(addon.name, addon.plan.name), function(a) a:remove_addon(addon.name) end)
        for _, attachment in ipairs(app.client:list("/addons/" .. addon.id .. "/addon-attachments")) do
          if attachment.app.name ~= app.name then shared[#shared + 1] = ("%s (%s)"):format(addon.name, attachment.app.name) end
        end
      end
    end
  end
  return { list = list, shared = shared }
end

-- What tools of a move leave in a database: ours, DMS, pglogical, Bucardo.
local IN_DATABASE = {
  { "replication slots", "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()" },
  { "publications", "SELECT count(*) FROM pg_publication" },
  { "schemas of tools", [[SELECT count(*) FROM pg_namespace WHERE nspname ~ '^(hkrun|awsdms|aws_dms|pglogical|bucardo)']] },
  { "triggers of tools", [[SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgname ~ '^(hkrun|awsdms|bucardo)']] },
  { "tables of DMS", [[SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^awsdms_']] },
}

local function count_in_database(app, counts)
  if not app.postgres then return end
  local db <close> = pg.open { url = app.postgres.url, sslmode = "require" }
  for _, c in ipairs(IN_DATABASE) do counts[#counts + 1] = { what = c[1], n = db:value(c[2]), heroku = true } end
end

--- What there is on Heroku now.
---@param app HerokuApp
---@return { what: string, n: integer, heroku: boolean }[] counts plain data
function M.count(app)
  local counts = {
    { what = "webhooks", n = #app.webhooks, heroku = true }, { what = "log drains", n = #app.drains, heroku = true },
    { what = "add-ons", n = #app.addons, heroku = true }, { what = "dynos", n = #app.dynos, heroku = true },
  }
  if app.redis then
    counts[#counts + 1] = { what = "keyspace notifications", n = app.redis:notifications().read() ~= "" and 1 or 0, heroku = true }
  end
  count_in_database(app, counts)
  return counts
end

local function is_there(name)
  local ok, e = pcall(heroku.app, name)
  if ok then return true end
  if errors.is(e, "not_found") then return false end
  error(e, 0)
end

local function named(list, field, name)
  local n = 0
  for _, x in ipairs(list) do
    if x[field] == name or x[field]:sub(1, #name + 1) == name .. "-" then n = n + 1 end
  end
  return n
end

--- The buckets into which DMS wrote what it found; see heroku_to_aws/dms.lua.
local function dms_buckets(name)
  local n, begin = 0, ("hkrun-%s-dms-"):format(name)
  for _, bucket in ipairs(aws.s3:list_buckets({}).Buckets or {}) do
    if bucket.Name:sub(1, #begin) == begin then n = n + 1 end
  end
  return n
end

--- What the move has on AWS only for itself: most of it costs money every hour, and endpoints know the way into a database.
local function on_aws(name)
  local dms, ec2 = aws.dms, aws.ec2
  local bastions = ec2:describe_instances { Filters = { { Name = "tag:Name", Values = { name .. "-bastion" } },
    { Name = "instance-state-name", Values = { "pending", "running", "stopping", "stopped" } } } }.Reservations
  return {
    { what = "DMS instances", n = named(dms:describe_replication_instances({}).ReplicationInstances or {}, "ReplicationInstanceIdentifier", name),
      remedy = "`hkrun prune recipes/heroku_to_aws.lua`, or delete it in the DMS console" },
    { what = "DMS tasks", n = named(dms:describe_replication_tasks({}).ReplicationTasks or {}, "ReplicationTaskIdentifier", name),
      remedy = "delete it in the DMS console" },
    { what = "DMS endpoints", n = named(dms:describe_endpoints({}).Endpoints or {}, "EndpointIdentifier", name),
      remedy = "delete it in the DMS console" },
    { what = "DMS certificates", n = named(dms:describe_certificates({}).Certificates or {}, "CertificateIdentifier", name),
      remedy = "delete it in the DMS console" },
    { what = "DMS buckets", n = dms_buckets(name), remedy = "aws s3 rb --force it, once nobody wants DMS's assessment" },
    { what = "bastions", n = #bastions, remedy = "`hkrun apply recipes/heroku_to_aws.lua --activate-bastion=false`" },
  }
end

--- The table at the end: zero everywhere, or what to do. What is kept on purpose is in another (kept.lua).
---@param app string its name on Heroku
---@param name string that of everything on AWS
---@param before table[] of `count`
---@return table[] rows
function M.after(app, name, before)
  local rows, left, there = { { "what", "before", "now", "" } }, 0, is_there(app)
  for _, c in ipairs(before) do
    local now = there and c.n or 0
    left = left + now
    rows[#rows + 1] = { c.what, c.n, now, now > 0 and "apply again" or "" }
  end
  for _, c in ipairs(on_aws(name)) do
    left = left + c.n
    rows[#rows + 1] = { c.what, "", c.n, c.n > 0 and c.remedy or "" }
  end
  rows[#rows + 1] = { "all", "", left, left == 0 and "nothing is left" or "" }
  return rows
end

return M
