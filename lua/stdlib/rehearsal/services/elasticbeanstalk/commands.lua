--- The container_commands of a bundle: what runs on a machine before a version does, on one of the machines those, too, that
--- are the leader's.
--- https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/customize-containers-ec2.html
local app = require "rehearsal.planes.app"
local docker = require "rehearsal.services.elasticbeanstalk.docker"
local errors = require "errors"
local fs = require "fs"
local sorted_keys = require "sorted_keys"
local yaml = require "yaml"

local M = {}

local DONE = { container_commands = true, files = true }
local TAIL = "^/opt/elasticbeanstalk/tasks/taillogs%.d/"

local function failed(fmt, ...) errors.raise { kind = "invalid", op = "launch", message = fmt:format(...) } end

--- What the .ebextensions of a bundle say: the files in their alphabetical order, in each the commands in theirs.
---@param dir string the unpacked bundle
---@param note fun(fmt: string, ...) hears what the rehearsal leaves out
---@return { commands: table[], tail: string[] } tail: more log files that the machine hands out
function M.read(dir, note)
  local found, folder = { commands = {}, tail = {} }, fs.join(dir, ".ebextensions")
  local names = fs.exists(folder) and fs.list(folder) or {}
  table.sort(names)
  for _, name in ipairs(names) do
    if name:find "%.config$" then
      local document, err = yaml.decode(fs.read(fs.join(folder, name)))
      if type(document) ~= "table" then
        failed("The configuration file .ebextensions/%s in application version contains invalid YAML or JSON. %s", name, err and err.message or "")
      end
      for section in pairs(document) do
        if not DONE[section] then note("the rehearsal leaves out `%s` of .ebextensions/%s", section, name) end
      end
      for path, file in pairs(document.files or {}) do
        if path:find(TAIL) then
          for line in (file.content or ""):gmatch "[^\n]+" do found.tail[#found.tail + 1] = line end
        else note("the rehearsal leaves out the file %s of .ebextensions/%s", path, name) end
      end
      for _, key in ipairs(sorted_keys(document.container_commands)) do
        local c = document.container_commands[key]
        found.commands[#found.commands + 1] = { name = key, file = name, command = c.command, test = c.test, env = c.env, cwd = c.cwd,
          leader_only = c.leader_only == true or c.leader_only == "true", ignore = c.ignoreErrors == true or c.ignoreErrors == "true" }
      end
    end
  end
  return found
end

--- Runs one of them; returns its exit code.
local function run(o, c, words, sink)
  local env = { EB_IS_COMMAND_LEADER = o.is_leader and "true" or nil }
  for name, value in pairs(o.env) do env[name] = value end
  for name, value in pairs(c.env or {}) do env[name] = tostring(value) end
  local argv = type(words) == "string" and { "/bin/sh", "-c", words } or words
  return app.command { service = { argv = argv, env = env, cwd = c.cwd or o.dir }, prefix = o.prefix, folders = { o.dir }, line = sink }
end

--- Runs the commands that were read; raises kind "invalid" at the first that fails.
---@param list table[]
---@param o { folder: string, dir: string, env: table, prefix: string[], reader: table, is_leader: boolean, trust: fun(service: table),
---  log: fun(line: string) }
--- log: hears what /var/log/cfn-init-cmd.log gets
function M.run(list, o)
  if #list == 0 then return end
  local engine <close> = docker.start(o)
  o.env.PATH = engine.path .. ":" .. o.env.PATH
  for _, c in ipairs(list) do
    if (o.is_leader or not c.leader_only) and (not c.test or run(o, c, c.test, function() end) == 0) then
      o.log("Command " .. c.name)
      o.log "-----------------------Command Output-----------------------"
      local code = run(o, c, c.command, function(line) o.log("\t" .. line) end)
      o.log "------------------------------------------------------------"
      o.log(("Completed successfully: %s"):format(code == 0))
      if code ~= 0 then o.log(("Exited with error code %d"):format(code)) end
      if code ~= 0 and not c.ignore then failed("Command %s of .ebextensions/%s failed with exit code %d.", c.name, c.file, code) end
    end
  end
end

return M
