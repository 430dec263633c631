--- hkrun sandbox: the rehearsal cloud, left running for other clients until
--- Ctrl-C.
---
---     umask 077; hkrun sandbox > sandbox.env &   # when it says that it runs: . ./sandbox.env
---     hkrun sandbox --ready-file env.json &   # the same as JSON (mode 0600), written when it is up
---
--- It prints credentials, which nothing else in hkrun does: they are made for
--- this one sandbox, open only what listens on this machine's loopback, and end
--- with it. Without them no other client could talk to it. Secrets go from
--- secret values to standard output or the file; they never become Lua strings.
local cloud = require "rehearsal.cloud"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local log = require "log"
local options = require "options"
local process = require "process"
local quoted = require "process.quoted"
local secret = require "secret"
local task = require "task"
local text = require "text"
local yaml = require "yaml"

local HELP = {
  "usage: hkrun sandbox [options]   runs the rehearsal cloud until Ctrl-C",
  "  --dir DIR          keep its data there (else a temporary folder, removed at the end)",
  "  --app DIR          the app that runs on its Heroku, with a rehearsal.yml (examples/shop)",
  "  --no-heroku        only the AWS side",
  "  --heroku-may-replicate   its PostgreSQL streams changes to the app's role, which Heroku's never does",
  "  --scale N          simulated seconds in a real one (120)",
  "  --port N           the API's port (a free one)",
  "  --faults LIST      what goes wrong, as shares of the calls: throttle=0.05,error=0.01,seed=7",
  "  --policy FILE      its clients may do what this IAM policy allows, and no more; a folder: what all in it allow",
  "  --orders N         ORDERS of the app's seed command",
  "  --jobs N           JOBS of the app's seed_jobs command",
  "  --ready-file FILE  write the variables as JSON into FILE when it is up, instead of printing them",
}

local takes = { dir = "string", app = "string", scale = "number", port = "integer", orders = "integer", jobs = "integer",
  ["ready-file"] = "string", faults = "faults", policy = "string" }
local faults = { seed = true, throttle = true, error = true, drop = true, lost = true, latency = true, stale = true }

--- "throttle=0.05,seed=7" -> { throttle = 0.05, seed = 7 }
local function faults_of(value)
  local plan, names = {}, {}
  for name in pairs(faults) do names[#names + 1] = name end
  for part in value:gmatch "[^,]+" do
    local name, share = part:match "^%s*([%a]+)%s*=%s*([%d.]+)%s*$"
    if not name or not tonumber(share) then errors.usage("--faults takes NAME=SHARE,..., not %s", part) end
    if not faults[name] then errors.usage("--faults knows no %s%s", name, options.suggestion(name, names)) end
    local is_share = name ~= "seed" and name ~= "latency" and name ~= "stale"
    if is_share and tonumber(share) > 1 then errors.usage("--faults: the share %s is more than 1", part) end
    plan[name] = name == "seed" and math.tointeger(tonumber(share)) or tonumber(share)
  end
  return plan
end

local function value_of(name, value)
  if not value then errors.usage("--%s needs a value", name) end
  if takes[name] == "string" then return value end
  if takes[name] == "faults" then return faults_of(value) end
  local n = tonumber(value)
  if takes[name] == "integer" then n = math.tointeger(n) end
  if not n or n < 0 or takes[name] == "number" and n == 0 then errors.usage("--%s needs a number, not %s", name, value) end
  return n
end

local function arguments(args)
  local o, i = {}, 1
  while i <= #args do
    local name, value = args[i]:match "^%-%-([%w-]+)=(.*)$"
    name = name or args[i]:match "^%-%-([%w-]+)$"
    if name == "help" or args[i] == "-h" then o.help = true
    elseif name == "no-heroku" and not value then o.no_heroku = true
    elseif name == "heroku-may-replicate" and not value then o.may_replicate = true
    elseif name and takes[name] then
      if not value then
        i = i + 1
        value = args[i]
      end
      o[name] = value_of(name, value)
    else
      local names = { "no-heroku", "heroku-may-replicate" }
      for known in pairs(takes) do names[#names + 1] = known end
      errors.usage("hkrun sandbox has no option %s%s", args[i], options.suggestion(args[i]:gsub("^%-+", ""), names))
    end
    i = i + 1
  end
  return o
end

--- The sample app: beside the place where hkrun is, or below the current folder.
local function sample_app()
  local own = process.program():match "^(.*)/[^/]+$"
  for _, base in ipairs { ".", own, own .. "/..", own .. "/../..", own .. "/../share/hkrun" } do
    local dir = fs.join(base, "examples/shop")
    if fs.exists(fs.join(dir, "rehearsal.yml")) then return fs.realpath(dir) end
  end
  errors.usage "the sample app examples/shop is not here: give --app DIR, or --no-heroku"
end

local function manifest_of(dir)
  local path = fs.join(dir, "rehearsal.yml")
  if not fs.exists(path) then errors.usage("%s has no rehearsal.yml", dir) end
  local manifest, err = yaml.decode(fs.read(path))
  if type(manifest) ~= "table" then errors.usage("%s: %s", path, err and err.message or "not a map") end
  return manifest
end

--- What `hkrun rehearse` asks for beside the clients' variables.
local function rehearsal_env(running, env)
  local net, heroku = running.net, running.heroku
  env.HKRUN_REHEARSAL_ISOLATED = net.isolated and "yes" or net.reason
  if not heroku then return env end
  env.HKRUN_REHEARSAL_DNS = running:service "route53"._address(running)
  env.HKRUN_REHEARSAL_APP_URL = heroku.app.router.url
  env.HKRUN_REHEARSAL_APP_DIR = heroku.app.build.dir
  local vars = heroku.app:config()
  env.HKRUN_REHEARSAL_OLD_DATABASE_URL, env.HKRUN_REHEARSAL_OLD_REDIS_URL = vars.DATABASE_URL, vars.REDIS_URL
  return env
end

local NOT_PRINTED = { PATH = true, LANG = true, TERM = true }   -- the user's own shell has these

--- A value as a shell reads it. Secrets here have no quotes.
local function shown(value) return secret.is(value) and text("'%s'", value) or quoted(value) end

local function exports(env)
  local names, lines = {}, {}
  for name in pairs(env) do if not NOT_PRINTED[name] then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do lines[#lines + 1] = text("export %s=%s\n", name, shown(env[name])) end
  return secret.concat(lines)
end

--- The policies of a file or a folder of files; nil where none is asked for.
local function policies_of(path)
  if not path then return nil end
  local files, list = { path }, {}
  if fs.exists(path) and fs.stat(path).type == "dir" then
    files = {}
    for _, name in ipairs(fs.list(path)) do
      if name:find "%.json$" then files[#files + 1] = fs.join(path, name) end
    end
  end
  for i, file in ipairs(files) do
    if not fs.exists(file) then errors.usage("--policy: there is no file %s", file) end
    local document, err = json.decode(fs.read(file))
    if type(document) ~= "table" or type(document.Statement) ~= "table" then
      errors.usage("--policy: %s is no IAM policy%s", file, err and ": " .. err.message or "")
    end
    list[i] = document
  end
  return list
end

local function run(o, dir)
  local policies = policies_of(o.policy)
  local app = not o.no_heroku and (o.app or sample_app())
  local manifest = app and manifest_of(app)
  local running <close> = cloud.start { dir = dir, scale = o.scale, port = o.port, faults = o.faults }
  running.policies = policies
  if app then
    require "rehearsal.heroku".start(running, { app_dir = app, manifest = manifest, orders = o.orders, jobs = o.jobs,
      may_replicate = o.may_replicate })
    running:service "route53"._own(running, running.heroku.app)
  end
  local env = running:env()
  if o["ready-file"] then
    fs.write(o["ready-file"], json.encode(rehearsal_env(running, env)), 384)
  else
    fs.print(exports(env))
  end
  log.info("the sandbox runs at %s; Ctrl-C ends it", running.url)
  while true do task.sleep(3600) end
end

return {
  help = "keeps the rehearsal cloud running for other clients",
  main = function(args)
    local o = arguments(args)
    if o.help then
      for _, line in ipairs(HELP) do log.out("%s", line) end
      return 0
    end
    local own = not o.dir and fs.tmpdir "hkrun-sandbox-"
    local ok, e = pcall(run, o, o.dir or own)
    if own then task.shield(fs.rmtree, own) end
    if ok or errors.is(e, "cancelled") then return 0 end
    error(e, 0)
  end,
}
