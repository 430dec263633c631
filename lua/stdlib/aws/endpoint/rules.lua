--- AWS's own rules for where a service is: conditions over parameters, top down, the first endpoint that is reached counts.
--- tools/endpoints.lua says what a line means. Source: "Rules engine 1.0" (smithy.io); the functions are AWS's library.
local errors = require "errors"
local json = require "json"
local partition = require "aws.endpoint.partition"
local resource = require "host.resource"
local secret = require "secret"

local M = {}

---@class aws.EndpointRules
---@field lines { depth: integer, text: string }[]
---@field contexts table<string, table<string, any>> operation -> parameter -> its value, or { member = name }

local function is_host_label(value, dots)
  if type(value) ~= "string" then return false end
  if dots then
    for label in (value .. "."):gmatch "(.-)%." do if not is_host_label(label, false) then return false end end
    return true
  end
  return #value <= 63 and value:find "^%w[%w-]*$" ~= nil and not value:find "%-$"
end

local function is_ip(host) return host:find "^%d+%.%d+%.%d+%.%d+$" ~= nil or host:find "^%[[%x:.]+%]$" ~= nil end

local function get(value, path)
  for part in path:gmatch "[^.]+" do
    local name, index = part:match "^([^%[]*)%[(%d+)%]$"
    if type(value) ~= "table" then return nil end
    if not name or name ~= "" then value = value[name or part] end
    if index then value = type(value) == "table" and value[tonumber(index) + 1] or nil end
  end
  return value
end

local FUNCTIONS = {
  isSet = function(v) return v ~= nil end,
  ["not"] = function(v) return not v end,
  booleanEquals = function(a, b) return a == b end,
  stringEquals = function(a, b) return a == b end,
  getAttr = get,
  substring = function(text, from, to, reverse)
    if type(text) ~= "string" or from >= to or #text < to or text:find "[\128-\255]" then return nil end
    if reverse then return text:sub(#text - to + 1, #text - from) end
    return text:sub(from + 1, to)
  end,
  uriEncode = function(text) return text and secret.encode(text, "url") end,
  isValidHostLabel = is_host_label,
  parseURL = function(url)
    local scheme, authority, path = (url or ""):match "^(https?)://([^/?#]+)([^?#]*)$"
    if not scheme then return nil end
    local closed = path:find "/$" and path or path .. "/"
    return { scheme = scheme, authority = authority, path = path, normalizedPath = closed, isIp = is_ip((authority:gsub(":%d+$", ""))) }
  end,
  ["aws.partition"] = partition.of,
  ["aws.parseArn"] = function(arn)
    local part, service, region, account, id = (arn or ""):match "^arn:([^:]+):([^:]+):([^:]*):([^:]*):(.+)$"
    if not part then return nil end
    local ids = {}
    for word in (id:gsub(":", "/") .. "/"):gmatch "([^/]*)/" do ids[#ids + 1] = word end
    return { partition = part, service = service, region = region, accountId = account, resourceId = ids }
  end,
  ["aws.isVirtualHostableS3Bucket"] = function(name, dots)
    return type(name) == "string" and #name >= 3 and name == name:lower() and not is_ip(name) and is_host_label(name, dots)
  end,
}

local parse

--- One argument or condition, as a function of the parameters.
function parse(text, at)
  local literal, after = text:match('^(%b"")()', at)
  if literal then
    local value = json.decode("[" .. literal .. "]")[1]
    if not value:find "{" then return function() return value end, after end
    return function(p) return M.fill(value, p) end, after
  end
  local word
  word, after = text:match("^([%w._]+)()", at)
  if text:sub(after, after) ~= "(" then
    local number = tonumber(word)
    if number or word == "true" or word == "false" then
      local value = number or word == "true"
      return function() return value end, after
    end
    return function(p) return p[word] end, after
  end
  local fn, args = FUNCTIONS[word] or error("the endpoint rules use the unknown function " .. word), {}
  repeat
    args[#args + 1], after = parse(text, after + 1)
  until text:sub(after, after) ~= ","
  return function(p)
    local a, b, c, d = args[1], args[2], args[3], args[4]
    return fn(a(p), b and b(p), c and c(p), d and d(p))
  end, after + 1
end

--- A text with the parameters that it names: "https://{Bucket}.s3.{Region}.{Partition#dnsSuffix}".
---@param text string
---@param p table
---@return string
function M.fill(text, p)
  return (text:gsub("{([%w_]+)#?([%w_]*)}", function(name, field)
    local value = p[name]
    if field ~= "" then value = value[field] end
    return tostring(value)
  end))
end

--- The conditions of a line, joined by " & " outside of strings.
local function conditions(text)
  local list, at = {}, 1
  while true do
    local name, after = text:match("^([%w_]+) = ()", at)
    local condition
    condition, at = parse(text, after or at)
    list[#list + 1] = { name = name, holds = condition }
    if text:sub(at, at + 2) ~= " & " then return list end
    at = at + 3
  end
end

local function all_hold(line, p)
  line.conditions = line.conditions or conditions(line.text)
  for _, condition in ipairs(line.conditions) do
    local value = condition.holds(p)
    if condition.name then p[condition.name] = value end
    if value == nil or value == false then return false end
  end
  return true
end

--- Reads rules.
---@param text string
---@param prefix string the service's first label of its host
---@return aws.EndpointRules
function M.parse(text, prefix)
  local rules = { lines = {}, contexts = {} }
  for blanks, line in text:gsub("{PREFIX}", prefix):gmatch "( *)([^\n]+)\n" do
    local operation, words = line:match "^: (%S+) (.*)$"
    if operation then
      local given = {}
      for name, value in words:gmatch "(%w+)=(%S+)" do
        given[name] = value:find "^@" and { member = value:sub(2) } or json.decode("[" .. value .. "]")[1]
      end
      rules.contexts[operation] = given
    elseif not line:find "^#" then
      rules.lines[#rules.lines + 1] = { depth = #blanks, text = line }
    end
  end
  return rules
end

local files, loaded

--- The rules of a service; nil for one that AWS gives none.
---@param service string botocore's name of it
---@param prefix string
---@return aws.EndpointRules?
function M.load(service, prefix)
  if not files then
    files, loaded = {}, {}
    for name, file in resource.read("stdlib/aws/endpoints/index.txt"):gmatch "\n([%w-]+) ([%w-]+)" do files[name] = file end
  end
  local key = service .. " " .. prefix
  if not loaded[key] and files[service] then
    loaded[key] = M.parse(resource.read("stdlib/aws/endpoints/" .. files[service] .. ".txt"), prefix)
  end
  return loaded[key]
end

--- Evaluates rules.
---@param rules aws.EndpointRules
---@param parameters table<string, any>
---@return string? url
---@return table|string properties of the endpoint (authSchemes), or why there is none
function M.resolve(rules, parameters)
  local p, lines, i = setmetatable({}, { __index = parameters }), rules.lines, 1
  while lines[i] do
    local line = lines[i]
    local mark, rest = line.text:match "^([>!]) (.*)$"
    if mark == "!" then return nil, M.fill(rest, p) end
    if mark == ">" then
      local target, properties = rest:match "^(%S+) ?(.*)$"
      return p[target] or M.fill(target, p), properties ~= "" and json.decode(M.fill(properties, p)) or {}
    end
    if all_hold(line, p) then
      i = i + 1
    else
      repeat i = i + 1 until not lines[i] or lines[i].depth <= line.depth
    end
  end
  errors.raise { kind = "bug", op = "find an endpoint", message = "the rules come to no end" }
end

return M
