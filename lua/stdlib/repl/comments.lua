--- What our own comments say: of a module, a function, a noun. They are read from the sources, which hkrun carries.
local resource = require "host.resource"

local M = {}

local function lines_of(path)
  local source, lines = resource.read(path), {}
  for line in ((source or "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- A comment's words; its tags as they are.
local function words(lines, from, to)
  local out = {}
  for i = from, to do out[#out + 1] = (lines[i]:gsub("^%-%-%-? ?", ""):gsub("^@", "  ")) end
  return out
end

local function comment_above(lines, number)
  local from = number
  while from > 1 and lines[from - 1]:find "^%s*%-%-" do from = from - 1 end
  return words(lines, from, number - 1)
end

--- "pg.open(where, opts)" of the line that begins the function.
local function declared(line, module)
  return (line:gsub("^function M([.:])", module .. "%1"):gsub("^function ", ""):gsub("^local function ", ""):gsub("^([^(]*%b()).*", "%1"))
end

--- The first sentence of a comment.
local function first_sentence(about)
  local text = {}
  for _, line in ipairs(about) do
    if line:find "^  " or line == "" then break end
    text[#text + 1] = line
    if line:find "%.$" then break end
  end
  local whole = table.concat(text, " ")
  return whole:match "^.-[%w)`\"']%.%f[%s%z]" or whole
end

--- A function of ours by the comment above it.
---@param fn function
---@return string
function M.of_function(fn)
  local info = debug.getinfo(fn, "S")
  local path = info.source:match "^@(stdlib/.*)$"
  if not path then return "a function that is not hkrun's; it says nothing about itself" end
  local lines = lines_of(path)
  local module = path:match "^stdlib/(.*)%.lua$":gsub("/", ".")
  local out = comment_above(lines, info.linedefined)
  table.insert(out, 1, declared(lines[info.linedefined] or "", module))
  return table.concat(out, "\n")
end

--- The first comment of a module.
local function heading(lines)
  local last = 0
  while lines[last + 1] and lines[last + 1]:find "^%-%-%-" do last = last + 1 end
  return words(lines, 1, last)
end

--- A noun by its first comment and its options.
---@param name string "vpc"
---@return string
function M.of_noun(name)
  local lines = lines_of(("stdlib/aws/%s.lua"):format(name))
  local out = heading(lines)
  table.insert(out, 1, ("aws.%s { \"name\", ... }, in a recipe"):format(name))
  out[#out + 1] = ""
  for _, line in ipairs(lines) do
    local option, about, more = line:match '^%s*{ "([%w_]+)",%s*"([^"]*)"(.*)}'
    if option then out[#out + 1] = ("  %-22s %s%s"):format(option, about, more:find "required = true" and ", required" or "") end
  end
  return table.concat(out, "\n")
end

--- A module by its first comment and its documented functions.
---@param name string "pg"
---@return string
function M.of_module(name)
  local lines = lines_of(("stdlib/%s.lua"):format((name:gsub("%.", "/"))))
  local out = heading(lines)
  out[#out + 1] = ""
  for i, line in ipairs(lines) do
    if line:find "^function M[.:]%l" and lines[i - 1]:find "^%-%-%-" then
      out[#out + 1] = "  " .. declared(line, name)
      local sentence = first_sentence(comment_above(lines, i))
      if sentence ~= "" then out[#out + 1] = "      " .. sentence end
    end
  end
  return table.concat(out, "\n")
end

return M
