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
---@param image? string what they run, instead of what the bundle's Dockerfile builds
---@return string yaml
function M.compose(processes, shell, image)
  local services = {}
  for _, p in ipairs(processes) do
    if not p.command or p.command == "" then errors.usage("the process %s has no command", p.type) end
    local service = {
      { image and "image" or "build", image or "." },
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

--- The Procfile for a platform that runs no containers: several processes of a type have a line each.
---@param processes { type: string, command: string, replicas: integer }[]
---@return string
function M.procfile(processes)
  local lines = {}
  for _, p in ipairs(processes) do
    for i = 1, p.replicas do lines[#lines + 1] = ("%s%s: %s\n"):format(p.type, p.replicas > 1 and i or "", p.command) end
  end
  return table.concat(lines)
end

local IGNORE = { ".git", ".github", ".hkrun", "node_modules", ".env", "*.log", "tmp" }
M.REFERENCE = "IMAGE_OF_THE_APP"                             -- what stands in the files until the image is there

local function is_own(o) return o.source and fs.exists(fs.join(o.source, "docker-compose.yml")) end

--- Whether an image can be built beforehand: an app with a docker-compose.yml of its own decides all of it itself.
function M.has_image(o) return o.platform ~= "node" and not is_own(o) end

--- The files that make an image of the app.
local function image_files(o)
  if o.repository and not o.source then return {} end
  if not o.source then return { Dockerfile = M.slug_dockerfile(o.stack), start = START } end
  return fs.exists(fs.join(o.source, "Dockerfile")) and {} or { Dockerfile = dockerfile.of(o.source, o.buildpacks) }
end

local function add(files, more)
  for name, content in pairs(more) do files[name] = content end
  return files
end

--- The files that are added to the app; with an image they stand alone.
local function additions(environment, o)
  if o.platform == "node" then
    local files = { Procfile = M.procfile(environment.processes) }
    add(files, release.build_files(o.source))
    return environment.release and add(files, release.files(environment.release, { on_machine = true })) or files
  elseif is_own(o) then return {} end
  local shell, files = (o.source or o.repository) and "/bin/sh" or "/bin/bash", o.image and {} or image_files(o)
  files["docker-compose.yml"] = M.compose(environment.processes, shell, o.image and M.REFERENCE)
  if environment.release then
    add(files, release.files(environment.release, { shell = shell, image = o.image and { reference = M.REFERENCE, region = o.region } }))
  end
  return files
end

local function content_of(o) return o.source and sign.sha256(zip.pack(o.source, { ignore = IGNORE })) or o.slug.checksum or o.slug.id end

local function version_of(o, content, files)
  local digest = sign.sha256(json.encode { content = content, files = files })
  return ("%s-%s"):format(o.source and "source" or "v" .. o.slug.release, digest:sub(1, 12))
end

--- What the image of the app will be: its version is a digest of everything that goes into it.
---@param o { source: string?, stack: string, slug: table?, buildpacks: table[]? }
---@return { version: string, files: table<string, string> }
function M.describe_image(o)
  local files = image_files(o)
  return { version = version_of(o, content_of(o), files), files = files }
end

--- Makes the load balancer lead http to https: Beanstalk has no option for it (AWS samples, "alb-http-to-https-redirection").
local function redirect()
  local config = { Host = "#{host}", Path = "/#{path}", Query = "#{query}", Port = "443", Protocol = "HTTPS", StatusCode = "HTTP_301" }
  return yaml.encode { Resources = { AWSEBV2LoadBalancerListener = { Type = "AWS::ElasticLoadBalancingV2::Listener", Properties = {
    LoadBalancerArn = { Ref = "AWSEBV2LoadBalancer" }, Port = 80, Protocol = "HTTP",
    DefaultActions = { { Type = "redirect", RedirectConfig = config } } } } } }
end

--- The files that a bundle has beside the app's own.
---@param environment table of mapping.environments
---@param o { source: string?, stack: string?, platform: string?, image: any, region: string?, repository: boolean? } image: the app's
--- stands in a registry, and the files say M.REFERENCE for it; repository: who builds has the app's repository
---@return table<string, string> files
function M.additions(environment, o)
  local files = additions(environment, o)
  if environment.https then files[".ebextensions/https-redirect.config"] = redirect() end
  return files
end

--- What the bundle of an environment will be: its version is a digest of everything that goes into it, so that the same
--- app makes the same version, and nothing has to be downloaded to know it.
---@param environment table of mapping.environments
---@param o { source: string?, stack: string, slug: table?, buildpacks: table[]?, platform: string?, image: table?, region: string? }
--- platform: "node" for one that runs no containers; image: of describe_image, if it stands in a registry
---@return { version: string, files: table<string, string>, image: table? }
function M.describe(environment, o)
  local files = M.additions(environment, o)
  return { version = version_of(o, o.image and o.image.version or content_of(o), files), files = files, image = o.image }
end

local IDLE = "exec sleep 1000000000"

--- The bytes of a bundle in which nothing of the app runs.
---@param platform string? "node" for one that runs no containers
---@return string zip
function M.parked(platform)
  if platform == "node" then return zip.pack { { path = "Procfile", data = "web: " .. IDLE .. "\n" } } end
  local compose = yaml.encode { services = { parked = { build = ".", command = { "/bin/sh", "-c", IDLE }, restart = "always" } } }
  return zip.pack { { path = "Dockerfile", data = "FROM public.ecr.aws/docker/library/busybox:stable\n" },
    { path = "docker-compose.yml", data = compose } }
end

--- Fills a folder with the app and with files that are added.
---@param work string
---@param files table<string, string>
---@param app HerokuApp
---@param o { source: string?, dir: string, platform: string? } dir: where a slug may be kept
---@param name string of the slug's file
local function lay_out(work, files, app, o, name)
  fs.rmtree(work)
  fs.mkdir_p(work)
  if o.source then
    zip.unpack(zip.pack(o.source, { ignore = IGNORE }), work)
  elseif app then
    zip.unpack(app:download_slug(fs.join(o.dir, name .. ".slug.tar.gz")), work, { links = "skip" })
    if o.platform == "node" then                             -- the platform installs what the app needs by itself
      fs.rename(fs.join(work, "app"), work .. ".app")
      fs.rmtree(work)
      fs.rename(work .. ".app", work)
      for _, built in ipairs { "node_modules", ".heroku", ".profile.d" } do fs.rmtree(fs.join(work, built)) end
    end
  end
  for file, content in pairs(files) do
    fs.mkdir_p(fs.join(work, file):match "^(.*)/")
    fs.write(fs.join(work, file), content, file == "start" and 493 or 420)
  end
end

--- The folder that a container engine builds the image of.
---@param image table of describe_image
---@param app HerokuApp
---@param o { source: string?, dir: string }
---@return string dir
function M.context(image, app, o)
  local work = fs.join(o.dir, image.version .. ".image")
  lay_out(work, image.files, app, o, image.version)
  return work
end

--- What the code of a slug takes for granted of Heroku, as in surroundings.inside; the audit looks into a source folder itself.
function M.habits(dir, source)
  local inside = fs.join(dir, "app")
  return source and {} or surroundings.inside(fs.exists(fs.join(dir, "start")) and inside or dir)
end

--- Makes the zip.
---@param bundle table of describe
---@param app HerokuApp
---@param o { source: string?, dir: string, platform: string?, reference: string? } dir: where it may work; reference: the image in
--- the registry
---@return { path: string, surroundings: table[] } what a slug's code takes for granted of Heroku, as in surroundings.inside
function M.build(bundle, app, o)
  local work = fs.join(o.dir, bundle.version)
  local path = work .. ".zip"
  if bundle.image then
    local files = {}
    for name, content in pairs(bundle.files) do files[name] = content:gsub(M.REFERENCE, (o.reference:gsub("%%", "%%%%"))) end
    lay_out(work, files, nil, { dir = o.dir }, bundle.version)
    zip.pack(work, { to = path })
    fs.rmtree(work)
    return { path = path, surroundings = {} }
  end
  local is_built = fs.exists(path)
  if is_built then
    fs.rmtree(work)
    zip.unpack(path, work, { links = "skip" })
  else
    lay_out(work, bundle.files, app, o, bundle.version)
    zip.pack(work, { to = path })
  end
  local found = M.habits(work, o.source)
  fs.rmtree(work)
  return { path = path, surroundings = found }
end

return M
