--- What the readers of an audit share: picking members, hiding what stands in URLs, and gaps instead of failures.
local errors = require "errors"
local json = require "json"
local log = require "log"
local sorted_keys = require "sorted_keys"
local task = require "task"

local M = {}

--- The members of a thing that are kept; "team.name" reaches into it and is kept as `team`.
---@param thing table
---@param names string[]
---@return table
function M.pick(thing, names)
  local kept = {}
  for _, name in ipairs(names) do
    local outer, inner = name:match "^([%w_]+)%.([%w_]+)$"
    local value = thing[outer or name]
    if inner then value = type(value) == "table" and value[inner] or nil end
    kept[outer or name] = value
  end
  return kept
end

---@param list table[]
---@param names string[]
---@return table[]
function M.picked(list, names)
  local kept = json.array {}
  for i, thing in ipairs(list) do kept[i] = M.pick(thing, names) end
  return kept
end

--- "https://user:token@logs.example.com/in" -> "https://logs.example.com": what a drain's or a webhook's URL may show.
function M.origin(url)
  local scheme, rest = url:match "^([%w+.-]+)://([^/?#]*)"
  return scheme and ("%s://%s"):format(scheme, (rest:gsub("^.*@", ""))) or "(unreadable)"
end

--- A telemetry drain without what its headers and its path hold.
function M.telemetry(drain)
  local exporter = drain.exporter or {}
  return { signals = drain.signals, exporter = { type = exporter.type, endpoint = M.origin(exporter.endpoint or "") } }
end

function M.by_name(a, b) return a.name < b.name end

--- Names of a map, sorted.
function M.names(map)
  return json.array(sorted_keys(map))
end

--- What could not be read, and why; an answer that made no sense to us is one more reason.
function M.gap(what, e)
  if errors.is(e) then return { what = what, code = e.code and tostring(e.code), why = e.message } end
  log.debug("%s: %s", what, tostring(e))
  return { what = what, why = "the answer is not of the form that Heroku documents" }
end

--- Runs the readers side by side; what fails is a gap.
---@param readers table[] { name, function }
---@return table found what each gave, by name
---@return { what: string, code: string?, why: string }[] gaps
function M.gather(readers)
  local found, gaps = {}, json.array {}
  task.map(readers, function(r)
    local name, fn = table.unpack(r)
    local ok, value = pcall(fn)
    if ok then found[name] = value return end
    if errors.is(value, "cancelled") or errors.is(value, "usage") then error(value, 0) end
    gaps[#gaps + 1] = M.gap(name, value)
  end, { limit = 4 })
  table.sort(gaps, function(a, b) return a.what < b.what end)
  return found, gaps
end

--- What belongs to a thing of the account: the thing with what was found of it, and its gaps among the account's.
---@param thing table
---@param gaps table[] the account's
---@param what string how gaps call it
---@param readers table[]
function M.with(thing, gaps, what, readers)
  local found, missing = M.gather(readers)
  for name, value in pairs(found) do thing[name] = value end
  for _, gap in ipairs(missing) do
    gap.what = ("%s: %s"):format(what, gap.what)
    gaps[#gaps + 1] = gap
  end
  return thing
end

return M
