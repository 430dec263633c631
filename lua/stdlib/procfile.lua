--- Procfile, app.json and heroku.yml: what an app says of itself in its own files.
---
---     local processes = procfile.parse "web: node web.js\nworker: node worker.js\n"
---     print(processes[1].type, processes.by_type.worker)
---
--- Format: devcenter.heroku.com/articles/procfile. Heroku reads lines of the form `type: command` and skips all others
--- in silence, so a typing mistake loses a process there. Here only blank lines and comments (`#`) are skipped;
--- another line that says nothing is an error with its place.
local fs = require "fs"
local place = require "procfile.place"

local M = {}

---@class ProcfileEntry
---@field type string "web"
---@field command string
---@field line integer

--- One line that is not blank and no comment: type and command, or raises.
local function entry(line, number, file)
  local before, name, after, colon = line:match "^(%s*)([^%s:]*)()%s*()"
  local at = #before + 1
  if line:sub(colon, colon) ~= ":" then
    place.refuse(file, number, name == "" and at or after, name == "" and "a process type is missing"
      or ("a colon is missing after %q; a line is `type: command`"):format(name))
  end
  if name == "" then place.refuse(file, number, at, "a process type is missing before the colon") end
  local bad = name:find "[^%w_-]"
  if bad then
    place.refuse(file, number, at + bad - 1, ("the process type %q may have letters, digits, - and _ only"):format(name))
  end
  if #name > 63 then place.refuse(file, number, at, ("the process type %q is longer than 63 characters"):format(name)) end
  local start, command = line:match("^%s*()(.-)%s*$", colon + 1)
  if command == "" then place.refuse(file, number, start, ("the process type %q has no command"):format(name)) end
  return { type = name, command = command, line = number }, at
end

--- Reads a Procfile. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string how messages call it, default "Procfile"
---@return ProcfileEntry[] processes in their order, with .by_type (type -> command) and .release (the command or nil)
function M.parse(text, file)
  file = file or "Procfile"
  text = place.text(text, file)
  local list, first, number = { by_type = {} }, {}, 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if line:find "%S" and not line:find "^%s*#" then
      local e, at = entry(line, number, file)
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
  return list
end

--- Reads an app.json. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string default "app.json"
---@return table manifest as it stands there; add-ons as { plan=, as= } each, formation and env as tables
function M.app_json(text, file) return require("procfile.app_json").parse(text, file or "app.json") end

--- Reads a heroku.yml. Raises kind "usage" with file, line and column.
---@param text string
---@param file? string default "heroku.yml"
---@return table manifest { setup =, build = { docker = { web = { dockerfile, target } } }, release =, run = { web = { command, image } } }
function M.heroku_yml(text, file) return require("procfile.heroku_yml").parse(text, file or "heroku.yml") end

--- Reads those of the three files that a folder has.
---@param dir string
---@return { procfile: ProcfileEntry[]?, app_json: table?, heroku_yml: table? }
function M.read(dir)
  local found = {}
  for name, key in pairs { Procfile = "procfile", ["app.json"] = "app_json", ["heroku.yml"] = "heroku_yml" } do
    local path = fs.join(dir, name)
    if fs.exists(path) then
      local parse = key == "procfile" and M.parse or M[key]
      found[key] = parse(fs.read(path), path)
    end
  end
  return found
end

return M
