--- A drawing that a recipe gives its report: boxes in rows from the top to the bottom, groups of such rows, arrows between
--- boxes. Here: what it may hold, where each thing stands, and the same in words and for Mermaid. recipe/report/svg.lua draws.
---
--- A box is { "title", "more", ..., id = (default: the title), tone = }; a group has `rows` too, and no arrow ends at it.
--- A drawing is { about = "...", rows = { { box, ... }, ... }, arrows = { { "from", "to", "label" }, ... } }. What is false is
--- left out, and so is an arrow whose end was.
local clean = require "recipe.report.clean"
local errors = require "errors"
local options = require "options"
local plain = require "recipe.plain"

local M = {}

--- What a box is, by its colour.
M.TONES = { "people", "edge", "compute", "store", "watch", "other" }
local TONES = {}
for _, t in ipairs(M.TONES) do TONES[t] = true end

local NAMES = { id = true, tone = true, rows = true }
local check_rows

local function check_box(box, ids)
  if type(box) ~= "table" or box[1] == nil then errors.usage("recipe.drawing: a box is { \"title\", ... }, and this is %s", plain.show(box)) end
  for name in pairs(box) do
    if math.type(name) ~= "integer" and not NAMES[name] then
      errors.usage("recipe.drawing: a box has no %s%s", tostring(name), options.suggestion(tostring(name), { "id", "tone", "rows" }))
    end
  end
  if box.tone and not TONES[box.tone] then
    errors.usage("recipe.drawing: there is no tone %s, but %s", tostring(box.tone), table.concat(M.TONES, ", "))
  end
  local copy = { id = tostring(box.id or plain.show(box[1])), tone = box.tone, words = {} }
  for i, words in ipairs(box) do copy.words[i] = clean(plain.show(words)) end
  if ids[copy.id] then errors.usage("recipe.drawing: there are two boxes %s", copy.id) end
  ids[copy.id] = copy
  if box.rows then copy.rows = check_rows(box.rows, ids) end
  return copy
end

function check_rows(rows, ids)
  local list = {}
  for _, row in ipairs(rows) do
    local boxes = {}
    for _, box in ipairs(row or {}) do
      if box then boxes[#boxes + 1] = check_box(box, ids) end
    end
    if boxes[1] then list[#list + 1] = boxes end
  end
  return list
end

--- A copy of plain data, as the journal keeps it: a box is { id=, tone=, words=, rows= }. Raises for what is no drawing.
---@param drawing table
---@return table
function M.check(drawing)
  if type(drawing) ~= "table" or type(drawing.rows) ~= "table" then errors.usage "recipe.drawing needs { rows = { ... } }" end
  local ids = {}
  local copy = { about = drawing.about and clean(plain.show(drawing.about)), rows = check_rows(drawing.rows, ids), arrows = {} }
  for _, a in ipairs(drawing.arrows or {}) do
    local from, to = a and ids[a[1]], a and ids[a[2]]
    if a and (type(a[1]) ~= "string" or type(a[2]) ~= "string") then errors.usage "recipe.drawing: an arrow is { \"from\", \"to\", \"label\" }" end
    if from and from.rows or to and to.rows then errors.usage("recipe.drawing: an arrow between %s and %s: one of them is a group", a[1], a[2]) end
    if from and to and from ~= to then copy.arrows[#copy.arrows + 1] = { a[1], a[2], a[3] and clean(plain.show(a[3])) } end
  end
  return copy
end

-- Where things stand ---------------------------------------------------------

local WIDE, LINE, PAD = 26, 16, 12                           -- characters of a line; pixels
local GAP_X, GAP_Y, CLOSE_Y = 30, 52, 18                     -- rows to which no arrow leads stand close

--- Lines of no more than so many characters; a word that is longer is cut.
local function wrapped(text, width)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    while (utf8.len(word) or #word) > width do
      local cut = utf8.offset(word, width + 1)
      if line ~= "" then lines[#lines + 1] = line end
      lines[#lines + 1], line, word = word:sub(1, cut - 1), "", word:sub(cut)
    end
    local longer = line == "" and word or line .. " " .. word
    if (utf8.len(longer) or #longer) > width then lines[#lines + 1], line = line, word else line = longer end
  end
  if line ~= "" then lines[#lines + 1] = line end
  return lines
end

local function width_of(lines, per)
  local w = 0
  for _, line in ipairs(lines) do w = math.max(w, (utf8.len(line) or #line) * per) end
  return w
end

local measure

--- The size of rows below each other, and whether an arrow ends in them.
local function measure_rows(rows, ends)
  local w, h, busy = 0, 0, false
  for i, row in ipairs(rows) do
    local is_busy = false
    row.w, row.h = (#row - 1) * GAP_X, 0
    for _, box in ipairs(row) do
      is_busy = measure(box, ends) or is_busy
      row.w, row.h = row.w + box.w, math.max(row.h, box.h)
    end
    row.gap = i == 1 and 0 or is_busy and GAP_Y or CLOSE_Y
    w, h, busy = math.max(w, row.w), h + row.h + row.gap, busy or is_busy
  end
  return w, h, busy
end

function measure(box, ends)
  box.title, box.notes = wrapped(box.words[1], box.rows and 60 or WIDE), {}
  for i = 2, #box.words do table.move(wrapped(box.words[i], box.rows and 80 or WIDE + 3), 1, 99, #box.notes + 1, box.notes) end
  local text = (#box.title + #box.notes) * LINE
  box.w = math.max(box.rows and 0 or 108, math.max(width_of(box.title, 7.6), width_of(box.notes, 6.5)) + 2 * PAD)
  box.h = text + 2 * PAD - 4
  if box.rows then
    local w, h, busy = measure_rows(box.rows, ends)
    box.w, box.h = math.max(box.w, w + 4 * PAD), box.h + h + 2 * PAD
    return busy
  end
  return ends[box.id] or false
end

local function place_rows(rows, x, y, w, placed)
  for _, row in ipairs(rows) do
    local at = x + (w - row.w) / 2
    y = y + row.gap
    for _, box in ipairs(row) do
      box.x, box.y, box.h = at, y, row.h                     -- neighbours are equally high
      placed[#placed + 1] = box
      if box.rows then place_rows(box.rows, at, y + (#box.title + #box.notes) * LINE + 2 * PAD, box.w, placed) end
      at = at + box.w + GAP_X
    end
    y = y + row.h
  end
end

--- Which side of a an arrow to b leaves.
local function side_of(a, b)
  if b.y >= a.y + a.h then return "bottom", "top" end
  if b.y + b.h <= a.y then return "top", "bottom" end
  if b.x > a.x then return "right", "left" end
  return "left", "right"
end

--- The ends of all arrows: those at one side of a box share it evenly, in the order of where they lead.
local function ends_of(arrows, by_id)
  local sides = {}
  local function add(arrow, which, box, side, other)
    local key = box.id .. "\0" .. side
    sides[key] = sides[key] or { box = box, side = side }
    local across = (side == "top" or side == "bottom") and other.x + other.w / 2 or other.y + other.h / 2
    table.insert(sides[key], { arrow = arrow, which = which, across = across })
  end
  local list = {}
  for i, a in ipairs(arrows) do
    local from, to = by_id[a[1]], by_id[a[2]]
    local out, into = side_of(from, to)
    list[i] = { label = a[3], sideways = out == "left" or out == "right" }
    add(list[i], "from", from, out, to)
    add(list[i], "to", to, into, from)
  end
  for _, s in pairs(sides) do
    table.sort(s, function(a, b) return a.across < b.across end)
    for i, e in ipairs(s) do
      local part, b = i / (#s + 1), s.box
      local x, y = b.x + b.w * part, b.y + b.h * part
      if s.side == "top" then y = b.y elseif s.side == "bottom" then y = b.y + b.h
      elseif s.side == "left" then x = b.x else x = b.x + b.w end
      e.arrow[e.which] = { x, y }
    end
  end
  return list
end

--- Where everything stands, in pixels.
---@param drawing table as from `check`
---@return { w: number, h: number, boxes: table[], arrows: table[] } boxes: groups come before what is in them
function M.layout(drawing)
  local rows, ends = drawing.rows, {}
  for _, a in ipairs(drawing.arrows) do ends[a[1]], ends[a[2]] = true, true end
  local w, h = measure_rows(rows, ends)
  local boxes, by_id = {}, {}
  place_rows(rows, PAD, PAD, w, boxes)
  for _, box in ipairs(boxes) do by_id[box.id] = box end
  return { w = w + 2 * PAD, h = h + 2 * PAD, boxes = boxes, arrows = ends_of(drawing.arrows, by_id), line = LINE, pad = PAD }
end

-- The same in words ------------------------------------------------------------

local function words_of(box) return table.concat(box.words, ", ") end

--- The drawing as sentences: { "Internet" , { inside... } } nested as the groups are, and what the arrows say.
---@param drawing table
---@return table[] boxes { text=, inside= }
---@return string[] arrows
function M.words(drawing)
  local names = {}
  local function list(rows)
    local all = {}
    for _, row in ipairs(rows) do
      for _, box in ipairs(row) do
        names[box.id] = box.words[1]
        all[#all + 1] = { text = words_of(box), inside = box.rows and list(box.rows) or nil }
      end
    end
    return all
  end
  local boxes, arrows = list(drawing.rows), {}
  for i, a in ipairs(drawing.arrows) do arrows[i] = ("%s to %s%s"):format(names[a[1]], names[a[2]], a[3] and ": " .. a[3] or "") end
  return boxes, arrows
end

local function mermaid_text(s)
  return '"' .. clean(s):gsub("#", "#35;"):gsub('"', "#quot;"):gsub("<", "#lt;"):gsub(">", "#gt;"):gsub("`", "'") .. '"'
end

--- The drawing in Mermaid's language, which GitHub and GitLab draw.
---@param drawing table
---@return string[] lines of Markdown
function M.mermaid(drawing)
  local lines, ids, n = { "```mermaid", "flowchart TB" }, {}, 0
  local function add(rows, indent)
    for _, row in ipairs(rows) do
      for _, box in ipairs(row) do
        n = n + 1
        ids[box.id] = "n" .. n
        if box.rows then
          lines[#lines + 1] = ("%ssubgraph %s[%s]"):format(indent, ids[box.id], mermaid_text(words_of(box)))
          add(box.rows, indent .. "  ")
          lines[#lines + 1] = indent .. "end"
        else
          lines[#lines + 1] = ("%s%s[%s]"):format(indent, ids[box.id], mermaid_text(words_of(box)))
        end
      end
    end
  end
  add(drawing.rows, "  ")
  for _, a in ipairs(drawing.arrows) do
    lines[#lines + 1] = ("  %s -->%s %s"):format(ids[a[1]], a[3] and "|" .. mermaid_text(a[3]) .. "|" or "", ids[a[2]])
  end
  lines[#lines + 1] = "```"
  return lines
end

return M
