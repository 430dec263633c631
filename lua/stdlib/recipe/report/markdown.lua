--- A report as Markdown (GitHub's, for its tables), readable as it is.
local clean = require "recipe.report.clean"
local drawing = require "recipe.report.drawing"
local timeline = require "recipe.timeline"

local M = {}

--- Text that stays what it is: nothing in it is markup.
local function plain(s)
  s = clean(s):gsub("&", "&amp;"):gsub("<", "&lt;"):gsub(">", "&gt;"):gsub("[\\`*%[%]|~]", "\\%0")
  s = s:gsub("()_()", function(at, after)                    -- inside a word it is none
    return s:sub(at - 1, at - 1):find "%w" and s:sub(after, after):find "%w" and "_" or "\\_"
  end)
  return (s:gsub("^%s*([#+%-])", "\\%1"):gsub("^(%d+)([.)]%s)", "%1\\%2"))
end

--- A command between as many back quotes as it needs.
local function code(s)
  local longest = 0
  for run in s:gmatch "`+" do longest = math.max(longest, #run) end
  local fence = ("`"):rep(longest + 1)
  local pad = longest > 0 and " " or ""
  return fence .. pad .. clean(s) .. pad .. fence
end

local function row(cells)
  local list = {}
  for i, c in ipairs(cells) do list[i] = plain(c) end
  return "| " .. table.concat(list, " | ") .. " |"
end

local write = {}

function write.table(add, b)
  local columns = b.head and #b.head or 0
  for _, r in ipairs(b.rows) do columns = math.max(columns, #r) end
  local head, rule = {}, {}
  for i = 1, columns do head[i], rule[i] = b.head and b.head[i] or "", "---" end
  add(row(head))
  add("|" .. table.concat(rule, "|") .. "|")
  for _, r in ipairs(b.rows) do
    local cells = {}
    for i = 1, columns do cells[i] = r[i] or "" end
    add(row(cells))
  end
end

function write.text(add, b) add(plain(b[2])) end
function write.warning(add, b) add("> **" .. plain(b[2]) .. "**") end

function write.list(add, b)
  for _, item in ipairs(b[2]) do add("- " .. plain(item)) end
end

function write.commands(add, b)
  for _, c in ipairs(b[2]) do add(("- %s: %s"):format(code(c[1]), plain(c[2]))) end
end

function write.drawing(add, b)
  for _, line in ipairs(drawing.mermaid(b.drawing)) do add(line) end
end

function write.timeline(add, b)
  add "```text"
  for _, line in ipairs(timeline.lines(b.timeline, { width = 120 })) do add((clean(line):gsub("```", "'''"))) end
  add "```"
end

--- Writes a document down.
---@param doc table of recipe.report.document
---@return string
function M.write(doc)
  local lines = {}
  local function add(line) lines[#lines + 1] = line end
  local function gap() if lines[#lines] ~= "" then add "" end end
  add("# " .. plain(doc.title))
  gap()
  if doc.about then add(plain(doc.about)) gap() end
  if doc.note then add("> " .. plain(doc.note)) gap() end
  add(("**%s.** %s"):format(plain(doc.verdict.word), plain(doc.verdict.text)))
  gap()
  for _, s in ipairs(doc.sections) do
    add("## " .. plain(s.title))
    gap()
    for _, b in ipairs(s.blocks) do
      if b.title and b.title ~= s.title then add("### " .. plain(b.title)) gap() end
      write[b[1]](add, b)
      gap()
    end
  end
  add(plain(doc.as_of))
  return table.concat(lines, "\n") .. "\n"
end

return M
