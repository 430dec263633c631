--- Facts about functions, operators, casts, types and text search; see sql.lua.
-- luacheck: no max line length (SQL)
local sql = require "pg.schema.sql"

local user = sql.user

--- For catalogs without a namespace: made by a user, and no part of an extension or of another object.
local function made(class, oid)
  return ("%s >= 16384 AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '%s'::regclass AND x.objid = %s AND x.deptype IN ('e', 'i'))"):format(oid, class, oid)
end

-- A row as text, without what is no fact (its oid) or stands elsewhere.
local function row(alias, ...)
  local without = {}
  for i, column in ipairs { "oid", ... } do without[i] = "'" .. column .. "'" end
  return ("(to_jsonb(%s) - ARRAY[%s])::text"):format(alias, table.concat(without, ", "))
end

return {
  { "function", [[SELECT CASE p.prokind WHEN 'a' THEN 'aggregate ' WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.oid::regprocedure AS object,
      CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) ELSE (SELECT concat_ws(' ', ]] .. row("g", "aggfnoid", "aggtranstype", "aggmtranstype", "aggsortop") ..
        [[, aggtranstype::regtype, aggmtranstype::regtype, aggsortop::regoperator, pg_get_function_arguments(p.oid), p.proparallel) FROM pg_aggregate g WHERE aggfnoid = p.oid) END AS definition,
      ]] .. sql.owner "p.proowner" .. ", " .. sql.grants("p.proacl", "f", "p.proowner") .. ", " .. sql.comment("p.oid", "pg_proc") ..
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE " .. user("pg_proc", "p.oid") ..
    " AND NOT EXISTS (SELECT FROM pg_depend y WHERE y.classid = 'pg_proc'::regclass AND y.objid = p.oid AND y.deptype = 'i')" },

  -- Attributes of a composite type are its columns. A multirange type comes with its range type.
  { "type", [[SELECT 'type ' || t.oid::regtype AS object, t.typtype::text AS variety,
      (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) AS labels,
      CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base, CASE WHEN t.typtype = 'd' THEN t.typnotnull END AS "not null",
      CASE WHEN t.typtype = 'd' THEN t.typdefault END AS default,
      CASE WHEN t.typtype = 'd' AND t.typcollation <> (SELECT typcollation FROM pg_type WHERE oid = t.typbasetype) THEN (SELECT collname::text FROM pg_collation WHERE oid = t.typcollation) END AS collation,
      (SELECT concat_ws(', ', rngsubtype::regtype, (SELECT collname FROM pg_collation WHERE oid = rngcollation), (SELECT opcname FROM pg_opclass WHERE oid = rngsubopc), rngcanonical, rngsubdiff)
        FROM pg_range WHERE rngtypid = t.oid) AS range,
      CASE WHEN t.typtype = 'c' THEN (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) END AS "column order",
      CASE WHEN t.typtype = 'b' THEN concat_ws(', ', typlen, typbyval, typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze, typalign, typstorage, typcategory, typispreferred,
        typdelim, nullif(typelem, 0)::regtype, typdefault) END AS definition,
      ]] .. sql.owner "t.typowner" .. ", " .. sql.grants("t.typacl", "T", "t.typowner") .. ", " .. sql.comment("t.oid", "pg_type") .. [[
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE (t.typtype IN ('e', 'd', 'r')
      OR (t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid))
      OR (t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')) AND ]] .. user("pg_type", "t.oid") },

  { "operator", [[SELECT 'operator ' || o.oid::regoperator AS object, o.oprcode::text AS function, o.oprresult::regtype::text AS type,
      nullif(o.oprcom, 0)::regoperator::text AS commutator, nullif(o.oprnegate, 0)::regoperator::text AS negator,
      concat_ws(', ', o.oprrest, o.oprjoin, CASE WHEN o.oprcanmerge THEN 'merges' END, CASE WHEN o.oprcanhash THEN 'hashes' END) AS planning,
      ]] .. sql.owner "o.oprowner" .. ", " .. sql.comment("o.oid", "pg_operator") .. [[ FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE ]] .. user("pg_operator", "o.oid") },

  { "operator class", [[SELECT format('operator class %I.%I for %s', n.nspname, o.opcname, m.amname) AS object, o.opcintype::regtype::text AS type, o.opcdefault AS default,
      nullif(o.opckeytype, 0)::regtype::text AS "key type", (SELECT format('%I.%I', fn.nspname, f.opfname) FROM pg_opfamily f JOIN pg_namespace fn ON fn.oid = f.opfnamespace
        WHERE f.oid = o.opcfamily) AS family, ]] .. sql.owner "o.opcowner" .. ", " .. sql.comment("o.oid", "pg_opclass") .. [[
    FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod WHERE ]] .. user("pg_opclass", "o.oid") },

  { "operator family", [[SELECT format('operator family %I.%I for %s', n.nspname, f.opfname, m.amname) AS object,
      (SELECT string_agg(concat_ws(' ', amopstrategy, amopopr::regoperator, amoppurpose), ', ' ORDER BY amopstrategy, amopopr::regoperator::text) FROM pg_amop WHERE amopfamily = f.oid) AS operators,
      (SELECT string_agg(concat_ws(' ', amprocnum, amproc::regprocedure), ', ' ORDER BY amprocnum, amproc::regprocedure::text) FROM pg_amproc WHERE amprocfamily = f.oid) AS functions,
      ]] .. sql.owner "f.opfowner" .. ", " .. sql.comment("f.oid", "pg_opfamily") .. [[
    FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod WHERE ]] .. user("pg_opfamily", "f.oid") },

  { "cast", [[SELECT format('cast from %s to %s', k.castsource::regtype, k.casttarget::regtype) AS object, nullif(k.castfunc, 0)::regprocedure::text AS function,
      k.castcontext::text AS context, k.castmethod::text AS method, ]] .. sql.comment("k.oid", "pg_cast") .. [[ FROM pg_cast k WHERE ]] .. made("pg_cast", "k.oid") },

  { "collation", [[SELECT 'collation ' || format('%I.%I', n.nspname, l.collname) AS object, l.collprovider::text AS provider, l.collcollate::text AS collate, l.collctype::text AS ctype,
      coalesce(]] .. sql.maybe("l", "colliculocale") .. ", " .. sql.maybe("l", "colllocale") .. [[) AS locale, ]] .. sql.maybe("l", "collicurules") .. [[ AS rules,
      l.collisdeterministic AS deterministic, ]] .. sql.owner "l.collowner" .. ", " .. sql.comment("l.oid", "pg_collation") .. [[
    FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE ]] .. user("pg_collation", "l.oid") },

  { "conversion", [[SELECT 'conversion ' || format('%I.%I', n.nspname, k.conname) AS object, concat_ws(' ', pg_encoding_to_char(k.conforencoding), pg_encoding_to_char(k.contoencoding), k.conproc) AS definition,
      k.condefault AS default, ]] .. sql.owner "k.conowner" .. ", " .. sql.comment("k.oid", "pg_conversion") .. [[ FROM pg_conversion k JOIN pg_namespace n ON n.oid = k.connamespace WHERE ]] .. user("pg_conversion", "k.oid") },

  { "language", [[SELECT 'language ' || quote_ident(l.lanname) AS object, l.lanpltrusted AS trusted, l.lanplcallfoid::regproc::text AS handler,
      ]] .. sql.owner "l.lanowner" .. ", " .. sql.grants("l.lanacl", "l", "l.lanowner") .. ", " .. sql.comment("l.oid", "pg_language") .. [[ FROM pg_language l WHERE ]] .. made("pg_language", "l.oid") },

  { "text search configuration", [[SELECT 'text search configuration ' || format('%I.%I', n.nspname, t.cfgname) AS object, (SELECT prsname::text FROM pg_ts_parser WHERE oid = t.cfgparser) AS parser,
      (SELECT string_agg(concat_ws(' ', maptokentype, mapdict::regdictionary), ', ' ORDER BY maptokentype, mapseqno) FROM pg_ts_config_map WHERE mapcfg = t.oid) AS mappings,
      ]] .. sql.owner "t.cfgowner" .. ", " .. sql.comment("t.oid", "pg_ts_config") .. [[ FROM pg_ts_config t JOIN pg_namespace n ON n.oid = t.cfgnamespace WHERE ]] .. user("pg_ts_config", "t.oid") },

  { "text search dictionary", [[SELECT 'text search dictionary ' || format('%I.%I', n.nspname, t.dictname) AS object, (SELECT tmplname::text FROM pg_ts_template WHERE oid = t.dicttemplate) AS template,
      t.dictinitoption AS options, ]] .. sql.owner "t.dictowner" .. ", " .. sql.comment("t.oid", "pg_ts_dict") .. [[ FROM pg_ts_dict t JOIN pg_namespace n ON n.oid = t.dictnamespace WHERE ]] .. user("pg_ts_dict", "t.oid") },

  { "text search parser", [[SELECT 'text search parser ' || format('%I.%I', n.nspname, t.prsname) AS object, concat_ws(' ', prsstart, prstoken, prsend, prsheadline, prslextype) AS definition,
      ]] .. sql.comment("t.oid", "pg_ts_parser") .. [[ FROM pg_ts_parser t JOIN pg_namespace n ON n.oid = t.prsnamespace WHERE ]] .. user("pg_ts_parser", "t.oid") },

  { "text search template", [[SELECT 'text search template ' || format('%I.%I', n.nspname, t.tmplname) AS object, concat_ws(' ', tmplinit, tmpllexize) AS definition,
      ]] .. sql.comment("t.oid", "pg_ts_template") .. [[ FROM pg_ts_template t JOIN pg_namespace n ON n.oid = t.tmplnamespace WHERE ]] .. user("pg_ts_template", "t.oid") },
}
