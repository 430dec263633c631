--- When each thing of the last run was done, and what could not have been done sooner: its critical path. All times are the
--- journal's; the order of things is that of the plan (recipe/flow.lua).
local M = {}

local BEGINS = { intent = true, update = true, delete = true }
local UNDOES = { undoing = true, undone = true }
local ENDS = { created = true, ready = true, updated = true, deleted = true }

--- The key in the plan of what a record tells of.
function M.key_of(rec)
  if rec.ev == "once" then return "once:" .. rec.name end
  if rec.ev == "guard" then return (UNDOES[rec.state] and "undo:" or "guard:") .. rec.key end
  return rec.key
end

--- Whether a record begins or ends something.
---@return boolean? begins
---@return boolean? ends
function M.meaning(rec)
  if rec.ev == "once" then return rec.state == "start", rec.state == "done" end
  if rec.ev == "guard" then
    return rec.state == "armed" or rec.state == "void" or rec.state == "undoing", rec.state == "applied" or rec.state == "undone"
  end
  return BEGINS[rec.ev], ENDS[rec.ev]
end

--- The longest way through the things that were done, by what each waits for; of ways that took the same time that with more things.
local function critical_path(bars)
  local by_key, best, steps, from = {}, {}, {}, {}
  for _, b in ipairs(bars) do by_key[b.key] = b end
  local length
  local function is_longer(a, b)
    local seconds = length(a)
    return not b or seconds > best[b] or seconds == best[b] and steps[a] >= steps[b]
  end
  function length(b)
    if best[b] then return best[b] end
    best[b], steps[b] = 0, 0                                 -- a circle would be a mistake of ours, and no reason to hang
    local before
    for _, key in ipairs(b.after or {}) do
      local other = by_key[key]
      if other and is_longer(other, before) then before = other end
    end
    from[b] = before
    best[b], steps[b] = (before and best[before] or 0) + b.stop - b.start, (before and steps[before] or 0) + 1
    return best[b]
  end
  local last
  for _, b in ipairs(bars) do
    if is_longer(b, last) then last = b end
  end
  local path, seconds = {}, last and best[last] or 0
  while last do
    table.insert(path, 1, last)
    last = from[last]
  end
  return path, seconds
end

--- What a run does before its first effect is reading, on which all that it does depends.
local function looking(t)
  local first = t.bars[1]
  if not first then return end
  for _, b in ipairs(t.bars) do
    if b.start < first.start then first = b end
  end
  for _, b in ipairs(t.bars) do b.after = b.after or { "look" } end
  table.insert(t.bars, 1, { key = "look", title = "look at what is there", start = t.start, stop = first.start })
end

--- From when to when nobody could use what is moved: guards that say so, from armed to kept or undone, whatever was killed
--- meanwhile.
---@param records table[]
---@return { key: string, title: string, start: number, stop: number, running: boolean? }[]
function M.windows(records)
  local windows, open = {}, {}
  for _, rec in ipairs(records) do
    for _, w in pairs(open) do w.stop = rec.t or w.stop end
    local w = rec.ev == "guard" and rec.downtime and open[rec.key]
    if w and (rec.state == "kept" or rec.state == "undone") then
      w.running, open[rec.key] = nil, nil
    elseif not w and rec.ev == "guard" and rec.downtime and rec.state == "armed" then
      windows[#windows + 1] = { key = rec.key, title = rec.what or rec.key, start = rec.t, stop = rec.t, running = true }
      open[rec.key] = windows[#windows]
    end
  end
  return windows
end

--- A run of a journal.
---@param records table[]
---@param n? integer which, counted from the journal's first; the last if none is said
---@return { at: string, command: string, start: number, stop: number, seconds: number, path: table[], path_seconds: number,
---  bars: { key: string, title: string, stage: string?, start: number, stop: number, running: boolean?, after: string[]?, critical: boolean? }[],
---  windows: { key: string, title: string, start: number, stop: number, running: boolean? }[] }? windows: as from `windows`
function M.of(records, n)
  local first, last, runs = nil, #records, 0
  for i, rec in ipairs(records) do
    if rec.ev == "run" then
      runs = runs + 1
      if n and runs == n + 1 then last = i - 1 break end
      first = i
    end
  end
  if not first or n and runs < n then return nil end
  local run = records[first]
  local t = { at = run.at, command = run.command, start = run.t, stop = run.t, bars = {}, windows = {} }
  local planned, by_key, stage = {}, {}, nil
  for i = first, last do
    local rec = records[i]
    t.stop = math.max(t.stop, rec.t or 0)
    if rec.ev == "stage" then stage = rec.name end
    for _, e in ipairs(rec.ev == "plan" and rec.entries or {}) do planned[e.key] = e end
    local begins, ends = M.meaning(rec)
    local key = (begins or ends) and M.key_of(rec)
    local bar = key and by_key[key]
    if begins and not bar then
      local e = planned[key] or {}
      local title = e.title or rec.what or key:gsub("^%a+:", "", rec.key and 0 or 1)
      if UNDOES[rec.state] then title = "undo: " .. (rec.what or rec.key) end
      bar = { key = key, title = title, stage = e.stage or stage, after = e.after, start = rec.began or rec.t, stop = rec.t, running = true }
      by_key[key], t.bars[#t.bars + 1] = bar, bar
    elseif ends and bar and (bar.running or rec.ev ~= "deleted") then      -- what a recipe retires it has made long before
      bar.stop, bar.running = rec.t, nil
    end
  end
  for _, b in ipairs(t.bars) do
    if b.running then b.stop = t.stop end
  end
  for _, w in ipairs(M.windows(records)) do
    if w.start <= t.stop and w.stop >= t.start then t.windows[#t.windows + 1] = w end
  end
  looking(t)
  t.path, t.path_seconds = critical_path(t.bars)
  for _, b in ipairs(t.path) do b.critical = true end
  t.seconds = t.stop - t.start
  return t
end

--- Seconds as they stand in charts.
---@param seconds number
---@return string
local function shown(seconds)
  if seconds < 10 then return ("%.1f s"):format(seconds) end
  if seconds < 120 then return ("%.0f s"):format(seconds) end
  return ("%d min %02d s"):format(seconds // 60, math.floor(seconds % 60))
end

M.shown = shown

local function cut(text, width)
  if utf8.len(text) and utf8.len(text) > width then return text:sub(1, utf8.offset(text, width) - 1) .. "~" end
  return text .. (" "):rep(width - (utf8.len(text) or #text))
end

--- The run as a chart: a line for each thing, from the left to the right as time went by; * stands on the critical path.
---@param t table as from `of`
---@param o { width: integer, scale?: number } columns; scale: seconds that one second of the journal stands for
---@return string[] lines
function M.lines(t, o)
  local scale, seconds = o.scale or 1, math.max(t.seconds, 0.001)
  local wide = math.min(44, math.max(20, o.width // 3))
  local room = math.max(10, o.width - wide - 27)
  local lines, stage = {}, nil
  lines[1] = ("%s of %s: %s"):format(t.command or "run", t.at, shown(t.seconds * scale))
  for _, b in ipairs(t.bars) do
    if b.stage ~= stage then
      stage = b.stage
      lines[#lines + 1] = stage or ""
    end
    local from = math.floor((b.start - t.start) / seconds * room)
    local long = math.max(1, math.floor((b.stop - b.start) / seconds * room + 0.5))
    from = math.min(from, room - 1)
    long = math.min(long, room - from)
    lines[#lines + 1] = ("%s %s %11s %11s |%s%s%s|"):format(b.critical and "*" or " ", cut(b.title, wide - 2),
      shown((b.start - t.start) * scale), b.running and "not ended" or shown((b.stop - b.start) * scale),
      (" "):rep(from), (b.critical and "#" or "="):rep(long), (" "):rep(room - from - long))
  end
  if t.path[1] then
    lines[#lines + 1] = ""
    lines[#lines + 1] = "critical path"
    for _, b in ipairs(t.path) do
      lines[#lines + 1] = ("  %s %11s"):format(cut(b.title, wide), shown((b.stop - b.start) * scale))
    end
    lines[#lines + 1] = ("  %s %11s, %.1f %% of the run's %s"):format(cut("in all", wide), shown(t.path_seconds * scale),
      t.path_seconds / seconds * 100, shown(t.seconds * scale))
  end
  return lines
end

return M
