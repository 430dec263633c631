--- The facts that the mapping and the cost ask for, from an app of recipes/audit.lua: so both work on the first day, with a
--- Heroku token alone.

--- The add-on behind DATABASE_URL or REDIS_URL; else the first of its service.
local function store_of(app, service, name)
  local first
  for _, attachment in ipairs(app.attachments or {}) do
    if attachment.name == name then first = attachment.addon end
  end
  for _, addon in ipairs(app.addons or {}) do
    if addon.service == service and (not first or addon.name == first) then return addon end
  end
end

--- An app of an audit as the facts of heroku_to_aws.audit; what was not read is not there.
---@param app table of audit.read
---@param dyno_sizes? table[] of its account
---@return table facts
return function(app, dyno_sizes)
  local postgres, redis = store_of(app, "heroku-postgresql", "DATABASE"), store_of(app, "heroku-redis", "REDIS")
  local facts = { app = { name = app.name, region = app.region, stack = app.stack }, formation = app.formation or {}, addons = {},
    dyno_sizes = dyno_sizes, config = { names = {}, postgres = {}, redis = {} },
    release_command = app.code and app.code.process_types and app.code.process_types.release }
  for i, a in ipairs(app.addons or {}) do
    local store
    if a.service == "heroku-postgresql" then store = a == postgres elseif a.service == "heroku-redis" then store = a == redis end
    facts.addons[i] = { name = a.name, service = a.service, plan = a.plan, store = store, price = a.billed_price, app = a.app }
  end
  local seen = app.postgres or {}
  facts.postgres = postgres and { plan = postgres.plan, version = seen.version, bytes = seen.bytes, connections_used = seen.connections_used,
                                  cache_hit = seen.cache_hit }
  facts.redis = redis and { plan = redis.plan, bytes = app.redis and app.redis.memory }
  return facts
end
