--- Draws what recipe/report/drawing.lua has placed.
local drawing = require "recipe.report.drawing"
local markup = require "recipe.report.markup"

local el = markup.el
local M = {}

local function px(n) return ("%.1f"):format(n):gsub("%.0$", "") .. "" end

local function outline(b)
  return el("rect", { class = b.rows and "group" or "box " .. (b.tone or "other"), x = px(b.x), y = px(b.y), width = px(b.w),
    height = px(b.h), rx = "6" })
end

local function words_in(b, line, pad)
  local x, y, drawn = b.x + (b.rows and pad or b.w / 2), b.y + pad + 11, {}
  local lines = table.move(b.notes, 1, #b.notes, #b.title + 1, table.move(b.title, 1, #b.title, 1, {}))
  if not b.rows then y = b.y + (b.h - #lines * line) / 2 + 12 end
  for i, words in ipairs(lines) do
    drawn[i] = el("text", { class = (i <= #b.title and "title" or "more") .. (b.rows and " of-group" or ""), x = px(x), y = px(y),
      ["text-anchor"] = not b.rows and "middle" }, words)
    y = y + line
  end
  return drawn
end

--- Where a curve is after a third of its way, or after half of it.
local function on_curve(at)
  return function(a, b, c, d) return (1 - at) ^ 3 * a + 3 * (1 - at) ^ 2 * at * b + 3 * (1 - at) * at ^ 2 * c + at ^ 3 * d end
end

--- A curve that leaves and arrives square to the boxes, with a head, and a label in its middle.
local function arrow(a, marker)
  local x1, y1, x2, y2 = a.from[1], a.from[2], a.to[1], a.to[2]
  local dx, dy = 0, (y2 - y1) / 2
  if a.sideways then dx, dy = (x2 - x1) / 2, 0 end
  local point = on_curve(a.sideways and 1 / 2 or 1 / 3)      -- above the frame of a group that it goes into
  local drawn = { el("path", { class = "arrow", ["marker-end"] = ("url(#%s)"):format(marker), d = ("M%s %s C%s %s %s %s %s %s"):format(px(x1), px(y1),
    px(x1 + dx), px(y1 + dy), px(x2 - dx), px(y2 - dy), px(x2), px(y2)) }) }
  if a.label then
    local wide = (utf8.len(a.label) or #a.label) * 6.4 + 8
    local x, y = point(x1, x1 + dx, x2 - dx, x2), point(y1, y1 + dy, y2 - dy, y2)
    drawn[2] = el("rect", { class = "behind", x = px(x - wide / 2), y = px(y - 9), width = px(wide), height = "18", rx = "3" })
    drawn[3] = el("text", { class = "label", x = px(x), y = px(y + 4) }, a.label)
  end
  return drawn
end

local function words_list(boxes)
  local items = {}
  for i, b in ipairs(boxes) do items[i] = el("li", nil, b.text, b.inside and words_list(b.inside) or {}) end
  return el("ul", nil, items)
end

--- The drawing as a figure, and the same in words.
---@param title string
---@param d table
---@param id string of the element; no other on the page has it
---@return table element
function M.draw(title, d, id)
  local at = drawing.layout(d)
  local boxes, arrows = {}, {}
  local groups = {}
  for i, b in ipairs(at.boxes) do
    if b.rows then groups[#groups + 1] = outline(b) end
    boxes[i] = { not b.rows and outline(b) or {}, words_in(b, at.line, at.pad) }
  end
  for i, a in ipairs(at.arrows) do arrows[i] = arrow(a, id .. "-head") end
  local names, says = drawing.words(d)
  local talks = {}
  for i, s in ipairs(says) do talks[i] = el("li", nil, s) end
  return el("figure", nil,
    el("div", { class = "scroll drawing", tabindex = "0", role = "region", ["aria-label"] = title },
      el("svg", { viewBox = ("0 0 %s %s"):format(px(at.w), px(at.h)), width = px(at.w), height = px(at.h), role = "img",
        ["aria-labelledby"] = id .. "-title " .. id .. "-desc" },
        el("title", { id = id .. "-title" }, title),
        el("desc", { id = id .. "-desc" }, d.about or "", " The same in words stands below the drawing."),
        el("defs", nil, el("marker", { id = id .. "-head", viewBox = "0 0 10 10", refX = "9", refY = "5", markerWidth = "7", markerHeight = "7",
          orient = "auto-start-reverse" }, el("path", { class = "head", d = "M0 0 L10 5 L0 10 z" }))),
        groups, arrows, boxes)),
    d.about and el("figcaption", nil, d.about) or {},
    el("details", nil, el("summary", nil, title .. ", in words"), words_list(names), talks[1] and { el("p", nil, "Who talks to whom:"),
      el("ul", nil, talks) } or {}))
end

return M
