--- Where each member and item of a JSON text begins. The text is good: it has been decoded before.
local json = require "json"
local place = require "procfile.place"

--- The last byte of the string that begins at a byte.
local function string_end(text, at)
  repeat
    at = text:find('["\\]', at + 1)
    local escaped = text:byte(at) == 92
    if escaped then at = at + 1 end
  until not escaped
  return at
end

--- Answers the offsets by path, the names of a path joined by zero bytes.
local function scan(text)
  local offsets, at = {}, 1
  local function value(path)
    at = text:find("%S", at)
    local first = text:sub(at, at)
    if first == '"' then
      at = string_end(text, at) + 1
    elseif first == "{" or first == "[" then
      local close, count = first == "{" and "}" or "]", 0
      at = text:find("%S", at + 1)
      while text:sub(at, at) ~= close do
        count = count + 1
        local name, start = count, at
        if first == "{" then
          local last = string_end(text, at)
          name = json.decode(text:sub(at, last))
          at = text:find(":", last, true) + 1
        end
        local inner = path .. "\0" .. name
        offsets[inner] = start
        value(inner)
        at = text:find("%S", at)
        if text:sub(at, at) == "," then at = text:find("%S", at + 1) end
      end
      at = at + 1
    else
      at = text:find("[%s,%]}]", at) or #text + 1
    end
  end
  value ""
  return offsets
end

--- A function that tells line and column of a path; of what is not there, those of the nearest that is.
---@param text string
---@return fun(path: (string|integer)[]): integer, integer
return function(text)
  local offsets
  return function(path)
    offsets = offsets or scan(text)
    local found, key = 1, ""
    for _, name in ipairs(path) do
      key = key .. "\0" .. name
      found = offsets[key] or found
    end
    return place.of(text, found)
  end
end
