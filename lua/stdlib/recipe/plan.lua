--- A plan: what a pass over the recipe noted, as text and as JSON.
local log = require "log"
local plain = require "recipe.plain"

local M = {}

M.marks = { create = "+", change = "~", replace = "-/+", delete = "-", read = "<=", run = ">", ask = "?" }
local marks = M.marks
local colors = { create = "green", change = "yellow", replace = "red", delete = "red", run = "blue" }
local counted = { "create", "change", "replace", "delete", "run" }

--- Counts the entries of each action.
---@param entries table[]
---@return table<string, integer>
function M.count(entries)
  local n = {}
  for _, a in ipairs(counted) do n[a] = 0 end
  for _, e in ipairs(entries) do
    if n[e.action] then n[e.action] = n[e.action] + 1 end
  end
  return n
end

--- True when apply would change nothing.
---@param entries table[]
---@return boolean
function M.empty(entries)
  for _, n in pairs(M.count(entries)) do
    if n > 0 then return false end
  end
  return true
end

--- One sentence: "Plan: 3 to create, 1 to change."
---@param entries table[]
---@return string
function M.summary(entries)
  local n, parts = M.count(entries), {}
  for _, a in ipairs(counted) do
    if n[a] > 0 then parts[#parts + 1] = n[a] .. " to " .. a end
  end
  if #parts == 0 then return "Plan: no changes." end
  return "Plan: " .. table.concat(parts, ", ") .. "."
end

local function details(e)
  local parts, changed = {}, {}
  for _, c in ipairs(e.changes or {}) do
    changed[c.field] = true
    parts[#parts + 1] = ("%s %s -> %s"):format(c.field, plain.show(c.old), plain.show(c.new))
  end
  if e.action == "create" or e.action == "replace" then
    for _, p in ipairs(e.props or {}) do
      if not changed[p.field] then parts[#parts + 1] = p.field .. " " .. plain.show(p.value) end
    end
  end
  if e.vanished then parts[#parts + 1] = "(it is gone)" end
  if e.reason then parts[#parts + 1] = "(" .. e.reason .. ")" end
  if e.again then parts[#parts + 1] = "(again: it was interrupted)" end
  return table.concat(parts, ", "):gsub(", %(", " (")
end

--- The plan's lines, by stage, with the marks + ~ -/+ - <= > as Terraform users know them.
---@param entries table[]
---@return string[]
function M.lines(entries)
  local lines, stage = {}, nil
  for _, e in ipairs(entries) do
    if marks[e.action] then
      local name = e.stage or ""
      if name ~= stage then
        if name ~= "" then lines[#lines + 1] = log.color("bold", name, 1) end
        stage = name
      end
      local mark = marks[e.action]
      local text = (" "):rep(3 - #mark) .. mark
      if colors[e.action] then text = log.color(colors[e.action], text, 1) end
      local what = e.action == "run" and "run " .. e.title or e.action == "ask" and "asks: " .. e.title or e.title
      local more = details(e)
      lines[#lines + 1] = ("%s %s%s"):format(text, what, more ~= "" and "  " .. more or "")
    end
  end
  lines[#lines + 1] = M.summary(entries)
  return lines
end

local function word(v)
  if type(v) == "string" or type(v) == "number" or type(v) == "boolean" then return v end
  return plain.show(v)
end

--- The plan as plain data for JSON; unknown values are "(known after apply)", secrets "(secret)".
---@param r table the run that planned
---@return table
function M.data(r)
  local json = require "json"
  local list = json.array {}
  for _, e in ipairs(r.entries) do
    local props, changes = {}, {}
    for _, p in ipairs(e.props or {}) do props[p.field] = word(p.value) end
    for _, c in ipairs(e.changes or {}) do
      changes[c.field] = { old = c.old == nil and json.null or word(c.old), new = word(c.new) }
    end
    list[#list + 1] = {
      stage = e.stage, action = e.action, key = e.key, kind = e.kind, name = e.name or e.title, id = e.id,
      properties = next(props) and props or nil, changes = next(changes) and changes or nil, reason = e.reason,
    }
  end
  return { recipe = r.recipe, target = r.target, entries = list, summary = M.count(r.entries) }
end

return M
