--- Who owns what and who may do what, in a target whose role is no superuser. A role of the source stands for the one of
--- the same name (or the one that roles = { old = "new" } says) if the target has it; an owner in whose name the
--- target's role may not act is replaced by that role. What a missing role was granted is left out, and said.
local connection = require "pg.connection"

local M = {}

---@class PgRoles
local Roles = {}
Roles.__index = Roles

local quote = connection.quote_name

local function plain(name) return name:match '^"(.*)"$' and name:sub(2, -2):gsub('""', '"') or name end

local function needs_quotes(name) return name:find "^[%l_][%w_]*$" == nil end

local function written(name) return needs_quotes(name) and quote(name) or name end

--- @return table self with what it finds in the target
function M.read(conn, given)
  local self = setmetatable({ map = given or {}, known = {}, skipped = {}, told = {}, me = conn:value "SELECT current_user::text" }, Roles)
  for row in conn:rows "SELECT rolname::text AS name, pg_has_role(current_user, oid, 'MEMBER') AS mine FROM pg_roles" do
    self.known[row.name] = row.mine and "mine" or "other"
  end
  return self
end

--- The target's role for an owner.
function Roles:owner(name)
  local new = self.map[name] or name
  return self.known[new] == "mine" and new or self.me
end

--- What a role is called in the target, or nil.
function Roles:known_as(name)
  local new = self.map[name] or name
  return self.known[new] and new or nil
end

--- The target's role for a grantee, or nil.
local function grantee_for(self, name, owner)
  if name == "PUBLIC" then return name end
  if name == owner then return self:owner(name) end
  return self:known_as(name)
end

--- Counts something that is left out for want of a role.
---@param what string "grants to"
function Roles:skip(role, what)
  local key = what .. " the role " .. role
  self.skipped[key] = (self.skipped[key] or 0) + 1
end

--- Keeps a sentence about something else that is left out.
function Roles:tell(sentence) self.told[#self.told + 1] = sentence end

--- A GRANT, REVOKE or ALTER DEFAULT PRIVILEGES with the target's roles, or nil if it has no such role.
function Roles:grant(line, owner)
  local head, role, tail = line:match "^(.- TO )(.-)( WITH GRANT OPTION;)$"
  if not head then head, role, tail = line:match "^(.- TO )([^ ]+)(;)$" end
  if not head then head, role, tail = line:match '^(.- TO )(".+")(;)$' end
  if not head then head, role, tail = line:match "^(.- FROM )([^ ]+)(;)$" end
  if not head then head, role, tail = line:match '^(.- FROM )(".+")(;)$' end
  if not head then return line end
  local new = grantee_for(self, plain(role), owner)
  if not new then
    self:skip(plain(role), "grants to")
    return nil
  end
  local by, name, rest = head:match '^(ALTER DEFAULT PRIVILEGES FOR ROLE )("[^"]+")( .*)$'
  if not by then by, name, rest = head:match "^(ALTER DEFAULT PRIVILEGES FOR ROLE )(%S+)( .*)$" end
  if by then head = by .. written(self:owner(plain(name))) .. rest end
  return head .. (new == "PUBLIC" and new or written(new)) .. tail
end

--- CREATE POLICY name ON table ... TO roles ...
local function mapped_policy(self, sql)
  local head, names, tail = sql:match "^(CREATE POLICY [^(]- TO )([^(]-)( USING %(.*)$"
  if not head then head, names, tail = sql:match "^(CREATE POLICY [^(]- TO )([^(]-)( WITH CHECK %(.*)$" end
  if not head then head, names, tail = sql:match "^(CREATE POLICY [^(]- TO )([^(]-)(;)$" end
  if not head then return sql end
  return head .. names:gsub("[^, ]+", function(name) return self.map[plain(name)] and written(self.map[plain(name)]) end) .. tail
end

--- Writes the target's roles into entries of the dump.
---@param entries DumpEntry[]
function Roles:apply(entries)
  for _, entry in ipairs(entries) do
    if entry.owner_sql then
      entry.new_owner = self:owner(entry.owner)
      local to = (" OWNER TO %s;"):format(written(entry.new_owner)):gsub("%%", "%%%%")
      entry.owner_sql = entry.new_owner ~= self.me and entry.owner_sql:gsub(" OWNER TO [^\n]-;$", to) or nil
    end
    if entry.type == "ACL" or entry.type == "DEFAULT ACL" then
      local lines = {}
      for line in (entry.sql .. "\n"):gmatch "([^\n]+)\n" do
        if not line:find "^RE?SET SESSION AUTHORIZATION" and not line:find "^SET SESSION AUTHORIZATION" then
          lines[#lines + 1] = self:grant(line, entry.owner)
        end
      end
      entry.sql = table.concat(lines, "\n")
    elseif entry.type == "POLICY" then
      entry.sql = mapped_policy(self, entry.sql)
    end
  end
end

-- Who may be made the owner of something in a schema must be allowed to create there; who is not, is for that moment.
local LACKS = "SELECT NOT has_schema_privilege($1, $2, 'CREATE')"

--- The statements that hand things over to their owners, tables first: their sequences go with them.
---@return string[]
function M.owners(conn, entries)
  local first, second, lent, list = {}, {}, {}, {}
  for _, entry in ipairs(entries) do
    if entry.owner_sql then
      local to = entry.type == "TABLE" and first or second
      to[#to + 1] = entry.owner_sql
      local key = entry.schema .. "\0" .. entry.new_owner
      if entry.schema ~= "-" and lent[key] == nil then
        lent[key] = conn:value(LACKS, entry.new_owner, entry.schema)
        if lent[key] then list[#list + 1] = ("GRANT CREATE ON SCHEMA %s TO %s;"):format(quote(entry.schema), written(entry.new_owner)) end
      end
    end
  end
  table.move(first, 1, #first, #list + 1, list)
  table.move(second, 1, #second, #list + 1, list)
  for key, is_lent in pairs(lent) do
    local schema, role = key:match "^(.-)%z(.*)$"
    if is_lent then list[#list + 1] = ("REVOKE CREATE ON SCHEMA %s FROM %s;"):format(quote(schema), written(role)) end
  end
  return list
end

--- Sentences about what is left out.
---@return string[]
function Roles:notes()
  local list = {}
  for what, n in pairs(self.skipped) do list[#list + 1] = ("%d %s are left out: the target has no such role"):format(n, what) end
  table.sort(list)
  return table.move(self.told, 1, #self.told, #list + 1, list)
end

return M
