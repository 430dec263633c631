--- The rehearsal as an ordinary user: no network namespaces, everything on loopback, sshd for that user only. As root it
--- runs as the user postgres, from a copy that is theirs; else as oneself. Once as the machine is, and once where
--- programs cannot have namespaces at all (`unshare` is refused, as in many containers), side by side.
local fs = require "fs"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local USER = "postgres"                  -- may log in by ssh, which nobody may not

local function run(words)
  local r = process.run(words)
  if r.code ~= 0 then error(("%s: %s"):format(table.concat(words, " "), r.stderr), 0) end
end

--- hkrun, the recipes and the app in a folder of the user's; npm's packages as far as this machine has them.
local function copy_of_hkrun(dir)
  local words = { "cp", "-a", "--parents", "recipes", "examples/shop", dir }
  run(words)
  run { "cp", fs.realpath "/proc/self/exe", dir .. "/hkrun" }
  local lib = os.getenv "HKRUN_LIB"
  if lib then run { "cp", "-a", fs.realpath(lib), dir .. "/lib" } end
  fs.mkdir_p(dir .. "/home/.cache/hkrun", 448)
  local kept = fs.join(os.getenv "HOME" or "/", ".cache/hkrun/apps")
  if fs.exists(kept) then run { "cp", "-a", kept, dir .. "/home/.cache/hkrun/" } end
  fs.mkdir_p(dir .. "/refused")
  fs.write(dir .. "/refused/unshare", "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n", 493)
  if fs.uid() == 0 then run { "chown", "-R", USER, dir } end
  return lib and dir .. "/lib" or nil
end

--- Whether a process names this folder in its words.
local function left_over(dir)
  local found = {}
  for _, name in ipairs(fs.list "/proc") do
    local ok, words = pcall(fs.read, name:find "^%d+$" and ("/proc/%s/cmdline"):format(name) or "/nothing")
    if ok and words:find(dir, 1, true) then found[#found + 1] = (words:gsub("%z", " ")) end
  end
  return found
end

T["it says that networks are not isolated and why, and ends with the same verdict, with and without namespaces"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local lib = copy_of_hkrun(dir)
  local function rehearse(name, path)
    return process.run { dir .. "/hkrun", "rehearse", dir .. "/recipes/heroku_to_aws.lua", "--orders", "300", "--jobs", "40", "--scale", "600",
      "--dir", ("%s/%s"):format(dir, name), user = USER, cwd = dir, timeout = 240,
      env = { PATH = path, HOME = dir .. "/home", LANG = "C.UTF-8", NO_COLOR = "1", HKRUN_LIB = lib,
              SSL_CERT_FILE = os.getenv "SSL_CERT_FILE", NODE_EXTRA_CA_CERTS = os.getenv "NODE_EXTRA_CA_CERTS" } }
  end
  local path = os.getenv "PATH"
  local both = task.all {
    plain = function() return rehearse("plain", path) end,
    refused = function() return rehearse("without", dir .. "/refused:" .. path) end,
  }
  for name, r in pairs(both) do
    if r.code ~= 0 then error(("%s: exit code %d\n%s\n%s"):format(name, r.code, r.stdout:sub(-2000), r.stderr:sub(-2000)), 0) end
    test.match(r.stdout, "NOT isolated here %(it needs root%)")
    test.match(r.stdout, "ok   plan: changed nothing")
    test.match(r.stdout, "ok   second apply: no changes")
    test.match(r.stdout, "ok   the app's judge: nothing is lost")
    test.match(r.stdout, "ok   destroy: nothing left")
    test.match(r.stdout, "; rehearsed\n")
  end
  test.equal(left_over(dir), {}, "processes that go on")
end

return T
