--- One of the two databases of pg.same: connections that read one snapshot, or,
--- where the database is live, each statement what is there at its time.
local catalog = require "pg.catalog"
local connection = require "pg.connection"
local errors = require "errors"
local log = require "log"
local proof = require "pg.proof"

local M = {}

---@class PgSide
---@field all PgConnection[]
---@field version integer
---@field encoding string
---@field read_in? string the snapshot, as the server writes it
---@field system? string what names the database
local Side = {}
Side.__index = Side

--- Opens up to `jobs` connections. A server that has no more of them leaves it at those that it gave.
---@param o { jobs: integer, timeout: number, live: boolean }
---@return PgSide
function M.open(endpoint, o)
  local side = setmetatable({ all = {} }, Side)
  local ok, e = pcall(function()
    for i = 1, o.jobs do
      local opened, conn = pcall(connection.open, endpoint, { timeout = o.timeout, application_name = "hkrun same" })
      if not opened then
        if i == 1 or not errors.is(conn, "limit") then error(conn, 0) end
        log.debug("%s gives %d connections, not %d", endpoint.name, i - 1, o.jobs)
        break
      end
      side.all[i] = conn
      conn:exec(catalog.SOURCE)
      conn:exec "SET default_transaction_read_only = on; SET max_parallel_workers_per_gather = 0; SET jit = off"
      if not o.live then
        conn:exec "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if side.snapshot then conn:exec("SET TRANSACTION SNAPSHOT " .. connection.quote_value(side.snapshot))
        elseif o.jobs > 1 then side.snapshot = conn:value "SELECT pg_export_snapshot()" end
      end
    end
    side.version = side.all[1]:info().version
    side.encoding = side.all[1]:value "SELECT getdatabaseencoding()"
    if o.journal then
      side.read_in = side.all[1]:value "SELECT txid_current_snapshot()::text"
      side.system = proof.system(side.all[1])
    end
  end)
  if not ok then
    side:close()
    error(e, 0)
  end
  return side
end

function Side:close()
  for _, conn in ipairs(self.all) do conn:close() end
end
Side.__close = Side.close

return M
