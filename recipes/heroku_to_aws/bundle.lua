--- What Elastic Beanstalk runs: a zip with docker-compose.yml, a Dockerfile and the app. Out of the app's slug, or of a
--- folder with its source. What the folder brings itself stays as it is.
local dockerfile = require "heroku_to_aws.dockerfile"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local release = require "heroku_to_aws.release"
local sign = require "sign"
local surroundings = require "heroku_to_aws.surroundings"
local yaml = require "yaml"
local zip = require "zip"

local M = {}

local PORT = dockerfile.PORT      -- the app is told it; port 80 of the machine leads there

--- Starts a process as a dyno does, in the app's folder: first what buildpacks left in .profile.d, then the app's own
--- .profile.
local START = [[
#!/bin/bash
for file in .profile.d/*.sh; do [ -r "$file" ] && . "./$file"; done
[ -r .profile ] && . ./.profile
exec "$@"
]]

--- The image of a slug: the stack that it was built for, and the slug in /app.
--- Stack images: github.com/heroku/base-images, June 2026.
---@param stack string "heroku-24"
function M.slug_dockerfile(stack)
  local number = stack:match "^heroku%-(%d+)$"
  if not number then errors.usage("a slug of the stack %s cannot be run elsewhere: give the source folder with --source", stack) end
  return table.concat({
    "FROM heroku/heroku:" .. number,
    "USER root",
    "COPY --chown=1000:1000 app/ /app/",
    "COPY start /start",
    "USER 1000:1000",
    "ENV HOME=/app",
    "WORKDIR /app",
    'ENTRYPOINT ["/start"]', "",
  }, "\n")
end

--- docker-compose.yml: one service for each process type. Beanstalk writes .env beside it. A `$` is doubled: the shell
--- in the container shall see it, not Compose.
---@param processes { type: string, command: string, replicas: integer }[]
---@param shell? string
---@return string yaml
function M.compose(processes, shell)
  local services = {}
  for _, p in ipairs(processes) do
    if not p.command or p.command == "" then errors.usage("the process %s has no command", p.type) end
    local service = {
      { "build", "." },
      { "command", { shell or "/bin/bash", "-c", (p.command:gsub("%$", "$$")) } },
      { "env_file", { ".env" } },
      { "environment", p.type == "web" and { PORT = tostring(PORT) } or { PROCESS_TYPE = p.type } },
      { "restart", "unless-stopped" }, { "init", true }, { "stop_grace_period", "30s" },
    }
    if p.type == "web" then service[#service + 1] = { "ports", { "80:" .. PORT } }
    elseif p.replicas > 1 then service[#service + 1] = { "deploy", { replicas = p.replicas } } end
    services[#services + 1] = { p.type, yaml.map(service) }
  end
  return yaml.encode(yaml.map { { "services", yaml.map(services) } })
end

local IGNORE = { ".git", ".hkrun", "node_modules", ".env", "*.log", "tmp" }

--- The files that are added to the app. An app with a docker-compose.yml of its own decides all of it itself.
local function additions(environment, o)
  local add, shell = {}, "/bin/bash"
  if not o.source then
    add.Dockerfile, add.start = M.slug_dockerfile(o.stack), START
  elseif fs.exists(fs.join(o.source, "docker-compose.yml")) then return add
  else
    shell = "/bin/sh"
    if not fs.exists(fs.join(o.source, "Dockerfile")) then add.Dockerfile = dockerfile.of(o.source, o.buildpacks) end
  end
  add["docker-compose.yml"] = M.compose(environment.processes, shell)
  if environment.release then
    for name, content in pairs(release.files(environment.release, { shell = shell })) do add[name] = content end
  end
  return add
end

--- What the bundle of an environment will be: its version is a digest of everything that goes into it, so that the same
--- app makes the same version, and nothing has to be downloaded to know it.
---@param environment table of mapping.environments
---@param o { source: string?, stack: string, slug: table?, buildpacks: table[]? }
---@return { version: string, files: table<string, string> }
function M.describe(environment, o)
  local files = additions(environment, o)
  local content = o.source and sign.sha256(zip.pack(o.source, { ignore = IGNORE })) or o.slug.checksum or o.slug.id
  local digest = sign.sha256(json.encode { content = content, files = files })
  return { version = ("%s-%s"):format(o.source and "source" or "v" .. o.slug.release, digest:sub(1, 12)), files = files }
end

--- The bytes of a bundle in which nothing of the app runs.
---@return string zip
function M.parked()
  local compose = yaml.encode { services = { parked = { build = ".", command = { "/bin/sh", "-c", "exec sleep 1000000000" }, restart = "always" } } }
  return zip.pack { { path = "Dockerfile", data = "FROM public.ecr.aws/docker/library/busybox:stable\n" },
    { path = "docker-compose.yml", data = compose } }
end

--- Makes the zip.
---@param bundle table of describe
---@param app HerokuApp
---@param o { source: string?, dir: string } dir: where it may work
---@return { path: string, surroundings: table[] } what a slug's code takes for granted of Heroku, as in surroundings.inside
function M.build(bundle, app, o)
  local work = fs.join(o.dir, bundle.version)
  local path = work .. ".zip"
  local is_built = fs.exists(path)
  fs.rmtree(work)
  fs.mkdir_p(work)
  if is_built then
    zip.unpack(path, work, { links = "skip" })
  elseif o.source then
    zip.unpack(zip.pack(o.source, { ignore = IGNORE }), work)
  else
    local slug = app:download_slug(fs.join(o.dir, bundle.version .. ".slug.tar.gz"))
    zip.unpack(slug, work, { links = "skip" })
  end
  for name, content in pairs(is_built and {} or bundle.files) do
    fs.mkdir_p(fs.join(work, name):match "^(.*)/")
    fs.write(fs.join(work, name), content, name == "start" and 493 or 420)
  end
  if not is_built then zip.pack(work, { to = path }) end
  local found = o.source and {} or surroundings.inside(fs.join(work, "app"))
  fs.rmtree(work)
  return { path = path, surroundings = found }
end

return M
