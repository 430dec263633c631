--- Libraries that are loaded when they are first needed.
local fs = require "fs"
local process = require "process"
local test = require "test"

local T = test.cases()

local SELF = fs.realpath "/proc/self/exe"
local BINDINGS = "fs process http serve secret json pg pgcopy journal term sign ssh xml redis rediscopy yaml zip"

local function run(code)
  local r = process.run { SELF, "-e", code, timeout = 60,
    env = { PATH = os.getenv "PATH", HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB"),
            ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
  test.equal({ r.code, r.stderr }, { 0, "" }, code)
  return r.stdout
end

T["a line of Lua loads none of the big libraries"] = function()
  local maps = run [[for l in io.lines "/proc/self/maps" do print(l) end]]
  test.match(maps, "libuv")
  for _, name in ipairs { "libcurl", "libcrypto", "libpq", "libssh", "libarchive", "libmicrohttpd", "libgnutls", "libldap", "libxml2" } do
    test.truthy(not maps:find(name, 1, true), name .. " is not loaded")
  end
end

T["a request over HTTP or TLS loads no library of another protocol"] = function()
  local maps = run [[
    pcall(http.get, "http://127.0.0.1:1/")
    pcall(http.get, "https://127.0.0.1:1/")
    for l in io.lines "/proc/self/maps" do print(l) end]]
  test.match(maps, "libnghttp2")
  for _, name in ipairs { "libcurl", "libgnutls", "libldap", "libkrb5", "librtmp", "libssh2" } do
    test.truthy(not maps:find(name, 1, true), name .. " is not loaded")
  end
end

T["each binding loads what it calls, alone in a process"] = function()
  for name in BINDINGS:gmatch "%S+" do run(("require 'host.%s'"):format(name)) end
  run [[assert(require "json".encode { 1 } == "[1]")]]
  run [[assert(require "yaml".decode "a: 1".a == 1)]]
  run [[assert(require "xml".decode "<a/>".name == "a")]]
  run [[require "zip".pack({ a = "1" }, { format = "zip" })]]
  run [[local ok, e = pcall(require "redis".open, "rediss://127.0.0.1:1") assert(not ok and tostring(e):find "127.0.0.1")]]
  run [[local ok, e = pcall(require "pg".open, "postgres://127.0.0.1:1/x") assert(not ok and tostring(e):find "127.0.0.1")]]
  run [[local ok, e = pcall(require "http".get, "http://127.0.0.1:1/") assert(not ok and tostring(e):find "127.0.0.1")]]
end

return T
