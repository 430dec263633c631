--- Table mappings: which tables a task takes, and how they are called at the target.
--- docs.aws.amazon.com/dms/latest/userguide/CHAP_Tasks.CustomizingTasks.TableMapping.html
local json = require "json"

local M = {}

local RENAMES = {
  rename = function(_, rule) return rule.value end,
  ["convert-lowercase"] = function(name) return name:lower() end,
  ["convert-uppercase"] = function(name) return name:upper() end,
  ["add-prefix"] = function(name, rule) return rule.value .. name end,
  ["add-suffix"] = function(name, rule) return name .. rule.value end,
  ["remove-prefix"] = function(name, rule)
    return name:sub(1, #rule.value) == rule.value and name:sub(#rule.value + 1) or name
  end,
  ["remove-suffix"] = function(name, rule)
    return #rule.value > 0 and name:sub(-#rule.value) == rule.value and name:sub(1, -#rule.value - 1) or name
  end,
  ["replace-prefix"] = function(name, rule)
    local old = rule["old-value"] or ""
    return name:sub(1, #old) == old and rule.value .. name:sub(#old + 1) or name
  end,
}
local NEEDS_NO_VALUE = { ["convert-lowercase"] = true, ["convert-uppercase"] = true }
local SELECTIONS = { include = true, exclude = true, explicit = true }

local function check_selection(rule, fail)
  if not SELECTIONS[rule["rule-action"]] then fail("Property 'rule-action' is not include, exclude or explicit") end
  if type(rule.filters) == "table" and next(rule.filters) then fail("the rehearsal cloud's DMS has no filters") end
  local kind = rule["object-locator"]["table-type"]
  if kind and kind ~= "table" then fail("the rehearsal cloud's DMS takes tables only, no views") end
end

local function check_transformation(rule, fail)
  local target, action = rule["rule-target"], rule["rule-action"]
  if target == "column" and action == "remove-column" then
    local at = rule["object-locator"]
    if not (at["table-name"] and at["column-name"]) then fail "Property 'table-name' or 'column-name' is missing" end
    return
  end
  if target ~= "schema" and target ~= "table" then
    fail(("the rehearsal cloud's DMS transforms the names of schemas and tables and removes columns; it does not do '%s' with the rule-target "
      .. "'%s'"):format(tostring(action), tostring(target)))
  end
  if not RENAMES[action] then fail(("the rehearsal cloud's DMS does not do the rule-action '%s'"):format(tostring(action))) end
  if not NEEDS_NO_VALUE[action] and type(rule.value) ~= "string" then fail "Property 'value' is missing" end
end

--- Reads the text of table mappings.
---@param fail fun(fmt: string, ...) raises for mappings that DMS would not take
---@return table[] rules
function M.read(text, fail)
  local document = json.decode(text)
  if type(document) ~= "table" or type(document.rules) ~= "table" then fail("Invalid task mappings: Invalid json") end
  local seen, takes = {}, false
  for _, rule in ipairs(document.rules) do
    local function bad(why) fail("Error in mapping rules. Rule with ruleId = %s failed validation. %s", tostring(rule["rule-id"]), why) end
    for _, name in ipairs { "rule-type", "rule-id", "rule-name", "object-locator", "rule-action" } do
      if rule[name] == nil then bad(("Property '%s' is missing"):format(name)) end
    end
    if seen[tostring(rule["rule-id"])] then bad "rule-id is not unique" end
    seen[tostring(rule["rule-id"])] = true
    if type(rule["object-locator"]["schema-name"]) ~= "string" then bad "Property 'schema-name' is missing" end
    if rule["rule-type"] == "selection" then
      if type(rule["object-locator"]["table-name"]) ~= "string" then bad "Property 'table-name' is missing" end
      check_selection(rule, bad)
      takes = takes or rule["rule-action"] ~= "exclude"
    elseif rule["rule-type"] == "transformation" then check_transformation(rule, bad)
    else bad(("the rehearsal cloud's DMS has no rules of the type '%s'"):format(tostring(rule["rule-type"]))) end
  end
  if not takes then fail("Error in mapping rules. At least one selection rule with the action include or explicit is needed.") end
  return document.rules
end

--- Whether a name fits a pattern: % is anything, _ one character, [_] an underscore.
local function fits(name, pattern)
  local parts, at = {}, 1
  while at <= #pattern do
    local itself, c = pattern:match("^%[([_%%])%]", at), pattern:sub(at, at)
    if itself then parts[#parts + 1] = "%" .. itself
    elseif c == "%" then parts[#parts + 1] = ".*"
    elseif c == "_" then parts[#parts + 1] = utf8.charpattern
    else parts[#parts + 1] = c:gsub("%W", "%%%0") end
    at = at + (itself and 3 or 1)
  end
  return name:find("^" .. table.concat(parts) .. "$") ~= nil
end
M.fits = fits

local function locates(rule, schema, table_name)
  local at = rule["object-locator"]
  if rule["rule-action"] == "explicit" then return at["schema-name"] == schema and at["table-name"] == table_name end
  return fits(schema, at["schema-name"]) and (at["table-name"] == nil or fits(table_name, at["table-name"]))
end

--- Whether a task takes a table.
function M.selects(rules, schema, table_name)
  local taken = false
  for _, rule in ipairs(rules) do
    if rule["rule-type"] == "selection" and locates(rule, schema, table_name) then
      if rule["rule-action"] == "exclude" then return false end
      taken = true
    end
  end
  return taken
end

--- What a table is called at the target.
---@return string schema, string table_name
function M.target(rules, schema, table_name)
  local to_schema, to_table = schema, table_name
  for _, rule in ipairs(rules) do
    if rule["rule-type"] == "transformation" and rule["rule-target"] ~= "column" and locates(rule, schema, table_name) then
      local change = RENAMES[rule["rule-action"]]
      if rule["rule-target"] == "schema" then to_schema = change(to_schema, rule) else to_table = change(to_table, rule) end
    end
  end
  return to_schema, to_table
end

--- Whether a column of a table is left out.
function M.removes(rules, schema, table_name, column)
  for _, rule in ipairs(rules) do
    if rule["rule-action"] == "remove-column" and locates(rule, schema, table_name) and fits(column, rule["object-locator"]["column-name"]) then
      return true
    end
  end
  return false
end

--- The order in which a table is loaded: a higher load-order comes first.
function M.order(rules, schema, table_name)
  for _, rule in ipairs(rules) do
    if rule["rule-type"] == "selection" and rule["load-order"] and locates(rule, schema, table_name) then return tonumber(rule["load-order"]) or 0 end
  end
  return 0
end

return M
