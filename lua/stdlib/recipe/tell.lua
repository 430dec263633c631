--- Whom a run tells what it does, beside its journal: people at this terminal (scene.lua), a program that reads --json
--- (events.lua), a webhook (webhook.lua), `hkrun status --watch` in another terminal (watch.lua).
local errors = require "errors"
local journal = require "journal"
local log = require "log"
local loop = require "host.loop"
local scene = require "recipe.scene"
local task = require "task"
local term = require "term"

local M = {}

local listeners = {}                                         -- of the command that runs

--- The view of the run that a journal tells of.
local View = {}
View.__index = View

function View:take(rec, of)
  if rec.ev == "run" then
    local earlier = of:records()
    while earlier[1] and earlier[#earlier].t >= rec.t do earlier[#earlier] = nil end
    self.scene = scene.new(earlier, of:others())
  end
  if self.scene then self.scene:add(rec) end
  if rec.ev == "run" then self.view = log.view(function() return self.scene:state(loop.time(), log.items()) end) end
  if rec.ev == "end" then self:finish() end
end

function View:finish()
  local _ <close> = self.view
  self.scene, self.view = nil, nil
end

--- What a thing that runs belongs to: the once in whose body it was begun.
local function belongs(p)
  local t = task.current()
  while t and not p.key do
    p.key = t.once and "once:" .. t.once or nil
    t = t.parent
  end
end

--- Tells what stands in no journal.
---@param event table as a record
function M.event(event)
  for _, l in ipairs(listeners) do l:take(event) end
end

--- Runs fn, a command that writes a journal, and tells of it meanwhile.
---@param o { json: boolean?, webhook: string? } as from load.arguments
---@param fn fun(): integer
---@return integer exit code
function M.during(o, fn)
  local url = o.webhook or term.env "HKRUN_WEBHOOK"
  local events = o.json and require("recipe.events").new()
  listeners = { setmetatable({}, View), require("recipe.nearby").new() }
  if events then table.insert(listeners, 1, events) end
  function journal.on_write(rec, of)
    for _, l in ipairs(listeners) do l:take(rec, of) end
  end
  function log.on_progress(p, what)
    if what == "begin" then belongs(p) end
    if events then events:move(p, what) end
  end
  local ok, e = xpcall(function()
    if url then listeners[#listeners + 1] = require("recipe.webhook").new(url) end
    return fn()
  end, errors.handler)
  for _, l in ipairs(listeners) do
    if l ~= events then l:finish() end
  end
  journal.on_write, log.on_progress, listeners = nil, nil, {}
  if events then events:finish(ok, e) end
  if not ok then error(e, 0) end
  return e
end

return M
