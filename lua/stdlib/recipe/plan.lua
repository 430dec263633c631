--- A plan: what a pass over the recipe noted, as text and as JSON.
local json = require "json"
local log = require "log"
local plain = require "recipe.plain"
local unknown = require "recipe.unknown"

local M = {}

M.marks = { create = "+", adopt = "=", change = "~", replace = "-/+", delete = "-", read = "<=", run = ">", ask = "?" }
local marks = M.marks
local colors = { create = "green", adopt = "yellow", change = "yellow", replace = "red", delete = "red", run = "blue" }
local counted = { "create", "adopt", "change", "replace", "delete", "run" }

--- Counts the entries of each action.
---@param entries table[]
---@return table<string, integer>
function M.count(entries)
  local n = {}
  for _, a in ipairs(counted) do n[a] = 0 end
  for _, e in ipairs(entries) do
    if n[e.action] then n[e.action] = n[e.action] + 1 end
  end
  return n
end

--- True when apply would change nothing.
---@param entries table[]
---@return boolean
function M.empty(entries)
  for _, n in pairs(M.count(entries)) do
    if n > 0 then return false end
  end
  return true
end

--- One sentence: "Plan: 3 to create, 1 to change."
---@param entries table[]
---@return string
function M.summary(entries)
  local n, parts = M.count(entries), {}
  for _, a in ipairs(counted) do
    if n[a] > 0 then parts[#parts + 1] = n[a] .. " to " .. a end
  end
  if #parts == 0 then return "Plan: no changes." end
  return "Plan: " .. table.concat(parts, ", ") .. "."
end

local function change(c, mixed)
  local note = c.drift and mixed and " (changed by hand)" or ""
  return ("%s: %s -> %s%s"):format(c.field, plain.show(c.old), plain.show(c.new), note)
end

--- Whether a field says nothing: an empty list or map.
local function is_empty(v) return type(v) == "table" and not unknown.is(v) and next(v) == nil end

--- What stands behind a thing's title: its changes, or what it will be, and why.
local function details(e)
  local parts, notes, changed, by_hand = {}, {}, {}, 0
  for _, c in ipairs(e.changes or {}) do by_hand = by_hand + (c.drift and 1 or 0) end
  local mixed = e.changes and by_hand < #e.changes           -- else one remark speaks for all of them
  for _, c in ipairs(e.changes or {}) do
    changed[c.field] = true
    parts[#parts + 1] = change(c, mixed)
  end
  if e.action == "create" or e.action == "replace" then
    for _, f in ipairs(e.of and (e.of.summary or e.of.fixed) or {}) do
      local value = e.spec[f]
      if value ~= nil and f ~= "name" and not changed[f] and not is_empty(value) then parts[#parts + 1] = f .. " " .. plain.show(value) end
    end
  end
  if e.action == "adopt" then notes[#notes + 1] = ("take over %s, which this recipe did not make"):format(e.id) end
  if e.vanished then notes[#notes + 1] = "it is gone" end
  if e.reason then notes[#notes + 1] = e.reason end
  if e.drift and not mixed then notes[#notes + 1] = "changed by hand" end
  if e.again then notes[#notes + 1] = "again: it was interrupted" end
  if #notes > 0 then notes = { "(" .. table.concat(notes, "; ") .. ")" } end
  if #parts > 0 then table.insert(notes, 1, table.concat(parts, ", ")) end
  return table.concat(notes, " ")
end

--- The plan's lines, by stage, with the marks + ~ -/+ - <= > as Terraform users know them, and = for what is taken over.
---@param entries table[]
---@return string[]
function M.lines(entries)
  local lines, stage = {}, nil
  for _, e in ipairs(entries) do
    if marks[e.action] then
      local name = e.stage or ""
      if name ~= stage then
        if name ~= "" then lines[#lines + 1] = log.color("bold", name, 1) end
        stage = name
      end
      local mark = marks[e.action]
      local text = (" "):rep(3 - #mark) .. mark
      if colors[e.action] then text = log.color(colors[e.action], text, 1) end
      local what = e.action == "run" and "run " .. e.title or e.action == "ask" and "asks: " .. e.title or e.title
      local more = details(e)
      lines[#lines + 1] = ("%s %s%s"):format(text, what, more ~= "" and "  " .. more or "")
    end
  end
  lines[#lines + 1] = M.summary(entries)
  return lines
end

--- What prune is for: made by runs of the recipe, no longer asked for, not to be kept.
local function prunable(r)
  local list = {}
  for _, n in ipairs(r:forgotten()) do
    if not (n.adopted or n.keep) then list[#list + 1] = n end
  end
  return list
end

--- What the recipe does not ask for any more, in one line; nil when there is nothing.
---@param r table the run that planned
---@return string?
function M.forgotten(r)
  local titles = {}
  for i, n in ipairs(prunable(r)) do titles[i] = ("%s %q"):format(n.kind, n.spec and n.spec.name or n.key) end
  return titles[1] and ("No longer in the recipe, and left alone: %s (see hkrun prune)."):format(table.concat(titles, ", "))
end

local function changes_of(e)
  local changes = {}
  for _, c in ipairs(e.changes or {}) do
    changes[c.field] = {
      old = c.old == nil and json.null or plain.data(c.old), new = plain.data(c.new),
      forces_replacement = c.forces or nil, changed_by_hand = c.drift or nil,
    }
  end
  return next(changes) and changes or nil
end

local function properties_of(e)
  local properties = {}
  for _, f in ipairs(e.of and e.of.fields or {}) do
    if e.spec[f] ~= nil and f ~= "name" then properties[f] = plain.data(e.spec[f]) end
  end
  return next(properties) and properties or nil
end

--- One entry as plain data.
---@param e table
---@return table
function M.entry(e)
  return {
    stage = e.stage, action = e.action, key = e.key, kind = e.kind, name = e.name or e.title, id = e.id,
    properties = properties_of(e), changes = changes_of(e), reason = e.reason, gone = e.vanished,
    changed_by_hand = e.drift or nil,
  }
end

--- The kinds of the entries: the fields that can be changed in place, and those where a change replaces the thing.
local function kinds_of(entries)
  local kinds = {}
  for _, e in ipairs(entries) do
    local kind = e.of
    if kind and kind.create and not kinds[kind.name] then
      local in_place, fixed = json.array {}, json.array {}
      for _, f in ipairs(kind.fields) do
        local list = (kind.is_fixed[f] or not kind.update) and fixed or in_place
        if kind.compare[f] ~= "ignore" then list[#list + 1] = f end
      end
      kinds[kind.name] = { in_place = in_place, replaces = fixed }
    end
  end
  return kinds
end

--- The plan as plain data for JSON; unknown values are "(known after apply)", secrets "(secret)".
---@param r table the run that planned
---@return table
function M.data(r)
  local list, forgotten = json.array {}, json.array {}
  for i, e in ipairs(r.entries) do list[i] = M.entry(e) end
  for i, n in ipairs(prunable(r)) do forgotten[i] = { key = n.key, kind = n.kind, id = n.id } end
  return {
    recipe = r.recipe, target = r.target, entries = list, kinds = kinds_of(r.entries), forgotten = forgotten,
    summary = M.count(r.entries),
  }
end

return M
