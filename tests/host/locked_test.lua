--- Where secrets lie in memory, and what cores and /proc show of hkrun and of its children.
local fs = require "fs"
local process = require "process"
local secret = require "secret"
local test = require "test"
local T = test.cases()

--- Kilobytes of writable memory that no core has; the kernel's own of that kind are not writable.
local function guarded()
  local kilobytes, size = 0, 0
  for line in fs.read "/proc/self/smaps":gmatch "[^\n]+" do
    size = tonumber(line:match "^Size: *(%d+) kB") or size
    local flags = line:match "^VmFlags:(.*)"
    if flags and flags:find " wr" and flags:find " dd" then kilobytes = kilobytes + size end
  end
  return kilobytes
end

T["a secret lies in memory that no core has"] = function()
  local before = guarded()
  do
    local big <close> = secret.random(1 << 20)
    test.truthy(guarded() >= before + 1024, "a megabyte more")
    test.equal(secret.size(big), 1 << 20)
  end
  test.truthy(guarded() < before + 1024, "and given back")
end

T["no memory of hkrun or of its children goes into a core"] = function()
  test.equal(fs.read "/proc/self/coredump_filter", "00000000\n")
  test.match(fs.read "/proc/self/limits", "Max core file size +0 +0 ")
  local r = process.run { "cat", "/proc/self/coredump_filter", "/proc/self/limits" }
  test.match(r.stdout, "^00000000\n.*Max core file size +0 +0 ")
end

T["the environment is hkrun's own, and not where /proc shows it"] = function()
  local r = process.run { fs.realpath "/proc/self/exe", "-e", [[
    local shown, block = pcall(require "fs".read, "/proc/self/environ")      -- an ordinary user is refused
    print(shown and block:find "hush" or "nothing", os.getenv "TOKEN", os.getenv "EMPTY" == "", os.getenv "OTHER")
    local process = require "process"
    print(process.run { "printenv", "TOKEN", "EMPTY", env = process.environment() }.stdout)
  ]], env = { TOKEN = "hush-4711", EMPTY = "", HKRUN_LIB = os.getenv "HKRUN_LIB" } }
  test.equal(r.stdout, "nothing\thush-4711\ttrue\tnil\nhush-4711\n\n\n", r.stderr)
end

T["a credential_process has the environment also as an ordinary user, who may not read /proc/self/environ"] = function()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  test.equal(process.run { "cp", fs.realpath "/proc/self/exe", dir .. "/hkrun" }.code, 0)
  fs.write(dir .. "/config", "[default]\ncredential_process = printf '{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"k\"}' $OWN\n", 420)
  local r = process.run { dir .. "/hkrun", "-e", "print(require 'aws.credentials'.get {}.access_key_id)", cwd = dir,
    user = fs.uid() == 0 and "nobody" or nil, env = { HOME = dir, AWS_CONFIG_FILE = dir .. "/config", OWN = "FROM-THE-ENVIRONMENT" } }
  test.equal(r.stdout, "FROM-THE-ENVIRONMENT\n", r.stderr)
end

return T
