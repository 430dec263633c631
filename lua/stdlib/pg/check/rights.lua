--- Checks of who may do what: the source's role, the target's role, and who owns DATABASE_URL on Heroku.
-- luacheck: no max line length (SQL)
local define = require "pg.check.define"
local endpoint = require "pg.endpoint"

local finding, objects, ok = define.finding, define.objects, define.ok
local NAME, RELATIONS = define.NAME, define.RELATIONS

--- Whether the URL that an app's config var has names the database of `from`.
local function is_same_database(c, url)
  local read, e = pcall(endpoint.read, url)
  return read and e.host == c.host and e.database == c.database
end

local function database_url(c)
  local app = c.o.app
  if not app then return nil end
  if type(app) == "string" then app = require("heroku").app(app) end
  local owner, old
  for _, a in ipairs(app.attachments) do if a.name == "DATABASE" then owner = a end end
  local url = app.config.DATABASE_URL
  if not url then
    return finding("info", "not set", ("the app %s has no DATABASE_URL"):format(app.name),
      ("heroku addons:attach ADDON --as DATABASE -a %s"):format(app.name))
  elseif not is_same_database(c, url) then
    return finding("warning", owner and owner.addon.name or "set by hand", ("DATABASE_URL of %s names another database than the source"):format(app.name),
      ("give the app's own: heroku config:get DATABASE_URL -a %s"):format(app.name))
  elseif not owner then
    return finding("info", "set by hand", ("DATABASE_URL of %s is a config var of its own, which no add-on renews"):format(app.name),
      ("heroku config:set DATABASE_URL=... -a %s, when the target has taken over"):format(app.name))
  end
  for _, a in ipairs(app.attachments) do if a.addon.id == owner.addon.id and a ~= owner then old = a.name end end
  return finding("info", owner.addon.name,
    ("DATABASE_URL of %s belongs to the attachment DATABASE of %s, so config:set cannot overwrite it"):format(app.name, owner.addon.name),
    (old and "" or ("heroku addons:attach %s --as HEROKU_POSTGRESQL_OLD -a %s && "):format(owner.addon.name, app.name)) ..
    ("heroku addons:detach DATABASE -a %s, then config:set"):format(app.name), { owner.name })
end

local function target_rights(c)
  local row = c.to:query [[SELECT has_database_privilege(d.oid, 'CREATE') AS may_create, pg_has_role(d.datdba, 'USAGE') AS owns,
      coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = 'public'), true) AS public,
      format('%I', d.datname) AS database, format('%I', current_user) AS role FROM pg_database d WHERE d.datname = current_database()]][1]
  if not row.may_create or not row.owns then
    return finding("error", row.may_create and "CREATE only" or "no CREATE", ("the role %s does not own the target database %s"):format(row.role, row.database),
      ("ALTER DATABASE %s OWNER TO %s;"):format(row.database, row.role))
  elseif not row.public then
    return finding("error", "no CREATE on public", ("the role %s may make nothing in the schema public of the target"):format(row.role),
      ("GRANT ALL ON SCHEMA public TO %s;"):format(row.role))
  end
  return ok "owner"
end

--- Roles that the source names and the target does not have.
local function missing_roles(severity, sql, why)
  return function(c)
    local missing, makes = {}, {}
    for _, row in ipairs(c.from:query(sql)) do
      if not c.to:value("SELECT 1 FROM pg_roles WHERE rolname = $1", row.name) then
        missing[#missing + 1], makes[#makes + 1] = row.name, ("CREATE ROLE %s NOLOGIN;"):format(row.quoted)
      end
    end
    if #missing == 0 then return ok(0) end
    return finding(severity, #missing, ("the target does not have the roles %s: %s"):format(define.some(missing), why), define.some(makes, " "), missing)
  end
end

-- Who is granted something on tables, sequences, schemas or functions, the owners left out.
local GRANTEES = [[SELECT DISTINCT r.rolname::text AS name, format('%I', r.rolname) AS quoted FROM (
    SELECT c.relacl AS acl, c.relowner AS owner ]] .. RELATIONS ..
    " UNION ALL SELECT n.nspacl, n.nspowner FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'" ..
    [[ UNION ALL SELECT p.proacl, p.proowner FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    ) x CROSS JOIN aclexplode(x.acl) a JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> x.owner AND r.rolname !~ '^pg_' ORDER BY 1]]

return {
  objects { id = "unreadable", name = "tables and sequences that the role cannot read", severity = "error",
    dms = { "postgres-check-select-object-privileges" },
    sql = "SELECT " .. NAME .. " AS name, format('GRANT USAGE ON SCHEMA %I TO %I; GRANT SELECT ON %I.%I TO %2$I;', n.nspname, current_user, n.nspname, c.relname) AS remedy " ..
      RELATIONS .. " AND c.relkind IN ('r', 'p', 'S', 'm') AND NOT (has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind WHEN 'S' " ..
      "THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END) ORDER BY 1",
    why = "the copy stops at them" },
  objects { id = "trigger-permission", name = "tables without the right to make triggers", severity = "info",
    sql = "SELECT " .. NAME .. " AS name, format('GRANT TRIGGER ON %I.%I TO %I;', n.nspname, c.relname, current_user) AS remedy " ..
      RELATIONS .. " AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'TRIGGER') ORDER BY 1",
    why = "their changes cannot be captured while the app goes on; a copy within a freeze needs no trigger" },
  { id = "database-url", name = "owner of DATABASE_URL", run = database_url },
  objects { id = "target-empty", name = "objects in the target", side = "to", on = "to", severity = "error", mover = "copy",
    sql = "SELECT " .. NAME .. " AS name " .. RELATIONS .. " AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') ORDER BY 1",
    why = "a copy goes into an empty database", remedy = "CREATE DATABASE a new one, or pg.copy with restart = true (what a copy left) or reset = true (drops all)" },
  { id = "target-rights", name = "rights on the target", side = "to", dms = { "postgres-check-target-privileges" }, run = target_rights },
  { id = "policy-roles", name = "roles in policies", side = "to", run = missing_roles("error",
    "SELECT DISTINCT r.rolname::text AS name, format('%I', r.rolname) AS quoted FROM pg_policy p JOIN pg_roles r ON r.oid = ANY (p.polroles) ORDER BY 1",
    "row-level policies name them") },
  { id = "granted-roles", name = "roles with grants", side = "to", run = missing_roles("warning", GRANTEES, "what is granted to them cannot be") },
}
