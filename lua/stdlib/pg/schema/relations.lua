--- Facts about tables and what belongs to them; see sql.lua.
-- luacheck: no max line length (SQL)
local sql = require "pg.schema.sql"

local NAME, KIND, RELATION, user = sql.NAME, sql.KIND, sql.RELATION, sql.user

return {
  { "table", [[SELECT ]] .. KIND .. [[ || ]] .. NAME .. [[ AS object,
      CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END AS persistence,
      CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END AS "replica identity",
      c.relrowsecurity AS "row security", c.relforcerowsecurity AS "forced row security",
      ]] .. sql.options "c.reloptions" .. [[ AS options, (SELECT ]] .. sql.options "t.reloptions" .. [[ FROM pg_class t WHERE t.oid = c.reltoastrelid) AS "toast options",
      (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace, (SELECT amname FROM pg_am WHERE oid = c.relam) AS "access method",
      pg_get_partkeydef(c.oid) AS "partition key", pg_get_expr(c.relpartbound, c.oid) AS "partition bound", nullif(c.reloftype, 0)::regtype::text AS "row type",
      (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parents,
      (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS "column order",
      CASE WHEN c.relkind = 'm' THEN c.relispopulated END AS populated, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS definition,
      (SELECT quote_ident(s.srvname) FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid) AS server,
      (SELECT ]] .. sql.options "f.ftoptions" .. [[ FROM pg_foreign_table f WHERE f.ftrelid = c.oid) AS "server options",
      ]] .. sql.owner "c.relowner" .. ", " .. sql.grants("c.relacl", "r", "c.relowner") .. ", " .. sql.comment("c.oid", "pg_class") .. RELATION ..
    [[WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND ]] .. user("pg_class", "c.oid") },

  { "column", [[SELECT 'column ' || ]] .. NAME .. [[ || '.' || quote_ident(a.attname) AS object, ]] .. KIND .. [[ || ]] .. NAME .. [[ AS of,
      format_type(a.atttypid, a.atttypmod) AS type,
      (SELECT CASE WHEN a.attcollation <> t.typcollation THEN CASE WHEN ln.nspname = 'pg_catalog' THEN quote_ident(l.collname) ELSE format('%I.%I', ln.nspname, l.collname) END END
        FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation) AS collation,
      a.attnotnull AS "not null", CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default,
      CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ' ' || pg_get_expr(d.adbin, d.adrelid) END AS generated,
      CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
      CASE WHEN c.relkind NOT IN ('v', 'c') THEN CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END END AS storage,
      nullif(]] .. sql.maybe("a", "attcompression") .. [[, '') AS compression, nullif(a.attstattarget, -1)::text AS "statistics target",
      ]] .. sql.options("a.attoptions", "x ~ '^n_distinct'") .. [[ AS options, ]] .. sql.options "a.attfdwoptions" .. [[ AS "server options",
      concat_ws(' and ', CASE WHEN a.attislocal THEN 'its own' END, CASE WHEN a.attinhcount > 0 THEN 'inherited' END) AS inheritance,
      ]] .. sql.grants "a.attacl" .. [[, col_description(c.oid, a.attnum) AS comment]] .. RELATION ..
    [[JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't' AND ]] .. user("pg_class", "c.oid") },

  { "index", [[SELECT 'index ' || ]] .. NAME .. [[ AS object, (SELECT CASE t.relkind WHEN 'm' THEN 'materialized view ' ELSE 'table ' END || format('%I.%I', tn.nspname, t.relname)
        FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = i.indrelid) AS of,
      pg_get_indexdef(c.oid) AS definition, i.indisvalid AS valid, i.indisclustered AS clustered, i.indisreplident AS "replica identity",
      (SELECT h.inhparent::regclass::text FROM pg_inherits h WHERE h.inhrelid = c.oid) AS "part of",
      (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace,
      (SELECT string_agg(a.attnum || ': ' || a.attstattarget, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attstattarget >= 0) AS "statistics target",
      ]] .. sql.comment("c.oid", "pg_class") .. RELATION ..
    [[JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relkind IN ('i', 'I') AND c.relpersistence <> 't' AND ]] .. user("pg_class", "i.indrelid") },

  -- A foreign key of a partition that comes from its parent's has a name that the server chose. NOT NULL is the column's.
  { "constraint", [[SELECT 'constraint ' || quote_ident(k.conname) || ' on ' || coalesce(nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text) AS object,
      CASE WHEN k.conrelid <> 0 THEN 'table ' || k.conrelid::regclass ELSE 'type ' || k.contypid::regtype END AS of,
      pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated, k.condeferrable AS deferrable, k.condeferred AS deferred,
      concat_ws(' and ', CASE WHEN k.conislocal THEN 'its own' END, CASE WHEN k.coninhcount > 0 THEN 'inherited' END) AS inheritance,
      ]] .. sql.comment("k.oid", "pg_constraint") .. [[ FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.contype <> 'n' AND NOT (k.contype = 'f' AND k.conparentid <> 0) AND ]] .. user("pg_constraint", "k.oid") ..
    [[ AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.deptype = 'e' AND y.classid = 'pg_class'::regclass AND y.objid = k.conrelid)
    AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.deptype = 'e' AND y.classid = 'pg_type'::regclass AND y.objid = k.contypid)]] },

  { "trigger", [[SELECT 'trigger ' || quote_ident(t.tgname) || ' on ' || ]] .. NAME .. [[ AS object, ]] .. KIND .. [[ || ]] .. NAME .. [[ AS of,
      pg_get_triggerdef(t.oid) AS definition, CASE t.tgenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'in a replica' ELSE 'always' END AS state,
      ]] .. sql.comment("t.oid", "pg_trigger") .. RELATION ..
    [[JOIN pg_trigger t ON t.tgrelid = c.oid WHERE NOT t.tgisinternal AND ]] .. user("pg_class", "c.oid") },

  { "rule", [[SELECT 'rule ' || quote_ident(r.rulename) || ' on ' || ]] .. NAME .. [[ AS object, ]] .. KIND .. [[ || ]] .. NAME .. [[ AS of, pg_get_ruledef(r.oid) AS definition,
      CASE r.ev_enabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'in a replica' ELSE 'always' END AS state,
      ]] .. sql.comment("r.oid", "pg_rewrite") .. RELATION ..
    [[JOIN pg_rewrite r ON r.ev_class = c.oid WHERE r.rulename <> '_RETURN' AND ]] .. user("pg_class", "c.oid") },

  { "policy", [[SELECT 'policy ' || quote_ident(p.polname) || ' on ' || ]] .. NAME .. [[ AS object, ]] .. KIND .. [[ || ]] .. NAME .. [[ AS of, p.polpermissive AS permissive,
      CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END AS command,
      (SELECT string_agg(CASE x WHEN 0 THEN 'PUBLIC' ELSE ]] .. sql.role "x" .. [[ END, ', ' ORDER BY pg_get_userbyid(x)) FROM unnest(p.polroles) x) AS roles,
      pg_get_expr(p.polqual, c.oid) AS condition, pg_get_expr(p.polwithcheck, c.oid) AS check, ]] .. sql.comment("p.oid", "pg_policy") .. RELATION ..
    [[JOIN pg_policy p ON p.polrelid = c.oid WHERE ]] .. user("pg_class", "c.oid") },

  { "sequence", [[SELECT 'sequence ' || ]] .. NAME .. [[ AS object, s.seqtypid::regtype::text AS type, s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum,
      s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle, CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'logged' END AS persistence,
      (SELECT d.refobjid::regclass || '.' || quote_ident(a.attname) FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass) AS "owned by",
      ]] .. sql.owner "c.relowner" .. ", " .. sql.grants("c.relacl", "s", "c.relowner") .. ", " .. sql.comment("c.oid", "pg_class") .. RELATION ..
    "JOIN pg_sequence s ON s.seqrelid = c.oid WHERE c.relpersistence <> 't' AND " .. user("pg_class", "c.oid") },

  { "statistics", [[SELECT 'statistics ' || format('%I.%I', n.nspname, s.stxname) AS object, pg_get_statisticsobjdef(s.oid) AS definition,
      nullif(]] .. sql.maybe("s", "stxstattarget") .. [[, '-1') AS "statistics target", ]] .. sql.owner "s.stxowner" .. ", " .. sql.comment("s.oid", "pg_statistic_ext") ..
    [[ FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE ]] .. user("pg_statistic_ext", "s.oid") },
}
