--- A report as one HTML page: nothing is fetched, nothing is run, all text is escaped. It is well-formed XML too.
local chart = require "recipe.report.chart"
local markup = require "recipe.report.markup"
local style = require "recipe.report.style"
local svg = require "recipe.report.svg"
local version = require "version"

local el = markup.el
local M = {}

--- Whether a column holds numbers and nothing else: they stand below each other then.
local function is_numbers(rows, column)
  local some = false
  for _, r in ipairs(rows) do
    local cell = r[column]
    if cell and cell ~= "" then
      if not cell:find "^[%-+]?%$?%d[%d.,]* ?[%%%a]?[%a]?$" then return false end
      some = true
    end
  end
  return some
end

local SHORT = 24                                             -- characters that may stand on one line everywhere

--- Whether a column holds short words only, like names and checksums: they are not broken then.
local function is_words(rows, column)
  for _, r in ipairs(rows) do
    local cell = r[column] or ""
    if cell:find "%s" or (utf8.len(cell) or #cell) > SHORT then return false end
  end
  return true
end

local function class_of(b, column)
  if column > 1 and is_numbers(b.rows, column) then return "n" end
  if is_words(b.rows, column) then return "w" end
  return b.head and b.head[column] == "id" and "id" or nil
end

local function table_of(b, title)
  local columns, classes = b.head and #b.head or 0, {}
  for _, r in ipairs(b.rows) do columns = math.max(columns, #r) end
  for i = 1, columns do classes[i] = class_of(b, i) end
  local head, body = {}, {}
  for i = 1, b.head and columns or 0 do head[i] = el("th", { scope = "col", class = classes[i] == "n" and "n" }, b.head[i] or "") end
  for i, r in ipairs(b.rows) do
    local cells = {}
    for j = 1, columns do
      cells[j] = el(j == 1 and "th" or "td", { scope = j == 1 and "row", class = classes[j] }, r[j] or "")
    end
    body[i] = el("tr", nil, cells)
  end
  return el("div", { class = "scroll", tabindex = "0", role = "region", ["aria-label"] = title },
    el("table", nil, el("caption", nil, title), b.head and el("thead", nil, el("tr", nil, head)) or {}, el("tbody", nil, body)))
end

--- A fact, of which what comes first counts most.
local function fact(words)
  local at = #words > 32 and words:find "[,;:] " or #words + 1
  return el("dd", nil, el("strong", nil, words:sub(1, at - 1)), words:sub(at) ~= "" and el("span", nil, words:sub(at)) or {})
end

local write = {}

function write.table(b, title, section)
  if section ~= "summary" or b.head then return table_of(b, title) end
  local facts = {}
  for i, r in ipairs(b.rows) do facts[i] = el("div", nil, el("dt", nil, r[1]), fact(table.concat(r, ", ", 2))) end
  return el("dl", { class = "facts" }, facts)
end

function write.text(b) return el("p", nil, b[2]) end
function write.warning(b) return el("p", { class = "warning" }, b[2]) end

function write.list(b)
  local items = {}
  for i, item in ipairs(b[2]) do items[i] = el("li", nil, item) end
  return el("ul", nil, items)
end

function write.commands(b)
  local list = {}
  for i, c in ipairs(b[2]) do list[i] = el("div", nil, el("dt", nil, el("code", nil, c[1])), el("dd", nil, c[2])) end
  return el("dl", { class = "commands" }, list)
end

function write.drawing(b, title, _, id) return svg.draw(title, b.drawing, id) end
function write.timeline(b, title) return chart.draw(title, b.timeline) end

local function section_of(s)
  local blocks = {}
  for i, b in ipairs(s.blocks) do
    local title = b.title or s.title
    if b.title and b.title ~= s.title then blocks[#blocks + 1] = el("h3", nil, b.title) end
    blocks[#blocks + 1] = write[b[1]](b, title, s.id, s.id .. "-" .. i)
  end
  return el("section", nil, el("h2", { id = s.id }, s.title), blocks)
end

--- Writes a document down.
---@param doc table of recipe.report.document
---@return string
function M.write(doc)
  local sections, links = {}, {}
  for i, s in ipairs(doc.sections) do
    sections[i] = section_of(s)
    links[i] = el("li", nil, el("a", { href = "#" .. s.id }, s.title))
  end
  local page = el("html", { lang = "en", xmlns = "http://www.w3.org/1999/xhtml" },
    el("head", nil,
      el("meta", { charset = "utf-8" }),
      el("title", nil, doc.title .. ": " .. doc.verdict.word),
      el("meta", { name = "viewport", content = "width=device-width, initial-scale=1" }),
      el("meta", { name = "robots", content = "noindex" }),
      el("meta", { ["http-equiv"] = "Content-Security-Policy", content = "default-src 'none'; style-src 'unsafe-inline'; img-src data:" }),
      el("link", { rel = "icon", href = "data:," }),
      { el = "style", attrs = {}, children = {}, raw = style }),
    el("body", nil,
      el("a", { class = "skip", href = "#content" }, "Skip to the content"),
      el("header", nil, el("h1", nil, doc.title), doc.about and el("p", { class = "about" }, doc.about) or {},
        doc.note and el("p", { class = "note" }, doc.note) or {},
        el("p", { class = "verdict" .. (doc.verdict.good and "" or " bad") }, el("strong", nil, doc.verdict.word), doc.verdict.text),
        el("nav", { ["aria-label"] = "Sections" }, el("ul", nil, links))),
      el("main", { id = "content" }, sections),
      el("footer", nil, doc.as_of, (" Written by hkrun %s."):format(version))))
  return "<!DOCTYPE html>\n" .. markup.write(page) .. "\n"
end

return M
