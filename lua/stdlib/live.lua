--- What a terminal shows at its bottom while something runs: a state becomes lines. Nothing here waits, asks or writes.
---
---     apply shop  12 of 41 done ------------------------ 4 min 5 s so far, about 7 min left
---      x audit  x network  > stores  . deploy  . cutover
---      create aws.postgres "shop"                          creating        3 min 12 s
---      copy Postgres shop to shop-db  ######....  61 %  35.1 MiB/s  about 20 s left  12 s
---      . start shop  waits for aws.postgres "shop", aws.cache "shop"
---      and 12 more wait
local figures = require "figures"
local width = require "host.width"

local M = {}

local PLAIN = { dots = "~", rule = "-", full = "#", empty = ".", done = "x", running = ">", todo = ".", failed = "!" }
local UNICODE = { dots = "…", rule = "─", full = "█", empty = "░", done = "✓", running = "▸", todo = "·", failed = "✗" }
local COLORS = { done = "green", running = "bold", todo = "dim", failed = "red" }

local SHARE, WIDEST = 0.4, 132                                -- of the terminal's rows; columns beyond which the eye gets lost
local INDENT = " "

--- Without what would move the cursor.
local function clean(s) return (s:gsub("%c", " "):gsub("\xC2[\x80-\x9F]", " ")) end

local function cut(s, columns, dots)
  if width.of(s) <= columns then return s end
  return columns < 1 and "" or (width.fit(s, columns - 1)) .. dots
end

local function wide(parts)
  local n = 0
  for _, p in ipairs(parts) do n = n + width.of(p[1]) end
  return n
end

--- Parts `{ text, color }` as one line, cut to so many columns.
local function compose(parts, columns, o)
  local out, is_cut = {}, wide(parts) > columns
  local left = is_cut and columns - 1 or columns
  for _, p in ipairs(parts) do
    local text, taken = width.fit(p[1], left)
    left = left - taken
    out[#out + 1] = p[2] and text ~= "" and o.paint(p[2], text) or text
    if #text < #p[1] then break end
  end
  return table.concat(out) .. (is_cut and columns > 0 and o.signs.dots or "")
end

--- Text on the left and on the right; the right one goes where there is no room for it.
local function justified(left, right, columns, o, fill)
  local used, right_wide = wide(left), width.of(right[1])
  local gap = columns - used - right_wide
  if right_wide == 0 or columns < right_wide + 12 then return compose(left, columns, o) end
  if gap < 2 then return compose(left, columns - right_wide - 2, o) .. "  " .. compose({ right }, right_wide, o) end
  local between = fill and gap > 4 and " " .. fill:rep(gap - 2) .. " " or (" "):rep(gap)
  return compose(left, used, o) .. (fill and o.paint("dim", between) or between) .. compose({ right }, right_wide, o)
end

--- "4 min 5 s so far, about 7 min left"
local function times(state)
  local parts = {}
  if state.seconds then parts[1] = figures.duration(state.seconds) .. " so far" end
  local about = state.left and figures.about(state.left)
  if about then parts[#parts + 1] = (state.at_least and "at least " .. about:gsub("^about ", "") or about) .. " left" end
  return table.concat(parts, ", ")
end

local function header(state, columns, o)
  local left = { { clean(state.title), "bold" } }
  if state.total and state.total > 0 then left[2] = { ("  %d of %d done"):format(state.done or 0, state.total) } end
  local right = times(state)
  if wide(left) + width.of(right) + 2 > columns then right = state.seconds and figures.duration(state.seconds) or "" end
  return justified(left, { right }, columns, o, o.signs.rule)
end

--- The stages in one line; where there is no room the first ones go, and what comes last.
local function stages(list, columns, o)
  local current, from, words = 1, 1, {}
  for i, s in ipairs(list) do
    words[i] = o.signs[s.state] .. " " .. clean(s.name)
    if s.state ~= "todo" then current = i end
  end
  local function needed(first)
    local n = first > 1 and 3 or 1
    for i = first, current do n = n + width.of(words[i]) + 2 end
    return n
  end
  while from < current and needed(from) > columns do from = from + 1 end
  local parts = { { INDENT .. (from > 1 and o.signs.dots .. " " or "") } }
  for i = from, #list do
    parts[#parts + 1] = { words[i], COLORS[list[i].state] }
    if i < #list then parts[#parts + 1] = { "  " } end
  end
  return compose(parts, columns, o)
end

--- How far something has come, 0 to 1; nil where that is not known.
---@param item table
---@return number?
function M.share(item)
  local share = item.share or item.count and item.total and item.total > 0 and item.count / item.total
  return share and math.min(math.max(share, 0), 1) or nil
end

--- "1.2 GiB of 2.0 GiB", "3 of 12 keys", "812 rows"; nil where nothing is counted.
---@param item table
---@return string?
function M.amounts(item)
  if not item.count then return nil end
  if not (item.total and item.total > 0) then return figures.amount(item.count, item.unit) end
  return ("%s of %s"):format(figures.amount(item.count, item.unit == "bytes" and "bytes" or nil), figures.amount(item.total, item.unit))
end

--- All that can be said of a thing beside its name; `rank`: the more telling ones have the smaller one.
local function all_fields(item, o)
  local share = M.share(item)
  local bar = share and math.min(24, math.max(8, o.columns // 10))
  local full = share and math.floor(share * bar + 0.0001)
  return {
    share and { o.signs.full:rep(full), "green", o.signs.empty:rep(bar - full), "dim", rank = 2 } or false,
    share and { ("%3d %%"):format(math.floor(100 * share)), rank = 1 } or false,
    item.count and { M.amounts(item), rank = share and 5 or 2 } or false,
    item.rate and { figures.amount(item.rate, item.unit == "bytes" and "bytes" or nil) .. "/s", rank = 4 } or false,
    item.left and { figures.about(item.left) .. " left", rank = 3 } or false,
    item.note and item.note ~= "" and { clean(item.note), rank = 6 } or false,
  }
end

--- The fields that fit, in their order.
local function fields(item, room, o)
  local all, order = all_fields(item, o), {}
  for _, f in ipairs(all) do
    if f then order[#order + 1] = f end
  end
  table.sort(order, function(a, b) return a.rank < b.rank end)
  for _, f in ipairs(order) do
    local needed = width.of(f[1]) + width.of(f[3] or "") + 2
    if needed > room and f.rank == 6 and room >= 10 then
      f[1], needed = cut(f[1], room - 2, o.signs.dots), room
    end
    f.shown = needed <= room
    if f.shown then room = room - needed end
  end
  local parts = {}
  for _, f in ipairs(all) do
    if f and f.shown then
      parts[#parts + 1] = { "  " }
      parts[#parts + 1] = { f[1], f[2] }
      if f[3] then parts[#parts + 1] = { f[3], f[4] } end
    end
  end
  return parts
end

--- The things that run now, in columns.
local function running(list, columns, o)
  local name, time, beside, lines = 0, 0, 0, {}
  for _, item in ipairs(list) do
    local n = 0
    for _, f in ipairs(all_fields(item, o)) do n = n + (f and width.of(f[1]) + width.of(f[3] or "") + 2 or 0) end
    name, beside = math.max(name, width.of(clean(item.what))), math.max(beside, n)
    time = math.max(time, item.seconds and width.of(figures.duration(item.seconds)) or 0)
  end
  name = math.min(name, math.max(16, math.min(36, columns * 42 // 100), columns - beside - time - #INDENT - 2))
  for i, item in ipairs(list) do
    local what = cut(clean(item.what), name, o.signs.dots)
    local parts = { { INDENT .. what .. (" "):rep(name - width.of(what)) } }
    for _, p in ipairs(fields(item, columns - name - time - #INDENT - 2, o)) do parts[#parts + 1] = p end
    local seconds = item.seconds and figures.duration(item.seconds) or ""
    lines[i] = justified(parts, { (" "):rep(time - width.of(seconds)) .. seconds, "dim" }, columns, o)
  end
  return lines
end

local function names(list, field)
  local words = {}
  for i, x in ipairs(list) do words[i] = clean(field and x[field] or x) end
  return table.concat(words, ", ")
end

local function waiting(w, columns, o)
  return compose({ { ("%s%s %s  waits for %s"):format(INDENT, o.signs.todo, clean(w.title), names(w.after)), "dim" } }, columns, o)
end

--- What is known best first: it is what is shown where there is no room for all.
local function telling(items)
  local first, last = {}, {}
  for _, item in ipairs(items) do table.insert(M.share(item) and first or last, item) end
  return table.move(last, 1, #last, #first + 1, first)
end

--- The first ones of a list, and the rest of it.
local function split(list, n)
  return table.move(list, 1, math.min(n, #list), 1, {}), table.move(list, n + 1, #list, 1, {})
end

--- The lines of a state, none wider than the terminal, and no more than two fifths of its rows.
---@param state { title: string?, done: integer?, total: integer?, seconds: number?, left: number?, at_least: boolean?,
---  stages: { name: string, state: string }[]?, items: table[]?, waits: { title: string, after: string[] }[]? }
---  items: `{ what=, count=, total=, unit=, share=, rate=, left=, note=, seconds= }`
---@param o { columns: integer, rows: integer, unicode: boolean?, paint: (fun(color: string, s: string): string)? }
---@return string[]
function M.lines(state, o)
  local columns, room = math.min(math.max(o.columns - 1, 1), WIDEST), math.max(1, math.floor(o.rows * SHARE))
  o = { columns = columns, signs = o.unicode and UNICODE or PLAIN, paint = o.paint or function(_, s) return s end }
  local lines, items, waits = {}, state.items or {}, state.waits or {}
  if state.title then lines[1] = header(state, columns, o) end
  if state.stages and state.stages[1] and room >= 4 then lines[2] = stages(state.stages, columns, o) end
  room = room - #lines
  local for_waits = waits[1] and room >= 4 and 1 or 0
  local now, more = items, {}
  if #items > room - for_waits then now, more = split(telling(items), math.max(room - for_waits - 1, math.min(room, 1))) end
  for _, line in ipairs(running(now, columns, o)) do lines[#lines + 1] = line end
  room = room - #now
  if more[1] and room > 0 then
    lines[#lines + 1] = compose({ { ("%sand %d more: %s"):format(INDENT, #more, names(more, "what")), "dim" } }, columns, o)
    room = room - 1
  end
  more = {}
  if #waits > room then waits, more = split(waits, math.max(room - 1, 0)) end
  for _, w in ipairs(waits) do lines[#lines + 1] = waiting(w, columns, o) end
  if more[1] and room > 0 then
    lines[#lines + 1] = compose({ { ("%s%d%s wait"):format(INDENT, #more, waits[1] and " more" or ""), "dim" } }, columns, o)
  end
  return lines
end

return M
