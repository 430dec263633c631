--- Declared options as flags of a command line: `--jobs 4`, `--exclude 'a,b'`, `--schema-map old=new`, `--no-progress`.
local errors = require "errors"
local json = require "json"
local options = require "options"

local M = {}

local READ = {}

function READ.string(word) return word end
READ.any = READ.string
function READ.integer(word) return math.tointeger(tonumber(word)), "is not a whole number" end
function READ.number(word) return tonumber(word), "is not a number" end
function READ.boolean(word)
  local known = { ["true"] = true, yes = true, on = true, ["false"] = false, no = false, off = false }
  return known[word:lower()], "is neither true nor false"
end
function READ.list(word)
  local list = {}
  for item in word:gmatch "[^,]+" do list[#list + 1] = item:match "^%s*(.-)%s*$" end
  return list
end
--- name=value,... or JSON, or @FILE with JSON in it.
function READ.table(word)
  local file = word:match "^@(.+)$"
  if file then word = require("fs").read(file) end
  if word:find "^%s*[{%[]" then
    local value, err = json.decode(word)
    return value, err and "is no JSON: " .. err.message
  end
  local map = {}
  for item in word:gmatch "[^,]+" do
    local name, value = item:match "^%s*([^=]+)=(.*)$"
    if not name then return nil, "is neither name=value,... nor JSON nor @FILE" end
    map[name] = value
  end
  return map
end

local function flag(name) return "--" .. name:gsub("_", "-") end

--- Those of a function's declared options that a command line can give.
---@param declared table[]
---@param without table<any, boolean> names to leave out
---@return table[]
function M.of(declared, without)
  local list = {}
  for _, d in ipairs(declared) do
    if type(d[1]) == "string" and READ[d.type or "any"] and not without[d[1]] then list[#list + 1] = d end
  end
  return list
end

--- Reads the words of a command line.
---@param words string[]
---@param declared table[]
---@return table given values by name
---@return string[] rest the words that are no flags
function M.parse(words, declared)
  local given, rest, known, flags, i = {}, {}, {}, {}, 1
  for j, d in ipairs(declared) do known[d[1]], flags[j] = d, flag(d[1]) end
  while i <= #words do
    local name, value = words[i]:match "^%-%-([%w_%-]+)=(.*)$"
    if not name then name = words[i]:match "^%-%-([%w_%-]+)$" end
    if not name then
      if words[i]:find "^%-" then errors.usage("unknown option %s", words[i]) end
      rest[#rest + 1] = words[i]
    else
      name = name:gsub("-", "_")
      local d, off = known[name], known[name:match "^no_(.+)$" or ""]
      if d and d.type == "boolean" and not value then value = "true"
      elseif not d and off and off.type == "boolean" and not value then d, value = off, "false"
      elseif not d then errors.usage("unknown option %s%s", flag(name), options.suggestion(flag(name), flags))
      elseif not value then
        i = i + 1
        value = words[i] or errors.usage("%s needs a value", flag(name))
      end
      local read, why = READ[d.type or "any"](value)
      if read == nil then errors.usage("%s: %s %s", flag(d[1]), value, why) end
      given[d[1]] = read
    end
    i = i + 1
  end
  return given, rest
end

local function shown(v)
  if type(v) ~= "table" then return tostring(v) end
  local parts = {}
  for name, value in pairs(v) do parts[#parts + 1] = type(name) == "string" and ("%s=%s"):format(name, tostring(value)) or tostring(value) end
  table.sort(parts)
  return table.concat(parts, ",")
end

--- The options as --help prints them.
---@param declared table[]
---@return string[] lines
function M.help(declared)
  local left, width, lines = {}, 0, {}
  for i, d in ipairs(declared) do
    left[i] = flag(d[1]) .. (d.type ~= "boolean" and " " .. (d.type or "any"):upper():gsub("ANY", "VALUE") or "")
    width = math.max(width, #left[i])
  end
  for i, d in ipairs(declared) do
    local notes = {}
    if d.one_of then notes[#notes + 1] = "one of " .. table.concat(d.one_of, ", ") end
    local default = d.default ~= nil and shown(d.default) or ""
    if d.default == true then notes[#notes + 1] = "--no-" .. d[1]:gsub("_", "-") .. " for not"
    elseif default ~= "" and d.default ~= false then notes[#notes + 1] = "default " .. default end
    lines[i] = ("  %-" .. width .. "s  %s%s"):format(left[i], d[2] or "", notes[1] and " (" .. table.concat(notes, "; ") .. ")" or "")
  end
  return lines
end

return M
