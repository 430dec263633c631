--- What must be deleted before what, as far as the records show it: a thing that names another one's id stands on it.
local errors = require "errors"
local log = require "log"
local task = require "task"

local M = {}

--- Fields whose words are for people, and may happen to be something's id.
local WORDS = { name = true, description = true, tags = true }

--- Of several things with the same id (shop, shop, shop) the field tells which is meant: application = "shop".
local function meant(list, field)
  if not list[2] or not field then return list end
  local fitting = {}
  for _, n in ipairs(list) do
    if n.kind:find(field:gsub("s$", ""), 1, true) then fitting[#fitting + 1] = n end
  end
  return fitting[1] and fitting or list
end

--- The things that a string names: by an id, by several of them ("subnet-1,subnet-2"), or by something inside an ARN.
local function named(s, by_id, field, found)
  local function take(id)
    for _, n in ipairs(by_id[id] and meant(by_id[id], field) or {}) do found[n.key] = n end
  end
  take(s)
  for word in s:gmatch "[^,]+" do
    if word ~= s then take(word) end
    local arn = word:match "^(arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:[^:]+):"
    if arn then take(arn) end
  end
end

local function look(v, by_id, field, found)
  if type(v) == "string" then named(v, by_id, field, found) end
  if type(v) ~= "table" then return end
  for k, x in next, v do look(x, by_id, type(k) == "string" and k or field, found) end
end

--- For each thing the keys of those that stand on it: only what was made later can. The list has the last made first.
---@param list table[] nouns of the memory
---@return table<string, table<string, boolean>>
function M.before(list)
  local by_id, place, before = {}, {}, {}
  for i, n in ipairs(list) do
    place[n.key], before[n.key] = i, {}
    if n.id then
      by_id[n.id] = by_id[n.id] or {}
      table.insert(by_id[n.id], n)
    end
  end
  for i, n in ipairs(list) do
    local found = {}
    for field, v in next, n.spec or {} do
      if not WORDS[field] then look(v, by_id, field, found) end
    end
    for key in pairs(found) do
      if place[key] > i then before[key][n.key] = true end
    end
  end
  return before
end

local LIMIT = 16                                              -- things that are deleted at the same time

--- Calls remove(n) for each, side by side, as soon as nothing that is left stands on it, whatever its stage. One that
--- fails is tried again once something else is gone, because not every dependency can be seen in the records.
---@param list table[] nouns of the memory, the last made first
---@param remove fun(n: table)
function M.each(list, remove)
  local before, gone, running, tried = M.before(list), {}, {}, {}
  local left, active, failure, changed = #list, 0, nil, task.event()
  local function is_over() return errors.is(failure, "cancelled") or errors.is(failure, "bug") end
  local function is_free(n)
    for key in pairs(before[n.key]) do
      if not gone[key] then return false end
    end
    return not (gone[n.key] or running[n.key] or tried[n.key])
  end
  local function begin(n)
    active, tried[n.key] = active + 1, true
    running[n.key] = task.spawn(function()
      local ok, e = xpcall(remove, errors.handler, n)
      active, running[n.key] = active - 1, nil
      if ok then
        gone[n.key], left, tried = true, left - 1, {}
      elseif not is_over() then
        failure = e
        log.debug("%s; it is tried again when something else is gone", tostring(e))
      end
      changed.set()
    end)
  end
  local ok, e = xpcall(function()
    while left > 0 do
      for _, n in ipairs(list) do
        if active < LIMIT and is_free(n) then begin(n) end
      end
      if active == 0 then error(failure, 0) end
      changed.wait()
      if is_over() then error(failure, 0) end
    end
  end, errors.handler)
  local rest = {}
  for _, t in pairs(running) do rest[#rest + 1] = t end
  if not ok then for _, t in ipairs(rest) do t:cancel() end end
  for _, t in ipairs(rest) do task.shield(t.join, t) end
  if not ok then error(e, 0) end
end

return M
