--- hkrun as it is handed out: a folder that runs on any Linux, and a Debian package.
local fs = require "fs"
local process = require "process"
local test = require "test"

local T = test.cases()

local function run(words)
  words.env, words.timeout = words.env or { PATH = os.getenv "PATH", HOME = "/" }, 120
  local r = process.run(words)
  test.equal(r.code, 0, r.stderr)
  return r.stdout
end

--- In a folder that has nothing but the tarball's content: no library, no shell, no certificate.
local EVERYTHING = [[
local fs, process = require "fs", require "process"
for _, name in ipairs { "pg", "redis", "ssh", "http", "json", "xml", "yaml", "zip", "sign", "term", "serve" } do require("host." .. name) end
assert(#fs.list "/" == 3, "it is a bare folder")
local again = process.run { process.program(), "-e", "return os.getenv 'SSL_CERT_FILE'", env = {} }
print(process.program(), again.stdout:match '[^"%s]+')
print(require "aws".ec2:request("describe_vpcs", {}).url)
]]

T["the tarball's hkrun runs in a folder without any library, and starts itself"] = function()
  local dir = test.tmpdir()
  local root = run { "tools/dist.sh", process.program(), dir .. "/made" }:match "[^\n]+"
  local bare = dir .. "/bare"
  for _, folder in ipairs { "opt", "proc", "dev" } do fs.mkdir_p(fs.join(bare, folder)) end
  local name = root:match "[^/]+$"
  test.equal(os.rename(root, bare .. "/opt/" .. name), true)
  local launcher = ("/opt/%s/bin/hkrun"):format(name)
  local words = { "unshare", "--mount", "--pid", "--fork", "--mount-proc=" .. bare .. "/proc", "sh", "-c",
                  'mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"', bare, launcher, "-e", EVERYTHING,
                  env = { AWS_ACCESS_KEY_ID = "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY = "k", AWS_REGION = "eu-west-1", PATH = os.getenv "PATH" } }
  if fs.uid() ~= 0 then table.insert(words, 2, "--map-root-user") end
  test.equal(run(words), ("%s\t/opt/%s/share/hkrun/ca-certificates.crt\nhttps://ec2.eu-west-1.amazonaws.com/\n"):format(launcher, name))
end

--- Every file and folder below a folder.
local function tree(dir) return run { "find", dir, "!", "-path", "*/var/lib/dpkg*", "-printf", "%P\n" } end

T["the Debian package is installed, runs, and is removed without a trace"] = function()
  local dir = test.tmpdir()
  local deb = run { "tools/deb.sh", process.program(), dir }:match "[^\n]+"
  local root = dir .. "/root"
  fs.mkdir_p(root .. "/var/lib/dpkg/updates")
  fs.mkdir_p(root .. "/var/lib/dpkg/info")
  fs.write(root .. "/var/lib/dpkg/status", "")
  local function dpkg(...)                             -- what it depends on is installed on the machine, not in this folder
    return run { env = { PATH = os.getenv "PATH" .. ":/usr/sbin:/sbin", HOME = "/" },
                 "dpkg", "--root=" .. root, "--force-depends", "--force-not-root", "--log=/dev/null", ... }
  end
  local before = tree(root)
  dpkg("-i", deb)
  test.match(run { root .. "/usr/bin/hkrun", "--version" }, "^hkrun %d+%.%d+%.%d+\n$")
  test.truthy(fs.exists(root .. "/usr/share/hkrun/recipes/heroku_to_aws.lua") and fs.exists(root .. "/usr/share/man/man1/hkrun.1.gz"))
  local elsewhere = test.tmpdir()
  test.match(run { root .. "/usr/bin/hkrun", "recipes/audit.lua", "--help", cwd = elsewhere }, "%-%-app")
  test.match(run { root .. "/usr/bin/hkrun", "types", elsewhere, cwd = elsewhere }, "type files")
  for package in run { "dpkg-deb", "-f", deb, "Depends" }:gmatch "([%w.+-]+)[^,]*" do
    test.equal(run { "dpkg-query", "-f", "${db:Status-Status}", "-W", package }, "installed", package)
  end
  dpkg("-P", "hkrun")
  test.equal(tree(root), before)
end

return T
