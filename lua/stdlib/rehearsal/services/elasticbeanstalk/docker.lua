--- The programs `docker` and `aws` of a rehearsed machine: what a bundle's commands may ask of them. Nothing is built or kept; images are
--- the folders of images.lua, and a container is a process of the app. They themselves only pass on what they are asked:
--- they run as nobody, and what a container needs is the rehearsal's to do.
local app = require "rehearsal.planes.app"
local errors = require "errors"
local fs = require "fs"
local images = require "rehearsal.services.elasticbeanstalk.images"
local process = require "process"
local sign = require "sign"
local task = require "task"

local M = {}

local PROGRAM = [[#!/bin/sh
set -eu
asked=@DIR@/$$
for word in "${0##*/}" "$@"; do printf '%s\n' "$(printf %s "$word" | base64 | tr -d '\n')"; done > "$asked.part"
mv "$asked.part" "$asked.request"
while [ ! -e "$asked.code" ]; do sleep 0.05; done
code=$(cat "$asked.code")
cat "$asked.out"
rm -f "$asked.code" "$asked.out"
exit "$code"
]]

local SWITCHES = { ["--rm"] = true, ["--init"] = true, ["-i"] = true, ["-t"] = true, ["--interactive"] = true, ["--tty"] = true,
                   ["--quiet"] = true, ["-q"] = true, ["--pull"] = true, ["--no-cache"] = true,
                   ["-T"] = true, ["--no-TTY"] = true, ["--no-deps"] = true }
local VALUES = { ["-e"] = "env", ["--env"] = "env", ["-t"] = "tag", ["--tag"] = "tag", ["-f"] = "file", ["--file"] = "file",
                 ["--entrypoint"] = "entrypoint", ["-w"] = "workdir", ["--workdir"] = "workdir" }

--- The options of a docker command, and the words after them.
local function read_options(words, takes)
  local options, at = { env = {} }, 2
  while words[at] and words[at]:sub(1, 1) == "-" do
    local flag, value = words[at]:match "^(%-%-[%w-]+)=(.*)$"
    flag = flag or words[at]
    local field = takes[flag] and VALUES[flag]
    if field then
      if not value then at = at + 1 value = words[at] end
      if field == "env" then table.insert(options.env, value) else options[field] = value end
    elseif not SWITCHES[flag] then return nil, ("unknown flag: %s"):format(flag) end
    at = at + 1
  end
  return options, table.move(words, at, #words, 1, {})
end

local commands = {}

--- docker build [--tag NAME] CONTEXT
function commands.build(o, words)
  local given, rest = read_options(words, { ["-t"] = true, ["--tag"] = true, ["-f"] = true, ["--file"] = true })
  if not given then return 125, rest end
  local below = (rest[1] or "."):gsub("^%.?/?", ""):gsub("/$", "")
  local image = images.of(o.reader, below == "" and o.dir or fs.join(o.dir, below), given.file or "Dockerfile")
  if given.tag then o.tags[given.tag] = image end
  return 0, ""
end

--- docker run [--env NAME]... IMAGE [COMMAND...]
function commands.run(o, words)
  local given, rest = read_options(words, { ["-e"] = true, ["--env"] = true, ["--entrypoint"] = true, ["-w"] = true, ["--workdir"] = true })
  if not given then return 125, rest end
  local name = table.remove(rest, 1)
  local image = name and o.tags[name]
  if not image then return 125, ("Unable to find image '%s' locally"):format(tostring(name)) end
  local env = {}
  for _, entry in ipairs(given.env) do
    local key, value = entry:match "^([^=]+)=(.*)$"
    env[key or entry] = value or o.env[entry]
  end
  local service = images.container(o.reader, image, name, { env = env, command = #rest > 0 and rest or nil, workdir = given.workdir,
    entrypoint = given.entrypoint and { given.entrypoint } })
  o.trust(service)
  local lines = {}
  local code = app.command { service = service, prefix = o.prefix, folders = { image.root },
                             line = function(line) lines[#lines + 1] = line .. "\n" end }
  return code, table.concat(lines)
end

--- docker pull REFERENCE
function commands.pull(o, words)
  local given, rest = read_options(words, {})
  if not given then return 125, rest end
  o.tags[rest[1]] = images.pulled(o.reader, rest[1])
  return 0, rest[1]
end

--- docker login: the rehearsal's machines may read the account's registry as it is.
function commands.login() return 0, "Login Succeeded" end

--- The AWS CLI of a machine knows this only: aws ecr get-login-password.
local function aws_cli(words)
  if words[1] == "ecr" and words[2] == "get-login-password" then return 0, "of-the-machine" end
  return 127, "the rehearsal's machines have no such command: aws " .. table.concat(words, " ")
end

--- docker compose [--file FILE] run [--rm] [-T] [--env NAME=VALUE]... SERVICE [COMMAND...]
function commands.compose(o, words)
  local given, rest = read_options(words, { ["-f"] = true, ["--file"] = true })
  if not given then return 1, rest end
  if rest[1] ~= "run" then return 1, "the rehearsal's docker compose has no command " .. tostring(rest[1]) end
  local name
  given, rest = read_options(rest, { ["-e"] = true, ["--env"] = true })
  if not given then return 1, rest end
  name = table.remove(rest, 1)
  local service = require("rehearsal.services.elasticbeanstalk.bundle").one(o.reader, tostring(name), #rest > 0 and rest or nil)
  if not service then return 1, "no such service: " .. tostring(name) end
  for _, entry in ipairs(given.env) do
    local key, value = entry:match "^([^=]+)=(.*)$"
    service.env[key or entry] = value or o.env[entry]
  end
  o.trust(service)
  local lines = {}
  local code = app.command { service = service, prefix = o.prefix, folders = {}, line = function(line)
    if o.line then o.line(line) else lines[#lines + 1] = line .. "\n" end
  end }
  return code, table.concat(lines)
end

local function answer(o, path)
  local words = {}
  for line in fs.read(path .. ".request"):gmatch "([^\n]*)\n" do words[#words + 1] = sign.unbase64(line) end
  fs.remove(path .. ".request")
  local program = table.remove(words, 1)
  local ok, code, out = pcall(function()
    if program == "aws" then return aws_cli(words) end
    local command = commands[words[1]]
    if command then return command(o, words) end
    return 125, "the rehearsal's docker has no command " .. tostring(words[1])
  end)
  if not ok then
    if not errors.is(code) or errors.is(code, "cancelled") then error(code, 0) end
    code, out = 1, "ERROR: " .. code.message
  end
  fs.write(path .. ".out", out:gsub("([^\n])$", "%1\n"), 420)
  fs.write(path .. ".code", tostring(code), 420)
  if fs.uid() == 0 then process.run { "chown", "nobody", path .. ".out", path .. ".code" } end
end

---@class RehearsedDocker
---@field path string the folder of the program
local Docker = {}
Docker.__index = Docker

--- Puts the program into a folder, and answers it until it is closed.
---@param o { folder: string, dir: string, reader: table, env: table, prefix: string[], trust: fun(service: table) } dir: the
--- unpacked bundle; reader: what bundle.read was told; env: what a command of the bundle has in its environment
---@return RehearsedDocker
function M.start(o)
  local requests = fs.join(o.folder, "docker")
  fs.mkdir_p(requests)
  fs.mkdir_p(fs.join(o.folder, "bin"))
  local program = PROGRAM:gsub("@DIR@", (requests:gsub("%%", "%%%%")))
  for _, name in ipairs { "docker", "aws" } do fs.write(fs.join(o.folder, "bin/" .. name), program, 493) end
  if fs.uid() == 0 then process.run { "chown", "nobody", requests } end
  o.tags = {}
  local work = task.spawn(function()
    while true do
      for _, name in ipairs(fs.list(requests)) do
        local id = name:match "^(%d+)%.request$"
        if id then answer(o, fs.join(requests, id)) end
      end
      task.sleep(0.05)
    end
  end)
  return setmetatable({ path = fs.join(o.folder, "bin"), work = work }, Docker)
end

--- Ends it; what it was doing ends too.
Docker.__close = function(docker)
  docker.work:cancel()
  pcall(docker.work.join, docker.work)
end

return M
