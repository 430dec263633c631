--- How a check is written down: { id, name, run(c) } and, where it has them,
---   dms     the names of the DMS premigration assessments that it covers
---   mover   "copy", "dms" or "cdc": only of interest to that mover (nil: to all)
---   side    "to": needs a target
--- `c` has the connections `from` and `to` (nil without a target) and the options `o`. What a check answers:
---   severity "ok" | "info" | "warning" | "error", measured (a string or a number),
---   and unless it is ok: message (one sentence), remedy (what to run), objects (names, for those that have some).
local catalog = require "pg.catalog"

local M = {}

--- Tables and the like that are the user's: class c in namespace n.
M.RELATIONS = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND " ..
  catalog.is_user("pg_class", "c.oid")
M.NAME = "format('%I.%I', n.nspname, c.relname)"

local MOST = 5                                       -- names and remedies in one sentence

--- "a, b, c and 4 more"
function M.some(names, separator)
  local shown = table.concat(names, separator or ", ", 1, math.min(MOST, #names))
  return #names > MOST and ("%s%s%d more"):format(shown, separator or " and ", #names - MOST) or shown
end

function M.ok(measured) return { severity = "ok", measured = measured } end

--- A finding with its message and remedy as formats.
---@param severity "info"|"warning"|"error"
function M.finding(severity, measured, message, remedy, objects)
  return { severity = severity, measured = measured, message = message, remedy = remedy, objects = objects }
end

--- Each remedy is a statement; the last line counts those that are left out.
local function join_remedies(list)
  local seen, unique = {}, {}
  for _, text in ipairs(list) do
    if not seen[text] then unique[#unique + 1] = text end
    seen[text] = true
  end
  if #unique <= MOST then return table.concat(unique, " ") end
  return ("%s /* and %d more alike */"):format(table.concat(unique, " ", 1, MOST), #unique - MOST)
end

--- A check whose query names the objects that are wrong; there should be none.
--- Fields beside the common ones: `severity`; `sql` (or a function of c that answers it, nil to skip the check): its rows have
--- `name` and may have `remedy` (a statement) and `value`; `why` ends the sentence that names them; `remedy` where the
--- rows have none; `on = "to"` asks the target; `measure(rows)` where the number of rows is not what is measured.
function M.objects(def)
  function def.run(c)
    local sql = def.sql
    if type(sql) == "function" then sql = sql(c) end
    if not sql then return nil end
    local rows, names, remedies = {}, {}, {}
    for _, row in ipairs((def.on == "to" and c.to or c.from):query(sql)) do
      if not c.is_excluded(row.name) then rows[#rows + 1], names[#names + 1], remedies[#remedies + 1] = row, row.name, row.remedy end
    end
    if #names == 0 then return M.ok(0) end
    return M.finding(def.severity, def.measure and def.measure(rows) or #names, ("%s (%s): %s"):format(def.name, M.some(names), def.why),
      #remedies > 0 and join_remedies(remedies) or def.remedy, names)
  end
  return def
end

--- A setting as sessions of this role get it on the source; nil where this server does not have it.
function M.setting(c, name) return c.from:value("SELECT reset_val FROM pg_settings WHERE name = $1", name) end

--- The same as a whole number, in the unit of pg_settings.
function M.number(c, name) return math.tointeger(tonumber(M.setting(c, name))) end

return M
