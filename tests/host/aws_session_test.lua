--- Session Manager's port forwarding. In the place of AWS's plugin stands a program that takes what the plugin takes and
--- forwards to the target itself. With AWS's own plugin: tests/judge/session_manager_test.lua.
local aws = require "aws"
local fs = require "fs"
local lab = dofile "tests/support/noun_lab.lua"
local planes = require "rehearsal.planes.redis"
local process = require "process"
local redis = require "redis"
local test = require "test"
local T = test.cases()

local PLUGIN = [[#!/usr/bin/env python3
import json, os, socket, sys, threading
name, region, verb, profile, request, endpoint = sys.argv[1:]
answer, request = json.loads(os.environ[name]), json.loads(request)
with open(os.environ["HOME"] + "/seen", "w") as f: json.dump({"words": sys.argv, "token": answer["TokenValue"], "session": answer["SessionId"]}, f)
p = {k: v[0] for k, v in request["Parameters"].items()}
if p["host"] == "nowhere": sys.exit(1)
s = socket.create_server(("127.0.0.1", int(p["localPortNumber"])))
print("Port %s opened for sessionId %s.\nWaiting for connections..." % (p["localPortNumber"], answer["SessionId"]), flush=True)
def copy(a, b):
    while True:
        d = a.recv(65536)
        if not d: break
        b.sendall(d)
    b.close()
while True:
    c = s.accept()[0]
    t = socket.create_connection((p["host"], int(p["portNumber"])))
    for x, y in ((c, t), (t, c)): threading.Thread(target=copy, args=(x, y), daemon=True).start()
]]

--- A folder with the stand-in, first in PATH, and a HOME of its own.
local function with_plugin()
  local dir = test.tmpdir()
  fs.write(dir .. "/session-manager-plugin", PLUGIN, 493)
  local path, home = os.getenv "PATH", os.getenv "HOME"
  process.setenv { PATH = dir .. ":" .. path, HOME = dir }
  test.defer(function() process.setenv { PATH = path, HOME = home or false } end)
  return dir
end

local function world()
  return lab.world {
    ["ssm StartSession"] = { SessionId = "me-0abc", TokenValue = "AAEAAtoken",
      StreamUrl = "wss://ssmmessages.us-east-1.amazonaws.com/v1/data-channel/me-0abc" },
    ["ssm TerminateSession"] = { SessionId = "me-0abc" },
  }
end

T["a private port is reached through it, the token is among no words, and closing ends both sides"] = function()
  local server = planes.start { dir = test.tmpdir() }
  test.defer(function() server:stop() end)
  local dir, w = with_plugin(), world()
  local session = aws.session { "i-0abc", to = ("127.0.0.1:%d"):format(server.port) }
  test.defer(function() session:close() end)
  do
    local r <close> = redis.open(("redis://%s:%d"):format(session.host, session.port))
    test.equal(r:command "PING", "PONG")
  end
  local seen = require "json".decode(fs.read(dir .. "/seen"))
  test.equal({ seen.token, seen.session }, { "AAEAAtoken", "me-0abc" })
  test.truthy(not table.concat(seen.words, " "):find("AAEAAtoken", 1, true), "the token among the words")
  test.equal({ seen.words[2], seen.words[3], seen.words[4] }, { "AWS_SSM_START_SESSION_RESPONSE", "us-east-1", "StartSession" })
  session:close()
  session:close()
  test.raises("", redis.open, ("redis://127.0.0.1:%d"):format(session.port))
  lab.same(w.changing, {
    { "ssm StartSession", { Target = "i-0abc", DocumentName = "AWS-StartPortForwardingSessionToRemoteHost", Parameters = {
      host = { "127.0.0.1" }, portNumber = { tostring(server.port) }, localPortNumber = { tostring(session.port) } } } },
    { "ssm TerminateSession", { SessionId = "me-0abc" } } })
end

T["a plugin that ends at once, or is not there, is said"] = function()
  world()
  local dir = with_plugin()
  test.raises("session%-manager%-plugin ended at once", aws.session, { "i-0abc", to = "nowhere:5432" })
  fs.remove(dir .. "/session-manager-plugin")
  if not process.which "session-manager-plugin" then
    local e = test.raises("session%-manager%-plugin is not installed", aws.session, { "i-0abc", to = "db:5432" })
    test.match(e.hint, "go by the bastion")
  end
  test.raises("does not look like host:port", aws.session, { "i-0abc", to = "db" })
end

return T
