--- What the view of a run shows beside what runs now (live.lua), from the journal's records as they come: its stages, how
--- much is done, what waits for what, how long the rest may take. A run knows it of itself, `hkrun status --watch` of another.
local timeline = require "recipe.timeline"

local M = {}
local Scene = {}
Scene.__index = Scene

local AS = { create = "intent", replace = "intent", adopt = "update", change = "update" }

--- The kind of a noun's key, or nil for what is no noun.
local function kind_of(key)
  local kind = key:match "^([^:]+):"
  return kind ~= "once" and kind ~= "guard" and kind or nil
end

--- How long things took in earlier runs, the last time: by what was done to which ("intent aws.vpc:shop"), and for nouns
--- the mean of their kind ("intent aws.vpc").
local function durations(records)
  local began, took, kinds = {}, {}, {}
  for _, rec in ipairs(records) do
    local begins, ends = timeline.meaning(rec)
    local key = (begins or ends) and timeline.key_of(rec)
    if rec.ev == "run" then began = {} end
    if begins then began[key] = { rec.ev, rec.began or rec.t } end
    local since = ends and began[key]
    if since then took[since[1] .. " " .. key] = rec.t - since[2] end
  end
  for id, seconds in pairs(took) do
    local verb, key = id:match "^(%S+) (.*)$"
    if kind_of(key) then
      local list = kinds[verb .. " " .. kind_of(key)] or { sum = 0, n = 0 }
      list.sum, list.n = list.sum + seconds, list.n + 1
      kinds[verb .. " " .. kind_of(key)] = list
    end
  end
  return took, kinds
end

--- A scene before its run.
---@param records? table[] of earlier runs
---@param others? table[] records of the recipe's other targets: things of a kind take as long there
---@return table scene
function M.new(records, others)
  local took, kinds = durations(records or {})
  local _, elsewhere = durations(others or {})
  for id, mean in pairs(elsewhere) do kinds[id] = kinds[id] or mean end
  return setmetatable({ took = took, kinds = kinds, entries = {}, by_key = {}, stages = {}, state_of = {} }, Scene)
end

local on = {}

function on.run(s, rec)
  s.command, s.recipe, s.target, s.began, s.things = rec.command, rec.recipe, rec.target, rec.t, rec.things
  s.gone = 0
end

function on.plan(s, rec)
  s.entries = rec.entries
  for _, e in ipairs(s.entries) do s.by_key[e.key] = e end
  for _, name in ipairs(rec.stages or {}) do s.stages[#s.stages + 1] = name end
end

function on.stage(s, rec)
  s.stage = rec.name
  for _, name in ipairs(s.stages) do
    if name == rec.name then return end
  end
  s.stages[#s.stages + 1] = rec.name
end

function on.deleted(s) s.gone = s.gone + 1 end

on["end"] = function(s, rec) s.ended, s.stopped_at = rec.state, rec.t end

--- Takes a record in.
---@param rec table
function Scene:add(rec)
  if on[rec.ev] then on[rec.ev](self, rec) end
  local begins, ends = timeline.meaning(rec)
  local key = timeline.key_of(rec)
  if ends and rec.ev ~= "deleted" and rec.ev ~= "created" or rec.ev == "found" and self.by_key[key] and self.by_key[key].action == "adopt" then
    self.state_of[key] = "done"
  elseif begins then
    self.state_of[key] = rec.began or rec.t                  -- running, since then
  elseif rec.ev == "guard" and (rec.state == "undoing" or rec.state == "undone") then
    self.state_of[key] = nil
  end
end

--- Seconds that an entry may still take; nil where nothing tells.
local function remaining(s, e, now, measured)
  if measured[e.key] then return measured[e.key] end
  local id = e.action == "run" and e.key:match "^%a+" .. " " .. e.key or (AS[e.action] or "") .. " " .. e.key
  local kind = kind_of(e.key) and s.kinds[(AS[e.action] or "") .. " " .. kind_of(e.key)]
  local expected = s.took[id] or kind and kind.sum / kind.n
  local since = s.state_of[e.key]
  if not expected or not since then return expected end
  return now - since <= expected and expected - (now - since) or nil      -- overdue: it is anybody's guess
end

--- How long the rest takes, by the longest way through what waits for what; and whether that is the least.
local function rest(s, now, measured)
  local memo, known, unknown = {}, false, false
  local function after(e)
    if memo[e.key] then return memo[e.key] end
    memo[e.key] = 0                                          -- a circle would be a mistake of ours, and no reason to hang
    local longest, own = 0, 0
    for _, key in ipairs(e.after or {}) do
      local other = s.by_key[key]
      if other and s.state_of[key] ~= "done" then longest = math.max(longest, after(other)) end
    end
    local seconds = remaining(s, e, now, measured)
    if seconds then own, known = seconds, true else unknown = true end
    memo[e.key] = longest + own
    return memo[e.key]
  end
  local most = 0
  for _, e in ipairs(s.entries) do
    if s.state_of[e.key] ~= "done" then most = math.max(most, after(e)) end
  end
  return known and most or nil, unknown
end

local function stages(s)
  local list, seen = {}, s.stage == nil
  for i, name in ipairs(s.stages) do
    local state = seen and "todo" or "done"
    if name == s.stage then
      state, seen = (s.ended == "failed" or s.ended == "cancelled") and "failed" or s.ended == "done" and "done" or "running", true
    end
    list[i] = { name = name, state = state }
  end
  return list
end

local function waits(s)
  local list = {}
  for _, e in ipairs(s.entries) do
    local blockers = {}
    for _, key in ipairs(s.state_of[e.key] == nil and e.after or {}) do
      local other = s.by_key[key]
      if other and s.state_of[key] ~= "done" then blockers[#blockers + 1] = other.title end
    end
    if blockers[1] then list[#list + 1] = { title = e.title, after = blockers } end
  end
  return list
end

--- What runs now, as far as the records tell.
---@param now number
---@return table[] items as log.items() answers them
function Scene:running(now)
  local list = {}
  for key, since in pairs(self.state_of) do
    local e = self.by_key[key]
    if since ~= "done" then
      list[#list + 1] = { what = e and e.title or (key:gsub("^once:", ""):gsub("^guard:", "")), key = key, seconds = math.max(0, now - since) }
    end
  end
  table.sort(list, function(a, b) return a.seconds > b.seconds or a.seconds == b.seconds and a.key < b.key end)
  return list
end

--- The state for live.lines.
---@param now number seconds as the journal's
---@param items? table[] what runs now, as log.items() answers it
---@return table
function Scene:state(now, items)
  local measured, done, total = {}, 0, #self.entries
  for _, item in ipairs(items or {}) do
    if item.key and item.left then measured[item.key] = math.max(measured[item.key] or 0, item.left) end
  end
  for _, e in ipairs(self.entries) do done = done + (self.state_of[e.key] == "done" and 1 or 0) end
  if self.things then done, total = self.gone, self.things end
  local left, at_least = rest(self, now, measured)
  return {
    title = ("%s %s%s"):format(self.command or "run", self.recipe or "", (self.target or "") ~= "" and " (" .. self.target .. ")" or ""),
    done = done, total = total, seconds = math.max(0, (self.stopped_at or now) - self.began), left = left, at_least = at_least,
    stages = stages(self), items = items, waits = waits(self),
  }
end

return M
