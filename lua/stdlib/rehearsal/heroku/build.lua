--- What Heroku's build makes of the app folder: a copy with its dependencies
--- installed, and the slug, a gzipped tar of ./app.
local errors = require "errors"
local fs = require "fs"
local log = require "log"
local process = require "process"
local sign = require "sign"

local M = {}

local LEFT_OUT = { node_modules = true, [".git"] = true }
local LOCKS = { "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "Gemfile.lock", "poetry.lock", "requirements.txt", "go.sum" }
local PASSED_ON = { "PATH", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
  "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_cache" }

local function run(op, words)
  local r = process.run(words)
  if r.code ~= 0 then
    errors.raise { kind = "io", op = op, code = r.code, message = ((r.stderr ~= "" and r.stderr or r.stdout):gsub("%s+$", "")) }
  end
  return r.stdout
end

--- Copies what is in a folder into another.
local function copy(from, to, left_out)
  fs.mkdir_p(to)
  local words = { "cp", "-a", "--" }
  for _, name in ipairs(fs.list(from)) do
    if not (left_out and left_out[name]) then words[#words + 1] = fs.join(from, name) end
  end
  if #words == 3 then return end
  words[#words + 1] = to
  run(("copy %s to %s"):format(from, to), words)
end
M.copy = copy

--- The user who runs this installs: their registry, proxy and cache hold, as
--- they would for `npm ci` by hand.
local function install(dir, command)
  local env = { LANG = "C.UTF-8" }
  for _, name in ipairs(PASSED_ON) do env[name] = os.getenv(name) end
  run("install the app's dependencies with `" .. command .. "`", { "sh", "-c", command, cwd = dir, env = env, timeout = 900 })
end

--- The name of what the install command makes, or nil without a lock file.
local function cache_key(dir, command)
  for _, name in ipairs(LOCKS) do
    local path = fs.join(dir, name)
    if fs.exists(path) then
      local node = process.which "node" and run("ask node for its version", { "node", "--version" }) or ""
      return sign.sha256(table.concat({ command, node, name, fs.read(path) }, "\0")):sub(1, 32)
    end
  end
end

local function names_of(dir)
  local set = {}
  for _, name in ipairs(fs.list(dir)) do set[name] = true end
  return set
end

--- Runs the install command, or takes what it made for the same lock file.
local function install_cached(dir, command, cache)
  local key = cache_key(dir, command)
  local kept = key and fs.join(cache, key)
  if kept and fs.exists(kept) then return copy(kept, dir) end
  log.info("  %s (once; then it is kept in %s)", command, cache)
  local before = names_of(dir)
  install(dir, command)
  if not kept then return end
  fs.mkdir_p(cache, 448)
  local part = ("%s.%s.part"):format(kept, sign.hex(sign.random(4)))
  copy(dir, part, before)
  local ok = pcall(fs.rename, part, kept)
  if not ok then fs.rmtree(part) end    -- another run was faster
end

--- "web: node web.js" lines.
---@return table<string, string>
function M.procfile(dir)
  local path, types = fs.join(dir, "Procfile"), {}
  if not fs.exists(path) then return types end
  for line in fs.read(path):gmatch "[^\r\n]+" do
    local name, command = line:match "^%s*([%w_-]+)%s*:%s*(.-)%s*$"
    if name then types[name] = command end
  end
  return types
end

--- The slug, of the app/ in a folder; equal folders give equal bytes.
local function packed(dir)
  local file = fs.join(dir, "slug.tgz")
  run("pack the slug", { "tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu",
    "-I", "gzip -n", "-cf", file .. ".part", "-C", dir, "./app" })
  fs.rename(file .. ".part", file)
  local digest, size = sign.sha256_file(file)
  return { file = file, checksum = "SHA256:" .. digest, size = size }
end

--- The slug of an app that is only on paper: its Procfile.
---@param formation table<string, { command: string? }>
function M.on_paper(dir, formation)
  local types, lines = {}, {}
  for name, given in pairs(formation) do types[name] = given.command or "bin/" .. name end
  for name, command in pairs(types) do lines[#lines + 1] = ("%s: %s\n"):format(name, command) end
  table.sort(lines)
  local build = { process_types = types }
  function build.slug()
    if not build.made then
      fs.mkdir_p(fs.join(dir, "app"))
      fs.write(fs.join(dir, "app", "Procfile"), table.concat(lines))
      build.made = packed(dir)
    end
    return build.made
  end
  return build
end

---@param o { app_dir: string, dir: string, install: string?, cache: string }
---@return table build { dir, process_types, commit, slug() }
function M.make(o)
  local app = fs.join(o.dir, "app")
  copy(o.app_dir, app, LEFT_OUT)
  if o.install then install_cached(app, o.install, o.cache) end
  local build = { dir = app, process_types = M.procfile(app) }
  function build.slug()
    build.made = build.made or packed(o.dir)
    return build.made
  end
  return build
end

return M
