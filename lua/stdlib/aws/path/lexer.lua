--- The words of a JMESPath expression. Source: jmespath.org/specification, Grammar.
local errors = require "errors"
local json = require "json"

local M = {}

---@class aws.PathToken
---@field kind string "name" "quoted" "number" "literal" "end", or the sign itself
---@field text string as it is written
---@field value? any of names, numbers and literals

--- The longest first.
local SIGNS = { "[?", "[]", "||", "&&", "==", "!=", "<=", ">=", "<", ">", "!", "|", ".", "*", "@", "[", "]", "{", "}", "(", ")", ",", ":" }

--- What stands between two delimiters, with the escaped ones taken as they are; the place behind it.
local function delimited(text, at, delimiter)
  local from = at + 1
  local to = from
  while text:sub(to, to) ~= delimiter do
    if to > #text then errors.usage("the JMESPath expression %s lacks a closing %s", text, delimiter) end
    to = to + (text:sub(to, to) == "\\" and 2 or 1)
  end
  return text:sub(from, to - 1), to + 1
end

local function decoded(text, literal)
  local value, err = json.decode(literal)
  if value == nil then errors.usage("the JMESPath expression %s has a literal that is not JSON: %s", text, err.message) end
  return value
end

--- `text` between backquotes is JSON; a bare word is taken for a string, as older models write it.
local function literal_value(text, inner)
  inner = inner:gsub("\\`", "`"):match "^%s*(.-)%s*$"
  if inner:find "^[%a_]" and inner ~= "true" and inner ~= "false" and inner ~= "null" then return inner end
  local value = decoded(text, inner)
  if value == json.null then return nil end
  return value
end

local function sign_at(text, at)
  for _, sign in ipairs(SIGNS) do
    if text:sub(at, at + #sign - 1) == sign then return sign end
  end
  errors.usage("the JMESPath expression %s is not understood at %s", text, text:sub(at))
end

--- Takes an expression apart; the last token is of the kind "end".
---@param text string
---@return aws.PathToken[]
function M.tokens(text)
  local list, at = {}, 1
  local function add(kind, next_at, value)
    list[#list + 1] = { kind = kind, text = text:sub(at, next_at - 1), value = value }
    at = next_at
  end
  while true do
    at = text:find("%S", at) or #text + 1
    local first = text:sub(at, at)
    local name, number = text:match("^[%a_][%w_]*", at), text:match("^%-?%d+", at)
    if first == "" then
      add("end", at)
      return list
    elseif name then
      add("name", at + #name, name)
    elseif number then
      add("number", at + #number, math.tointeger(tonumber(number)))
    elseif first == '"' then
      local _, behind = delimited(text, at, '"')
      add("quoted", behind, decoded(text, text:sub(at, behind - 1)))
    elseif first == "'" then
      local inner, behind = delimited(text, at, "'")
      add("literal", behind, (inner:gsub("\\'", "'")))
    elseif first == "`" then
      local inner, behind = delimited(text, at, "`")
      add("literal", behind, literal_value(text, inner))
    else
      add(sign_at(text, at), at + #sign_at(text, at))
    end
  end
end

return M
