--- Those who write to Heroku's stores although everything was stopped: noticed before anybody goes live on a copy that they
--- are not in.
local errors = require "errors"
local fence = require "pg.fence"
local redis = require "redis"

local M = {}

local function still(who, hint)
  errors.raise { kind = "stopped", op = "go live", message = who, hint = hint .. "; then apply again" }
end

--- A dyno that was started meanwhile, by the Scheduler or by `heroku run`.
---@param app HerokuApp
function M.check_dynos(app)
  local names = {}
  for i, dyno in ipairs(app:refresh().dynos) do names[i] = dyno.name end
  if names[1] then
    still(("%s of %s runs, and was started after the freeze"):format(table.concat(names, ", "), app.name),
      "pause the Scheduler's jobs on its dashboard, and let nobody use `heroku run`")
  end
end

--- Somebody who asked for a read-write transaction, which the fence does not keep from anybody.
---@param before integer? what fence.writes said when the copy was done
function M.check_postgres(where, before)
  local now = fence.writes(where)
  if not before or now == before then return end
  local sessions = fence.sessions(where)
  still(("%d rows were written to Heroku's database after the copy%s"):format(now - before,
    sessions[1] and "; connected are " .. table.concat(sessions, ", ") or ""), "stop what writes there")
end

--- How often Heroku's Redis was written to since it last saved, and when that was.
---@return { count: integer, saved: string }
function M.redis_count(where)
  local r <close> = redis.open(where)
  local info = r:info "persistence"
  return { count = math.tointeger(tonumber(info.rdb_changes_since_last_save)), saved = tostring(info.rdb_last_save_time) }
end

--- Who is connected, as far as the server tells.
local function clients_of(r, me)
  local reply = r:pipeline({ { "CLIENT", "LIST" } }, { keep_errors = true })[1]
  local list = {}
  for line in (type(reply) == "string" and reply or ""):gmatch "[^\n]+" do
    local id, address, name = line:match "id=(%d+)", line:match " addr=(%S+)", line:match " name=(%S*)"
    if id ~= me then list[#list + 1] = ("%s%s"):format(address, name and name ~= "" and " (" .. name .. ")" or "") end
  end
  return list
end

--- A client that writes to Redis, which cannot be closed to anybody.
---@param before { count: integer, saved: string } what redis_count said before the comparison
function M.check_redis(where, before)
  local now = M.redis_count(where)
  if now.saved ~= before.saved or now.count == before.count then return end         -- after it has saved it counts anew
  local r <close> = redis.open(where)
  local me = r:pipeline({ { "CLIENT", "ID" } }, { keep_errors = true })[1]
  local clients = clients_of(r, tostring(me))
  still(("Heroku's Redis was written to %d times while it was compared%s"):format(now.count - before.count,
    clients[1] and "; connected are " .. table.concat(clients, ", ") or ""), "stop what writes there")
end

return M
