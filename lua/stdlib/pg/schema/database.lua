--- Facts about the database as a whole: settings, schemas, extensions, and
--- what has no schema; see sql.lua.
-- luacheck: no max line length (SQL)
local sql = require "pg.schema.sql"

local user = sql.user

local function member(class, oid)
  return ("NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '%s'::regclass AND x.objid = %s AND x.deptype = 'e')"):format(class, oid)
end

return {
  -- The comment may be the mark of a copy (pg/target.lua).
  { "database", [[SELECT 'the database' AS object, pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS collation, d.datctype::text AS ctype,
      coalesce(]] .. sql.maybe("d", "datlocprovider") .. [[, 'c') AS "locale provider", coalesce(]] .. sql.maybe("d", "daticulocale") .. ", " .. sql.maybe("d", "datlocale") .. [[) AS locale,
      d.datconnlimit AS "connection limit", (SELECT ]] .. sql.options "s.setconfig" .. [[ FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = 0) AS settings,
      (SELECT spcname::text FROM pg_tablespace WHERE oid = d.dattablespace) AS tablespace,
      ]] .. sql.owner "d.datdba" .. ", " .. sql.grants("d.datacl", "d", "d.datdba") .. [[,
      (SELECT x FROM shobj_description(d.oid, 'pg_database') x WHERE x !~ '^hkrun copy of ') AS comment FROM pg_database d WHERE d.datname = current_database()]] },

  { "role", [[SELECT 'role ' || ]] .. sql.role "s.setrole" .. [[ || ' in the database' AS object, ]] .. sql.options "s.setconfig" .. [[ AS settings
    FROM pg_db_role_setting s WHERE s.setrole <> 0 AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())]] },

  -- public belongs to whom the version of the server gave it to, with the rights of that version, unless somebody changed it.
  { "schema", [[SELECT 'schema ' || quote_ident(n.nspname) AS object, CASE WHEN n.nspname = 'public' AND n.nspowner IN (10, 6171) THEN 'as installed' ELSE ]] .. sql.role "n.nspowner" .. [[ END AS owner,
      CASE WHEN n.nspname = 'public' AND n.nspacl IS NOT DISTINCT FROM (SELECT initprivs FROM pg_init_privs WHERE classoid = 'pg_namespace'::regclass AND objoid = n.oid) THEN 'as installed'
        ELSE ]] .. sql.grants("n.nspacl", "n", "n.nspowner"):gsub(" AS grants$", "") .. [[ END AS grants,
      nullif(obj_description(n.oid, 'pg_namespace'), 'standard public schema') AS comment FROM pg_namespace n WHERE ]] .. user("pg_namespace", "n.oid") },

  { "extension", [[SELECT 'extension ' || quote_ident(e.extname) AS object, n.nspname::text AS schema, e.extversion AS version
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace]] },

  { "event trigger", [[SELECT 'event trigger ' || quote_ident(t.evtname) AS object, t.evtevent::text AS event, t.evtfoid::regproc::text AS function, ]] .. sql.options "t.evttags" .. [[ AS tags,
      CASE t.evtenabled WHEN 'O' THEN 'enabled' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'in a replica' ELSE 'always' END AS state,
      ]] .. sql.owner "t.evtowner" .. ", " .. sql.comment("t.oid", "pg_event_trigger") .. [[ FROM pg_event_trigger t WHERE ]] .. member("pg_event_trigger", "t.oid") },

  { "default privileges", [[SELECT 'default privileges of ' || ]] .. sql.role "d.defaclrole" .. [[ || coalesce(' in schema ' || quote_ident(n.nspname), '') || ' on ' ||
      CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE 'large objects' END AS object,
      ]] .. sql.grants "d.defaclacl" .. [[ FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace]] },

  { "foreign-data wrapper", [[SELECT 'foreign-data wrapper ' || quote_ident(f.fdwname) AS object, nullif(f.fdwhandler, 0)::regproc::text AS handler, ]] .. sql.options "f.fdwoptions" .. [[ AS options,
      ]] .. sql.owner "f.fdwowner" .. ", " .. sql.grants("f.fdwacl", "F", "f.fdwowner") .. [[ FROM pg_foreign_data_wrapper f WHERE ]] .. member("pg_foreign_data_wrapper", "f.oid") },

  { "server", [[SELECT 'server ' || quote_ident(s.srvname) AS object, (SELECT fdwname::text FROM pg_foreign_data_wrapper WHERE oid = s.srvfdw) AS wrapper, s.srvtype AS type, s.srvversion AS version,
      ]] .. sql.options "s.srvoptions" .. [[ AS options, ]] .. sql.owner "s.srvowner" .. ", " .. sql.grants("s.srvacl", "S", "s.srvowner") .. [[ FROM pg_foreign_server s WHERE ]] .. member("pg_foreign_server", "s.oid") },

  -- Its options may hold a password: who sees them sees the names only.
  { "user mapping", [[SELECT 'user mapping for ' || CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE ]] .. sql.role "m.umuser" .. [[ END || ' at ' || quote_ident(m.srvname) AS object,
      (SELECT string_agg(split_part(x, '=', 1), ', ' ORDER BY x) FROM unnest(m.umoptions) x) AS options FROM pg_user_mappings m]] },

  { "publication", [[SELECT 'publication ' || quote_ident(p.pubname) AS object, p.puballtables AS "all tables", concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
      CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END) AS changes, p.pubviaroot AS "via root",
      (SELECT string_agg(concat_ws(' ', t.schemaname || '.' || t.tablename, CASE WHEN EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid
          AND ]] .. sql.maybe("r", "prattrs") .. [[ IS NOT NULL) THEN ]] .. sql.maybe("t", "attnames") .. [[ END, ]] .. sql.maybe("t", "rowfilter") .. [[), ', ' ORDER BY t.schemaname, t.tablename)
        FROM pg_publication_tables t WHERE t.pubname = p.pubname AND NOT p.puballtables) AS tables, ]] .. sql.owner "p.pubowner" .. ", " .. sql.comment("p.oid", "pg_publication") .. [[ FROM pg_publication p]] },

  { "subscription", [[SELECT 'subscription ' || quote_ident(s.subname) AS object, s.subenabled AS enabled, s.subslotname::text AS slot, ]] .. sql.options "s.subpublications" .. [[ AS publications,
      ]] .. sql.owner "s.subowner" .. [[ FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())]] },

  { "security label", [[SELECT 'security label of ' || l.objtype || ' ' || l.objname || ' by ' || l.provider AS object, l.label AS label FROM pg_seclabels l WHERE l.objtype <> 'role']] },
}
