--- The schema of a database as a list of (object, definition), in the server's
--- own words (pg_get_indexdef and its kin), so that two databases can be laid
--- side by side. Owners and privileges are no part of it.
-- luacheck: no max line length (SQL)
local catalog = require "pg.catalog"

local M = {}

local function user(class, oid) return catalog.is_user(class, oid) end
local RELATION = " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
local NAME = "format('%I.%I', n.nspname, c.relname)"

local QUERIES = {
  [[SELECT 'schema ' || quote_ident(n.nspname) AS object, '' AS definition FROM pg_namespace n WHERE ]] .. user("pg_namespace", "n.oid"),
  [[SELECT 'extension ' || extname AS object, 'in ' || quote_ident(n.nspname) AS definition
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace]],
  [[SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END || ]] .. NAME ..
    [[ AS object, concat_ws('; ', c.relpersistence, 'replica identity ' || c.relreplident::text, CASE WHEN c.relrowsecurity THEN 'row security' END,
      CASE WHEN c.relforcerowsecurity THEN 'forced' END, array_to_string(c.reloptions, ','), 'partition by ' || pg_get_partkeydef(c.oid),
      pg_get_expr(c.relpartbound, c.oid), (SELECT 'inherits ' || string_agg(i.inhparent::regclass::text, ',' ORDER BY i.inhseqno)
        FROM pg_inherits i WHERE i.inhrelid = c.oid), CASE WHEN c.relkind = 'm' AND NOT c.relispopulated THEN 'not populated' END,
      CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END) AS definition]] .. RELATION ..
    [[WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND ]] .. user("pg_class", "c.oid"),
  [[SELECT 'column ' || ]] .. NAME .. [[ || '.' || quote_ident(a.attname) AS object,
      concat_ws(' ', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), format_type(a.atttypid, a.atttypmod),
      CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || (SELECT collname FROM pg_collation WHERE oid = a.attcollation) END,
      CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'IDENTITY ' || nullif(a.attidentity::text, ''), CASE a.attgenerated WHEN '' THEN 'DEFAULT ' ELSE 'GENERATED ' END
      || pg_get_expr(d.adbin, d.adrelid), 'storage ' || a.attstorage::text, 'statistics ' || nullif(a.attstattarget, -1)::text) AS definition]] .. RELATION ..
    [[JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't' AND ]] .. user("pg_class", "c.oid"),
  [[SELECT 'index ' || ]] .. NAME .. [[ AS object, concat_ws('; ', pg_get_indexdef(c.oid), CASE WHEN NOT i.indisvalid THEN 'invalid' END,
      CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'replica identity' END,
      (SELECT 'part of ' || h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = c.oid)) AS definition]] .. RELATION ..
    [[JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind IN ('i', 'I') AND ]] .. user("pg_class", "i.indrelid"),
  [[SELECT 'constraint ' || quote_ident(k.conname) || ' on ' || coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) AS object,
      pg_get_constraintdef(k.oid) AS definition FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.contype <> 'n' AND ]] .. user("pg_constraint", "k.oid") ..
    [[ AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.deptype = 'e' AND y.classid = 'pg_class'::regclass AND y.objid = k.conrelid)
    AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.deptype = 'e' AND y.classid = 'pg_type'::regclass AND y.objid = k.contypid)]],
  [[SELECT 'trigger ' || quote_ident(t.tgname) || ' on ' || ]] .. NAME .. [[ AS object,
      pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'O' THEN '' WHEN 'D' THEN '; disabled' ELSE '; fires ' || t.tgenabled::text END AS definition]] .. RELATION ..
    [[JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND ]] .. user("pg_class", "c.oid"),
  [[SELECT 'event trigger ' || evtname AS object, concat_ws(' ', evtevent, evtfoid::regproc, evtenabled, evttags) AS definition FROM pg_event_trigger]],
  [[SELECT 'rule ' || quote_ident(r.rulename) || ' on ' || ]] .. NAME .. [[ AS object, pg_get_ruledef(r.oid) || r.ev_enabled::text AS definition]] .. RELATION ..
    [[JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN' AND ]] .. user("pg_class", "c.oid"),
  [[SELECT 'policy ' || quote_ident(p.polname) || ' on ' || ]] .. NAME .. [[ AS object, concat_ws(' ', p.polpermissive, p.polcmd, p.polroles::regrole[],
      pg_get_expr(p.polqual, c.oid), 'CHECK ' || pg_get_expr(p.polwithcheck, c.oid)) AS definition]] .. RELATION ..
    [[JOIN pg_policy p ON p.polrelid = c.oid WHERE ]] .. user("pg_class", "c.oid"),
  [[SELECT CASE p.prokind WHEN 'a' THEN 'aggregate ' ELSE 'function ' END || p.oid::regprocedure AS object,
      CASE WHEN p.prokind = 'a' THEN (SELECT concat_ws(' ', aggtransfn, aggfinalfn, aggtranstype::regtype, agginitval, aggkind) FROM pg_aggregate WHERE aggfnoid = p.oid)
      ELSE pg_get_functiondef(p.oid) END AS definition FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ]] .. user("pg_proc", "p.oid") ..
    " AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.classid = 'pg_proc'::regclass AND y.objid = p.oid AND y.deptype = 'i')",
  [[SELECT 'type ' || t.oid::regtype AS object, concat_ws(' ', t.typtype, (SELECT string_agg(quote_literal(enumlabel), ',' ORDER BY enumsortorder) FROM pg_enum
      WHERE enumtypid = t.oid), CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) || ' ' || t.typnotnull::text || ' ' || coalesce(t.typdefault, '') END,
      (SELECT rngsubtype::regtype::text FROM pg_range WHERE rngtypid = t.oid)) AS definition
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE (t.typtype IN ('e', 'd', 'r')
      OR (t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')) AND ]] .. user("pg_type", "t.oid"),
  [[SELECT 'sequence ' || ]] .. NAME .. [[ AS object, concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
      (SELECT 'owned by ' || d.refobjid::regclass || '.' || d.refobjsubid::text FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
        AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid = 0)) AS definition]] .. RELATION ..
    "JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.relpersistence <> 't' AND " .. user("pg_class", "c.oid"),
  [[SELECT 'statistics ' || format('%I.%I', n.nspname, s.stxname) AS object, pg_get_statisticsobjdef(s.oid) AS definition
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE ]] .. user("pg_statistic_ext", "s.oid"),
  [[SELECT 'operator ' || o.oid::regoperator AS object, o.oprcode::text AS definition FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE ]] .. user("pg_operator", "o.oid"),
  [[SELECT 'collation ' || format('%I.%I', n.nspname, l.collname) AS object, concat_ws(' ', l.collprovider, l.collcollate, l.collctype, l.collisdeterministic) AS definition
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE ]] .. user("pg_collation", "l.oid"),
  [[SELECT 'comment on ' || CASE x.classoid WHEN 'pg_class'::regclass THEN x.objoid::regclass::text || coalesce('.' || (SELECT quote_ident(attname) FROM pg_attribute
      WHERE attrelid = x.objoid AND attnum = x.objsubid AND x.objsubid > 0), '') ELSE pg_describe_object(x.classoid, x.objoid, x.objsubid) END AS object,
      x.description AS definition FROM pg_description x JOIN pg_class c ON x.classoid = 'pg_class'::regclass AND x.objoid = c.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ]] .. user("pg_class", "c.oid"),
}

--- object -> definition.
---@param conn PgConnection with catalog.PLAIN set
---@param map table<string, string> schemas to rename
---@return table<string, string>
function M.read(conn, map)
  local found = {}
  local function rename(s)
    for from, to in pairs(map) do
      s = s:gsub("%f[%w_]" .. from .. "%f[^%w_]", to)
    end
    return s
  end
  for _, query in ipairs(QUERIES) do
    for row in conn:rows(query) do
      if not (row.object:find "^schema " and (map[row.object:match "^schema (.*)$"] or row.object == "schema public")) then
        found[rename(row.object)] = rename(row.definition or "")
      end
    end
  end
  return found
end

--- What differs, one sentence each, sorted.
---@return string[]
function M.compare(a, b)
  local list = {}
  local function first_difference(x, y)
    local i = 1
    while x:byte(i) == y:byte(i) do i = i + 1 end
    local from = math.max(1, i - 20)
    return x:sub(from, i + 40), y:sub(from, i + 40)
  end
  for object, definition in pairs(a) do
    if b[object] == nil then list[#list + 1] = object .. " is missing in b"
    elseif b[object] ~= definition then
      list[#list + 1] = ("%s differs: %q in a, %q in b"):format(object, first_difference(definition, b[object]))
    end
  end
  for object in pairs(b) do
    if a[object] == nil then list[#list + 1] = object .. " is missing in a" end
  end
  table.sort(list)
  return list
end

return M
