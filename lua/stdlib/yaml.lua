--- YAML: the types of YAML 1.2's core schema (so `on:` and `yes` are text),
--- anchors, aliases and `<<` merges, one document, 256 levels at most. Keys are
--- always strings. A decoded map remembers the order of its keys, and encode
--- writes it in that order, new keys after it, sorted.
local host = require "host.yaml"
local errors = require "errors"
local json = require "json"

local M = {}

--- YAML's null; the same value as json.null.
M.null = json.null

--- Marks a table as a list, so that an empty one is written as [].
M.array = json.array

--- Makes a map whose keys have an order: yaml.map{ {"name", "x"}, {"on", "push"} }.
---@param members any[][]
---@return table<string, any>
function M.map(members)
  local map, order = {}, {}
  for i, member in ipairs(members) do
    local key = member[1]
    if type(key) ~= "string" then errors.usage("yaml.map: key %d must be a string, not a %s", i, type(key)) end
    if map[key] ~= nil then errors.usage("yaml.map: the key %s stands twice", key) end
    map[key], order[i] = member[2], key
  end
  host.orders[map] = order
  return map
end

--- Reads a document.
---@param text string
---@param places? table<table, table<any, string>> is filled: for each map and list that the text holds, where each member or
--- item begins, as "line:column"; what an alias or a merge brought stands nowhere
---@return any value
---@return table? err kind "invalid" or "limit", with line and column
M.decode = host.decode

--- Writes a value in block style; texts with line breaks as blocks. Text that
--- a reader could take for a number, a boolean or a time is quoted. Raises for
--- secrets and for what YAML cannot hold.
---@param value any
---@return string
M.encode = host.encode

--- `yaml(x)` is the text of a result for people and files: secrets as "(secret)", bytes as base64.
return setmetatable(M, { __call = function(_, value)
  return (M.encode(require("show.plain").of(value)):gsub("\n$", ""))
end })
