--- What the readers of the three files share: texts of any editor, errors with their place, checks of shapes.
local errors = require "errors"

local M = {}

--- Raises `file:line:column: why`.
function M.refuse(file, line, column, why)
  errors.raise { kind = "usage", message = ("%s:%d:%d: %s"):format(file, line, column, why), line = line, column = column }
end

--- Raises what a reader of JSON or YAML says, with its place in front.
function M.refuse_syntax(file, err)
  local line, column = err.message:match "line (%d+), column (%d+)"
  local why = err.message:gsub("%s*at line %d+, column %d+", "", 1)
  M.refuse(file, math.tointeger(tonumber(line)) or 1, math.tointeger(tonumber(column)) or 1, why)
end

--- The text with plain line ends and without a byte order mark.
function M.text(text, file)
  if text:find "^\xff\xfe" or text:find "^\xfe\xff" then M.refuse(file, 1, 1, "it is UTF-16; save it as UTF-8") end
  text = text:gsub("^\xef\xbb\xbf", ""):gsub("\r\n?", "\n")
  local ok, at = utf8.len(text)
  local zero = text:find("\0", 1, true)
  if not ok or zero then
    local before = text:sub(1, (zero or at) - 1)
    local _, lines = before:gsub("\n", "")
    M.refuse(file, lines + 1, #before:match "[^\n]*$" + 1, zero and "it holds a zero byte" or "it is not UTF-8")
  end
  return text
end

--- Where a member stands: the names of the path are looked for one after the other.
--- `key` makes the pattern of a member's name.
local function find(text, path, key)
  local at = 1
  for _, name in ipairs(path) do
    if type(name) == "string" then
      local quoted = name:gsub("%p", "%%%0")
      local found = text:find(key:format(quoted), at)
      if not found then break end
      at = text:find(name, found, true)
    end
  end
  local before = text:sub(1, at - 1)
  local _, lines = before:gsub("\n", "")
  return lines + 1, #before:match "[^\n]*$" + 1
end

--- A checker for one document.
---@param file string
---@param text string
---@param key string the pattern of a member's name, with %s for it
---@return table check `check.fail(path, why)`, `check.is(v, "table", path)`, `check.known(map, names, path)`
function M.checker(file, text, key)
  local check = {}

  function check.fail(path, fmt, ...)
    local line, column = find(text, path, key)
    local names = {}
    for i, name in ipairs(path) do names[i] = type(name) == "number" and ("[%d]"):format(name) or (i > 1 and "." or "") .. name end
    local where = table.concat(names)
    M.refuse(file, line, column, (where ~= "" and where .. " " or "") .. fmt:format(...))
  end

  --- Whether v, if it is there, is of this kind: "string", "map", "list", "integer", "boolean".
  function check.is(v, kind, path)
    if v == nil then return nil end
    local ok = type(v) == kind
    if kind == "map" then ok = type(v) == "table" and #v == 0 end
    if kind == "list" then ok = type(v) == "table" and (#v > 0 or next(v) == nil) end
    if kind == "integer" then ok = math.type(v) == "integer" end
    if not ok then check.fail(path, "must be a %s", kind == "string" and "text" or kind) end
    return v
  end

  --- Refuses members that Heroku does not know.
  function check.known(map, names, path)
    local known = {}
    for _, name in ipairs(names) do known[name] = true end
    for name in pairs(map) do
      if not known[name] then
        local longer = { table.unpack(path) }
        longer[#longer + 1] = tostring(name)
        check.fail(longer, "is unknown; there are %s", table.concat(names, ", "))
      end
    end
  end
  return check
end

--- path with one name more
function M.at(path, ...)
  local longer = { table.unpack(path) }
  for _, name in ipairs { ... } do longer[#longer + 1] = name end
  return longer
end

return M
