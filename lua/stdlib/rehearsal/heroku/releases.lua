--- Config vars, releases, slugs and builds.
local api = require "rehearsal.heroku.api"
local json = require "json"
local list = require "rehearsal.heroku.pages".list
local sign = require "sign"
local views = require "rehearsal.heroku.views"

local null = json.null
local MOST = 64 * 1024                  -- bytes of all config vars together

local function describe(set, removed)
  table.sort(set)
  table.sort(removed)
  local parts = {}
  if #set > 0 then parts[#parts + 1] = "Set " .. table.concat(set, ", ") end
  if #removed > 0 then parts[#parts + 1] = (#parts > 0 and "remove " or "Remove ") .. table.concat(removed, ", ") end
  return table.concat(parts, " and ") .. " config vars"
end

local function check_var(app, name, value)
  if not name:find "^[%a_][%w_]*$" then api.invalid("Key %s is not a valid config var name.", name) end
  if app:owner_of(name) then api.invalid("Cannot overwrite attachment values %s.", name) end
  if value ~= null and type(value) == "table" then api.invalid("Value of %s must be a string.", name) end
end

local function update_config(a)
  local app, set, removed, size = a.app, {}, {}, 0
  if not a.body then api.fail(400, "bad_request", "Unable to parse the JSON request body.") end
  for name, value in pairs(a.body) do
    check_var(app, tostring(name), value)
    if value ~= null then size = size + #name + #tostring(value) end
  end
  if size > MOST then api.invalid "Config vars are limited to 64kb." end
  for name, value in pairs(a.body) do
    if value == null then
      if app.vars[name] ~= nil then removed[#removed + 1] = name end
      app.vars[name] = nil
    elseif app.vars[name] ~= tostring(value) then
      app.vars[name], set[#set + 1] = tostring(value), name
    end
  end
  if #set + #removed > 0 then app:release_now(describe(set, removed)) end
  return app:config()
end

local function show(a, release) return views.release(a.heroku, a.app, release, a.req) end
local function find(a, identity) return api.find(a.app.releases, identity:gsub("^v(%d+)$", "%1"), "release", { "id", "version" }) end

local function release_list(a)
  local items = {}
  for i, release in ipairs(a.app.releases) do items[i] = show(a, release) end
  return list(items, { "id", "version" })
end

--- POST with `release` goes back to it: its code and config vars, not the add-ons.
local function create(a)
  local o = api.body(a, { { "release", type = "string" }, { "slug", type = "string" }, { "description", type = "string" } })
  local app = a.app
  if o.release then
    local old = find(a, o.release)
    if not old.slug then api.invalid "This release cannot be rolled back to: it has no slug." end
    app.vars = {}
    for name, value in pairs(old.vars) do app.vars[name] = value end
    app.slug = old.slug
    return show(a, app:release_now("Rollback to v" .. old.version)), 201
  end
  if not o.slug then api.invalid "A release needs a slug, or the release to go back to." end
  if not app.slug or o.slug ~= app.slug.id then api.not_found "slug" end
  return show(a, app:release_now(o.description or "Deploy " .. app.slug.commit:sub(1, 8))), 201
end

local function slug(a)
  local found = a.app.slug
  if a.app.generation == "fir" or not found or found.id ~= a.slug then api.not_found "slug" end
  local made = a.app.build.slug()
  local url = a.heroku:publish("slugs/" .. found.id, function()
    return { status = 200, headers = { ["Content-Type"] = "application/gzip" }, file = made.file }
  end)
  return { id = found.id, blob = { method = "GET", url = url }, buildpack_provided_description = a.app:description() or null,
    checksum = made.checksum, commit = found.commit, commit_description = null, process_types = a.app.process_types, size = made.size,
    stack = views.ref(a.app.stack, "stack"), created_at = found.created_at, updated_at = found.created_at }
end

--- What a Fir app's builds make: an image of Cloud Native Buildpacks, asked for by its id or digest.
local function oci_image(a)
  local app, made = a.app, a.app.slug
  local digest = made and "sha256:" .. sign.sha256(made.id)
  if app.generation ~= "fir" or not made or a.image ~= made.id and a.image ~= digest then api.not_found "OCI image" end
  local types = {}
  for name, command in pairs(app.process_types) do
    types[name] = { name = name, display_cmd = command, command = command, working_dir = "/workspace", default = name == "web" }
  end
  return json.array { { id = made.id, base_image_name = "heroku/heroku:24-cnb", base_top_layer = "sha256:" .. sign.sha256 "layer",
    commit = made.commit,
    commit_description = "", image_repo = "oci://example.com/" .. app.id, digest = digest, stack = views.ref(app.stack, "stack"),
    process_types = types, buildpacks = { { id = "heroku/nodejs", version = "3.4.2", homepage = "https://github.com/heroku/buildpacks-nodejs" } },
    architecture = "amd64", created_at = made.created_at, updated_at = made.created_at } }
end

local function builds(a)
  local found, app = {}, a.app
  if app.slug then
    local is_fir = app.generation == "fir"
    local installed = json.array {}
    for i, name in ipairs(app.buildpacks) do installed[i] = { name = name, url = "urn:buildpack:" .. name } end
    found[1] = { id = api.uuid("build", app.slug.id), app = { id = app.id }, buildpacks = installed,
      output_stream_url = "https://build-output.heroku.com/streams/" .. app.slug.id,
      release = { id = app.deployed.id }, slug = not is_fir and { id = app.slug.id } or null, stack = app.stack, status = "succeeded",
      user = views.user(a.heroku), source_blob = { checksum = null, url = "https://example.com/source.tgz", version = app.slug.commit,
        version_description = null },
      created_at = app.slug.created_at, updated_at = app.slug.created_at }
  end
  return list(found, { "id" })
end

return {
  { "GET /apps/{app}/config-vars", function(a) return a.app:config() end },
  { "PATCH /apps/{app}/config-vars", update_config },
  { "GET /apps/{app}/releases", release_list },
  { "POST /apps/{app}/releases", create },
  { "GET /apps/{app}/releases/{release}", function(a) return show(a, find(a, a.release)) end },
  { "GET /apps/{app}/releases/{release}/config-vars", function(a) return find(a, a.release).config end },
  { "GET /apps/{app}/slugs/{slug}", slug },
  { "GET /apps/{app}/builds", builds },
  { "GET /apps/{app}/oci-images/{image}", oci_image },
}
