--- Writes a result into a file, in the format that the file's name says. Secrets never reach a disk: in their place
--- stands "(secret)", and the answer says how many there were.
local errors = require "errors"
local fs = require "fs"
local plain = require "show.plain"

local M = {}

--- A table of Markdown.
local function markdown(v)
  local show = require "show"
  local rows = require("list.path").is_list(v) and v or show.main(v)
  if not rows or #rows == 0 or type(rows[1]) ~= "table" then return "```\n" .. show.value(v) .. "\n```\n" end
  local cell, columns, lines = require "show.cell", require("show.columns").of(rows, {}), {}
  local function line(text_of)
    local parts = {}
    for i, c in ipairs(columns) do parts[i] = text_of(c):gsub("|", "\\|") end
    lines[#lines + 1] = "| " .. table.concat(parts, " | ") .. " |"
  end
  line(function(c) return cell.clean(c.name) end)
  line(function(c) return c.numbers and "---:" or "---" end)
  for _, row in ipairs(rows) do line(function(c) return cell.text(c.name, c.get(row)) end) end
  return table.concat(lines, "\n") .. "\n"
end

local WRITERS = {
  json = function(v) return require("json").encode(v, { pretty = true }) .. "\n" end,
  yaml = function(v) return require("yaml").encode(v) end,
  csv = function(v) return require("csv").encode(v) end,
  txt = function(v) return require("show").value(v) .. "\n" end,
  md = markdown,
}
WRITERS.yml = WRITERS.yaml

--- @param v any
--- @param file string ends in .json, .yaml, .csv, .txt or .md
--- @return string what was written, for people
function M.save(v, file)
  if type(file) ~= "string" then errors.usage("save needs the name of a file, not a %s", type(file)) end
  local write = WRITERS[(file:match "%.(%w+)$" or ""):lower()]
  if not write then errors.usage("save knows .json, .yaml, .csv, .txt and .md; %s is none of them", file) end
  local data, secrets = plain.of(v)
  local text = write(data)
  fs.write(file, text)
  local note = secrets > 0 and (", %d secret%s as (secret)"):format(secrets, secrets == 1 and "" or "s") or ""
  return ("%s: %d bytes%s"):format(file, #text, note)
end

return setmetatable(M, { __call = function(_, v, file) return M.save(v, file) end })
