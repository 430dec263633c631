--- Checks of the masking rules of a DMS task: `o.mappings` is its table mapping ({ rules = { ... } }).
local define = require "pg.check.define"

local finding, ok = define.finding, define.ok

local COLUMN = [[SELECT t.typcategory::text AS category, t.typname::text AS type, CASE WHEN t.typname IN ('varchar', 'bpchar') THEN a.atttypmod - 4 END AS length,
    EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f') AND a.attnum = ANY (k.conkey)) AS is_key
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = a.atttypid
  WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped]]

local function rules_of(c, action)
  local list = {}
  for _, rule in ipairs(c.o.mappings.rules or {}) do
    if rule["rule-action"] == action then list[#list + 1] = rule end
  end
  return list
end

--- What is wrong with masking this column in this way, or nil.
local function problem(column, action)
  if not column then return "is not there" end
  if column.is_key then return "is part of a key" end
  if action == "data-masking-hash-mask" then
    if column.category ~= "S" then return "is no text" end
    if column.length and column.length < 64 then return ("has room for %d characters, and a hash has 64"):format(column.length) end
  elseif column.category ~= "S" and column.category ~= "N" then
    return "is neither text nor a number"
  end
end

--- The masking rules of one kind fit the columns that they name.
local function rules(action)
  return function(c)
    local names, reasons, list = {}, {}, rules_of(c, action)
    for _, rule in ipairs(list) do
      local at = rule["object-locator"] or {}
      local schema, relation, column = at["schema-name"] or "", at["table-name"] or "", at["column-name"] or ""
      if not (schema .. relation .. column):find "%%" then       -- wildcards are DMS's to resolve
        local why = problem(c.from:query(COLUMN, schema, relation, column)[1], action)
        if why then
          names[#names + 1] = ("%s.%s.%s"):format(schema, relation, column)
          reasons[#reasons + 1] = names[#names] .. " " .. why
        end
      end
    end
    if #names == 0 then return ok(#list) end
    return finding("error", #names, ("the rules %s do not fit their columns: %s"):format(action, define.some(reasons)),
      "take the rule out of the table mapping, or name a column that it fits", names)
  end
end

--- Masked values are never equal to the source's.
local function validation(action)
  return function(c)
    local n = #rules_of(c, action)
    if n == 0 or (c.o.task.ValidationSettings or {}).EnableValidation ~= true then return ok(n) end
    return finding("error", n, ("the task validates its rows and masks columns (%s), which can never be equal"):format(action),
      "ValidationSettings: \"EnableValidation\": false in the task's settings, or no masking")
  end
end

local function both(kind)
  local action = "data-masking-" .. kind
  return { id = "masking-" .. kind, name = "masking rules " .. kind, mover = "dms", dms = { "postgres-datamasking-" .. kind }, run = rules(action) },
    { id = "validation-" .. kind, name = "validation with masking " .. kind, mover = "dms",
      dms = { "all-to-all-validation-with-" .. (kind == "digits-mask" and "digit-mask" or "datamasking-" .. kind) }, run = validation(action) }
end

local list = {}
for _, kind in ipairs { "digits-randomize", "digits-mask", "hash-mask" } do
  list[#list + 1], list[#list + 2] = both(kind)
end
return list
