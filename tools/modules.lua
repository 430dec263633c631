--- Prints docs/modules.md: what the public modules say of themselves in their LuaLS annotations.
---
---     ./hkrun - < tools/modules.lua > docs/modules.md        or: lua5.4 tools/modules.lua
---
--- A module's first comment is its description. A documented function `M.name` is part of the module, `Type:name` is a
--- method of what the module returns. A noun's page is its options as declared.

local ROOT = "lua/stdlib/"

local MODULES = dofile(ROOT .. "editor/modules.lua")

local function lines_of(path)
  local list = {}
  local f = assert(io.open(path))
  for line in f:lines() do list[#list + 1] = line end
  f:close()
  return list
end

--- The words of one comment line; nil for another line.
local function comment(line)
  local words = line:match "^%-%-%-(.*)$"
  return words and words:gsub("^ ", "")
end

local function first_block(lines)
  local block, i = {}, 1
  while lines[i] and comment(lines[i]) do
    block[#block + 1] = comment(lines[i])
    i = i + 1
  end
  return block
end

--- Prose and code of a comment as Markdown: indented lines are code already, tags become a list.
local function render(block)
  local prose, tags = {}, {}
  for _, line in ipairs(block) do
    local name, rest = line:match "^@param%s+(%S+)%s+(.*)$"
    local returned = line:match "^@return%s+(.*)$"
    if name then
      local kind, help = rest:match "^(%b{}%S*)%s*(.*)$"
      if not kind then kind, help = rest:match "^(fun%b()%S*%s?%S*)%s*(.*)$" end
      if not kind then kind, help = rest:match "^(%S+)%s*(.*)$" end
      tags[#tags + 1] = ("- `%s`: `%s`%s"):format(name, kind or rest, help and help ~= "" and ", " .. help or "")
    elseif returned then
      tags[#tags + 1] = "- returns `" .. returned .. "`"
    elseif not line:find "^@" then prose[#prose + 1] = line end
  end
  while prose[#prose] == "" do prose[#prose] = nil end
  if tags[1] and prose[1] then prose[#prose + 1] = "" end
  for _, tag in ipairs(tags) do prose[#prose + 1] = tag end
  return prose
end

--- What a declaration is called in a recipe: `pg.open(endpoint)`, `connection:query(sql, ...)`.
local function title(module, line)
  local class, separator, name, args = line:match "^function (%u?%w*)([.:])([%w_]+)(%b())"
  if not class then
    name, args = line:match "^function M%.([%w_]+%.[%w_]+)(%b())"
    if name then return ("%s.%s%s"):format(module, name, args) end
    name = line:match "^M%.([%w_]+) = "
    return name and not name:find "^_" and ("%s.%s"):format(module, name) or nil
  end
  if name:find "^_" then return nil end
  if class == "M" then return ("%s%s%s%s"):format(module, separator, name, args) end
  return ("%s%s%s%s"):format(class:lower(), separator, name, args)
end

local out = {}
local function say(line) out[#out + 1] = line or "" end

local function functions(module, path, methods_only)
  local block = {}
  for i, line in ipairs(lines_of(path)) do
    local words = comment(line)
    if words then block[#block + 1] = words
    else
      local name = block[1] and i > #block + 1 and title(module, line)
      if methods_only and line:find "^function M[.:]" or methods_only and line:find "^M%." then name = nil end
      local tagged = table.concat(block, "\n"):find "@class"
      if name and not tagged then
        say("### `" .. name .. "`")
        say()
        for _, l in ipairs(render(block)) do say(l) end
        say()
      end
      block = {}
    end
  end
end

local function module(entry)
  local name = entry[1]
  say("## " .. name)
  say()
  for _, line in ipairs(render(first_block(lines_of(ROOT .. (entry[2] or name) .. ".lua")))) do say(line) end
  say()
  if not entry[2] then return functions(name, ROOT .. name .. ".lua") end
  for i = 2, #entry do functions(name, ROOT .. entry[i] .. ".lua", i > 2) end
end

-- Nouns --------------------------------------------------------------------

local function is_noun(text)
  return text:find 'recipe%.kind%s*{' or text:find 'noun%.options%(' or text:find 'local declared = {'
end

local function shown(value)
  if type(value) == "table" then return next(value) == nil and "{}" or "a table" end
  return type(value) == "string" and '"' .. value .. '"' or tostring(value)
end

--- The rows `{ "name", "help", type = ..., ... }` of a noun's declaration.
local function options(lines)
  local rows = {}
  for _, line in ipairs(lines) do
    local row = line:match '^%s*({ "[%w_]+",%s*".*}),?$'
    local made, o = pcall(load("return " .. (row or "nil"), "row", "t", {}) or error)
    if row and made and type(o[2]) == "string" and o[1] ~= "name" then
      local notes = o.required and "needed" or o.default ~= nil and "`" .. shown(o.default) .. "`" or ""
      if o.one_of then
        local choices = {}
        for i, choice in ipairs(o.one_of) do choices[i] = "`" .. tostring(choice) .. "`" end
        notes = notes .. " of " .. table.concat(choices, ", ")
      end
      rows[#rows + 1] = ("| `%s` | %s | %s | %s |"):format(o[1], o[2]:gsub("|", "\\|"), o.type or "", notes)
    end
  end
  return rows
end

local function nouns()
  say "## Nouns"
  say()
  say "Each is called with a table, its name first: `aws.subnet { \"shop-a\", vpc = net.id, ... }`. All take `adopt = true`"
  say "(take over what exists under that name without our tags) and `keep = true` (never delete or replace it)."
  say()
  local names, list = {}, assert(io.popen("ls " .. ROOT .. "aws"))
  for file in list:lines() do names[#names + 1] = file:match "^([%w_]+)%.lua$" end
  list:close()
  table.sort(names)
  for _, name in ipairs(names) do
    local lines = lines_of(ROOT .. "aws/" .. name .. ".lua")
    if is_noun(table.concat(lines, "\n")) and name ~= "client" then
      say("### `aws." .. name .. "`")
      say()
      for _, line in ipairs(render(first_block(lines))) do say(line) end
      local rows = options(lines)
      if rows[1] then
        say()
        say "| option | what it says | type | default |"
        say "|---|---|---|---|"
        for _, row in ipairs(rows) do say(row) end
      end
      say()
    end
  end
end

say "# The modules"
say()
say "Generated from the sources by `make docs`; do not edit. `require \"NAME\"` in a recipe; in the REPL they are at hand."
say()
for _, entry in ipairs(MODULES) do module(entry) end
nouns()
while out[#out] == "" do out[#out] = nil end
io.stdout:write((table.concat(out, "\n"):gsub("\n\n\n+", "\n\n")), "\n")
