--- Formation, dynos and logs.
local api = require "rehearsal.heroku.api"
local catalog = require "rehearsal.heroku.catalog"
local dynos = require "rehearsal.heroku.dynos"
local json = require "json"
local list = require "rehearsal.heroku.pages".list
local sign = require "sign"
local views = require "rehearsal.heroku.views"

local MOST = 100                        -- dynos of one type

local function formation(a)
  local items = {}
  for i, entry in ipairs(a.app.formation) do items[i] = views.formation(a.app, entry) end
  return items
end

--- A quantity may be a string: the Heroku CLI sends those.
local function quantity_of(value)
  local n = math.tointeger(tonumber(value))
  if not n or n < 0 then api.invalid "Quantity must be a number greater than or equal to zero." end
  if n > MOST then api.invalid("Cannot run more than %d dynos of a type.", MOST) end
  return n
end

local function size_of(value)
  local wanted = type(value) == "table" and (value.name or value.id) or value
  for _, row in ipairs(catalog.dyno_sizes) do
    if type(wanted) == "string" and (row[1]:lower() == wanted:lower() or api.uuid("dyno-size", row[1]) == wanted) then return row[1] end
  end
  api.invalid("No such size as %s.", tostring(wanted))
end

--- Checks all updates before any of them counts.
local function scale(a, updates)
  local checked = {}
  for i, update in ipairs(updates) do
    if type(update) ~= "table" or type(update.type) ~= "string" then api.invalid "Each update needs a type." end
    local entry = a.app:process_type(update.type)
    local quantity, size = update.quantity, update.dyno_size or update.size
    if quantity == json.null then quantity = nil end
    if size == json.null then size = nil end
    checked[i] = { entry, quantity ~= nil and quantity_of(quantity) or entry.quantity, size and size_of(size) or entry.size }
  end
  local words = {}
  for _, c in ipairs(checked) do
    local entry = c[1]
    entry.quantity, entry.size, entry.updated_at = c[2], c[3], api.now()
    words[#words + 1] = ("%s@%d:%s"):format(entry.type, entry.quantity, entry.size)
  end
  a.app.logs:add("app", "api", ("Scaled to %s by user %s"):format(table.concat(words, " "), a.heroku.email))
  dynos.converge(a.app)
  return checked
end

local function scale_many(a)
  local updates = (a.body or {}).updates
  if type(updates) ~= "table" or #updates == 0 then api.invalid "Parameter updates is required." end
  local changed = {}
  for i, c in ipairs(scale(a, updates)) do changed[i] = views.formation(a.app, c[1]) end
  return changed
end

local function scale_one(a)
  local entry = a.app:process_type(a.type)
  local body = a.body or {}
  scale(a, { { type = entry.type, quantity = body.quantity, size = body.size, dyno_size = body.dyno_size } })
  return views.formation(a.app, entry)
end

local function dyno_list(a)
  local items = {}
  for i, dyno in ipairs(dynos.listed(a.app)) do items[i] = views.dyno(a.app, dyno) end
  return items
end

local function find_dyno(a) return api.find(dynos.listed(a.app), a.dyno, "dyno") end

local function stop_dyno(a)
  local dyno = find_dyno(a)
  dynos.restart(a.app, function(other) return other == dyno end)
  return {}, 202
end

local function stop_all(a)
  dynos.restart(a.app)
  return {}, 202
end

local function restart_type(a)
  local wanted = a.app:process_type(a.type).type
  dynos.restart(a.app, function(dyno) return dyno.type == wanted end)
  return {}, 202
end

local function run_one_off(a)
  local o = api.body(a, { { "command", type = "string", required = true }, { "attach", type = "boolean" }, { "size", type = "string" },
    { "type", type = "string" }, { "env", type = "table" }, { "force_no_tty", type = "boolean" }, { "time_to_live", type = "integer" } })
  if o.attach then api.fail(422, "invalid_params", "The rehearsal runs one-off dynos detached only: their output is in the logs.") end
  return views.dyno(a.app, dynos.run(a.app, o.command, o.size and size_of(o.size))), 201
end

--- What scales the web dynos by itself. It is not in the Platform API's reference: the CLI's ps:autoscale asks for it.
local function monitors(a)
  local auto, found = a.app.autoscale, json.array {}
  local function add(name, action, value)
    found[#found + 1] = { id = api.uuid("monitor", a.app.id, name), name = name, action_type = action, app_id = a.app.id, is_active = true,
      process_type = "web", min_quantity = auto.min, max_quantity = auto.max, value = value, op = "GREATER_OR_EQUAL", forecast_period = 1,
      period = 1, notification_channels = json.array {}, notification_period = 1440, state = "normal" }
  end
  if a.type == "web" and auto then
    add("LatencyScale", "scale", auto.p95)
    if auto.alert then add("LATENCY", "alert", auto.alert) end
  end
  return found
end

--- Lines as they are, or as server-sent events where the client wants those.
local function log_answer(app, filter, tail, req)
  local is_events = (req.headers.accept or ""):find("text/event-stream", 1, true) ~= nil
  local headers = { ["Content-Type"] = is_events and "text/event-stream" or "text/plain; charset=utf-8", ["Cache-Control"] = "no-cache" }
  return { status = 200, headers = headers, stream = function(write)
    app.logs:follow(filter, tail, function(number, line)
      write(is_events and ("id: %d\ndata: %s\n"):format(number, line) or line)
    end)
  end }
end

--- A log session: an address that gives the log, and goes on with `tail`.
local function log_session(a)
  local o = api.body(a, { { "dyno", type = "string" }, { "dyno_name", type = "string" }, { "type", type = "string" },
    { "lines", type = "integer" }, { "source", type = "string" }, { "tail", type = "boolean" } })
  local id, app = sign.uuid(), a.app
  local filter = { dyno = o.dyno_name or o.dyno or o.type, source = o.source, lines = o.lines }
  local url = a.heroku:publish("logs/" .. id, function(req) return log_answer(app, filter, o.tail, req) end)
  return { id = id, logplex_url = url, created_at = api.now(), updated_at = api.now() }, 201
end

return {
  { "GET /apps/{app}/formation", function(a) return list(formation(a), { "id", "type" }) end },
  { "PATCH /apps/{app}/formation", scale_many },
  { "GET /apps/{app}/formation/{type}", function(a) return views.formation(a.app, a.app:process_type(a.type)) end },
  { "PATCH /apps/{app}/formation/{type}", scale_one },
  { "GET /apps/{app}/formation/{type}/monitors", monitors },
  { "GET /apps/{app}/dynos", function(a) return list(dyno_list(a)) end },
  { "POST /apps/{app}/dynos", run_one_off },
  { "DELETE /apps/{app}/dynos", stop_all },
  { "GET /apps/{app}/dynos/{dyno}", function(a) return views.dyno(a.app, find_dyno(a)) end },
  { "DELETE /apps/{app}/dynos/{dyno}", stop_dyno },
  { "POST /apps/{app}/dynos/{dyno}/actions/stop", stop_dyno },
  { "DELETE /apps/{app}/formations/{type}", restart_type },
  { "POST /apps/{app}/log-sessions", log_session },
}
