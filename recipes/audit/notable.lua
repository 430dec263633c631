--- What of an audit needs a decision before a move, the most pressing first. A pure function of the audit: change, add or
--- remove rules as you like. Each answers for one app what is so, what to decide, and the details.
local M = {}

-- What RDS offers, of any major version. docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-extensions.html,
-- June 2026; `SHOW rds.extensions` on an instance is the last word.
local RDS_EXTENSIONS = {}
for name in ([[address_standardizer address_standardizer_data_us amcheck autoinc aws_commons aws_lambda aws_s3 bloom bool_plperl btree_gin
  btree_gist citext cube dblink dict_int dict_xsyn earthdistance fuzzystrmatch hll hstore hstore_plperl insert_username intagg intarray ip4r
  isn jsonb_plperl lo log_fdw ltree moddatetime mysql_fdw oracle_fdw orafce pg_bigm pg_buffercache pg_cron pg_freespacemap pg_hint_plan
  pg_partman pg_prewarm pg_proctab pg_repack pg_similarity pg_stat_statements pg_tle pg_trgm pg_transport pg_visibility pgactive pgaudit
  pgcrypto pglogical pgrouting pgrowlocks pgstattuple pgtap plperl plpgsql plprofiler plrust pltcl plv8 postgis postgis_raster
  postgis_tiger_geocoder postgis_topology postgres_fdw prefix rdkit rds_tools refint seg sslinfo tablefunc tcn tds_fdw tsm_system_rows
  tsm_system_time unaccent uuid-ossp vector]]):gmatch "%S+" do RDS_EXTENSIONS[name] = true end

--- "a, b, c and 4 more".
local function some(names)
  if #names <= 4 then return table.concat(names, ", ") end
  return ("%s and %d more"):format(table.concat(names, ", ", 1, 3), #names - 3)
end

local function list(items, which, name)
  local names = {}
  for _, item in ipairs(items or {}) do
    if which(item) then names[#names + 1] = item[name or "name"] end
  end
  return names
end

local function with(app, service)
  for _, a in ipairs(app.addons or {}) do if a.service == service then return a end end
end

local function stack_of(audit, name)
  for _, s in ipairs(audit.account.stacks or {}) do if s.name == name then return s end end
end

-- Urgency: 1 stops a move until it is settled, 2 needs a decision, 3 should be known.
local RULES = {
  { 1, function(app)
    if with(app, "scheduler") then
      return "Heroku Scheduler is in use, and no API tells its jobs", "write them down from its dashboard: --scheduler-jobs FILE"
    end
  end },
  { 1, function(app)
    local kafka = with(app, "heroku-kafka")
    if kafka then return "Apache Kafka is in use", "it is not moved: Amazon MSK, or leave it on Heroku for now", kafka.plan end
  end },
  { 1, function(app)
    local names = list(app.postgres and app.postgres.extensions, function(e) return not RDS_EXTENSIONS[e.name] end)
    if names[1] then return "PostgreSQL extensions that RDS does not list", "drop them, or do their work in another way", some(names) end
  end },
  { 1, function(app)
    local a = app.postgres and app.postgres.prepared_transactions or 0
    if a > 0 then return a .. " prepared transactions stand open", "commit or roll them back: they would be lost" end
  end },
  { 1, function(app)
    local longest = app.postgres and app.postgres.longest_transaction_seconds or 0
    if longest > 3600 then
      return ("a transaction has been open for %d s"):format(longest), "end it before the copy: it holds back locks and vacuum"
    end
  end },
  { 2, function(app)
    local names = list(app.postgres and app.postgres.tables, function(t) return t.no_key end)
    if names[1] then
      return "tables without a primary key", "replication by changes (DMS, logical) needs keys; a copy with writers stopped does not",
        ("%d, %s"):format(#names, some(names))
    end
  end },
  { 2, function(app)
    local n = app.postgres and app.postgres.large_objects or 0
    if n > 0 then return n .. " large objects in PostgreSQL", "they are copied with writers stopped; DMS and logical replication leave them out" end
  end },
  { 2, function(app)
    local r, jobs = app.redis, 0
    for _, q in ipairs(r and r.queues or {}) do jobs = jobs + q.count end
    if r and r.eviction and r.eviction ~= "noeviction" then
      return ("Redis evicts keys (%s)%s"):format(r.eviction, jobs > 0 and (" and holds %d jobs"):format(jobs) or ""),
        jobs > 0 and "a queue needs noeviction: jobs may be lost today already" or "on AWS a full cache refuses writes, unless it is made `evicting`"
    end
  end },
  { 2, function(app)
    if app.space then
      return "it is in a private space", "others may let in its outbound addresses, or be peered with it: see the space", app.space
    end
  end },
  { 2, function(app, audit)
    local s = stack_of(audit, app.stack)
    if s and s.state == "deprecated" then
      return "its stack is deprecated", "build for the newest one first, or take a Dockerfile", app.stack
    end
  end },
  { 2, function(app)
    local names = list(app.addons, function(a) return a.app and a.app ~= app.name end)
    if names[1] then return "it uses add-ons of other apps", "move these apps together, or let it go on using them for now", some(names) end
  end },
  { 2, function(app)
    local names = list(app.addons, function(a) return a.app == app.name and a.attached_to end)
    if names[1] then return "other apps use its add-ons", "move these apps together: they keep the old URL", some(names) end
  end },
  { 2, function(app)
    local names = list(app.attachments, function(a) return a.credential end, "credential")
    if names[1] then
      return "it uses more credentials of PostgreSQL", "make these roles on RDS by hand: Heroku does not give their passwords away", some(names)
    end
  end },
  { 2, function(app)
    local urls = list(app.drains, function() return true end, "url")
    for _, d in ipairs(app.telemetry or {}) do urls[#urls + 1] = d.exporter.endpoint end
    if urls[1] then return "it drains logs or telemetry", "on AWS they go to CloudWatch: forward them from there", some(urls) end
  end },
  { 2, function(app)
    local names = list(app.domains, function(d) return d.kind == "custom" end, "hostname")
    if names[1] then return "it has names of its own", "certificates come from ACM, and the DNS must change: --domain", some(names) end
  end },
  { 2, function(app)
    local urls = list(app.webhooks, function() return true end, "url")
    if urls[1] then return "Heroku calls webhooks", "they end with Heroku: EventBridge or the pipeline can call instead", some(urls) end
  end },
  { 2, function(app)
    if app.pipeline and app.pipeline.review_apps then
      return "its pipeline has review apps", "AWS has none by itself: decide what takes their place", app.pipeline.name
    end
  end },
  { 2, function(app)
    if app.autoscale then
      return "web scales by itself", "set the same bounds for the environment", ("from %d to %d dynos"):format(app.autoscale.min, app.autoscale.max)
    end
  end },
  { 3, function(app)
    local names = list(app.features, function(f) return f.enabled end)
    if names[1] then return "features are on", "sticky sessions and preboot have their own settings on AWS", some(names) end
  end },
  { 3, function(app)
    local p = app.postgres
    if p and p.connections_allowed and p.connections_used and p.connections_used * 5 > p.connections_allowed * 4 then
      return ("%d of %d connections of PostgreSQL are in use"):format(p.connections_used, p.connections_allowed),
        "a copy needs some too: stop what is not needed"
    end
  end },
  { 3, function(app)
    local r = app.redis
    if r and r.big_keys and r.big_keys[1] then
      return ("%d keys of Redis are larger than a megabyte"):format(#r.big_keys), "they are moved in slices; see whether they should be so large"
    end
  end },
  { 3, function(app) if app.maintenance then return "it is in maintenance mode", "is it in use at all?" end end },
  { 3, function(app)
    local up = 0
    for _, p in ipairs(app.formation or {}) do up = up + p.quantity end
    if app.formation and up == 0 then return "no dyno runs", "is it in use at all?" end
  end },
  { 3, function(app)
    local release = app.code and app.code.process_types and app.code.process_types.release
    if release then return "a release phase runs at each deployment", "it does so on AWS too" end
  end },
}

---@class Notable
---@field app string
---@field what string
---@field decide string
---@field detail? string

--- What needs a decision, the most pressing first, within that in the order of the apps.
---@param audit table
---@return Notable[]
function M.list(audit)
  local found = {}
  for _, client in ipairs(audit.account.oauth_clients or {}) do
    found[#found + 1] = { urgency = 2, order = #found, app = "the account", what = "it signs its users in with Heroku (OAuth)",
      decide = "it needs another provider when the accounts go", detail = client.name }
  end
  for _, app in ipairs(audit.apps) do
    for _, rule in ipairs(RULES) do
      local what, decide, detail = rule[2](app, audit)
      if what then
        found[#found + 1] = { urgency = rule[1], order = #found, app = app.name, what = what, decide = decide, detail = detail }
      end
    end
  end
  table.sort(found, function(a, b)
    if a.urgency ~= b.urgency then return a.urgency < b.urgency end
    return a.order < b.order
  end)
  return found
end

--- The same as rows of a table: app, what is so, what to decide. `brief` says once what is so for several apps.
---@param audit table
---@param brief? boolean
---@return { [1]: string, [2]: string, [3]: string }[]
function M.rows(audit, brief)
  local rows, groups = {}, {}
  for _, one in ipairs(M.list(audit)) do
    local key = brief and one.what .. one.decide or #rows
    local group = groups[key]
    if group then group[#group + 1] = one.app
    else
      groups[key] = { one.app, row = #rows + 1 }
      rows[#rows + 1] = { one.app, one.detail and one.what .. ": " .. one.detail or one.what, one.decide, what = one.what }
    end
  end
  for _, group in pairs(groups) do
    local row = rows[group.row]
    if #group > 1 then row[1], row[2] = some(group), row.what end
    row.what = nil
  end
  return rows
end

return M
