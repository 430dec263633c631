--- Reads a Dockerfile, and lays out the file system of its image as far as
--- copying goes: FROM brings nothing, RUN is left to the caller.
--- https://docs.docker.com/reference/dockerfile/
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local process = require "process"
local zip = require "zip"

local M = {}

--- { "COPY", "a b" } per instruction; continued lines are joined.
local function instructions(text)
  local list, pending = {}, nil
  for line in (text:gsub("\r\n", "\n") .. "\n"):gmatch "([^\n]*)\n" do
    if not line:find "^%s*#" and (pending or line:find "%S") then
      local body = line:match "^(.-)\\%s*$"
      pending = (pending or "") .. (body or line)
      if not body then
        local word, rest = pending:match "^%s*(%a+)%s*(.-)%s*$"
        if not word then errors.raise { kind = "invalid", op = "read the Dockerfile", message = "unknown instruction: " .. pending } end
        list[#list + 1] = { word:upper(), rest }
        pending = nil
      end
    end
  end
  return list
end

--- "$A and ${B:-c}" with the variables that are known; others are empty.
local function expand(s, vars)
  s = s:gsub("%${([%w_]+):?%-?([^}]*)}", function(name, default) return vars[name] or default end)
  return (s:gsub("%$([%a_][%w_]*)", function(name) return vars[name] or "" end))
end

--- The words of an instruction; quotes hold blanks together.
function M.words(s)
  local words, word, quote = {}, nil, nil
  local i = 1
  while i <= #s do
    local c = s:sub(i, i)
    if c == "\\" and quote ~= "'" and i < #s then
      i = i + 1
      word = (word or "") .. s:sub(i, i)
    elseif quote then
      if c == quote then quote = nil else word = word .. c end
    elseif c == "'" or c == '"' then quote, word = c, word or ""
    elseif c:find "%s" then
      if word then words[#words + 1] = word word = nil end
    else word = (word or "") .. c end
    i = i + 1
  end
  if word then words[#words + 1] = word end
  return words
end

--- CMD and ENTRYPOINT: the exec form is a JSON list, all else is for a shell.
local function command(s)
  local list = s:find "^%[" and json.decode(s)
  if list then return { table.unpack(list) } end
  return { "/bin/sh", "-c", s }, true
end

local function resolve(workdir, path)
  local full = path:sub(1, 1) == "/" and path or workdir .. "/" .. path
  local parts = {}
  for part in full:gmatch "[^/]+" do
    if part == ".." then parts[#parts] = nil elseif part ~= "." then parts[#parts + 1] = part end
  end
  return "/" .. table.concat(parts, "/")
end

local function matching(base, pattern)
  local rest = resolve("/", pattern)
  if not rest:find "[*?]" then return fs.exists(base .. rest) and { base .. rest } or {} end
  local dir, name = rest:match "^(.*)/([^/]*)$"
  local lua = "^" .. name:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", "[^/]*"):gsub("%?", ".") .. "$"
  local found = {}
  for _, entry in ipairs(fs.exists(base .. dir) and fs.list(base .. dir) or {}) do
    if entry:find(lua) then found[#found + 1] = base .. dir .. "/" .. entry end
  end
  return found
end

local function cp(from, to)
  local r = process.run { "cp", "-a", "--", from, to }
  if r.code ~= 0 then errors.raise { kind = "io", op = "copy into the image", message = (r.stderr:gsub("%s+$", "")) } end
end

local function copy(stage, stages, context, rest, is_add)
  local words, base = {}, context
  local list = rest:find "^%[" and json.decode(rest) or M.words(rest)
  for _, word in ipairs(list) do
    local from = word:match "^%-%-from=(.+)$"
    if from then
      local other = stages[from] or errors.raise { kind = "invalid", op = "read the Dockerfile",
        message = "COPY --from=" .. from .. " names an image, and the rehearsal pulls none" }
      base = other.root
    elseif not word:find "^%-%-%a+" then words[#words + 1] = expand(word, stage.vars) end
  end
  local to = table.remove(words) or ""
  local target = stage.root .. resolve(stage.workdir, to)
  local sources = {}
  for _, pattern in ipairs(words) do
    if pattern:find "^https?://" then errors.raise { kind = "invalid", op = "read the Dockerfile",
      message = "the rehearsal does not download " .. pattern } end
    local found = matching(base, pattern)
    if #found == 0 then errors.raise { kind = "not_found", op = "read the Dockerfile",
      message = ("COPY failed: no source files for %s"):format(pattern) } end
    table.move(found, 1, #found, #sources + 1, sources)
  end
  for _, source in ipairs(sources) do
    local kind = fs.stat(source).type
    if kind == "dir" then
      fs.mkdir_p(target)
      cp(source .. "/.", target)
    elseif is_add and (source:find "%.t[ar.]*gz$" or source:find "%.tar$") then
      zip.unpack(source, target, { links = "skip" })
    elseif #sources > 1 or to:find "/$" or to == "." or (fs.stat(target) or {}).type == "dir" then
      fs.mkdir_p(target)
      cp(source, target)
    else
      fs.mkdir_p(target:match "^(.*)/")
      cp(source, target)
    end
  end
end

---@class Image
---@field root string the folder that stands for "/"
---@field workdir string a path inside it
---@field env table<string, string>
---@field command string[]
---@field entrypoint? string[]
---@field ports integer[]
---@field from string

--- Lays out the image of a Dockerfile below `root`, which must not exist yet.
---@param context string the build context
---@param text string the Dockerfile
---@param root string
---@param path string $PATH of the base image
---@param run fun(image: Image, command: string) is called for each RUN, in its place
---@return Image
function M.image(context, text, root, path, run)
  local stages, stage, args = {}, nil, {}
  for _, entry in ipairs(instructions(text)) do
    local word, rest = entry[1], entry[2]
    if word == "ARG" then
      local name, value = rest:match "^([%w_]+)=?(.*)$"
      local vars = stage and stage.vars or args
      vars[name] = vars[name] or expand((value or ""):gsub('^"(.*)"$', "%1"), vars)
    elseif word == "FROM" then
      local from, as = expand(rest:gsub("%-%-platform=%S+%s*", ""), args):match "^(%S+)%s*[aA]?[sS]?%s*(%S*)"
      local parent = stages[from]
      local number = stage and stage.number + 1 or 1
      stage = { root = ("%s/%d"):format(root, number), number = number, workdir = "/", from = from, vars = { PATH = path },
                env = {}, ports = {} }
      fs.mkdir_p(stage.root)
      if parent then
        cp(parent.root .. "/.", stage.root)
        stage.workdir, stage.from = parent.workdir, parent.from
        for k, v in pairs(parent.vars) do stage.vars[k] = v end
        for k, v in pairs(parent.env) do stage.env[k] = v end
      end
      stages[tostring(stage.number - 1)] = stage
      if as ~= "" then stages[as] = stage end
    elseif not stage then
      errors.raise { kind = "invalid", op = "read the Dockerfile", message = word .. " stands before FROM" }
    elseif word == "WORKDIR" then
      stage.workdir = resolve(stage.workdir, expand(rest:gsub('^"(.*)"$', "%1"), stage.vars))
      fs.mkdir_p(stage.root .. stage.workdir)
    elseif word == "ENV" then
      local name, value = rest:match "^([%w_]+)%s+(.*)$"
      if name then stage.env[name] = expand(value, stage.vars) stage.vars[name] = stage.env[name]
      else
        for _, pair in ipairs(M.words(rest)) do
          local key, v = pair:match "^([^=]+)=(.*)$"
          if key then stage.env[key] = expand(v, stage.vars) stage.vars[key] = stage.env[key] end
        end
      end
    elseif word == "COPY" or word == "ADD" then copy(stage, stages, context, rest, word == "ADD")
    elseif word == "RUN" then run(stage, rest)
    elseif word == "EXPOSE" then
      for port in rest:gmatch "(%d+)[/%w]*" do table.insert(stage.ports, math.tointeger(tonumber(port))) end
    elseif word == "CMD" then stage.command, stage.command_is_shell = command(rest)
    elseif word == "ENTRYPOINT" then stage.entrypoint, stage.entrypoint_is_shell = command(rest)
    end                                 -- LABEL, USER, VOLUME, HEALTHCHECK, SHELL, STOPSIGNAL change nothing here
  end
  return stage or errors.raise { kind = "invalid", op = "read the Dockerfile", message = "there is no FROM" }
end

return M
