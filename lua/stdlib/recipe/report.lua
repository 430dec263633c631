--- The report of a recipe's runs, from its journal alone: one HTML page that needs nothing else, and the same as Markdown.
local document = require "recipe.report.document"
local fs = require "fs"
local log = require "log"

local M = {}

--- What the recipe's file says of itself: the first sentence of its first comment.
local function about(file)
  local ok, text = pcall(fs.read, file)
  local words = {}
  for line in (ok and text or ""):gmatch "([^\n]*)\n" do
    local comment = line:match "^%-%-%-?%s?(.*)$"
    if not comment or comment == "" then break end
    words[#words + 1] = comment
  end
  local all = table.concat(words, " ")
  return all ~= "" and (all:match "^(.-%.)%s" or all) or nil
end

--- The report of a run's journal as a document.
---@param r table a run whose journal is open
---@param note? string said at the top
---@return table
function M.document(r, note)
  local at = r.at or r.dir ~= ".hkrun" and r.dir or nil
  return document.of {
    recipe = r.recipe, target = r.target, file = r.file or r.recipe, about = r.file and about(r.file), declared = r.declared or {},
    memory = r.journal.memory, records = r.journal:records(), lock = not r.journal.writes and r.journal:holder() or nil, note = note,
    journal = at,
  }
end

--- The forms of a report, by the end of a file's name.
M.FORMS = { html = "recipe.report.html", md = "recipe.report.markdown" }

--- Where the reports are written when nobody says where: beside the journal, or where it would be if it were not in S3.
---@param r table
---@param form "html"|"md"
---@return string
function M.path(r, form) return ("%s/%s.%s"):format(r.dir or ".hkrun", r.journal.name, form) end

--- Writes a report down.
---@param doc table
---@param form "html"|"md"
---@return string
function M.text(doc, form) return require(M.FORMS[form]).write(doc) end

--- At the end of a run: writes both, and says where. What goes wrong with it is said, and is no failure of the run.
---@param r table
function M.after(r)
  local ok, e = pcall(function()
    local doc = M.document(r)
    if not fs.exists(r.dir or ".hkrun") then fs.mkdir_p(r.dir or ".hkrun", 448) end
    for _, form in ipairs { "html", "md" } do fs.write(M.path(r, form), M.text(doc, form), 384) end
  end)
  if ok then log.info("Report: %s, %s", M.path(r, "html"), M.path(r, "md"))
  else log.warn("the report could not be written: %s", tostring(e)) end
end

return M
