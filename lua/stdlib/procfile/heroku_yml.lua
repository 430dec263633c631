--- heroku.yml, for apps that are built as containers:
--- devcenter.heroku.com/articles/build-docker-images-heroku-yml
local place = require "procfile.place"
local yaml = require "yaml"

local M = {}

--- A command is a text, or a list of which each line is a part of the command.
local function command(v, check, path)
  if type(v) == "string" then return v end
  if type(v) ~= "table" or #v == 0 then check.fail(path, "must be a command or a list of commands") end
  for i, line in ipairs(v) do
    if type(line) ~= "string" then check.fail(place.at(path, i), "must be text") end
  end
  return table.concat(v, " ")
end

local function docker(map, check)
  local images = {}
  for name, image in pairs(check.is(map, "map", { "build", "docker" }) or {}) do
    local at = { "build", "docker", name }
    if type(image) == "string" then image = { dockerfile = image } end
    check.is(image, "map", at)
    check.known(image, { "dockerfile", "target" }, at)
    check.is(image.dockerfile, "string", place.at(at, "dockerfile"))
    check.is(image.target, "string", place.at(at, "target"))
    images[name] = image
  end
  return images
end

local function run(map, check)
  local processes = {}
  for name, process in pairs(check.is(map, "map", { "run" }) or {}) do
    local at = { "run", name }
    if name:find "[^%w_-]" then check.fail(at, "may have letters, digits, - and _ only") end
    if type(process) ~= "table" or #process > 0 then process = { command = process } end
    check.known(process, { "command", "image" }, at)
    if process.command == nil and process.image == nil then check.fail(at, "needs a command or an image") end
    check.is(process.image, "string", place.at(at, "image"))
    processes[name] = { command = process.command ~= nil and command(process.command, check, at) or nil, image = process.image }
  end
  return processes
end

---@param text string
---@param file string
---@return table manifest
function M.parse(text, file)
  text = place.text(text, file)
  local manifest, err = yaml.decode(text)
  if err then place.refuse_syntax(file, err) end
  local check = place.checker(file, text, "%s[\"']?%%s*:")
  if type(manifest) ~= "table" or #manifest > 0 then place.refuse(file, 1, 1, "it must hold sections") end
  check.known(manifest, { "setup", "build", "release", "run" }, {})
  local build = check.is(manifest.build, "map", { "build" }) or {}
  check.known(build, { "docker", "config", "languages", "pack" }, { "build" })
  local setup = check.is(manifest.setup, "map", { "setup" }) or {}
  for i, addon in ipairs(check.is(setup.addons, "list", { "setup", "addons" }) or {}) do
    if type(addon) ~= "table" or type(addon.plan) ~= "string" then check.fail({ "setup", "addons", i }, "needs a plan") end
  end
  local result = { setup = setup, build = { docker = docker(build.docker, check), config = build.config or {} }, run = run(manifest.run, check) }
  local release = check.is(manifest.release, "map", { "release" })
  if release then
    check.known(release, { "image", "command" }, { "release" })
    if release.command == nil then check.fail({ "release" }, "needs a command") end
    result.release = { command = command(release.command, check, { "release", "command" }), image = release.image }
  end
  for name, process in pairs(result.run) do
    if process.image and not result.build.docker[process.image] and not result.run[process.image] then
      check.fail({ "run", name, "image" }, "names %q, which build.docker does not build", process.image)
    end
  end
  return result
end

return M
