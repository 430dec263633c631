--- Connections of a worker. It lives in its instance's host of the VPC; only what is outside is dialled from there.
local netns = require "host.netns"
local errors = require "errors"
local pg = require "pg"
local task = require "task"
local term = require "host.term"

local M = {}

local dialling = false                  -- sockets are made in the namespace of the moment: one connection after the other

local function turn()
  while dialling do task.sleep(0.01) end
  dialling = true
end

local function enter(path) errors.check("dial out of the VPC", netns.enter(path)) end

--- Opens the source or the target, as its endpoint says.
---@param side "source"|"target"
---@return PgConnection
function M.open(job, side)
  local facts = job[side]
  local where = { url = term.env("HKRUN_DMS_" .. side:upper()), sslmode = facts.sslmode, ca = facts.ca }
  turn()
  if facts.outside then enter(job.outside) end
  local ok, conn = pcall(pg.open, where, { attempts = 1, connect_timeout = 10, timeout = 3600, application_name = "dms:" .. (job.task or job.mode) })
  if facts.outside then enter(job.inside) end
  dialling = false
  if not ok then error(conn, 0) end
  local script = facts.settings.AfterConnectScript
  if script and script ~= "" then conn:exec(script) end
  return conn
end

return M
