--- A mistake in somebody's own Lua, as they are told of it: the sentence, with the nearest name where it is a typo, the line
--- itself, and by which lines of their own it was reached. It is found out in a message handler, while the stack is there.
local options = require "options"

local M = {}

--- What was typed, where code is no file: the source by its chunk's name ("=code"; "=repl 7": the seventh entry).
---@type table<string, string>
M.typed = {}

local FRAMES, LEVELS = 8, 200                                -- frames of the way there; levels of the stack that are looked at
local WIDEST = 160                                           -- characters of a line that are shown

--- "shop.lua:12", where the line is the user's, not hkrun's.
---@param source string a chunk's name
---@param line integer
---@return string?
function M.place(source, line)
  local file = source:match "^@(.*)"
  if file and line > 0 and not file:find "^stdlib/" then return ("%s:%d"):format(file:gsub("^%./", ""), line) end
  return line > 0 and M.typed[source] and ("%s:%d"):format(source:match "^=(%a+)", line) or nil
end

--- Whether all that was typed is one line: who typed it sees it, and its number says nothing.
local function is_one_line(source) return M.typed[source] and not M.typed[source]:find "\n" end

--- A line of a file, or of what was typed, if that has more than one, as it is shown.
local function shown(source, n)
  local text = M.typed[source]
  if is_one_line(source) then return nil end
  if not text then
    local file = io.open(source:sub(2), "r")
    if not file then return nil end
    text = file:read "a"
    file:close()
  end
  local i = 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    i = i + 1
    if i == n then return ("  %d | %s"):format(n, #line <= WIDEST and line:gsub("%s+$", "") or line:sub(1, WIDEST) .. "...") end
  end
end

--- The user's frames, the innermost first; and whether the first frame of all that is Lua is one of them.
local function frames_from(level)
  local frames, first, last = {}, nil, level + LEVELS        -- a recursion without end has 200,000
  local info = debug.getinfo(level, "Slnf")
  while info and level < last and #frames <= FRAMES do
    local place = M.place(info.source, info.currentline)
    if info.what ~= "C" and first == nil then first = place ~= nil end
    if place then
      frames[#frames + 1] = {
        level = level - 1, source = info.source, line = info.currentline, place = place, func = info.func,
        short = ("%s:%d: "):format(info.short_src, info.currentline),
        name = info.what == "main" and "the main chunk" or info.name or "a function",
      }
    end
    level = level + 1
    info = debug.getinfo(level, "Slnf")
  end
  return frames, first
end

--- The line where it is, and the lines of the user's by which it was reached.
local function lines_of(frames, at)
  local lines = { shown(at.source, at.line) }
  for _, f in ipairs(frames) do
    if f.level > at.level then
      lines[#lines + 1] = ("  called from %s: in %s"):format(f.place, f.name)
    end
  end
  return lines
end

--- The variables that can be seen where a frame is: locals, what it has from outside, globals. It is called by what `of`
--- calls: hence the two levels.
local function variables(frame, level)
  local found = {}
  local function add(name, value) if name and name:find "^[%a_]" and found[name] == nil then found[name] = value == nil and false or value end end
  local locals, i = {}, 1
  local name, value = debug.getlocal(level + 2, i)
  while name do
    table.insert(locals, 1, { name, value })                 -- the inner ones hide the outer ones
    i = i + 1
    name, value = debug.getlocal(level + 2, i)
  end
  for _, l in ipairs(locals) do add(l[1], l[2]) end
  i = 1
  name, value = debug.getupvalue(frame.func, i)
  while name do
    add(name, value)
    i = i + 1
    name, value = debug.getupvalue(frame.func, i)
  end
  for _, globals in ipairs { type(found._ENV) == "table" and found._ENV or _G, _G, M.typed[frame.source] and require("shell").modules or nil } do
    for k, v in next, globals do
      if type(k) == "string" then add(k, v) end
    end
  end
  return found
end

local function names_of(t)
  local names = {}
  for name in next, t do
    if type(name) == "string" and name ~= "_ENV" then names[#names + 1] = name end
  end
  return names
end

--- The member of a table that is near a name: `recipe.stag` -> "recipe.stage"; whose it is says the line.
local function near_member(name, line, seen)
  local path = line and line:match("([%a_][%w_%.]*)%s*[.:]%s*" .. name .. "%f[^%w_]")
  local value = nil
  for part in (path or ""):gmatch "[^.]+" do
    if value == nil then value = seen[part] else value = type(value) == "table" and rawget(value, part) or false end
  end
  if type(value) ~= "table" then return nil end
  local names, meta = names_of(value), getmetatable(value)
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) == "table" then table.move(names_of(index), 1, #names_of(index), #names + 1, names) end
  local near = options.nearest(name, names)
  return near and path .. (line:find(path .. "%s*:%s*" .. name) and ":" or ".") .. near
end

local function did_you_mean(near) return near and ("; did you mean %s?"):format(near) or "" end

--- The modules that a recipe can name: hkrun's, and those beside it.
local function modules()
  local names = {}
  for _, name in ipairs(require "host.resource".list "stdlib/") do
    names[#names + 1] = name:match "^stdlib/([^/]+)%.lua$"
  end
  for dir in package.path:gmatch "([^;]+)/%?%.lua" do
    local ok, files = pcall(function() return require("fs").list(dir) end)
    for _, file in ipairs(ok and files or {}) do names[#names + 1] = file:match "^(.+)%.lua$" end
  end
  return names
end

--- The sentence, where hkrun can say more than Lua does.
local function sentence(message, at, line)
  local set = message:match "^assignment to the undeclared global (.*)$"
  if set then return ("%s is not declared: local %s = ... makes it a variable of this file"):format(set, set) end
  local global = message:match "^the undeclared global (.*)$" or message:match "^attempt to %l+ a nil value %(global '(.-)'%)"
  local member = message:match "^attempt to %l+ a nil value %(%l+ '([%a_][%w_]*)'%)"
  if not (global or member) then return message end
  local seen = variables(at, at.level)
  if global then return ("there is no variable %s%s"):format(global, did_you_mean(options.nearest(global, names_of(seen)))) end
  return message .. did_you_mean(near_member(member, line, seen))
end

---@class errors.Mistake
---@field message string
---@field where string|false
---@field lines string[] the line itself, and where it was called from
---@field kind? string

local function mistake(at, message, lines, kind)
  local where = not is_one_line(at.source) and at.place
  return { message = (where and where .. ": " or "") .. message, where = where, lines = lines, kind = kind }
end

--- What a mistake is told with; nil where it is not the user's, but in hkrun itself.
---@param message string as Lua has it
---@param level integer of the stack, from which on somebody raised it
---@return errors.Mistake?
function M.of(message, level)
  local frames, is_users = frames_from(level + 1)
  if not frames[1] then return nil end
  local at = is_users and frames[1] or nil
  for _, f in ipairs(frames) do
    if message:sub(1, #f.short) == f.short then
      at, message = f, message:sub(#f.short + 1)
      break
    end
  end
  local module = message:match "^module '(.-)' not found:"
  if module then
    local near = options.nearest(module, modules())
    local why = ("there is no module %s%s"):format(module, near and did_you_mean(near) or ", neither among hkrun's nor beside the recipe")
    return mistake(frames[1], why, lines_of(frames, frames[1]), "usage")
  end
  local file, n, why = message:match "^error loading module .- from file '(.-)':\n%s*.-:(%d+): (.*)$"
  if file then
    n = math.tointeger(n)
    at = { source = "@" .. file, line = n, place = M.place("@" .. file, n), level = -1 }
    return mistake(at, why, lines_of(frames, at), "usage")
  end
  if not at then return nil end
  local lines = lines_of(frames, at)
  return mistake(at, sentence(message, at, lines[1] or M.typed[at.source]), lines)
end

--- Where the user's own code is, for a mistake whose sentence is known.
---@param level integer
---@return errors.Mistake?
function M.here(level)
  local frames = frames_from(level + 1)
  return frames[1] and { message = "", where = not is_one_line(frames[1].source) and frames[1].place, lines = lines_of(frames, frames[1]) }
end

--- The error of a source that does not compile.
---@param message string "shop.lua:2: unexpected symbol near '='"
---@param source string the chunk's name
---@return Error
function M.error(message, source)
  local n, why = message:match ":(%d+): (.*)$"
  local at = { source = source, line = math.tointeger(n) or 0, level = 0 }
  at.place = M.place(source, at.line)
  local found = mistake(at, why or message, { shown(source, at.line) })
  return require("errors").new { kind = "usage", message = found.message, where = false, mistake = found }
end

return M
