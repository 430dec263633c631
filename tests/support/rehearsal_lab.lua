--- A rehearsal cloud for tests of whole recipes. `hkrun sandbox` and every `hkrun COMMAND RECIPE` are children of the
--- test, in environments that the test builds: nothing of this machine's AWS_*, HEROKU_*, proxies or HOME reaches them.
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local network = require "rehearsal.planes.network"
local process = require "process"
local task = require "task"
local test = require "test"

local M = {}

---@class RehearsalLab
---@field dir string holds work/ (where hkrun runs), tmp/, cloud/ (the emulated cloud's own)
---@field env table<string, string> what hkrun sees
---@field said table<string, string> what the sandbox said of itself
---@field printed string[] everything that hkrun printed
local Lab = {}
Lab.__index = Lab

local exe = fs.realpath "/proc/self/exe"
M.recipe = fs.realpath "recipes" .. "/heroku_to_aws.lua"

local function lib()
  local dir = os.getenv "HKRUN_LIB"
  return dir and fs.realpath(dir) or nil
end

local function last_line(path)
  return fs.exists(path) and fs.read(path):match "([^\n]+)\n*$" or "it said nothing"
end

local function options_of(said, more)
  local root = fs.uid() == 0
  local env = {
    HKRUN_REGION = said.AWS_REGION, HKRUN_NOTIFICATION_EMAIL = "ops@example.com", NO_COLOR = "1", HKRUN_LIB = lib(),
    HKRUN_ENGINE = "none",                                   -- whatever this machine has
    -- sshd without root knows only its own user, and everybody is on loopback
    HKRUN_BASTION_SSH_FROM = root and network.CLIENT .. "/32" or "127.0.0.1/32",
    HKRUN_BASTION_USER = not root and select(2, fs.uid()) or nil,
  }
  for name, value in pairs(more or {}) do env[name] = value end
  return env
end

--- Starts a cloud with an app on its Heroku. It ends with the file's last case, or `by_hand` with lab:stop().
---@param o { app: string, orders?: integer, jobs?: integer, scale?: number, may_replicate?: boolean,
---  options?: table<string, string>, by_hand?: boolean }
---@return RehearsalLab
function M.start(o)
  local lab = setmetatable({ dir = fs.tmpdir "hkrun-lab-", printed = {} }, Lab)
  if not o.by_hand then test.defer_file(function() lab:stop() end) end
  fs.chmod(lab.dir, tonumber("711", 8))                      -- the servers' users pass through
  fs.mkdir_p(lab.dir .. "/work", 448)
  fs.mkdir_p(lab.dir .. "/tmp", 448)
  local ready, said = lab.dir .. "/ready.json", lab.dir .. "/sandbox.log"
  local words = { exe, "sandbox", "--dir", lab.dir .. "/cloud", "--app", fs.realpath(o.app), "--ready-file", ready,
    "--scale", tostring(o.scale or 600), stdout = said, stderr = said,
    env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8", HKRUN_LIB = lib(),
            SSL_CERT_FILE = os.getenv "SSL_CERT_FILE", NODE_EXTRA_CA_CERTS = os.getenv "NODE_EXTRA_CA_CERTS" } }
  for _, name in ipairs { "orders", "jobs" } do
    if o[name] then
      words[#words + 1] = "--" .. name
      words[#words + 1] = tostring(o[name])
    end
  end
  if o.may_replicate then words[#words + 1] = "--heroku-may-replicate" end
  lab.sandbox = process.start(words)
  local deadline = task.now() + 240
  while not fs.exists(ready) do
    if not lab.sandbox:is_running() or task.now() > deadline then
      local message = last_line(said)
      if o.by_hand then lab:stop() end
      errors.raise { kind = "io", op = "start the sandbox", message = message }
    end
    task.sleep(0.05)
  end
  lab.said = errors.check("read what the sandbox said", json.decode(fs.read(ready)))
  fs.remove(ready)
  lab.env = { TMPDIR = lab.dir .. "/tmp" }
  for name, value in pairs(lab.said) do
    if not name:find "^HKRUN_" then lab.env[name] = value end
  end
  for name, value in pairs(options_of(lab.said, o.options)) do lab.env[name] = value end
  lab.isolated = lab.said.HKRUN_REHEARSAL_ISOLATED == "yes"
  return lab
end

--- Runs hkrun with these words. `env` changes the environment; false removes a variable.
---@param words string[]
---@param o? { env?: table<string, string|false>, cwd?: string, timeout?: number, stdin?: string }
---@return { code: integer, stdout: string, stderr: string }
function Lab:hkrun(words, o)
  o = o or {}
  local env = {}
  for name, value in pairs(self.env) do env[name] = value end
  for name, value in pairs(o.env or {}) do env[name] = value or nil end
  local r = process.run { exe, env = env, cwd = o.cwd or self.dir .. "/work", timeout = o.timeout or 240, stdin = o.stdin or "",
                          table.unpack(words) }
  self.printed[#self.printed + 1] = r.stdout
  self.printed[#self.printed + 1] = r.stderr
  return r
end

--- A page of the cloud's inspector: "calls", "left", "apps".
function Lab:ask(page)
  local answer = http.get(self.env.AWS_ENDPOINT_URL .. "/_hkrun/" .. page,
    { headers = { ["X-Hkrun-Key"] = self.env.AWS_SECRET_ACCESS_KEY }, timeout = 300 })
  if answer.status ~= 200 then error(("the inspector answered %d to %s"):format(answer.status, page), 2) end
  return answer:json()
end

--- The mutating calls so far, as "ec2 CreateVpc".
---@return string[]
function Lab:mutating()
  local list = {}
  for _, call in ipairs(self:ask "calls") do
    if call.mutating then list[#list + 1] = ("%s %s"):format(call.api or "heroku", call.operation or call.path) end
  end
  return list
end

--- Every file below a folder, as path -> "size mtime".
function Lab.files(dir)
  local list = {}
  local function walk(path)
    for _, name in ipairs(fs.list(path)) do
      local child = path .. "/" .. name
      local st = fs.stat(child)
      if st and st.type == "dir" then walk(child) end
      if st then list[child:sub(#dir + 2)] = st.type == "dir" and "dir" or ("%s %s"):format(st.size, st.mtime) end
    end
  end
  walk(dir)
  return list
end

--- Runs a foreign program in the cloud's environment; fails the case when it fails.
function Lab:foreign(words)
  words.env, words.timeout = words.env or self.env, words.timeout or 300
  local r = process.run(words)
  if r.code ~= 0 and not words.may_fail then error(("%s ended with %d: %s%s"):format(words[1], r.code, r.stdout, r.stderr), 2) end
  return r
end

function Lab:stop()
  if self.stopped then return end
  self.stopped = true
  if self.sandbox then self.sandbox:stop(60) end
  fs.rmtree(self.dir)
end

--- A lab that the first case that asks for it starts.
function M.lazy(o)
  local lab
  return function()
    lab = lab or M.start(o)
    return lab
  end
end

return M
