--- What an editor must know of a module: its functions and methods with the comments above them, and no code. They are
--- read from the sources, which hkrun carries.
local resource = require "host.resource"

local M = {}

local function lines_of(path)
  local lines = {}
  for line in ((resource.read("stdlib/" .. path .. ".lua") or "") .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- Calls fn(block, line) for each line that begins a function or a field of a module, and for each class: block is the
--- comment above it, which may be empty.
local function each_declared(lines, fn)
  local block = {}
  for i, line in ipairs(lines) do
    if line:find "^%s*%-%-%-" then block[#block + 1] = line:match "^%s*(.*)$"
    else
      if i > #block + 1 then fn(block, line) end             -- else it is the file's heading
      block = {}
    end
  end
end

--- A comment as an editor is to take it: an option may be left out, for which must be given the function itself says; a table
--- has fields, whichever; and who does not say what it gives may give something.
local function for_editors(block)
  local out, gives = {}, false
  for i, line in ipairs(block) do
    if line:find "^%-%-%-@param" then
      line = line:gsub("%b{}", function(fields) return (fields:gsub("([{,]%s*[%a_][%w_]*):", "%1?:")) end)
    elseif line:find "^%-%-%-@return" or line:find "^%-%-%-@class" or line:find "^%-%-%-@type" then
      gives = true
      line = line:gsub("^(%-%-%-@return table)%f[%s?\0]", "%1<any, any>")
    end
    out[i] = line
  end
  if not gives then out[#out + 1] = "---@return any" end
  return out
end

local function has(block, tag) return table.concat(block, "\n"):find("%-%-%-@" .. tag) ~= nil end

--- The classes of the files, by the local name of their methods' table: `---@class PgConnection` over `local Conn = {}`.
local function classes_of(files)
  local of = {}
  for _, path in ipairs(files) do
    each_declared(lines_of(path), function(block, line)
      local name = table.concat(block, "\n"):match "%-%-%-@class ([%w_.]+)"
      local var = line:match "^%s*local ([%w_]+) = "
      if name and var then of[var] = name end
    end)
  end
  return of
end

local function variable(class) return (class:gsub("%.", "_")) end

--- The arguments that a comment names: "where, opts".
local function named(block)
  local list = {}
  for _, line in ipairs(block) do list[#list + 1] = line:match "^%-%-%-@param%s+([%w_.]+)%??%s" end
  return table.concat(list, ", ")
end

--- A function's line without its body, or nil for what is none.
local function declared(block, line, classes, only_methods)
  local owner, separator, name, args = line:match "^function ([%w_]+)([.:])([%w_]+)%s*(%b())"
  if not owner then
    owner, args = line:match "^function (M%.[%w_]+%.[%w_]+)%s*(%b())"
    if owner then return not only_methods and ("function %s%s end"):format(owner, args) or nil end
    name = line:match "^M%.([%w_]+) = "
    if not name or only_methods or name:find "^_" then return nil end
    if line:find "setmetatable" then return ("---@class %s.call\n---@overload fun(...): any\nM.%s = {}"):format(name, name) end
    if has(block, "param") or has(block, "return") then return ("function M.%s(%s) end"):format(name, named(block)) end
    return ("---@type any\nM.%s = nil"):format(name)
  end
  if name:find "^_" then return nil end
  if owner == "M" then
    if only_methods then return nil end
  elseif not block[1] then return nil                        -- a method without a word is for the module itself
  elseif classes[owner] then owner = variable(classes[owner])
  else return nil end
  return ("function %s%s%s%s end"):format(owner, separator, name, args)
end

--- The classes and functions of files, as one text.
---@param files string[] paths below stdlib/; of the later ones only the methods
---@return string[] lines
function M.of(files)
  local out, classes, declared_already = {}, classes_of(files), {}
  for i, path in ipairs(files) do
    each_declared(lines_of(path), function(block, line)
      local class = table.concat(block, "\n"):match "%-%-%-@class ([%w_.]+)"
      local text
      if class and not declared_already[class] then
        declared_already[class] = true
        text = line:find "^%s*local [%w_]+ = " and ("local %s = {}"):format(variable(class)) or ""
      elseif not class then
        text = declared(block, line, classes, i > 1)
      end
      if text then
        local words = for_editors(block)
        if text:find "^%-%-%-" or not text:find "^function" and not class then words = block end
        table.move(words, 1, #words, #out + 1, out)
        out[#out + 1] = text
        out[#out + 1] = ""
      end
    end)
  end
  return out
end

--- The first comment of a file.
---@param path string
---@return string[] lines
function M.heading(path)
  local out = {}
  for _, line in ipairs(lines_of(path)) do
    if not line:find "^%-%-%-" then break end
    out[#out + 1] = line
  end
  return out
end

--- The comment over what a file returns, if that is a function, and its arguments.
---@param path string
---@return string[]? block
---@return string? args "(fmt, ...)"
function M.returned(path)
  local lines = lines_of(path)
  local name, found, args = table.concat(lines, "\n"):match "\nreturn (%l[%w_]*)%s*$", nil, nil
  each_declared(lines, function(block, line)
    local own = line:match "^return function%s*(%b())" or name and line:match("^local function " .. name .. "%s*(%b())")
    if own then found, args = for_editors(block), own end
  end)
  return found, args
end

--- Whether a module can be called as a function.
---@param path string
---@return boolean
function M.is_callable(path) return table.concat(lines_of(path), "\n"):find "\nreturn setmetatable%(M, { __call" ~= nil end

--- The lines of a file, for what reads more of it.
M.lines = lines_of

return M
