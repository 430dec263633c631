--- How fast something goes and how long the rest takes, measured from how far it was of late.
local figures = require "figures"
local live = require "live"

local M = {}

local SAMPLES, SPAN = 20, 10                                 -- how many counts a rate is measured from, over how many seconds
local EARLIEST = 3                                           -- seconds before which nobody can say how long the rest takes

--- Notes how far it is.
---@param p table as from log.progress: its began, count, total, share and samples are used
---@param now number
function M.sample(p, now)
  local list = p.samples
  local last = list[#list]
  if not (p.count or p.share) or last and now - last[1] < SPAN / SAMPLES then return end
  list[#list + 1] = { now, p.count, live.share(p) }
  while #list > 2 and now - list[1][1] > SPAN do table.remove(list, 1) end
end

--- Things per second of late, and seconds for the rest at that pace; each nil as long as nobody can say.
local function measured(p, now)
  local first = p.samples[1]
  local seconds = first and now - first[1] or 0
  if seconds < 1 then return nil end
  local rate = p.count and first[2] and (p.count - first[2]) / seconds
  local share = live.share(p)
  local pace = share and first[3] and (share - first[3]) / seconds
  return rate and rate > 0 and rate or nil, now - p.began >= EARLIEST and pace and pace > 0 and (1 - share) / pace or nil
end

--- How far it has come, for the view.
---@param p table
---@param now number
---@return table `{ what=, key=, count=, total=, unit=, share=, note=, rate=, left=, seconds= }`
function M.item(p, now)
  local rate, left = measured(p, now)
  return { what = p.what, key = p.key, count = p.count, total = p.total, unit = p.unit, share = p.share, note = p.note_text,
           rate = rate, left = left, seconds = now - p.began }
end

--- The same in one line: "copy orders, 25 %, 50 of 200 rows, 12/s, table 2, about 10 s left, 4 s".
---@param item table
---@return string
function M.line(item)
  local share, parts = live.share(item), { item.what }
  if share then parts[2] = ("%d %%"):format(math.floor(100 * share)) end
  parts[#parts + 1] = live.amounts(item)
  if item.rate then parts[#parts + 1] = figures.amount(item.rate, item.unit == "bytes" and "bytes" or nil) .. "/s" end
  parts[#parts + 1] = item.note
  if item.left then parts[#parts + 1] = figures.about(item.left) .. " left" end
  if item.seconds >= 1 then parts[#parts + 1] = figures.duration(item.seconds) end
  return table.concat(parts, ", ")
end

return M
