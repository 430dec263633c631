--- app.json: devcenter.heroku.com/articles/app-json-schema (of May 2025). What the schema does not know is told and let
--- pass: Heroku does so, and has added members before.
local json = require "json"
local json_places = require "procfile.json_places"
local place = require "procfile.place"
local sorted_keys = require "sorted_keys"

local M = {}

local MEMBERS = { "addons", "buildpacks", "description", "env", "environments", "formation", "image", "keywords", "logo", "name",
                  "repository", "scripts", "stack", "success_url", "website", "$schema" }
local TEXTS = { "description", "image", "logo", "name", "repository", "stack", "success_url", "website", "$schema" }
local SCRIPTS = { postdeploy = true, ["pr-predestroy"] = true }
local TEST_SCRIPTS = { test = true, ["test-setup"] = true }      -- devcenter.heroku.com/articles/heroku-ci: in environments.test

--- Tells of members that the schema does not have.
local function unknown(map, names, path, check)
  local known = {}
  for _, name in ipairs(names) do known[name] = true end
  for _, name in ipairs(sorted_keys(map)) do
    if not known[name] then check.warn(place.at(path, name), "is unknown, and ignored; there are %s", table.concat(names, ", ")) end
  end
end

local function addons(list, path, check)
  local kept = json.array {}
  for i, addon in ipairs(check.is(list, "list", path) or {}) do
    kept[i] = check.addon(addon, place.at(path, i))
    unknown(kept[i], { "plan", "as", "options" }, place.at(path, i), check)
  end
  return kept
end

local function buildpacks(list, path, check)
  for i, pack in ipairs(check.is(list, "list", path) or {}) do
    local at = place.at(path, i)
    if type(pack) == "string" then check.fail(at, 'must be { "url": %q }', pack) end
    check.is(pack, "map", at)
    if pack.url == nil then check.fail(at, "needs a url") end
    check.is(pack.url, "text", place.at(at, "url"))
    if pack.url == "" then check.fail(place.at(at, "url"), "is empty") end
    unknown(pack, { "url" }, at, check)
  end
  return list
end

local function env(map, path, check)
  local kept = {}
  map = check.is(map, "map", path) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local value, at = map[name], place.at(path, name)
    if type(value) == "string" then value = { value = value } end
    if type(value) ~= "table" then check.fail(at, "must be a text or a map") end
    check.is(value, "map", at)
    check.is(value.value, "text", place.at(at, "value"))
    check.is(value.description, "text", place.at(at, "description"))
    check.is(value.required, "boolean", place.at(at, "required"))
    if value.generator ~= nil and value.generator ~= "secret" then check.fail(place.at(at, "generator"), "can only be secret") end
    if value.generator and value.value then check.warn(at, "has a value and a generator") end
    unknown(value, { "description", "generator", "required", "value" }, at, check)
    if not name:find "^[%a_][%w_]*$" then check.fail(at, "is no name of a variable: letters, digits and _ only") end
    kept[name] = value
  end
  return kept
end

local function formation(map, path, check)
  map = check.is(map, "map", path) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local process, at = map[name], place.at(path, name)
    if not name:find "^[%w_-]+$" then check.fail(at, "is no process type: letters, digits, - and _ only") end
    check.is(process, "map", at)
    local quantity = process.quantity
    if quantity ~= nil and (math.type(quantity) ~= "integer" or quantity < 0) then
      check.fail(place.at(at, "quantity"), "must be a whole number that is not negative")
    end
    check.is(process.size, "text", place.at(at, "size"))
    unknown(process, { "quantity", "size" }, at, check)
  end
  return map
end

local function scripts(map, path, check, more)
  map = check.is(map, "map", path) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local script, at = map[name], place.at(path, name)
    if type(script) == "table" and not check.is_list(script) then
      if script.command == nil then check.fail(at, "needs a command") end
      check.is(script.command, "text", place.at(at, "command"))
      check.is(script.size, "text", place.at(at, "size"))
      unknown(script, { "command", "size" }, at, check)
    elseif type(script) ~= "string" then
      check.fail(at, "must be a command")
    end
    if not SCRIPTS[name] and not (more and more[name]) then check.warn(at, "is a script that Heroku never runs") end
  end
  return map
end

local function without_nulls(v)
  if type(v) ~= "table" then return v end
  for k, x in pairs(v) do
    if x == json.null then v[k] = nil else without_nulls(x) end
  end
  return v
end

local function urls(manifest, path, check)
  for _, name in ipairs { "website", "logo" } do
    local url = manifest[name]
    if url and not url:find "^%a[%w+.-]*:" then check.warn(place.at(path, name), "is no URL: %q", url) end
  end
  local url = manifest.success_url
  if url and not url:find "^/" and not url:find "^https?://" then
    check.warn(place.at(path, "success_url"), "should be a URL or begin with /: %q", url)
  end
end

local environments

--- Checks a manifest, or the part of one that an environment has of its own.
local function manifest_of(manifest, path, check, name)
  check.is(manifest, "map", path)
  for _, member in ipairs(TEXTS) do check.is(manifest[member], "text", place.at(path, member)) end
  for i, keyword in ipairs(check.is(manifest.keywords, "list", place.at(path, "keywords")) or {}) do
    check.is(keyword, "text", place.at(path, "keywords", i))
  end
  local function part(member, reader, ...)
    if manifest[member] == nil and name then return end       -- an environment replaces only what it names
    manifest[member] = reader(manifest[member], place.at(path, member), check, ...)
  end
  part("addons", addons)
  part("buildpacks", buildpacks)
  part("env", env)
  part("formation", formation)
  part("scripts", scripts, name == "test" and TEST_SCRIPTS or nil)
  if name and manifest.environments ~= nil then check.fail(place.at(path, "environments"), "cannot stand inside of an environment") end
  part("environments", environments)
  unknown(manifest, MEMBERS, path, check)
  urls(manifest, path, check)
  if manifest.name and utf8.len(manifest.name) > 30 then check.warn(place.at(path, "name"), "is longer than 30 characters") end
  if manifest.image then check.warn(place.at(path, "image"), "is deprecated, and ignored") end
  return manifest
end

function environments(map, path, check)
  map = check.is(map, "map", path) or {}
  for _, name in ipairs(sorted_keys(map)) do
    local at = place.at(path, name)
    if name ~= "test" and name ~= "review" then check.fail(at, "is no environment; there are test, review") end
    manifest_of(map[name], at, check, name)
  end
  return map
end

---@param text string
---@param file string
---@return table manifest
---@return ProcfileWarning[] warnings
function M.parse(text, file)
  text = place.text(text, file)
  local manifest, err = json.decode(text)
  if err then place.refuse_syntax(file, err) end
  local check = place.checker(file, json_places(text))
  if type(manifest) ~= "table" or check.is_list(manifest) then place.refuse(file, 1, 1, "it must hold one object") end
  return manifest_of(without_nulls(manifest), {}, check), check.warnings
end

--- The manifest as an environment has it: what the environment names replaces the whole of what the base has there.
---@param manifest table of parse
---@param name string "test", "review"
---@return table manifest
function M.environment(manifest, name)
  local result = {}
  for member, value in pairs(manifest) do result[member] = value end
  for member, value in pairs(manifest.environments[name] or {}) do result[member] = value end
  result.environments = {}
  return result
end

return M
