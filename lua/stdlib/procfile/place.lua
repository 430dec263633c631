--- What the readers of the three files share: texts of any editor, where something stands, checks of shapes, errors and
--- warnings with their place. Lines and columns count from 1, columns in characters.
local errors = require "errors"
local json = require "json"
local sorted_keys = require "sorted_keys"

local M = {}

---@class ProcfileWarning
---@field file string
---@field line integer
---@field column integer
---@field message string

--- Raises `file:line:column: why`.
function M.refuse(file, line, column, why)
  errors.raise { kind = "usage", message = ("%s:%d:%d: %s"):format(file, line, column, why), line = line, column = column }
end

--- Raises what a reader of JSON or YAML says, with its place in front.
function M.refuse_syntax(file, err)
  local line, column = err.message:match "line (%d+), column (%d+)"
  local why = err.message:gsub("%s*at line %d+, column %d+", "", 1)
  M.refuse(file, math.tointeger(tonumber(line)) or 1, math.max(math.tointeger(tonumber(column)) or 1, 1), why)
end

--- The line and column of a byte of a text.
function M.of(text, offset)
  local before = text:sub(1, offset - 1)
  local _, lines = before:gsub("\n", "")
  local start = before:match "[^\n]*$"
  return lines + 1, (utf8.len(start) or #start) + 1
end

--- The text with plain line ends and without a byte order mark.
---@return string text
---@return boolean marked whether it began with a byte order mark
function M.text(text, file)
  if text:find "^\xff\xfe" or text:find "^\xfe\xff" then M.refuse(file, 1, 1, "it is UTF-16; save it as UTF-8") end
  local plain, marks = text:gsub("^\xef\xbb\xbf", "")
  plain = plain:gsub("\r\n?", "\n")
  local ok, at = utf8.len(plain)
  local zero = plain:find("\0", 1, true)
  if not ok or zero then
    local line, column = M.of(plain, zero or at)
    M.refuse(file, line, column, zero and "it holds a zero byte" or "it is not UTF-8")
  end
  return plain, marks > 0
end

--- path with names more
function M.at(path, ...)
  local longer = { table.unpack(path) }
  for _, name in ipairs { ... } do longer[#longer + 1] = name end
  return longer
end

--- One item of `addons`, which is the same in both files.
local function addon_of(check, addon, path)
  if type(addon) == "string" then addon = { plan = addon } end
  check.is(addon, "map", path)
  if addon.plan == nil then check.fail(path, "needs a plan, such as heroku-postgresql:essential-0") end
  check.is(addon.plan, "text", M.at(path, "plan"))
  if not addon.plan:find "^[%w_-]+$" and not addon.plan:find "^[%w_-]+:[%w_.-]+$" then
    check.fail(M.at(path, "plan"), "must be ADDON or ADDON:PLAN, not %q", addon.plan)
  end
  check.is(addon.as, "text", M.at(path, "as"))
  local options = check.is(addon.options, "map", M.at(path, "options")) or {}
  for _, name in ipairs(sorted_keys(options)) do
    local value = options[name]
    if type(value) ~= "string" and value ~= true then check.fail(M.at(path, "options", name), "must be a text, or true") end
  end
  return addon
end

--- A checker for one document.
---@param file string
---@param where fun(path: (string|integer)[]): integer, integer line and column of a member or item
---@return table check `check.fail(path, why)`, `check.warn(path, why)`, `check.is(v, "map", path)`, `check.known(map, names, path)`;
--- check.warnings is the list
function M.checker(file, where)
  local check = { warnings = {} }

  local function said(path, fmt, ...)
    local names = {}
    for i, name in ipairs(path) do names[i] = type(name) == "number" and ("[%d]"):format(name) or (i > 1 and "." or "") .. name end
    local of = table.concat(names)
    return (of ~= "" and of .. " " or "") .. fmt:format(...)
  end

  function check.fail(path, fmt, ...)
    local line, column = where(path)
    M.refuse(file, line, column, said(path, fmt, ...))
  end

  function check.warn(path, fmt, ...)
    local line, column = where(path)
    check.warnings[#check.warnings + 1] = { file = file, line = line, column = column, message = said(path, fmt, ...) }
  end

  --- Whether v, if it is there, is of this kind: "text", "map", "list", "boolean".
  function check.is(v, kind, path)
    if v == nil then return nil end
    local ok = type(v) == (kind == "text" and "string" or kind)
    if kind == "map" then ok = type(v) == "table" and not check.is_list(v) end
    if kind == "list" then ok = type(v) == "table" and check.is_list(v) end
    if not ok then check.fail(path, "must be a %s", kind) end
    return v
  end

  --- Whether a table that JSON or YAML gave is a list.
  check.is_list = json.is_array

  --- Refuses members that Heroku does not know.
  function check.known(map, names, path)
    local known, unknown = {}, {}
    for _, name in ipairs(names) do known[name] = true end
    for name in pairs(map) do
      if not known[name] then unknown[#unknown + 1] = name end
    end
    table.sort(unknown)
    if unknown[1] then check.fail(M.at(path, unknown[1]), "is unknown; there are %s", table.concat(names, ", ")) end
  end

  function check.addon(addon, path) return addon_of(check, addon, path) end

  return check
end

return M
