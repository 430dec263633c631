--- AWS through a proxy, by the variables that the AWS CLI reads, with the CLI and botocore as judges. The endpoints are AWS's
--- own names; the proxy (tests/support/proxy.py) leads them to a server of this process.
local ca = require "rehearsal.planes.ca"
local json = require "json"
local process = require "process"
local serve = require "rehearsal.serve"
local test = require "test"

local T = test.cases()

local ANSWER = [[<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>123456789012</Account>
  <Arn>arn:aws:iam::123456789012:user/u</Arn><UserId>U</UserId></GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId>
  </ResponseMetadata></GetCallerIdentityResponse>]]
local NAME = "sts.us-east-1.amazonaws.com"
local USER, PASSWORD = "user%20name", "p%40ss%3Aw%2Frd"
local PARTS = { "p@ss", "p%%40ss", "w/rd", "w%%2Frd" }        -- of the password, as patterns

--- A proxy, in front of servers of this process; it may want TLS itself.
local function start(secure_proxy)
  local mine = ca.new(test.tmpdir() .. "/ca")
  local pair = mine:issue { name = NAME, names = { NAME, "bucket.s3.us-east-1.amazonaws.com" } }
  local here = mine:issue { name = "here", ips = { "127.0.0.1" } }
  local function answer() return { body = ANSWER, headers = { ["Content-Type"] = "text/xml" } } end
  local plain, secure = serve.start { handler = answer }, serve.start { handler = answer, cert = pair.cert, key = pair.key }
  local words = { "python3", "-B", "tests/support/proxy.py", tostring(plain.port), tostring(secure.port), stdout = "pipe" }
  if secure_proxy then table.move({ here.cert, here.key }, 1, 2, 6, words) end
  local proxy = process.start(words)
  test.defer(function()
    proxy:stop()
    plain:stop()
    secure:stop()
  end)
  return { read = function() return proxy:read_line() end, port = proxy:read_line(), ca = mine.file }
end

local function url(proxy, password, user)
  return ("http://%s:%s@127.0.0.1:%s"):format(user or USER, password or PASSWORD, proxy.port)
end

--- Runs a program in an environment that has nothing of ours.
local function run(proxy, words, env)
  words.env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK", AWS_REGION = "us-east-1",
                AWS_DEFAULT_REGION = "us-east-1", AWS_CA_BUNDLE = proxy.ca, AWS_EC2_METADATA_DISABLED = "true", AWS_MAX_ATTEMPTS = "2" }
  for name, value in pairs(env) do words.env[name] = value end
  words.timeout = 600
  return process.run(words)
end

local function ours(proxy, env, code) return run(proxy, { "/proc/self/exe", "-e", code or "aws.sts:get_caller_identity()" }, env) end

local function clean(r, what)
  for _, part in ipairs(PARTS) do test.truthy(not (r.stdout .. r.stderr):find(part), what .. " shows no password: " .. r.stderr) end
end

T["AWS's endpoints are reached through the proxy of the environment, by its user and password"] = function()
  local proxy = start()
  local env = { HTTPS_PROXY = url(proxy) }
  local found = ours(proxy, env)
  test.equal({ found.code, found.stderr }, { 0, "" })
  test.equal(proxy.read(), "CONNECT " .. NAME .. ":443 200")
  local judge = run(proxy, { test.tool "aws", "sts", "get-caller-identity" }, env)
  test.equal({ judge.code, json.decode(judge.stdout) }, { 0, json.decode(found.stdout) }, judge.stderr)
  test.equal(proxy.read(), "CONNECT " .. NAME .. ":443 200")
  test.equal(ours(proxy, { https_proxy = url(proxy), HTTPS_PROXY = "http://127.0.0.1:1" }).code, 0)   -- as for the AWS CLI
  test.equal(proxy.read(), "CONNECT " .. NAME .. ":443 200")
  test.equal(ours(proxy, { HTTP_PROXY = url(proxy), AWS_ENDPOINT_URL = "http://aws.test" }).code, 0)
  test.equal(proxy.read(), "POST http://aws.test/ 200")
end

T["a proxy may itself be asked by TLS"] = function()
  local proxy = start(true)
  local env = { HTTPS_PROXY = (url(proxy):gsub("^http", "https")), SSL_CERT_FILE = proxy.ca }
  local found = ours(proxy, env)
  test.equal({ found.code, found.stderr }, { 0, "" })
  test.equal(proxy.read(), "CONNECT " .. NAME .. ":443 200")
  env.SSL_CERT_FILE = nil
  test.match(ours(proxy, env).stderr, "certificate")
end

T["a proxy that refuses: what to do in one sentence, asked once, and no password in it"] = function()
  local proxy = start()
  local wrong = { url(proxy, PASSWORD .. "x"), url(proxy, PASSWORD, "somebody"), "http://127.0.0.1:" .. proxy.port }
  for _, address in ipairs(wrong) do
    for _, env in ipairs { { HTTPS_PROXY = address }, { HTTP_PROXY = address, AWS_ENDPOINT_URL = "http://aws.test" } } do
      local r = ours(proxy, env)
      test.equal(r.code, 1)
      test.match(r.stderr, "cannot call sts.GetCallerIdentity: the proxy wants another user and password %(407%); the proxy is HTTPS_PROXY or")
      clean(r, address)
      test.equal(proxy.read(), env.HTTPS_PROXY and "CONNECT " .. NAME .. ":443 407" or "POST http://aws.test/ 407")
    end
  end
  local tries = { ["403"] = 1, ["502"] = 2 }
  for status, times in pairs(tries) do
    local r = ours(proxy, { HTTPS_PROXY = url(proxy), AWS_ENDPOINT_URL = "https://" .. status .. ".test" })
    test.match(r.stderr, "the proxy does not lead there: it answers " .. status)
    clean(r, status)
    for _ = 1, times do test.equal(proxy.read(), "CONNECT " .. status .. ".test:443 " .. status) end
  end
end

T["a proxy that is none is named without its password"] = function()
  local proxy = start()
  for _, address in ipairs { url(proxy):gsub("http", "gopher") .. "", url(proxy) .. "99999", "http://" .. USER .. ":" .. PASSWORD .. "@[::1" } do
    local r = ours(proxy, { HTTPS_PROXY = address })
    test.match(r.stderr, "the proxy that the environment names has no usable URL; the proxy is HTTPS_PROXY or")
    clean(r, address)
  end
  local r = ours(proxy, { HTTPS_PROXY = "http://" .. USER .. ":" .. PASSWORD .. "@no.such.proxy.invalid:3128", AWS_MAX_ATTEMPTS = "1" })
  test.match(r.stderr, "cannot call sts.GetCallerIdentity: ")
  clean(r, "no such proxy")
end

T["NO_PROXY means what it means to botocore"] = function()
  local proxy = start()
  local values = { "*", "service.test", ".service.test", "a.service.test", ".test", "test", "other.test", "other.test, service.test", "vice.test",
                   "SERVICE.TEST", "" }
  local judge = process.run { test.tool "python3", "-c", [[
import os, sys
from botocore.utils import should_bypass_proxies
for value in sys.argv[1:]:
    os.environ["NO_PROXY"] = value
    print("directly" if should_bypass_proxies("http://service.test/") else "through it")]], table.unpack(values) }
  test.equal(judge.code, 0, judge.stderr)
  local at = judge.stdout:gmatch "[^\n]+"
  for _, value in ipairs(values) do
    local r = ours(proxy, { HTTP_PROXY = url(proxy), NO_PROXY = value },
                   [[local _ = io.stdout:write(pcall(http.get, "http://service.test/", { timeout = 10 }) and "through it" or "directly")]])
    test.equal(r.stdout, at(), ("NO_PROXY=%q"):format(value))
  end
end

return T
