--- heroku.yml, for apps that are built as containers:
--- devcenter.heroku.com/articles/build-docker-images-heroku-yml (of April 2024). Heroku refuses what it does not know.
local json = require "json"
local place = require "procfile.place"
local sorted_keys = require "sorted_keys"
local yaml = require "yaml"

local M = {}

--- A command is a text, or a list of which each line is a part of the command.
local function command(v, check, path)
  if type(v) == "table" and check.is_list(v) and #v > 0 then
    for i, line in ipairs(v) do check.is(line, "text", place.at(path, i)) end
    v = table.concat(v, " ")
  elseif type(v) ~= "string" then
    check.fail(path, "must be a command or a list of commands")
  end
  if not v:find "%S" then check.fail(path, "is an empty command") end
  return v
end

--- Variables: their values are texts, also those that look like a number.
local function variables(map, check, path)
  map = check.is(map, "map", path) or {}
  for _, name in ipairs(sorted_keys(map)) do
    if type(map[name]) ~= "string" then check.fail(place.at(path, name), "must be a text: put it in quotes") end
  end
  return map
end

local function setup(map, check)
  local path = { "setup" }
  check.is(map, "map", path)
  check.known(map or {}, { "addons", "config" }, path)
  local addons = json.array {}
  for i, addon in ipairs(map and check.is(map.addons, "list", { "setup", "addons" }) or {}) do
    local at = { "setup", "addons", i }
    addons[i] = check.addon(addon, at)
    check.known(addons[i], { "plan", "as", "options" }, at)
  end
  return { addons = addons, config = variables(map and map.config, check, { "setup", "config" }) }
end

local function docker(map, check)
  local images = {}
  map = check.is(map, "map", { "build", "docker" }) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local image, at = map[name], { "build", "docker", name }
    if name:find "[^%w_-]" then check.fail(at, "is no process type: letters, digits, - and _ only") end
    if type(image) == "string" then image = { dockerfile = image } end
    if type(image) ~= "table" then check.fail(at, "must be the path of a Dockerfile, or a map") end
    check.is(image, "map", at)
    check.known(image, { "dockerfile", "target" }, at)
    if image.dockerfile == nil then check.fail(at, "needs a dockerfile") end
    check.is(image.dockerfile, "text", place.at(at, "dockerfile"))
    check.is(image.target, "text", place.at(at, "target"))
    if image.dockerfile:find "^/" or image.dockerfile == "" then
      check.fail(image == map[name] and place.at(at, "dockerfile") or at, "must be a path from the top of the repository")
    end
    images[name] = image
  end
  return images
end

local function build(map, check)
  map = check.is(map, "map", { "build" }) or {}
  check.known(map, { "docker", "config", "languages", "packages" }, { "build" })
  return { docker = docker(map.docker, check), config = variables(map.config, check, { "build", "config" }),
           languages = map.languages, packages = map.packages }
end

local function run(map, check)
  local processes = {}
  map = check.is(map, "map", { "run" }) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local process, at = map[name], { "run", name }
    if name:find "[^%w_-]" then check.fail(at, "is no process type: letters, digits, - and _ only") end
    if name == "release" then check.warn(at, "is no process that runs; the release phase is a section of its own") end
    if type(process) ~= "table" or check.is_list(process) then
      process = { command = command(process, check, at) }
    else
      check.known(process, { "command", "image" }, at)
      if process.command == nil and process.image == nil then check.fail(at, "needs a command or an image") end
      check.is(process.image, "text", place.at(at, "image"))
      process = { image = process.image,
                  command = process.command ~= nil and command(process.command, check, place.at(at, "command")) or nil }
    end
    processes[name] = process
  end
  return processes
end

local function release(map, check)
  if check.is(map, "map", { "release" }) == nil then return nil end
  check.known(map, { "image", "command" }, { "release" })
  if map.command == nil then check.fail({ "release" }, "needs a command") end
  return { command = command(map.command, check, { "release", "command" }), image = check.is(map.image, "text", { "release", "image" }) }
end

--- An image is called by the process that it is built for, or by one that runs it.
local function is_image(name, result) return result.build.docker[name] ~= nil or result.run[name] ~= nil end

local function check_images(result, check)
  if next(result.build.docker) == nil then return end        -- buildpacks make the one image
  for _, name in ipairs(sorted_keys(result.run)) do
    local process = result.run[name]
    if process.image and not is_image(process.image, result) then
      check.fail({ "run", name, "image" }, "names %q, which build.docker does not build", process.image)
    elseif not process.image and not result.build.docker[name] then
      check.warn({ "run", name }, "has no image of its own: say whose it runs with image, such as image: %s",
        sorted_keys(result.build.docker)[1])
    end
  end
  if result.release and result.release.image and not is_image(result.release.image, result) then
    check.fail({ "release", "image" }, "names %q, which build.docker does not build", result.release.image)
  end
end

--- Where each member stands, by what yaml.decode noted.
local function places_of(root, places)
  return function(path)
    local found, value = "1:1", root
    for _, name in ipairs(path) do
      if type(value) ~= "table" then break end
      found = places[value] and places[value][name] or found
      value = value[name]
    end
    local line, column = found:match "(%d+):(%d+)"
    return math.tointeger(tonumber(line)), math.tointeger(tonumber(column))
  end
end

---@param text string
---@param file string
---@return table manifest
---@return ProcfileWarning[] warnings
function M.parse(text, file)
  text = place.text(text, file)
  local places = {}
  local manifest, err = yaml.decode(text, places)
  if err then place.refuse_syntax(file, err) end
  local check = place.checker(file, places_of(manifest, places))
  if type(manifest) ~= "table" or check.is_list(manifest) then place.refuse(file, 1, 1, "it must hold sections") end
  check.known(manifest, { "setup", "build", "release", "run" }, {})
  local result = { setup = setup(manifest.setup, check), build = build(manifest.build, check), run = run(manifest.run, check),
                   release = release(manifest.release, check) }
  check_images(result, check)
  return result, check.warnings
end

return M
