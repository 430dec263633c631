--- Procfile, app.json and heroku.yml: what an app says of itself in its own files.
---
---     local processes = procfile.parse "web: node web.js\nworker: node worker.js\n"
---     print(processes[1].type, processes.by_type.worker)
---
---     local files = procfile.read "."                          -- all three, and what was doubtful in them
---     local runs = procfile.processes(files, { stack = "container" })
---     print(runs.from, runs.commands.web, runs.release)
---
--- Format: devcenter.heroku.com/articles/procfile (of April 2023). Heroku reads lines of the form `type: command` and skips all
--- others in silence, so a typing mistake loses a process there. Here only blank lines and comments (`#`) are skipped;
--- another line that says nothing, and a type that stands twice, is an error with its place. What Heroku takes, and is
--- likely not what was meant, is a warning.
local fs = require "fs"
local place = require "procfile.place"

local M = {}

---@class ProcfileEntry
---@field type string "web"
---@field command string
---@field line integer

local LONGEST = 128                     -- characters of a process type: `formation.type` in Heroku's Platform API schema

--- One line that is not blank and no comment: type and command, or raises.
---@param warn fun(line: integer, column: integer, why: string)
local function entry(line, number, file, warn)
  local function column(at) return select(2, place.of(line, at)) end
  local function refuse(at, why, ...) place.refuse(file, number, column(at), why:format(...)) end
  local before, name, after, colon = line:match "^(%s*)([^%s:]*)()%s*()"
  local at = #before + 1
  if line:sub(colon, colon) ~= ":" then
    if name == "" then refuse(at, "a process type is missing") end
    refuse(after, "a colon is missing after %q; a line is `type: command`", name)
  end
  if name == "" then refuse(at, "a process type is missing before the colon") end
  local bad = name:find "[^%w_-]"
  if bad then refuse(at + bad - 1, "the process type %q may have letters, digits, - and _ only", name) end
  if #name > LONGEST then refuse(at, "the process type %q is longer than %d characters", name, LONGEST) end
  local start, command = line:match("^%s*()(.-)%s*$", colon + 1)
  if command == "" then refuse(start, "the process type %q has no command", name) end
  if before ~= "" then warn(number, 1, "spaces stand before the process type") end
  if after < colon then warn(number, column(after), "spaces stand before the colon") end
  if command:find "\\$" then warn(number, column(start + #command - 1), "a command ends with its line: a \\ does not continue it") end
  return { type = name, command = command, line = number }, column(at)
end

--- Reads a Procfile. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string how messages call it, default "Procfile"
---@return ProcfileEntry[] processes in their order, with .by_type (type -> command) and .release (the command or nil)
---@return ProcfileWarning[] warnings what Heroku takes in silence, and is likely not what was meant: { file, line, column, message }
function M.parse(text, file)
  file = file or "Procfile"
  local marked
  text, marked = place.text(text, file)
  local list, first, number, warnings = { by_type = {} }, {}, 0, {}
  local function warn(line, column, why) warnings[#warnings + 1] = { file = file, line = line, column = column, message = why } end
  if marked then warn(1, 1, "it begins with a byte order mark, which may hide its first process") end
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if line:find "%S" and not line:find "^%s*#" then
      local e, at = entry(line, number, file, warn)
      if first[e.type] then
        place.refuse(file, number, at, ("the process type %q stands in line %d already"):format(e.type, first[e.type]))
      end
      first[e.type] = number
      list[#list + 1] = e
      list.by_type[e.type] = e.command
    end
  end
  if #list == 0 then place.refuse(file, 1, 1, "it declares no process") end
  list.release = list.by_type.release
  return list, warnings
end

--- Reads an app.json. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string default "app.json"
---@return table manifest as it stands there; addons, env, environments, formation and scripts are always there;
--- an add-on is { plan=, as=, options= }, a variable { value=, required=, generator=, description= }
---@return ProcfileWarning[] warnings such as unknown members
function M.app_json(text, file) return require("procfile.app_json").parse(text, file or "app.json") end

--- An app.json as an environment of it has it: what the environment names replaces the whole of what stands there else.
---@param manifest table of app_json
---@param name "test"|"review"
---@return table manifest
function M.environment(manifest, name) return require("procfile.app_json").environment(manifest, name) end

--- Reads a heroku.yml. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string default "heroku.yml"
---@return table manifest { setup = { addons, config }, build = { docker = { web = { dockerfile, target } }, config }, release = { command, image },
--- run = { web = { command, image } } }
---@return ProcfileWarning[] warnings such as a process without an image of its own
function M.heroku_yml(text, file) return require("procfile.heroku_yml").parse(text, file or "heroku.yml") end

--- Reads those of the three files that a folder has.
---@param dir string
---@return { procfile: ProcfileEntry[]?, app_json: table?, heroku_yml: table?, warnings: ProcfileWarning[] } files
function M.read(dir)
  local found = { warnings = {} }
  for _, name in ipairs { "Procfile", "app.json", "heroku.yml" } do
    local path = fs.join(dir, name)
    if fs.exists(path) then
      local key = name:lower():gsub("%.", "_")
      local parse = name == "Procfile" and M.parse or M[key]
      local warnings
      found[key], warnings = parse(fs.read(path), path)
      table.move(warnings, 1, #warnings, #found.warnings + 1, found.warnings)
    end
  end
  return found
end

---@class ProcfileProcesses
---@field from string? "Procfile", "heroku.yml" or "slug"; nil where nothing declares a process
---@field commands table<string, string> by process type; one that heroku.yml builds and does not run has the CMD of its image, and no entry
---@field images table<string, string> container stack: whose image a process runs
---@field release string? the command of the release phase
---@field release_image string? container stack: whose image runs it

local function of_heroku_yml(manifest)
  local result = { from = "heroku.yml", commands = {}, images = {} }
  for name in pairs(manifest.build.docker) do result.images[name] = name end
  result.images.release = nil
  for name, process in pairs(manifest.run) do
    result.commands[name], result.images[name] = process.command, process.image or result.images[name]
  end
  if manifest.release then
    result.release = manifest.release.command
    result.release_image = manifest.release.image or manifest.build.docker.release and "release" or manifest.build.docker.web and "web" or nil
  end
  return result
end

local function of_commands(from, by_type)
  local result = { from = from, commands = {}, images = {}, release = by_type.release }
  for name, command in pairs(by_type) do
    if name ~= "release" then result.commands[name] = command end
  end
  return result
end

--- What the app runs. On the container stack heroku.yml says it and the Procfile is not read; on any other stack it is the other
--- way round. Where neither is there, the process types of the slug do, which are the Procfile that Heroku built with.
---@param files { procfile: ProcfileEntry[]?, heroku_yml: table? } of read
---@param o? { stack: string?, process_types: table<string, string>? } the app's stack; the process types of its slug
---@return ProcfileProcesses processes
function M.processes(files, o)
  o = o or {}
  local is_container = o.stack == "container"
  if files.heroku_yml and (is_container or not files.procfile) then return of_heroku_yml(files.heroku_yml) end
  if files.procfile then return of_commands("Procfile", files.procfile.by_type) end
  if o.process_types and next(o.process_types) then return of_commands("slug", o.process_types) end
  return { commands = {}, images = {} }
end

return M
