--- Settings of the database, and of roles in it (ALTER DATABASE ... SET, ALTER ROLE ... IN DATABASE ... SET). Those that the
--- target's role may not set, or that its server does not know, are left out, and said.
local connection = require "pg.connection"
local errors = require "errors"

local M = {}

local SETTINGS = [[SELECT CASE WHEN s.setrole <> 0 THEN pg_get_userbyid(s.setrole)::text END AS role, c.setting FROM pg_db_role_setting s, unnest(s.setconfig) c(setting)
  WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1 NULLS FIRST, 2]]

-- A source that is closed to its writers says it so; the target is to be open.
local OF_THE_SOURCE = { default_transaction_read_only = true }

--- A search_path with the target's names of schemas, each once.
local function mapped_path(value, schema_map)
  local list, seen = {}, {}
  for item in value:gmatch "[^,%s][^,]*" do
    item = item:gsub("%s+$", "")
    item = schema_map[item] or item
    if not seen[item] then list[#list + 1] = item end
    seen[item] = true
  end
  return table.concat(list, ", ")
end

--- The value goes as a parameter and is made permanent from there: so nothing has to be quoted as its own kind of list.
local function set(conn, whose, name, value)
  local tx <close> = conn:transaction()
  conn:query("SELECT set_config($1, $2, true)", name, value)
  conn:exec(("ALTER %s SET %s FROM CURRENT"):format(whose, name))
  tx:commit()
end

--- Gives the target the source's settings.
---@param source PgConnection
---@param conn PgConnection
---@param roles PgRoles what is left out is told there
---@param schema_map table<string, string>
function M.copy(source, conn, roles, schema_map)
  local database, login = connection.quote_name(conn:info().database), source:value "SELECT current_user::text"
  for row in source:rows(SETTINGS) do
    local name, value = row.setting:match "^([%w_.]+)=(.*)$"
    local role = row.role and (row.role == login and roles.me or roles:known_as(row.role))
    if row.role and not role then roles:skip(row.role, "settings in the database of")
    elseif name and not OF_THE_SOURCE[name] then
      if name == "search_path" then value = mapped_path(value, schema_map) end
      local whose = role and ("ROLE %s IN DATABASE %s"):format(connection.quote_name(role), database) or "DATABASE " .. database
      local ok, e = pcall(set, conn, whose, name, value)
      if not ok then
        if not errors.is(e, "remote") then error(e, 0) end
        roles:tell(("the setting %s of the %s is left out: %s"):format(name, role and "role " .. role or "database", e.message))
      end
    end
  end
end

return M
