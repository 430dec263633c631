--- Pieces of the queries for a schema's facts. A query answers one row for each
--- object: `object`, its kind and name; `of`, the object that it is a part of,
--- where it is one; every other column is a property. No row of an extension's
--- members; names come quoted and with their schema.
local catalog = require "pg.catalog"

local M = {}

M.user = catalog.is_user

M.RELATION = " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
M.NAME = "format('%I.%I', n.nspname, c.relname)"

-- The kind of relation c.
M.KIND = [[CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type'
  WHEN 'S' THEN 'sequence' ELSE 'table' END || ' ']]

-- A role, marked, so that schema.lua can say it in the words that both sides share.
function M.role(oid) return ("chr(1) || pg_get_userbyid(%s) || chr(2)"):format(oid) end

local function listed(acl)
  return ([[(SELECT string_agg(g.line, chr(10)) FROM (SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE %s END || '=' ||
      string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END, ', ' ORDER BY x.privilege_type) AS line
    FROM aclexplode(%s) x WHERE x.privilege_type <> 'MAINTAIN' GROUP BY x.grantee) g)]]):format(M.role "x.grantee", acl)
end

-- Who may do what; an ACL that was never touched is the default one written out. MAINTAIN is PostgreSQL 17's.
function M.grants(acl, kind, owner)
  if not kind then return listed(acl) .. " AS grants" end
  return listed(("coalesce(%s, acldefault('%s', %s))"):format(acl, kind, owner)) .. " AS grants"
end

function M.owner(column) return M.role(column) .. " AS owner" end

function M.comment(oid, class) return ("obj_description(%s, '%s') AS comment"):format(oid, class) end

-- A column that not every version has: text, or null.
function M.maybe(alias, column) return ("to_jsonb(%s)->>'%s'"):format(alias, column) end

--- A list of options; minor versions keep notes of their own beside those of a column (pg_attver), which `where` leaves out.
function M.options(array, where)
  return ("(SELECT string_agg(x, ', ' ORDER BY x) FROM unnest(%s) x WHERE %s)"):format(array, where or "true")
end

return M
