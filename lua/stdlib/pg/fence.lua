--- Keeps everybody from writing to a database, with no more than its owner's rights: new transactions are read-only by
--- default (ALTER DATABASE, which reaches every schema and every role), and sessions that began before that are ended. What
--- is under way may finish first. Undone, the setting is as it was, and sessions that began meanwhile are ended, for they
--- would stay read-only.
---
--- A client that asks for a read-write transaction by itself still gets one: `writes` tells.
local connection = require "pg.connection"
local endpoint = require "pg.endpoint"
local errors = require "errors"
local log = require "log"
local options = require "options"
local recipe = require "recipe"
local task = require "task"

local M = {}

local SETTING = "default_transaction_read_only"
local END = 30                          -- seconds that a session may take to end once it was told to

M.OPTIONS = {
  { "patience", "seconds for which transactions that are under way may go on, before they are ended", type = "number", default = 60 },
  { "spare", "application names, as LIKE takes them, of sessions that are left alone", type = "list", default = {} },
}

--- Connects, and may write whatever the database's default is.
local function open(where)
  local db = connection.open(type(where) == "function" and where() or where, { timeout = 60 })
  db:exec("SET " .. SETTING .. " = off")
  return db
end

local function set(db, whose, value)
  if value then db:exec(("ALTER %s SET %s = %s"):format(whose, SETTING, connection.quote_value(value)))
  else db:exec(("ALTER %s RESET %s"):format(whose, SETTING)) end
end

local SETTINGS = [[SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_get_userbyid(s.setrole)::text END AS role, s.setdatabase <> 0 AS here,
    substr(c.setting, length($1) + 2) AS value
  FROM pg_db_role_setting s, unnest(s.setconfig) AS c(setting)
  WHERE c.setting LIKE $1 || '=%' AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))]]

--- How it is: what undoing needs.
---@param where any as pg.open takes it, or a function that answers it
---@return { database: string?, role: string?, own: boolean?, alone: boolean? } the database's setting, and that of the login role
---  in it, where that has one of its own; alone: not the owner, so that only the login role can be kept from writing
function M.read(where)
  local db <close> = open(where)
  local facts, me = {}, db:value "SELECT current_user::text"
  if not db:value "SELECT pg_has_role(datdba, 'MEMBER') FROM pg_database WHERE datname = current_database()" then
    facts.own, facts.alone = true, true
    log.warn("%s is not the login role's own: other roles may write in spite of the fence", db.name)
  end
  for _, s in ipairs(db:query(SETTINGS, SETTING)) do
    if not s.role and s.here then facts.database = s.value
    elseif s.role == me then
      facts.own = true                                       -- it outranks the database's
      if s.here then facts.role = s.value end
    elseif s.role and s.value == "off" then
      log.warn("the role %s may write in spite of a fence: %s is off for it", s.role, SETTING)
    end
  end
  return facts
end

-- Sessions of others than us. Of another role's session little is shown without pg_read_all_stats, but that it is there.
local SESSIONS = [[SELECT pid, usename::text AS role, coalesce(application_name, '') AS application, coalesce(host(client_addr), 'here') AS address,
    xact_start IS NOT NULL AS busy
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND coalesce(backend_type, 'client backend') = 'client backend' AND coalesce(application_name, '') NOT LIKE 'hkrun%'
    AND NOT coalesce(application_name, '') LIKE ANY ($1::text[]) AND (backend_start IS NULL OR backend_start <= $2::timestamptz)]]

local function words(s)
  return ("%s from %s (%s, pid %d)"):format(s.role or "?", s.address, s.application ~= "" and s.application or "no name", s.pid)
end

local function end_session(db, pid)
  local ok, e = pcall(db.value, db, "SELECT pg_terminate_backend($1)", pid)
  if not ok and e.code ~= "42501" then error(e, 0) end
end

--- Ends the sessions that began until now; those in a transaction may finish it first.
local function end_sessions(db, o)
  local before, told = db:value "SELECT clock_timestamp()::text", {}
  local patient, stop = task.now() + o.patience, task.now() + o.patience + END
  local p <close> = log.progress { what = "end the sessions of " .. db.name }
  while true do
    local left, busy = db:query(SESSIONS, o.spare, before), {}
    if left.n == 0 then return end
    for _, s in ipairs(left) do
      if s.busy and task.now() < patient then
        busy[#busy + 1] = words(s)
      else
        if s.busy and not told[s.pid] then log.warn("a transaction of %s is ended: it did not finish within %g s", words(s), o.patience) end
        told[s.pid] = true
        end_session(db, s.pid)
      end
    end
    p:note(busy[1] and "in a transaction: " .. table.concat(busy, ", ") or ("%d left"):format(left.n))
    if task.now() > stop then
      errors.raise { kind = "timeout", op = "end the sessions of " .. db.name, message = words(left[1]) .. " is still there",
        hint = "end it by hand, or give the login role pg_signal_backend" }
    end
    task.sleep(0.1)
  end
end

local function check_prepared(db)
  local gid = db:value "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT 1"
  if gid then
    errors.raise { kind = "stopped", op = "keep others from writing to " .. db.name,
      message = ("the prepared transaction %q could be committed at any moment"):format(gid), hint = "COMMIT PREPARED or ROLLBACK PREPARED it" }
  end
end

--- Nobody writes from here on. May be called again.
---@param facts table of `read`
---@param o { patience: number, spare: string[] }
function M.close(where, facts, o)
  local db <close> = open(where)
  local database = connection.quote_name(db:info().database)
  if not facts.alone then set(db, "DATABASE " .. database, "on") end
  if facts.own then set(db, ("ROLE CURRENT_USER IN DATABASE %s"):format(database), "on") end
  end_sessions(db, o)
  check_prepared(db)
end

--- As it was before `close`.
function M.open(where, facts)
  local db <close> = open(where)
  local database = connection.quote_name(db:info().database)
  if facts.own then set(db, ("ROLE CURRENT_USER IN DATABASE %s"):format(database), facts.role) end
  if not facts.alone then set(db, "DATABASE " .. database, facts.database) end
  end_sessions(db, { patience = 0, spare = {} })
end

--- Whether the fence stands.
function M.holds(where)
  local now = M.read(where)
  return (now.alone and now.role or now.database) == "on"
end

--- How much was written to the tables so far, as the server counts it: the same answer twice means that nobody wrote.
---@return integer
function M.writes(where)
  local db <close> = open(where)
  pcall(db.exec, db, "SELECT pg_stat_force_next_flush()")    -- from version 15 on
  return db:value "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::int8 FROM pg_stat_user_tables"
end

--- Who is there, in words.
---@return string[]
function M.sessions(where)
  local db <close> = open(where)
  local list = {}
  for i, s in ipairs(db:query(SESSIONS, {}, db:value "SELECT clock_timestamp()::text")) do list[i] = words(s) end
  return list
end

--- The guard; see pg.fence.
function M.new(where, opts)
  local o = options.check(opts or {}, M.OPTIONS, "pg.fence")
  local name = endpoint.read(type(where) == "function" and where() or where).name
  return recipe.guard {
    key = "fence " .. name, what = "keep others from writing to " .. name, facts = function() return M.read(where) end,
    apply = function(facts) M.close(where, facts, o) end, undo = function(facts) M.open(where, facts) end,
    holds = function() return M.holds(where) end, by_hand = M.by_hand,
  }
end

--- What a person types to open it.
---@param facts table of `read`
---@return string
function M.by_hand(facts)
  local whose = facts.alone and 'ROLE CURRENT_USER IN DATABASE :"DBNAME"' or 'DATABASE :"DBNAME"'
  local earlier = facts.database
  if facts.alone then earlier = facts.role end
  return ("in psql: SET %s = off; ALTER %s %s"):format(SETTING, whose, earlier and ("SET %s = %s"):format(SETTING, earlier) or "RESET " .. SETTING)
end

return M
