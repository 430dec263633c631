--- What `--json` prints of a run: JSON lines on standard output, one event a line, `{ at=, ev=, ... }`. Events are the
--- journal's records, once they are kept, and beside them
---   progress   what, key, state = running | done, and as far as they are known count, total, unit, share, rate, left, note;
---              seconds. Of each thing one a second at most, and none of what takes less
---   end        is always the last line: state, code = the exit code, error, and of what the run did the summary
local errors = require "errors"
local holder = require "journal.holder"
local json = require "json"
local log = require "log"
local loop = require "host.loop"
local secret = require "secret"
local task = require "task"

local M = {}
local Events = {}
Events.__index = Events

local EVERY = 1                                              -- seconds

local function write(event)
  event.at = event.at or holder.utc(loop.time())
  local line = errors.check("write an event", json.encode(event))
  if not secret.is(line) then log.data(line) end
end

--- While there are events, what people read goes to standard error.
---@return table events
function M.new()
  local self = setmetatable({ said = setmetatable({}, { __mode = "k" }), aside = log.results_aside }, Events)
  log.results_aside = true
  return self
end

--- A record of the journal. The end is kept back, because more may be written behind it.
---@param rec table
function Events:take(rec)
  if rec.ev == "run" and self.last then
    write(self.last)
    self.last = nil
  end
  if rec.ev == "end" then self.last = rec else write(rec) end
end

--- A progress, as log.items() answers them.
---@param item table
---@param state "running"|"done"
function Events:progress(item, state)
  write { ev = "progress", what = item.what, key = item.key, state = state, count = item.count, total = item.total,
    unit = item.unit, share = item.share, rate = item.rate, left = item.left, note = item.note,
    seconds = math.floor(item.seconds * 10) / 10 }
end

--- Something that is shown as progress has begun, goes on or has ended.
function Events:move(p, what)
  local before, now = self.said[p] or p.began, task.now()
  if what == "end" and self.said[p] or what == "go on" and now - before >= EVERY then
    self.said[p] = now
    self:progress(log.item(p), what == "end" and "done" or "running")
  end
end

--- The last line.
---@param ok boolean
---@param e any the exit code, or the error
function Events:finish(ok, e)
  local last = self.last or { ev = "end" }
  if not ok then
    last.state = last.state ~= "done" and last.state or errors.is(e, "cancelled") and "cancelled" or "failed"
    last.error = last.error or tostring(e)
  end
  last.state = last.state or "done"
  last.code = ok and (e or 0) or errors.exit_code(e)
  write(last)
  log.results_aside = self.aside
end

return M
