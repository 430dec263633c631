--- The app's image, where a container engine is there to build it: built on this machine, and pushed to Amazon ECR, so that
--- every machine of the app runs the same one and none has to build it.
local aws = require "aws"
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local process = require "process"
local secret = require "secret"
local sign = require "sign"

local M = {}

local BUILD, PUSH = 3600, 3600                               -- seconds

--- The engines, the first that works is taken. `works`: what it answers when it can build.
M.engines = {
  { name = "docker", works = { "version", "--format", "{{.Server.Version}}" } },
  { name = "podman", works = { "info", "--format", "{{.Version.Version}}" } },
  { name = "buildah", works = { "--version" } },
}

--- What an engine may see of this machine's environment.
local PASSED = { "PATH", "HOME", "LANG", "USER", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CERT_PATH",
                 "DOCKER_TLS_VERIFY", "CONTAINER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "BUILDAH_ISOLATION",
                 "SSL_CERT_FILE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy" }

local function environment(more)
  local env = more or {}
  for _, name in ipairs(PASSED) do env[name] = env[name] or os.getenv(name) end
  return env
end

local function run(engine, words, o)
  local all = { engine.name, env = environment(o.env), stdin = o.stdin, timeout = o.timeout }
  table.move(words, 1, #words, 2, all)
  return process.run(all)
end

local function works(engine)
  if not process.which(engine.name) then return false, "is not installed" end
  local ok, r = pcall(run, engine, engine.works, { timeout = 20 })
  if ok and r.code == 0 then return true end
  return false, ok and (r.stderr:match "[^\n]+" or "ended with code " .. r.code) or tostring(r)
end

--- The engine that builds the app's image.
---@param wanted string? its name; "none": the machines of the app build it; nil: the first that is there and works
---@return table? engine
function M.engine(wanted)
  if wanted == "none" then return nil end
  for _, engine in ipairs(M.engines) do
    if not wanted or wanted == engine.name then
      local ok, why = works(engine)
      if ok then return engine end
      if wanted then errors.usage("--engine: %s cannot be used: %s", wanted, why) end
    end
  end
end

local function checked(op, r, hint)
  if r.code == 0 then return r.stdout end
  local said, lines = r.stderr .. (r.stderr == "" and r.stdout or ""), {}
  for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
  errors.raise { kind = "io", op = op, message = ("it ended with code %s:\n    %s\n "):format(r.code,
    table.concat(lines, "\n    ", math.max(1, #lines - 14))), hint = hint }
end

--- The registry's password: for twelve hours, and for nobody's eyes.
local function password()
  local data = aws.ecr:get_authorization_token({}).authorizationData[1]
  local login = secret.parse_url(secret.concat { "https://", sign.unbase64(data.authorizationToken), "@registry" })
  return login.password, data.proxyEndpoint
end

--- Whether the image is in the repository already.
---@return string? digest
function M.digest(repository, tag)
  local ok, answer = pcall(aws.ecr.describe_images, aws.ecr, { repositoryName = repository, imageIds = { { imageTag = tag } } })
  if ok then return answer.imageDetails[1].imageDigest end
  if not (errors.is(answer, "remote") and answer.code == "ImageNotFoundException") then error(answer, 0) end
end

--- Builds the image of a folder with a Dockerfile, and pushes it. Does nothing where it is there: a tag stands for one image.
---@param engine table of M.engine
---@param o { repository: string, reference: string, tag: string, context: fun(): string } reference: the repository's URI with
--- the tag; context: makes the folder when it is needed
---@return string digest
function M.push(engine, o)
  local there = M.digest(o.repository, o.tag)
  if there then return there end
  local dir = o.context()
  log.info("  %s builds the image %s", engine.name, o.reference)
  checked("build the image " .. o.reference, run(engine, { "build", "--platform", "linux/amd64", "--tag", o.reference, dir }, { timeout = BUILD }),
    "mend the Dockerfile, or give --engine none: then the app's machines build it")
  local word, endpoint = password()
  local auth = fs.tmpdir "hkrun-login-"                      -- not the user's own: the password ends with this folder
  local env = { DOCKER_CONFIG = auth, REGISTRY_AUTH_FILE = fs.join(auth, "auth.json") }
  local plain = endpoint:find "^http:" and engine.name ~= "docker" and "--tls-verify=false" or nil     -- Docker knows it of loopback
  local ok, e = pcall(function()
    local host = o.reference:match "^[^/]+"
    checked("log in at " .. host, run(engine, { "login", "--username", "AWS", "--password-stdin", plain or host, plain and host or nil },
      { env = environment(env), stdin = word, timeout = 120 }))
    checked("push the image " .. o.reference, run(engine, { "push", plain or o.reference, plain and o.reference or nil },
      { env = environment(env), timeout = PUSH }))
  end)
  fs.rmtree(auth)
  if not ok then error(e, 0) end
  return M.digest(o.repository, o.tag)
end

return M
