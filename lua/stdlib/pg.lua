--- PostgreSQL: connections, and a database as a whole: check, copy, same.
local connection = require "pg.connection"
local errors = require "errors"
local json = require "json"
local options = require "options"
local readonly = require "readonly"
local values = require "pg.values"

local M = {}

local OPEN = {
  { "timeout", "seconds that one statement may take", type = "number", default = 3600 },
  { "connect_timeout", "seconds for connecting, with all attempts", type = "number", default = 15 },
  { "attempts", "how often to connect to a server that starts, is full, or does not answer", type = "integer", default = 4 },
  { "read_only", "let the server refuse to write; a reading whose connection is lost is then repeated", type = "boolean", default = false },
  { "application_name", "how the session is called on the server", type = "string" },
  { "via", "an ssh session to tunnel through", type = "any" },
}

--- Connects to a database. docs/postgres.md has all that can be done with it.
---@param where any postgres:// URL (string or secret), or { url=, via=, ca=, sslmode=, pin=, insecure= }
---@param opts? { timeout: number, connect_timeout: number, attempts: integer, read_only: boolean, application_name: string, via: any }
---@return PgConnection
function M.open(where, opts)
  if where == nil then errors.usage("pg.open needs a database URL") end
  local o = options.check(opts or {}, OPEN, "pg.open")
  if o.via then
    local e = {}
    if type(where) == "table" then for k, v in pairs(where) do e[k] = v end else e.url = where end
    e.via = o.via
    where = e
  end
  return connection.open(where, o)
end

--- Quotes a name for SQL text: "order".
function M.quote_name(name) return values.quote_name(name) end

--- Quotes a value for SQL text: 'it''s'. Parameters are better.
function M.quote_value(value) return values.quote_value(value) end

--- NULL inside a list; as a parameter, NULL. The same as json.null.
M.null = json.null

--- Bytes as a bytea parameter.
---@param bytes string|Secret
function M.bytea(bytes) return values.bytea(bytes) end

--- A list as an array parameter, with pg.null or nil holes, which need n. A list given as a parameter is one already.
---@param list any[]
---@param n? integer
function M.array(list, n) return values.array(list, n) end

--- Any value as a json or jsonb parameter. A table with names is one already; a list alone is not, it is an array.
---@param value any
---@return string|Secret
function M.json(value) return json.encode(value) end

--- Seconds since 1970-01-01 UTC of a timestamp or date as the server writes it; one without a zone is taken as UTC. An
--- integer where there is no fraction, math.huge for infinity. to_timestamp($1) is the way back.
---@param text string
---@return number
function M.epoch(text) return values.epoch(text) end

--- Copies a whole database into an empty one, and goes on where an earlier call was cut off. See docs/pg-copy.md.
function M.copy(o)
  readonly.refuse "copy a database"
  return require("pg.copy").copy(o)
end

--- Compares two databases; raises an error that names what differs. See docs/pg-same.md.
function M.same(o) return require("pg.same").same(o) end

--- A recipe's guard that keeps everybody from writing to a database, with its owner's rights: transactions are read-only by
--- default, for all roles, and sessions that began before are ended; those in a transaction may finish it first.
--- `local fence <close> = pg.fence(where)`; a function as `where` answers the URL anew each time.
---@param where any as pg.open takes it, or a function that answers it
---@param opts? { patience: number, spare: string[] } patience: seconds for transactions under way; spare: application names, as LIKE takes them
---@return table guard
function M.fence(where, opts) return require("pg.fence").new(where, opts) end

--- Looks for what would make a move fail or surprise; changes nothing. See docs/pg-check.md.
function M.check(o) return require("pg.check").check(o) end

return M
