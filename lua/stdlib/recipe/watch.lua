--- hkrun status --watch: the view of a run that goes on in another terminal, from its journal as it grows and, on the same
--- machine, from what the run says of its progress (nearby.lua). Ends with the run, and with its exit code; Ctrl-C leaves
--- the run alone.
local errors = require "errors"
local fs = require "fs"
local holder = require "journal.holder"
local json = require "json"
local log = require "log"
local loop = require "host.loop"
local nearby = require "recipe.nearby"
local scene = require "recipe.scene"
local task = require "task"

local M = {}

local CODES = { done = 0, stopped = 0, failed = 1, cancelled = 130 }
local LOOK, HOLDER = 0.25, 2                                 -- seconds between two looks at a file, and at who has it
M.ask_s3 = 5                                                 -- seconds between two readings of a journal in S3

--- "aws.vpc:shop" -> 'aws.vpc "shop"'
local function title(key) return ('%s "%s"'):format(key:match "^([^:]*):(.*)$") end

--- What the run says itself of these, in its words.
local say = {
  stage = function(r) log.step("%s", r.name) end,
  created = function(r) log.info("  + %s created (%s)", title(r.key), r.id) end,
  updated = function(r) log.info("  ~ %s changed", title(r.key)) end,
  deleted = function(r) log.info("  - %s deleted (%s)", title(r.key), r.id or "") end,
  once = function(r) if r.state == "start" then log.info("  > %s", r.guard and r.name:sub(#r.guard + 2) or r.name) end end,
  guard = function(r)
    if r.state == "armed" then log.info("  > %s", r.what or r.key) end
    if r.state == "undoing" then log.info("  < undo: %s", r.what or r.key) end
  end,
  confirm = function(r) log.info("  answered yes: %s", r.question) end,
  risk = function(r) log.warn("%s", r.text) end,
}

--- What was written since it was read last, whole lines only.
local function fresh(self)
  local list, bytes = {}, self.journal.store:read():sub(self.at + 1)
  local size = #(bytes:match "^.*\n" or "")
  for line in bytes:sub(1, size):gmatch "[^\n]+" do list[#list + 1] = json.decode(line) end
  self.at = self.at + size
  return list
end

--- Takes a record in, and says what it tells.
local function take(self, rec, quietly)
  if rec.ev == "run" then
    self.scene, self.last = scene.new(self.records, self.others), nil
    self.waits = self.waits and rec.at < self.lock.since
  end
  self.records[#self.records + 1] = rec
  if self.scene then self.scene:add(rec) end
  if rec.ev == "end" then self.last = rec end
  if quietly and rec.ev ~= "end" then return end
  if self.events then self.events:take(rec) elseif say[rec.ev] then say[rec.ev](rec) end
end

--- Takes in what was written before; of the run that goes on all of it is said.
local function begin(self)
  local lock, last = self.journal:holder(), self.journal.memory.last
  self.lock, self.alive = lock, lock ~= nil and lock.alive
  self.waits = self.alive and (not last or last.at < lock.since)      -- it plans, or asks
  local list = fresh(self)
  local from = #list + 1
  for i, rec in ipairs(self.alive and not self.waits and list or {}) do
    if rec.ev == "run" then from = i end
  end
  for i, rec in ipairs(list) do take(self, rec, i < from) end
  if not self.waits then return end
  self.scene, self.last = nil, nil
  log.info("%s has the journal, and has not begun", holder.title(lock))
end

--- Whether the journal has grown: a file is looked at, an object in S3 is asked for now and then.
local function has_grown(self)
  if self.base then
    local st = fs.stat(self.journal.path)
    return st ~= nil and st.size > self.at
  end
  local due = task.now() - self.asked >= M.ask_s3
  if due then self.asked = task.now() end
  return due
end

--- What runs now: as the run says itself, else as its journal tells.
local function take_items(self)
  if self.base then nearby.ask(self.base) end
  local items = self.base and nearby.read(self.base) or self.scene and self.scene:running(loop.time()) or {}
  self.items = items
  for _, item in ipairs(self.events and items or {}) do self.events:progress(item, "running") end
end

local function follow(self)
  local looked, told = task.now(), -1
  while self.alive and (self.waits or not self.last) do
    if task.now() - looked >= (self.base and HOLDER or M.ask_s3) then
      local lock = self.journal:holder()                     -- before the journal is read: else an end could be missed
      self.alive, looked = lock ~= nil and lock.alive, task.now()
    end
    if not self.alive or has_grown(self) then
      for _, rec in ipairs(fresh(self)) do take(self, rec) end
    end
    if task.now() - told >= 1 then
      take_items(self)
      told = task.now()
    end
    task.sleep(LOOK)
  end
end

local function verdict(self)
  local run, last = self.scene, self.last
  if not (run and last) and self.events then self.events:take { ev = "end", state = run and "killed" or "none" } end
  if not run then
    log.out(self.waits and "nothing was run" or "never applied")
    return 0
  end
  if not last then
    log.out("%s did not end: it was killed", run.command)
    return 1
  end
  log.out("%s %s%s, after %s", run.command, last.state, last.error and ": " .. last.error or "", log.duration(last.t - run.began))
  return CODES[last.state] or 1
end

--- Follows the run of a journal; returns its exit code.
---@param r table a run of load.upto_options
---@param o { json: boolean? }
---@return integer
function M.run(r, o)
  local self = { journal = r.journal, base = r.journal.store.base, others = r.journal:others(), records = {}, at = 0, asked = task.now() }
  if o.json then self.events = require("recipe.events").new() end
  local ok, e = xpcall(function()
    local _ <close> = log.view(function()
      if not self.scene or self.last then return { items = {} } end
      return self.scene:state(loop.time(), self.items)
    end)
    begin(self)
    follow(self)
  end, errors.handler)
  if self.base then nearby.leave(self.base) end
  if not ok then error(e, 0) end
  local code = verdict(self)
  if self.events then self.events:finish(true, code) end
  return code
end

return M
