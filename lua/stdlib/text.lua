--- text(format, ...): builds a string of values that may be secrets.
---
--- Like string.format with %s, %d and %%. The answer is a secret if a value is
--- one, and unknown if a value is unknown (before a resource exists).
local secret = require "host.secret"
local errors = require "errors"

local function is_unknown(value)
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and rawget(meta, "__hkrun_unknown") == true
end

---@param format string
---@param ... string|number|boolean|Secret
---@return string|Secret
local function text(format, ...)
  if type(format) ~= "string" then errors.usage("text: the format must be a string, not a %s", type(format)) end
  local parts, used, at, unknowns = {}, 0, 1, {}
  while true do
    local from = format:find("%", at, true)
    parts[#parts + 1] = format:sub(at, (from or 0) - 1)
    if not from then break end
    local kind = format:sub(from + 1, from + 1)
    at = from + 2
    if kind == "%" then
      parts[#parts + 1] = "%"
    elseif kind == "s" or kind == "d" then
      used = used + 1
      if used > select("#", ...) then errors.usage("text: the format has more places than there are values") end
      local value = select(used, ...)
      if is_unknown(value) then
        unknowns[#unknowns + 1] = value
      elseif kind == "s" then
        parts[#parts + 1] = secret.is(value) and value or tostring(value)
      elseif math.tointeger(value) then
        parts[#parts + 1] = ("%d"):format(value)
      else
        errors.usage("text: value %d must be an integer, not %s", used, tostring(value))
      end
    else
      errors.usage("text: only %%s, %%d and %%%% can stand in a format, not %%%s", kind)
    end
  end
  if used < select("#", ...) then errors.usage("text: there are more values than places in the format") end
  if #unknowns > 1 then return getmetatable(unknowns[1]).__hkrun_joined(unknowns) end
  if unknowns[1] ~= nil then return unknowns[1] end
  return secret.concat(parts)
end

return text
