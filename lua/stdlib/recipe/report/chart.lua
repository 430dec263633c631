--- A run's timeline as a table: what was done, when it began, how long it took, and a bar in proportion. Each bar is drawn as
--- wide as the table is, so it needs no script and can be read on a telephone and on paper.
local markup = require "recipe.report.markup"
local timeline = require "recipe.timeline"

local el = markup.el
local M = {}

local function instant(t) return ("%s.%03dZ"):format(os.date("!%Y-%m-%dT%H:%M:%S", math.floor(t)), math.floor(t % 1 * 1000 + 0.5) % 1000) end

--- Seconds as HTML's own word for a duration.
local function period(seconds) return ("PT%.3fS"):format(seconds) end

local LEAST = 0.4                                            -- percent of the chart: what took no time is seen too

--- Where something begins and how wide it is, in percent of the run.
local function share(t, start, stop)
  local from = math.max(0, (start - t.start) / t.seconds * 100)
  local wide = math.min(100, (stop - t.start) / t.seconds * 100) - from
  if wide < LEAST then from, wide = math.min(from, 100 - LEAST), LEAST end
  return ("%.3f%%"):format(from), ("%.3f%%"):format(wide)
end

local function rect(t, class, start, stop)
  local x, width = share(t, start, stop)
  if class == "down" then return el("rect", { class = class, x = x, width = width, y = "0", height = "100%" }) end
  return el("rect", { class = class, x = x, width = width, y = "50%", height = "10", transform = "translate(0 -5)", rx = "1" })
end

local function bar_of(t, b)
  local drawn = {}
  for i, w in ipairs(t.windows) do drawn[i] = rect(t, "down", w.start, w.stop) end
  drawn[#drawn + 1] = rect(t, b.running and "open" or b.critical and "way" or "does", b.start, b.stop)
  return el("svg", { ["aria-hidden"] = "true", focusable = "false" }, drawn)
end

local function row_of(t, b)
  local took = b.running and { el("span", { class = "hidden" }, "not ended after "), timeline.shown(b.stop - b.start), "…" }
    or { timeline.shown(b.stop - b.start) }
  return el("tr", nil,
    el("th", { scope = "row", class = "what" .. (b.critical and " on-way" or "") }, b.title,
      b.critical and el("span", { class = "hidden" }, " (on the critical path)") or {}),
    el("td", { class = "n" }, el("time", { datetime = instant(b.start) }, timeline.shown(b.start - t.start))),
    el("td", { class = "n" }, el("time", { datetime = period(b.stop - b.start) }, took)),
    el("td", { class = "bar" }, bar_of(t, b)))
end

local function key(class, words)
  return el("li", nil, el("svg", { viewBox = "0 0 16 7", ["aria-hidden"] = "true", focusable = "false" },
    el("rect", { class = class, width = "16", height = "7" })), words)
end

local function legend(t)
  local has_open = false
  for _, b in ipairs(t.bars) do has_open = has_open or b.running end
  local list = { key("way", "on the critical path: shorter, it would have made the run shorter"), key("does", "beside it") }
  if has_open then list[#list + 1] = key("open", "did not end") end
  for _, w in ipairs(t.windows) do
    list[#list + 1] = key("down", ("downtime, %s: %s"):format(timeline.shown(w.stop - w.start), w.title))
  end
  return el("ul", { class = "legend" }, list)
end

--- The chart with its legend.
---@param title string
---@param t table as from timeline.of
---@return table element
function M.draw(title, t)
  if t.seconds <= 0 then t.seconds = 0.001 end
  local bodies, body, stage = {}, nil, false
  for _, b in ipairs(t.bars) do
    if b.stage ~= stage or not body then
      stage, body = b.stage, el("tbody")
      bodies[#bodies + 1] = body
      if stage then
        body.children[1] = el("tr", nil, el("th", { scope = "rowgroup", colspan = "4" }, stage))
      end
    end
    body.children[#body.children + 1] = row_of(t, b)
  end
  local axis = el("div", { class = "axis", ["aria-hidden"] = "true" })
  for i = 0, 4, 2 do axis.children[#axis.children + 1] = el("span", nil, timeline.shown(t.seconds * i / 4)) end
  return el("figure", nil, legend(t),
    el("div", { class = "scroll", tabindex = "0", role = "region", ["aria-label"] = title },
      el("table", { class = "time" }, el("caption", nil, title),
        el("thead", nil, el("tr", nil, el("th", { scope = "col" }, "what"), el("th", { scope = "col", class = "n" }, "began after"),
          el("th", { scope = "col", class = "n" }, "took"),
          el("th", { scope = "col", class = "bar" }, el("span", { class = "hidden" }, "when"), axis))),
        bodies)),
    el("figcaption", nil, ("The critical path took %s of %s, %.1f\u{A0}%%."):format(timeline.shown(t.path_seconds), timeline.shown(t.seconds),
      t.path_seconds / t.seconds * 100)))
end

return M
