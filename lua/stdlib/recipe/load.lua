--- Finds a recipe's file and runs it in one mode or another.
local errors = require "errors"
local fs = require "fs"
local journal = require "journal"
local log = require "log"
local nearest = require "options".nearest
local options = require "recipe.options"
local process = require "process"
local run = require "recipe.run"
local term = require "term"

local M = {}

local with_value = { config = true, ["until"] = true, only = true, dir = true, journal = true, out = true,
                     webhook = true }
local without = { yes = true, json = true, help = true, adopt = true, ["detailed-exitcode"] = true,
                  ["no-final-snapshot"] = true }

local RUNS = { apply = true, destroy = true, rollback = true, prune = true }

--- Takes a command line apart: the recipe, hkrun's own flags, and the rest for the recipe's options.
---@param args string[]
---@param command string
---@param own? table<string, boolean> more flags, of this command; true for one with a value
---@return table `{ recipe=, rest=, yes=, json=, help=, config=, until_stage=, only_stage=, adopt=, out=, dir=, at= }`: at is
--- where the journal is if it is in S3, dir the folder of journals if not
function M.arguments(args, command, own)
  own = own or {}
  local o, rest, i = {}, {}, 1
  while i <= #args do
    local word = args[i]
    local name, value = word:match "^%-%-([%w_%-]+)=(.*)$"
    if not name then name = word:match "^%-%-([%w_%-]+)$" end
    if word == "-y" then name = "yes" elseif word == "-h" then name = "help" end
    if name and (with_value[name] or own[name]) then
      if not value then
        i = i + 1
        value = args[i] or errors.usage("%s needs a value", word)
      end
      o[name] = value
    elseif name and (without[name] or own[name] == false) and not value then
      o[name] = true
    elseif not o.recipe and not word:find "^%-" then
      o.recipe = word
    else
      if not o.recipe and name then errors.usage("%s comes before the recipe; its options follow it", word) end
      rest[#rest + 1] = word
    end
    i = i + 1
  end
  o.until_stage, o["until"], o.only_stage, o.only = o["until"], nil, o.only, nil
  if o.until_stage and o.only_stage then errors.usage "--until and --only do not go together" end
  o.no_final_snapshot, o["no-final-snapshot"] = o["no-final-snapshot"], nil
  if o.no_final_snapshot and command ~= "destroy" and not o.destroy then errors.usage("--no-final-snapshot is for hkrun destroy") end
  if o.webhook and not RUNS[command] then errors.usage("--webhook is told of runs: of apply, destroy, rollback and prune") end
  o.rest = rest
  local at = options.journal(o)
  if at and at:find "^s3://" then o.at = at else o.dir = at or o.dir end
  if not (o.recipe or o.help) then errors.usage("hkrun %s needs a recipe: hkrun %s RECIPE.lua", command, command) end
  return o
end

--- A recipe's file: in the current folder, or among those that came with hkrun ("recipes/audit.lua").
---@param path string with or without .lua
---@return string? file
function M.find(path)
  local own = process.program():match "^(.*)/[^/]+$"
  for _, base in ipairs { "", own .. "/../share/hkrun/" } do
    if base == "" or path:sub(1, 1) ~= "/" then
      for _, name in ipairs { path, path .. ".lua" } do
        local file = base .. name
        if fs.exists(file) then return base == "" and file or fs.realpath(file) end
      end
    end
  end
end

--- As find; a recipe that is not there is refused, with the nearest name in its folder.
---@param path string
---@return string file
function M.locate(path)
  local file = M.find(path)
  if file then return file end
  local dir, name = path:match "^(.-)([^/]*)$"
  local folder = dir == "" and "." or dir
  local names = {}
  for _, other in ipairs((fs.stat(folder) or {}).type == "dir" and fs.list(folder) or {}) do
    if other:find "%.lua$" then names[#names + 1] = other end
  end
  local near = nearest(name, names)
  errors.usage("there is no recipe %s%s", path, near and (" (did you mean %s%s?)"):format(dir, near) or "")
end

--- Loads a recipe's file. Its own modules are found beside it.
---@param path string|table a loaded one is given back
---@return table `{ name=, file=, chunk= }`
function M.file(path)
  if type(path) == "table" then return path end
  local file = M.locate(path)
  local chunk, err = loadfile(file, "t")
  if not chunk then errors.raise(require("errors.mistake").error(err, "@" .. file)) end
  local dir = file:match "^(.*)/[^/]*$" or "."
  package.path = ("%s/?.lua;%s/?/init.lua"):format(dir, dir)
  return { name = file:match "([^/]+)$":gsub("%.lua$", ""), file = file, chunk = chunk }
end

--- Runs a pass; an early stop (`--until`, load) is a normal end.
---@param r table the run
---@param chunk function
function M.pass(r, chunk)
  local ok, e = xpcall(run.with, errors.handler, r, function()
    chunk()
    r:finish()
  end)
  if ok or e.early then return end
  error(e, 0)
end

--- What an earlier run of the recipe was told: that of this target, or of the only one there is.
local function earlier(o, recipe)
  return function(target)
    local name = target and journal.name(recipe.name, target)
    if not name then
      local list = journal.list(recipe.name, o)
      if #list ~= 1 then return nil end
      name = list[1]
    end
    return journal.open({ name = name, dir = o.dir, at = o.at }).memory.options
  end
end

--- Loads the recipe up to its options: its kinds are known then, and which journal is meant.
---@param o table as from `arguments`
---@param lock boolean
---@return table run with its journal open
function M.upto_options(o, lock)
  local recipe = M.file(o.recipe)
  local r = run.new {
    mode = "load", recipe = recipe.name, file = recipe.file, args = o.rest, config = o.config, dir = o.dir, at = o.at, lock = lock,
    yes = o.yes, earlier = earlier(o, recipe),
  }
  M.pass(r, recipe.chunk)
  return r
end

--- Runs the recipe read-only, but for guards of a dead run, which are undone as their blocks are left.
---@param loaded table the run of upto_options, with the journal locked
---@param o table as from `arguments`
---@return table run with its entries
---@return table|nil err why it did not come to its end
function M.look(loaded, o)
  local recipe = M.file(o.recipe)
  local r = run.new {
    mode = "undo", recipe = recipe.name, file = recipe.file, args = o.rest, config = o.config, dir = o.dir, yes = o.yes,
    earlier = function() return loaded.memory.options end, journal = loaded.journal, answer = o.answer, typed = o.typed,
  }
  local ok, e = xpcall(M.pass, errors.handler, r, recipe.chunk)
  if not ok and errors.is(e, "cancelled") then error(e, 0) end
  r:sort()
  return r, not ok and e or nil
end

--- Prints a command's words.
---@param lines string[]
---@return integer exit code
function M.usage(lines)
  for _, line in ipairs(lines) do log.out("%s", line) end
  return 0
end

--- Prints what --help asks for: the recipe's first comment and its options, or without a recipe the command's words.
---@param o table as from `arguments`
---@param usage string[]
---@return integer exit code
function M.help(o, usage) return M.usage(o.recipe and M.about(o) or usage) end

--- The recipe's first comment and its options.
---@param o table
---@return string[] lines
function M.about(o)
  local recipe = M.file(o.recipe)
  local lines = {}
  for line in fs.read(recipe.file):gmatch "([^\n]*)\n" do
    local text = line:match "^%-%-%-?%s?(.*)$"
    if not text then break end
    lines[#lines + 1] = text
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "usage: hkrun " .. o.recipe .. " [--yes] [--until STAGE | --only STAGE] [--adopt] [--config FILE.yml]"
  lines[#lines + 1] = "       [--journal s3://BUCKET/KEY] [option ...]"
  local r = run.new { mode = "help", recipe = recipe.name, args = {} }
  M.pass(r, recipe.chunk)
  if r.declared and #r.declared > 0 then
    lines[#lines + 1] = ""
    for _, line in ipairs(options.help(r.declared, term.is_tty(1) and term.size() or nil)) do lines[#lines + 1] = line end
  end
  return lines
end

return M
