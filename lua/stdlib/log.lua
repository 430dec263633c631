--- What a run says: lines and progress on standard error, results (`out`) on standard output.
--- On a terminal what runs now is drawn at the bottom (live.lua); elsewhere it is plain lines, now and then.
--- Strings pass through as they are, secrets print as (secret). NO_COLOR is honoured.
local figures = require "figures"
local live = require "live"
local pace = require "live.pace"
local screen = require "live.screen"
local task = require "task"
local term = require "term"
local wrap = require "wrap"

local M = {}

M.verbose = false
for _, word in ipairs(rawget(_G, "arg") or {}) do
  if word == "-v" then M.verbose = true end
end

local FRAME = 0.1                                            -- seconds between two frames, at least
local tty = term.is_tty(2) and not term.is_dumb()
local out_tty = term.is_tty(1)
local no_color = os.getenv "NO_COLOR"
local unicode = term.is_utf8()
local colors = { red = 31, green = 32, yellow = 33, blue = 34, bold = 1, dim = 2 }
local items = {}                                             -- what runs now
local scene                                                  -- function: what the view shows beside that
local last_draw, dirty, size_then, call_off = 0, false, nil, nil

--- Whether a stream is a terminal that has colours, and they are wanted.
---@param fd integer
---@return boolean
function M.color_wanted(fd)
  return term.is_tty(fd) and (no_color == nil or no_color == "") and not term.is_dumb()
end

--- Colours a string when the stream is a terminal.
---@param name "red"|"green"|"yellow"|"blue"|"bold"|"dim"
---@param s string
---@param fd? integer 1 or 2 (default)
function M.color(name, s, fd)
  if not M.color_wanted(fd or 2) then return s end
  return ("\27[%dm%s\27[0m"):format(colors[name], s)
end

--- Where lines go; tests replace it. `stream` is "out" or "err".
function M.sink(stream, line)
  local f = stream == "out" and io.stdout or io.stderr
  f:write(line, "\n")
  f:flush()
end

--- 1234567, "rows" -> "1,234,567 rows"; 1536, "bytes" -> "1.5 KiB".
---@param n number
---@param unit? string
---@return string
M.amount = figures.amount

--- Seconds in words: 8 s, 2 min 5 s, 1 h 3 min.
---@param s number
---@return string
M.duration = figures.duration

--- How far something has come, as the view shows it.
---@param p table as from log.progress
---@return table `{ what=, key=, count=, total=, unit=, share=, note=, rate=, left=, seconds= }`
function M.item(p) return pace.item(p, task.now()) end

--- All that runs now, the oldest first.
---@return table[]
function M.items()
  local list = {}
  for i, p in ipairs(items) do list[i] = M.item(p) end
  return list
end

local held = false                                          -- somebody types at the bottom line

local function painted(name, s) return M.color(name, s) end

local function frame(columns, rows)
  local state = scene and scene() or {}
  state.items = state.items or M.items()
  return live.lines(state, { columns = columns, rows = rows, unicode = unicode, paint = painted })
end

local function draw()
  if not tty or held then return end
  local columns, rows = screen.size()
  local ok, lines = pcall(frame, columns, rows)
  if not ok then                                             -- a mistake in it must not end a run
    tty = false
    screen.erase()
    return M.warn("the view of the run is off: %s", tostring(lines))
  end
  screen.draw(lines)
  last_draw, dirty, size_then = task.now(), false, columns * 65536 + rows
end

--- Draws now, or with the next frame.
local function redraw()
  if task.now() - last_draw >= FRAME then draw() else dirty = true end
end

--- What people read is broken between words, on a terminal only: what it goes to elsewhere has lines of its own.
local function say(stream, line, as_it_is)
  if stream == "err" or out_tty then screen.erase() end
  local is_read = stream == "err" and tty or stream == "out" and out_tty
  if is_read and not as_it_is then line = wrap.text(line, (term.size())) end
  M.sink(stream, line)
  if items[1] or scene then redraw() end
end

local function formatted(fmt, ...)
  if select("#", ...) == 0 then return tostring(fmt) end
  return fmt:format(...)
end

--- One line about what was done.
---@param fmt string as string.format; without further arguments it is printed as it is
function M.info(fmt, ...) say("err", formatted(fmt, ...)) end

--- A heading: a new stage begins.
function M.step(fmt, ...) say("err", M.color("bold", formatted(fmt, ...))) end

--- Something that needs attention but does not stop the run.
function M.warn(fmt, ...) say("err", M.color("yellow", "warning: " .. formatted(fmt, ...))) end

--- Why a command failed, in a sentence.
function M.failure(line) say("err", line) end

local told = {}

--- Who keeps risks: function(line), or nil. A recipe that is applied writes them into its journal.
M.on_risk = nil

--- A warning about something that was allowed and is dangerous: said once, and kept where `hkrun log` shows it.
---@param fmt string
function M.risk(fmt, ...)
  local line = formatted(fmt, ...)
  if not told[line] then M.warn("%s", line) end
  told[line] = true
  if M.on_risk then M.on_risk(line) end
end

--- Only with -v.
function M.debug(fmt, ...)
  if M.verbose then say("err", M.color("dim", formatted(fmt, ...))) end
end

--- Whether results go to standard error too: standard output is somebody else's.
M.results_aside = false

--- A line of a result for people, on standard output.
function M.out(fmt, ...) say(M.results_aside and "err" or "out", formatted(fmt or "", ...)) end

--- Lines of a result that are laid out already, on standard output.
---@param lines string[]
function M.lines(lines)
  for _, line in ipairs(lines) do say(M.results_aside and "err" or "out", line, true) end
end

--- What is laid out already, or for programs, on standard output.
---@param line string
function M.data(line) say("out", line, true) end

--- Runs fn, which asks for something on the terminal, with nothing redrawn meanwhile.
---@param fn function
---@return any
function M.hold(fn)
  screen.erase()
  held = true
  local r = table.pack(pcall(fn))
  held = false
  draw()
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

local Progress = {}
Progress.__index = Progress

--- Who is told when something begins ("begin"), goes on ("go on") and has ended ("end"): function(progress, what), or nil.
M.on_progress = nil

local function plainly(p)
  if task.now() - p.said < p.every then return end
  p.said, p.every = task.now(), math.min(p.every * 2, 60)
  M.sink("err", "  ... " .. pace.line(M.item(p)))
end

local function show(p)
  pace.sample(p, task.now())
  if M.on_progress then M.on_progress(p, "go on") end
  if tty then redraw() else plainly(p) end
end

--- What is due as time goes by: a frame when something has changed, when the terminal has, and each second; or plain lines.
local function tick()
  for _, p in ipairs(items) do
    if not tty then show(p) elseif M.on_progress then M.on_progress(p, "go on") end
  end
  if not tty then return end
  local columns, rows = screen.size()
  if task.now() - last_draw < FRAME then return end
  if dirty or task.now() - last_draw >= 1 or columns * 65536 + rows ~= size_then then draw() end
end

local function wind()
  local wanted = items[1] ~= nil or scene ~= nil
  if wanted and not call_off then
    call_off = task.alarm(tty and FRAME or 1, function()
      call_off = nil
      tick()
      wind()
    end)
  elseif not wanted and call_off then
    call_off()
    call_off = nil
  end
end

--- Shows more than what runs now, until the value that it gives is closed: fn answers the state for live.lines.
---@param fn fun(): table
---@return table a to-be-closed value
function M.view(fn)
  local before = scene
  scene = fn
  wind()
  if tty then draw() end
  return setmetatable({}, { __close = function()
    scene = before
    wind()
    draw()
  end })
end

--- What runs now and is finished also when the run is to end.
---@return string[]
function M.finishing()
  local list = {}
  for _, p in ipairs(items) do
    if p.finishes then list[#list + 1] = p.what end
  end
  return list
end

--- Shows the progress of something that takes a while, until `:done()`; also a to-be-closed value.
---@param o table `{ what="copy orders", total=, unit="rows"|"bytes", key= }`; key: which entry of the plan it belongs to
---@return table p `p:update(n [, share])`, `p:note(text)`, `p:done()`; `p.finishes`: it is not left half done when the run is to end
function M.progress(o)
  local p = setmetatable({ what = tostring(o.what), total = o.total, unit = o.unit, key = o.key, began = task.now(), every = o.every or 10,
    samples = {} }, Progress)
  p.said = p.began
  items[#items + 1] = p
  wind()
  if M.on_progress then M.on_progress(p, "begin") end
  show(p)
  return p
end

--- Sets how far it has come.
---@param n number
---@param share? number of the work, 0 to 1, where the total is not known in the unit
function Progress:update(n, share)
  self.count, self.share = n, share
  show(self)
end

--- Says what is waited for.
---@param s string
function Progress:note(s)
  self.note_text = s ~= nil and tostring(s) or nil             -- a secret is hidden here
  show(self)
end

--- Ends it. Safe twice.
function Progress:done()
  for i, p in ipairs(items) do
    if p == self then
      table.remove(items, i)
      wind()
      if M.on_progress then M.on_progress(p, "end") end
      if items[1] or scene then redraw() else screen.erase() end
      return
    end
  end
end
Progress.__close = Progress.done

return M
