--- Reads a source bundle: which processes it wants to run, with what. A
--- docker-compose.yml goes before a Dockerfile, that before a Procfile.
--- https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/docker-configuration.html
local dockerfile = require "rehearsal.services.elasticbeanstalk.dockerfile"
local fs = require "fs"
local images = require "rehearsal.services.elasticbeanstalk.images"
local json = require "json"
local secret = require "secret"
local sorted_keys = require "sorted_keys"
local yaml = require "yaml"
local zip = require "zip"

local M = {}

local broken = images.broken

--- Whether a file can be a source bundle at all.
---@param path? string nil: the sample application
---@return boolean ok, string? why
function M.check(path)
  if not path then return true end
  local ok, entries = pcall(zip.list, path)
  if not ok then return false, "it is no zip archive" end
  for _, entry in ipairs(entries) do
    local name = entry.path:gsub("^%./", "")
    if name == "docker-compose.yml" or name == "Dockerfile" or name == "Procfile" or name == "Dockerrun.aws.json" then return true end
  end
  return false, "it has no docker-compose.yml, Dockerfile or Procfile at its top"
end

-- Variables ----------------------------------------------------------------

--- NAME=value lines of an env_file.
local function read_env_file(path)
  local env = {}
  for line in (fs.read(path) .. "\n"):gmatch "([^\n]*)\r?\n" do
    local name, value = line:match "^%s*([%w_%.]+)%s*=%s*(.-)%s*$"
    if name then env[name] = value:match '^"(.*)"$' or value:match "^'(.*)'$" or value end
  end
  return env
end

--- Compose's ${NAME}, ${NAME:-default}, ${NAME-default}, ${NAME:?error} and $$.
---@return string|Secret
local function interpolate(s, vars)
  local parts, at = {}, 1
  while true do
    local from = s:find("$", at, true)
    parts[#parts + 1] = s:sub(at, (from or 0) - 1)
    if not from then break end
    local name, rest, last = s:match("^%${([%w_]+)([^}]*)}()", from)
    if not name then name, last = s:match("^%$([%a_][%w_]*)()", from) end
    if s:sub(from + 1, from + 1) == "$" then
      parts[#parts + 1], at = "$", from + 2
    elseif name then
      local value = vars[name]
      local operator, default = (rest or ""):match "^(:?[-?])(.*)$"
      if operator and (value == nil or (value == "" and operator:sub(1, 1) == ":")) then
        if operator:sub(-1) == "?" then broken("required variable %s is missing a value: %s", name, default) end
        value = default
      end
      parts[#parts + 1], at = value or "", last
    else
      broken("invalid interpolation format: %s", s)
    end
  end
  return secret.concat(parts)
end

local function interpolate_all(v, vars)
  if type(v) == "string" then return interpolate(v, vars) end
  if type(v) ~= "table" then return v end
  local result = {}
  for key, value in pairs(v) do result[key] = interpolate_all(value, vars) end
  return result
end

-- docker-compose.yml -------------------------------------------------------

local function words(v, name)
  if v == nil or v == yaml.null then return nil end
  if secret.is(v) then broken("the command of the service %s holds a secret", name) end
  if type(v) == "string" then return dockerfile.words(v) end
  local list = {}
  for i, word in ipairs(v) do list[i] = secret.is(word) and broken("the command of the service %s holds a secret", name) or tostring(word) end
  return list
end

--- { { outside, inside } }
local function ports_of(list, name)
  local ports = {}
  for _, entry in ipairs(list or {}) do
    local outside, to
    if type(entry) == "table" then outside, to = entry.published, entry.target
    else
      local text = tostring(entry):gsub("/%a+$", "")
      outside, to = text:match "(%d+):(%d+)$"
      to = to or text:match "^%d+$"
    end
    to = tonumber(to) or broken("the service %s has a port that cannot be read: %s", name, tostring(entry))
    ports[#ports + 1] = { outside = math.tointeger(tonumber(outside)), inside = math.tointeger(to) }
  end
  return ports
end

local function service_env(o, spec)
  local env, files = {}, spec.env_file
  if type(files) == "string" then files = { files } end
  for _, file in ipairs(files or {}) do
    local path, required = file, true
    if type(file) == "table" then path, required = file.path, file.required ~= false end
    path = path:gsub("^%./", "")
    local vars
    if path == ".env" then vars = o.dot_env
    elseif fs.exists(fs.join(o.dir, path)) then vars = read_env_file(fs.join(o.dir, path))
    elseif required then broken("env file %s not found", path) end
    for key, value in pairs(vars or {}) do env[key] = value end
  end
  for key, value in pairs(spec.environment or {}) do
    if type(key) == "number" then
      if secret.is(value) then broken "a list under environment holds a secret: use a map, or env_file" end
      local name, v = value:match "^([^=]+)=(.*)$"
      env[name or value] = v or o.dot_env[value]
    elseif value == yaml.null then env[key] = o.dot_env[key]
    else env[key] = secret.is(value) and value or tostring(value) end
  end
  return env
end

local function compose_services(o)
  local document, err = yaml.decode(fs.read(fs.join(o.dir, "docker-compose.yml")))
  if type(document) ~= "table" or type(document.services) ~= "table" then broken("docker-compose.yml: %s", err and err.message
    or "there are no services") end
  return document.services
end

--- The process of one service, with its own command or another.
local function process_of(o, name, spec, command, count)
  local image
  if spec.build then
    local build = type(spec.build) == "table" and spec.build or { context = spec.build }
    local below = tostring(build.context or "."):gsub("^%.?/?", ""):gsub("/$", "")
    image = images.of(o, below == "" and o.dir or fs.join(o.dir, below), build.dockerfile or "Dockerfile")
  else
    image = images.pulled(o, type(spec.image) == "string" and spec.image or broken("the service %s has neither build nor image", name))
  end
  return images.container(o, image, name, { entrypoint = words(spec.entrypoint, name), command = command or words(spec.command, name),
    env = service_env(o, spec), ports = command and {} or ports_of(spec.ports, name), count = count, workdir = spec.working_dir })
end

local function compose(o)
  local all, services = compose_services(o), {}
  for _, name in ipairs(sorted_keys(all)) do
    local spec = interpolate_all(all[name], o.dot_env)
    local count = spec.deploy and spec.deploy.replicas or spec.scale or 1
    if secret.is(count) then broken("the number of replicas of %s is a secret", name) end
    count = math.tointeger(tonumber(count)) or broken("the number of replicas of %s is no integer: %s", name, tostring(count))
    if not spec.profiles and count > 0 then
      services[#services + 1] = process_of(o, name, spec, nil, count)
      for _, key in ipairs { "volumes", "networks", "secrets", "configs" } do
        if spec[key] then o.note("the rehearsal runs no containers: `%s` of the service %s was left out", key, name) end
      end
    end
  end
  if #services == 0 then broken "docker-compose.yml starts no service" end
  return services
end

--- What `docker compose run SERVICE COMMAND...` runs in an unpacked bundle that was read; nil where there is no such service.
---@param o table of read
---@param name string
---@param command string[]?
function M.one(o, name, command)
  local spec = compose_services(o)[name]
  return spec and process_of(o, name, interpolate_all(spec, o.dot_env), command, 1)
end

-- The rest -----------------------------------------------------------------

local function single(o)
  local image = images.of(o, o.dir, "Dockerfile")
  local env = {}
  for key, value in pairs(o.env) do env[key] = value end
  local port = image.ports[1] or broken "the Dockerfile exposes no port: EXPOSE is missing"
  return { images.container(o, image, "web", { env = env, ports = { { outside = 80, inside = port } } }) }
end

--- A platform of Node.js installs what package.json names, if the bundle does not bring it.
local function install(o)
  local path = fs.join(o.dir, "package.json")
  local package = fs.exists(path) and json.decode(fs.read(path))
  if type(package) ~= "table" or not next(package.dependencies or {}) or fs.exists(fs.join(o.dir, "node_modules")) then return end
  images.install(o, o.dir, "npm install --omit=dev")
end

local function procfile(o)
  local services = {}
  for line in (fs.read(fs.join(o.dir, "Procfile")) .. "\n"):gmatch "([^\n]*)\r?\n" do
    local name, command = line:match "^([%w_%-]+)%s*:%s*(.-)%s*$"
    if name then
      local env = { PATH = o.path, HOME = o.dir }
      for key, value in pairs(o.env) do env[key] = value end
      if name == "web" then env.PORT = env.PORT or "8080" end
      services[#services + 1] = { name = name, argv = { "/bin/sh", "-c", command }, env = env, cwd = o.dir, count = 1,
                                  ports = name == "web" and { { outside = 80, inside = 8080 } } or {} }
    end
  end
  if #services == 0 then broken "the Procfile names no process" end
  return services
end

--- Reads an unpacked bundle. Raises kind "invalid" for what Docker would refuse.
---@param o { dir: string, root: string, env: table, path: string, has_roots: boolean, note: fun(fmt: string, ...), is_node: boolean?,
--- pull: (fun(reference: string, root: string): table?)? } root: a folder for the images; env: the environment properties,
--- secrets among them; has_roots: each process can have its image as root; note: hears what the rehearsal does otherwise;
--- is_node: the platform is one of Node.js, without containers; pull: lays out an image of the account's registry
---@return { name: string, argv: string[], env: table, cwd: string, root: string?, ports: table[], count: integer }[]
function M.read(o)
  o.images = {}
  local has = function(name) return fs.exists(fs.join(o.dir, name)) end
  if o.is_node then
    if not has "Procfile" then broken "there is no Procfile in it" end
    install(o)
    return procfile(o)
  end
  o.dot_env = has ".env" and read_env_file(fs.join(o.dir, ".env")) or o.env
  if has "docker-compose.yml" then return compose(o) end
  if has "Dockerfile" then return single(o) end
  if has "Procfile" then return procfile(o) end
  if has "Dockerrun.aws.json" then broken "there is no container engine in the rehearsal: Dockerrun.aws.json names an image" end
  broken "there is no docker-compose.yml, Dockerfile or Procfile in it"
end

return M
