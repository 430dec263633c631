--- app.json: devcenter.heroku.com/articles/app-json-schema. Members that Heroku adds later are let pass.
local json = require "json"
local place = require "procfile.place"

local M = {}

local texts = { "name", "description", "website", "repository", "logo", "success_url", "image", "stack" }

local function addons(list, check)
  local kept = {}
  for i, addon in ipairs(check.is(list, "list", { "addons" }) or {}) do
    if type(addon) == "string" then addon = { plan = addon } end
    local at = { "addons", i }
    check.is(addon, "map", at)
    if type(addon.plan) ~= "string" or addon.plan == "" then check.fail(at, "needs a plan, such as heroku-postgresql:essential-0") end
    check.is(addon.as, "string", place.at(at, "as"))
    kept[i] = addon
  end
  return kept
end

local function formation(map, check)
  local kept = {}
  for name, process in pairs(check.is(map, "map", { "formation" }) or {}) do
    local at = { "formation", name }
    check.is(process, "map", at)
    local quantity = process.quantity
    if quantity ~= nil and (math.type(quantity) ~= "integer" or quantity < 0) then
      check.fail(place.at(at, "quantity"), "must be a whole number that is not negative")
    end
    check.is(process.size, "string", place.at(at, "size"))
    kept[name] = process
  end
  return kept
end

local function env(map, check)
  local kept = {}
  for name, value in pairs(check.is(map, "map", { "env" }) or {}) do
    if type(value) == "string" then value = { value = value } end
    local at = { "env", name }
    check.is(value, "map", at)
    check.is(value.value, "string", place.at(at, "value"))
    check.is(value.required, "boolean", place.at(at, "required"))
    if value.generator ~= nil and value.generator ~= "secret" then check.fail(place.at(at, "generator"), "can only be secret") end
    kept[name] = value
  end
  return kept
end

local function without_nulls(v)
  if type(v) ~= "table" then return v end
  for k, x in pairs(v) do
    if x == json.null then v[k] = nil else without_nulls(x) end
  end
  return v
end

---@param text string
---@param file string
---@return table manifest
function M.parse(text, file)
  text = place.text(text, file)
  local manifest, err = json.decode(text)
  if err then place.refuse_syntax(file, err) end
  local check = place.checker(file, text, '"%s"%%s*:')
  if type(manifest) ~= "table" or #manifest > 0 then place.refuse(file, 1, 1, "it must hold one object") end
  without_nulls(manifest)
  for _, name in ipairs(texts) do check.is(manifest[name], "string", { name }) end
  manifest.addons = addons(manifest.addons, check)
  manifest.formation = formation(manifest.formation, check)
  manifest.env = env(manifest.env, check)
  local scripts = check.is(manifest.scripts, "map", { "scripts" }) or {}
  for name, script in pairs(scripts) do
    if type(script) == "table" then script = script.command end
    if type(script) ~= "string" then check.fail({ "scripts", name }, "must be a command") end
  end
  for i, pack in ipairs(check.is(manifest.buildpacks, "list", { "buildpacks" }) or {}) do
    if type(pack) ~= "table" or type(pack.url) ~= "string" then check.fail({ "buildpacks", i }, "needs a url") end
  end
  return manifest
end

return M
