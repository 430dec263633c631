--- The schema of a database as facts: objects, and of each its properties, in
--- the server's own words (pg_get_indexdef and its kin), so that two databases
--- can be laid side by side. The queries are in pg/schema/.
---
--- Members of extensions are no facts, and are named without their schema: where
--- an extension stands is one property of the extension, and not a difference in
--- each column of its types. The role that reads counts as the same on both sides.
local errors = require "errors"
local options = require "options"

local M = {}

local PARTS = { "pg.schema.database", "pg.schema.relations", "pg.schema.routines" }

-- Kinds that a query finds beside the one that it is named after.
local MORE = { "view", "materialized view", "foreign table", "procedure", "aggregate" }

local MEMBERS = [[SELECT DISTINCT quote_ident(n.nspname) AS schema, m.name FROM (
    SELECT 'pg_proc'::regclass AS class, oid, proname AS name, pronamespace AS space FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, oid, typname, typnamespace FROM pg_type
    UNION ALL SELECT 'pg_class'::regclass, oid, relname, relnamespace FROM pg_class
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprname, oprnamespace FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcname, opcnamespace FROM pg_opclass
    UNION ALL SELECT 'pg_collation'::regclass, oid, collname, collnamespace FROM pg_collation
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictname, dictnamespace FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgname, cfgnamespace FROM pg_ts_config) m
  JOIN pg_namespace n ON n.oid = m.space JOIN pg_depend d ON d.classid = m.class AND d.objid = m.oid AND d.deptype = 'e'
  WHERE n.nspname <> 'pg_catalog']]

local function plain_pattern(s) return (s:gsub("%W", "%%%0")) end

--- A function that brings a text into the words that both sides share.
---@param conn PgConnection
---@param o { schema_map: table<string, string>, roles: table<string, string> }
local function translator(conn, o)
  local members = {}
  for row in conn:rows(MEMBERS) do
    members[row.schema] = members[row.schema] or {}
    members[row.schema][row.name] = true
    members[row.schema]["_" .. row.name] = true      -- its array type
  end
  local login = conn:value "SELECT session_user::text"
  local function role(name) return name == login and "the login role" or o.roles[name] or name end
  local rules = {}
  for schema, names in pairs(members) do
    rules[#rules + 1] = { schema .. ".", "%f[%w_\"]" .. plain_pattern(schema) .. "%.([%w_]+)", function(name) return names[name] and name or nil end }
    rules[#rules + 1] = { "OPERATOR(" .. schema .. ".", "OPERATOR%(" .. plain_pattern(schema) .. "%.([^()]+)%)",
      function(name) return names[name] and "OPERATOR(" .. name .. ")" or nil end }
  end
  for from, to in pairs(o.schema_map) do
    rules[#rules + 1] = { from, "%f[%w_]" .. plain_pattern(from) .. "%f[^%w_]", (to:gsub("%%", "%%%%")) }
  end
  return function(s)
    if s:find("\1", 1, true) then s = s:gsub("\1([^\2]*)\2", role) end
    for _, rule in ipairs(rules) do
      if s:find(rule[1], 1, true) then s = s:gsub(rule[2], rule[3]) end   -- most texts name no extension: that is quick
    end
    return s
  end
end

--- A list of grants, whose roles may have other names now, in order.
local function sorted_lines(s)
  local lines = {}
  for line in s:gmatch "[^\n]+" do lines[#lines + 1] = line end
  table.sort(lines)
  return table.concat(lines, "; ")
end

---@class PgSchema
---@field objects table<string, { kind: string, of: string?, properties: table<string, string> }>
---@field words table<string, boolean> all that may be tolerated: kinds, properties, and both
---@field version integer

--- Reads all facts.
---@param conn PgConnection with catalog.PLAIN set
---@param o { schema_map: table<string, string>, roles: table<string, string> }
---@return PgSchema
function M.read(conn, o)
  local objects, words = {}, {}
  local translate = translator(conn, o)
  local function kind_of(object, default)
    for _, kind in ipairs(MORE) do if object:sub(1, #kind + 1) == kind .. " " then return kind end end
    return default
  end
  for _, part in ipairs(PARTS) do
    for _, entry in ipairs(require(part)) do
      local default, query = entry[1], entry[2]
      local rows = conn:query(query)
      words[default] = true
      for _, column in ipairs(rows.columns) do
        if column ~= "object" and column ~= "of" then words[column], words[default .. " " .. column] = true, true end
      end
      for _, row in ipairs(rows) do
        local object = translate(row.object)
        local fact = { kind = kind_of(object, default), of = row.of and translate(row.of), properties = {} }
        for name, value in pairs(row) do
          if name ~= "object" and name ~= "of" then
            value = translate(tostring(value))
            fact.properties[name] = name == "grants" and sorted_lines(value) or value
          end
        end
        if fact.kind ~= default then for name in pairs(row) do words[fact.kind .. " " .. name] = true end end
        if not (default == "schema" and o.schema_map[row.object:match "^schema (.*)$"]) then objects[object] = fact end
      end
    end
  end
  for _, kind in ipairs(MORE) do words[kind] = true end
  return { objects = objects, words = words, version = conn:info().version }
end

--- Refuses a word that no difference could have.
function M.check_words(tolerate, read, more)
  local names = {}
  for _, set in ipairs { read.a and read.a.words or {}, read.b and read.b.words or {}, more } do
    for word in pairs(set) do names[#names + 1] = word end
  end
  for _, word in ipairs(tolerate) do
    local known = false
    for _, name in ipairs(names) do known = known or name == word end
    if not known then
      local near = options.nearest(word, names)
      errors.usage("pg.same: nothing is called %q that could be tolerated%s", word, near and (", did you mean %q?"):format(near) or "")
    end
  end
end

--- Where two long texts differ, or the whole of short ones.
local function excerpts(x, y)
  if #x <= 80 and #y <= 80 then return x, y end
  local i = 1
  while x:byte(i) == y:byte(i) do i = i + 1 end
  local from = math.max(1, i - 30)
  local function cut(s) return (from > 1 and "..." or "") .. s:sub(from, i + 50) .. (#s > i + 50 and "..." or "") end
  return cut(x), cut(y)
end

local function said(v) return v and ("%q"):format(v):gsub("\\\n", " ") or "nothing" end

-- The entries of one list of grants that the other does not have.
local function only(x, y)
  local has, list = {}, {}
  for entry in (y .. "; "):gmatch "(.-); " do has[entry] = true end
  for entry in (x .. "; "):gmatch "(.-); " do if not has[entry] then list[#list + 1] = entry end end
  return #list > 0 and table.concat(list, "; ") or nil
end

local function say(object, kind, property, x, y)
  if property == "comment" and not (x and y) then
    return ("comment on %s is missing in %s"):format(object:gsub("^" .. kind .. " ", ""), x and "b" or "a")
  end
  if x and y and property == "grants" then x, y = only(x, y), only(y, x) end
  if x and y then x, y = excerpts(x, y) end
  return ("%s differs in %s: %s in a, %s in b"):format(object, property, said(x), said(y))
end

--- The columns that both have, in the order of one.
local function common(order, other)
  local has, list = {}, {}
  for name in (other .. ", "):gmatch "(.-), " do has[name] = true end
  for name in (order .. ", "):gmatch "(.-), " do if has[name] then list[#list + 1] = name end end
  return table.concat(list, ", ")
end

-- The text of a definition, without what one major version writes and another leaves out.
local function essence(s)
  return (s:gsub("%f[%w_\"][%w_\"]+%.", ""):gsub("[%s()]", ""):gsub("::[%w]+", ""))
end

local WRITTEN = { definition = true, default = true, condition = true, check = true, generated = true, ["partition bound"] = true }

local function same_value(property, x, y, other_major)
  if x == y then return true end
  if not x or not y then return false end
  if property == "column order" then return common(x, y) == common(y, x) end
  return other_major and WRITTEN[property] and essence(x) == essence(y)
end

--- Whether anything stands in a schema, besides members of extensions.
local function holds(objects, schema)
  for object in pairs(objects) do if object:find(" " .. schema .. ".", 1, true) then return true end end
  return false
end

--- Whether an object is a table that is not compared, or belongs to one.
---@param side PgSchema
---@param left_out table<string, boolean> names of tables
function M.is_left_out(side, object, left_out)
  local fact = side.objects[object]
  local name = fact and ((fact.of or object):match "^table (.*)$" or (fact.properties["owned by"] or ""):match "^(.*)%.")
  return name and left_out[name] or false
end

--- What differs, one sentence each, sorted.
---@param a PgSchema
---@param b PgSchema
---@param tolerates fun(kind: string, property: string?): boolean
---@param left_out table<string, boolean> names of tables that are not compared
---@return string[]
function M.compare(a, b, tolerates, left_out)
  local list, lost = {}, {}
  local other_major = a.version // 10000 ~= b.version // 10000
  for _, side in ipairs { { a.objects, b.objects }, { b.objects, a.objects } } do
    for object, fact in pairs(side[1]) do if not side[2][object] then lost[object] = fact end end
  end
  for object, fact in pairs(lost) do
    local for_extension = fact.kind == "schema" and tolerates("extension", "schema")
      and not holds((a.objects[object] and a or b).objects, object:match "^schema (.*)$")
    if not (fact.of and lost[fact.of]) and not tolerates(fact.kind) and not for_extension
      and not M.is_left_out(a.objects[object] and a or b, object, left_out) then
      list[#list + 1] = ("%s is missing in %s"):format(object, a.objects[object] and "b" or "a")
    end
  end
  for object, fact in pairs(a.objects) do
    local other, names = b.objects[object], {}
    if other and not M.is_left_out(a, object, left_out) then
      for name in pairs(fact.properties) do names[name] = true end
      for name in pairs(other.properties) do names[name] = true end
    end
    for name in pairs(names) do
      local x, y = fact.properties[name], other.properties[name]
      if not same_value(name, x, y, other_major) and not tolerates(fact.kind, name) then
        list[#list + 1] = say(object, fact.kind, name, x, y)
      end
    end
  end
  table.sort(list)
  return list
end

return M
