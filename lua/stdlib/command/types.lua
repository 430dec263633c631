--- hkrun types: what an editor with the Lua language server (LuaLS, EmmyLua) needs to complete recipes and check them.
local fs = require "fs"
local json = require "json"
local log = require "log"
local modules = require "editor.modules"
local nouns = require "editor.nouns"
local stubs = require "editor.stubs"

local USAGE = {
  "usage: hkrun types [DIR]",
  "Writes type files of recipe, aws, pg, redis and all other modules into DIR/.hkrun/types, and DIR/.luarc.json, by which an",
  "editor with the Lua language server finds them. DIR is the folder of your recipes, or this one. Run it again after an update.",
}

--- The files that one module is made of beside its own, whose classes it gives.
local BESIDE = { aws = { "aws/environment", "aws/common/bastion", "aws/common/dms_run", "aws/certificate", "aws/confirmations", "aws/session",
                          "aws/reach" },
                 pg = { "pg/endpoint" }, redis = { "redis/endpoint", "redis/routes" }, queues = { "queues/jobs", "queues/drain" },
                 procfile = { "procfile/place" } }

local function files_of(entry)
  local files = entry[2] and { table.unpack(entry, 2) } or { entry[1] }
  table.move(BESIDE[entry[1]] or {}, 1, #(BESIDE[entry[1]] or {}), #files + 1, files)
  return files
end

--- A module's file: one function, or a table of them.
local function text_of(entry)
  local name, files = entry[1], files_of(entry)
  local out = { "---@meta " .. name, "" }
  local function add(lines) table.move(lines, 1, #lines, #out + 1, out) end
  local classes, fields = {}, {}
  if name == "aws" then classes, fields = nouns.clients() end
  add(classes)
  local body = stubs.of(files)
  local called, arguments = stubs.returned(files[1])
  add(stubs.heading(files[1]))
  out[#out + 1] = "---@class " .. name .. "lib"
  if stubs.is_callable(files[1]) then out[#out + 1] = "---@overload fun(...): any" end
  add(fields)
  out[#out + 1] = "local M = {}"
  out[#out + 1] = ""
  add(body)
  if name == "aws" then add(nouns.all()) end
  if called then
    add(called)
    out[#out + 1] = ("return function%s end"):format(arguments)
  else
    out[#out + 1] = "return M"
  end
  return table.concat(out, "\n") .. "\n"
end

local SETTINGS = { ["runtime.version"] = "Lua 5.4", ["workspace.library"] = json.array { ".hkrun/types" }, ["workspace.checkThirdParty"] = false }

return {
  help = "writes what editors need to complete recipes",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then
      for _, line in ipairs(USAGE) do log.out("%s", line) end
      return 0
    end
    local dir = args[1] or "."
    local into, settings = fs.join(dir, ".hkrun/types"), fs.join(dir, ".luarc.json")
    fs.mkdir_p(fs.join(dir, ".hkrun"), 448)                  -- the folder of the journals
    fs.mkdir_p(into)
    for _, entry in ipairs(modules) do fs.write(fs.join(into, entry[1] .. ".lua"), text_of(entry), 420) end
    log.out("%d type files in %s", #modules, into)
    if fs.exists(settings) then
      log.out("%s is there already; its workspace.library must have \".hkrun/types\"", settings)
    else
      fs.write(settings, json.encode(SETTINGS, { pretty = true }) .. "\n", 420)
      log.out("%s tells the editor where they are", settings)
    end
    return 0
  end,
}
