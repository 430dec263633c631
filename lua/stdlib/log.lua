--- What a run says: lines and progress on standard error, results (`out`) on standard output.
--- On a terminal the progress of what runs now is redrawn at the bottom; elsewhere it is plain lines, now and then.
--- Strings pass through as they are, secrets print as (secret). NO_COLOR is honoured.
local interrupt = require "host.interrupt"
local task = require "task"
local term = require "term"

local M = {}

M.verbose = false
for _, word in ipairs(rawget(_G, "arg") or {}) do
  if word == "-v" then M.verbose = true end
end

local tty = term.is_tty(2) and not term.is_dumb()
local no_color = os.getenv "NO_COLOR"
local colors = { red = 31, green = 32, yellow = 33, blue = 34, bold = 1, dim = 2 }
local live, drawn, last_draw = {}, 0, 0
local ticker

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

local function erase()
  if drawn > 0 then
    io.stderr:write(("\r\27[%dA\27[J"):format(drawn))       -- \r: a Ctrl-C was echoed there
    interrupt.clears ""
  end
  drawn = 0
end

local units = { "B", "KiB", "MiB", "GiB", "TiB" }

local function amount(n, unit)
  if unit == "bytes" then
    local i = 1
    while n >= 1024 and i < #units do n, i = n / 1024, i + 1 end
    return (i == 1 and "%d %s" or "%.1f %s"):format(i == 1 and math.floor(n) or n, units[i])
  end
  local s = ("%d"):format(math.floor(n)):reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
  return unit and s .. " " .. unit or s
end
M.amount = amount

--- Seconds as people say them: 8 s, 2 min 5 s, 1 h 3 min.
function M.duration(s)
  s = math.floor(s + 0.5)
  if s < 60 then return s .. " s" end
  if s < 3600 then return ("%d min %d s"):format(s // 60, s % 60) end
  return ("%d h %d min"):format(s // 3600, s % 3600 // 60)
end

local function progress_line(p)
  local parts = { p.what }
  if p.count and p.total and p.total > 0 then
    parts[#parts + 1] = ("%d %%"):format(math.floor(100 * p.count / p.total))
    parts[#parts + 1] = ("%s of %s"):format(amount(p.count), amount(p.total, p.unit))
  elseif p.count then
    parts[#parts + 1] = amount(p.count, p.unit)
  end
  local seconds = task.now() - p.began
  if p.count and p.count > 0 and seconds > 1 then
    parts[#parts + 1] = amount(p.count / seconds, p.unit == "bytes" and "bytes" or nil) .. "/s"
  end
  if p.note_text then parts[#parts + 1] = p.note_text end
  if seconds >= 1 then parts[#parts + 1] = M.duration(seconds) end
  return table.concat(parts, ", ")
end

local held = false                                          -- somebody types at the bottom line

local function draw()
  if not tty or held then return end
  erase()
  local columns = term.size() or 80
  for _, p in ipairs(live) do
    local line = "  " .. progress_line(p)
    if utf8.len(line) and utf8.len(line) >= columns then line = line:sub(1, utf8.offset(line, columns) - 1) end
    io.stderr:write(line, "\n")
    drawn = drawn + 1
  end
  if drawn > 0 then interrupt.clears(("\r\27[%dA\27[J"):format(drawn)) end
  io.stderr:flush()
  last_draw = task.now()
end

local function say(stream, line)
  erase()
  M.sink(stream, line)
  if #live > 0 then draw() end
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

--- A line of a result, on standard output.
function M.out(fmt, ...) say("out", formatted(fmt or "", ...)) end

--- Runs fn, which asks for something on the terminal, with nothing redrawn meanwhile.
---@param fn function
---@return any
function M.hold(fn)
  erase()
  held = true
  local r = table.pack(pcall(fn))
  held = false
  draw()
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

local Progress = {}
Progress.__index = Progress

local function plain_due(p)
  return task.now() - p.said >= p.every
end

local function show(p, force)
  if tty then
    if force or task.now() - last_draw >= 0.1 then draw() end
  elseif plain_due(p) then
    p.said, p.every = task.now(), math.min(p.every * 2, 60)
    M.sink("err", "  ... " .. progress_line(p))
  end
end

local function start_ticker()
  if ticker or not task.current() then return end
  ticker = task.spawn(function()
    while #live > 0 do
      task.sleep(1)
      for _, p in ipairs(live) do
        if not tty then show(p) end
      end
      if #live > 0 then draw() end
    end
  end)
end

--- What runs now and is finished also when the run is to end.
---@return string[]
function M.finishing()
  local list = {}
  for _, p in ipairs(live) do
    if p.finishes then list[#list + 1] = p.what end
  end
  return list
end

--- Shows the progress of something that takes a while, until `:done()`; also a to-be-closed value.
---@param o table `{ what="copy orders", total=, unit="rows"|"bytes" }`
---@return table p `p:update(n)`, `p:note(text)`, `p:done()`; `p.finishes`: it is not left half done when the run is to end
function M.progress(o)
  local p = setmetatable({ what = o.what, total = o.total, unit = o.unit, began = task.now(), every = o.every or 10 },
    Progress)
  p.said = p.began
  live[#live + 1] = p
  start_ticker()
  show(p, true)
  return p
end

--- Sets how far it has come.
---@param n number
function Progress:update(n)
  self.count = n
  show(self)
end

--- Says what is waited for.
---@param s string
function Progress:note(s)
  self.note_text = s
  show(self)
end

--- Ends it. Safe twice.
function Progress:done()
  for i, p in ipairs(live) do
    if p == self then
      table.remove(live, i)
      if #live == 0 and ticker then
        local t = ticker
        ticker = nil
        t:cancel()
        task.shield(function() pcall(t.join, t) end)
      end
      erase()
      draw()
      return
    end
  end
end
Progress.__close = Progress.done

return M
