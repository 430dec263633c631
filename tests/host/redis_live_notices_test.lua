--- A live copy whose notifications end, overflow, are switched off or not to be had: every key is looked at.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local fs = require "fs"
local live_lab = require "redis_live_lab"
local notices = require "redis.live.notices"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local test = require "test"

local T = test.cases()
local SELF = fs.realpath "/proc/self/exe"

local start, open = redis_lab.start, redis_lab.open
local copy, settle, equal = live_lab.copy, live_lab.settle, live_lab.equal

--- Another hkrun that copies; says "ready" when it follows, and finishes when it reads a line.
local function child(from, to, journal)
  local path = fs.join(test.tmpdir(), "copy.lua")
  fs.write(path, ([[
local redis = require "redis"
local copy <close> = redis.copy.start { from = %q, to = %q, journal = %q, replace = true, interval = 0.01 }
copy:wait()
print "ready"
io.stdout:flush()
require "task".sleep(100)
]]):format(from.url, to.url, journal))
  local lib = os.getenv "HKRUN_LIB"
  local p = process.start { SELF, path, stdout = "pipe", stderr = "null", env = { PATH = os.getenv "PATH", HOME = test.tmpdir(),
    HKRUN_LIB = lib and fs.realpath(lib), ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
  test.defer(function() p:stop() end)
  test.equal(p:read_line(), "ready")
  return p
end

T["a subscription that the server ends has every key looked at, once"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2) end)
  lab.copy:wait()
  -- While nobody listens a key is changed: MULTI, so that the gap is certain.
  lab.a:pipeline { { "MULTI" }, { "CLIENT", "KILL", "TYPE", "pubsub" }, { "SET", "a", "missed" }, { "EXEC" } }
  settle(lab)
  local status = lab.copy:status()
  test.equal({ status.rescans, status.notifications, lab.b:get "a" }, { 1, true, "missed" })
  test.match(status.why, "closed the connection")
  lab.a:set("b", "told")
  settle(lab)
  test.equal({ lab.copy:status().rescans, lab.b:get "b" }, { 1, "told" })
  test.equal(lab.copy:finish().rescans, 1)
  equal(lab)
end

T["a server that cannot be reached just when it is to be listened to again is listened to later"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2) end)
  lab.copy:wait()
  local open_notices = notices.open
  test.defer(function() notices.open = open_notices end)
  function notices.open()
    notices.open = open_notices
    errors.raise { kind = "network", message = "no way there" }
  end
  lab.a:pipeline { { "MULTI" }, { "CLIENT", "KILL", "TYPE", "pubsub" }, { "SET", "a", "missed" }, { "EXEC" } }
  settle(lab)
  test.equal(notices.open, open_notices, "it was tried")
  test.equal({ lab.copy:status().notifications, lab.copy:status().rescans, lab.b:get "a" }, { true, 1, "missed" })
  lab.copy:finish()
  equal(lab)
end

T["a server's buffer that runs full ends the subscription, and nothing is missed"] = function()
  local lab = copy(nil, { source = { settings = { ["client-output-buffer-limit"] = "pubsub 32kb 0 0" } } })
  lab.copy:wait()
  -- One transaction: its notifications wait in the buffer, however fast the listener is.
  local commands = { { "MULTI" } }
  for i = 1, 2000 do commands[i + 1] = { "SET", "k" .. i, i } end
  commands[#commands + 1] = { "EXEC" }
  lab.a:pipeline(commands)
  settle(lab)
  test.match(lab.copy:status().why, "closed the connection")
  test.equal(lab.b:exists("k1", "k1000", "k2000"), 3)
  lab.copy:finish()
  equal(lab)
end

T["more changed keys than the memory holds are found by looking at every key"] = function()
  local lab = copy(function(a) a:set("first", 1) end, { copy = { memory = 2000 } })
  lab.copy:wait()
  local commands = { { "MULTI" } }
  for i = 1, 300 do commands[i + 1] = { "SET", "k" .. i, i } end
  commands[#commands + 1] = { "EXEC" }
  lab.a:pipeline(commands)
  settle(lab)
  test.match(lab.copy:status().why, "more keys changed than 2000 bytes")
  test.equal(lab.b:exists("first", "k1", "k300"), 3)
  lab.copy:finish()
  equal(lab)
end

T["without notifications each round compares every key"] = function()
  local lab = copy(function(a) a:mset("a", 1, "b", 2, "c", 3) end,
    { source = { settings = { ["rename-command"] = 'CONFIG ""' } } })
  lab.copy:wait()
  lab.a:set("a", "other")
  lab.a:del "b"
  settle(lab)
  local status = lab.copy:status()
  test.equal({ status.notifications, status.moved, status.deleted }, { false, 1, 1 })
  lab.a:rename("c", "d")
  local r = lab.copy:finish()
  test.equal({ r.notifications, r.keys }, { false, 2 })
  equal(lab)
end

T["a user who may not subscribe has rounds that compare, and nothing is left switched on"] = function()
  local from, to = start(), start()
  local a = open(from.url)
  a:command("ACL", "SETUSER", "mover", "on", ">pass", "~*", "+@all", "resetchannels")
  a:set("a", 1)
  local c <close> = redis.copy.start { from = ("redis://mover:pass@127.0.0.1:%d"):format(from.port), to = to.url, interval = 0.01 }
  test.equal(c:wait().notifications, false)
  a:set("a", 2)
  c:finish()
  test.equal({ open(to.url):get "a", a:config_get "notify-keyspace-events"[2] }, { "2", "" })
end

T["a source that is full, in which nothing can be tried, is listened to all the same"] = function()
  local lab = copy(function(a)
    a:mset("a", 1, "b", 2)
    a:config_set("maxmemory", 1)
    test.raises("OOM", a.set, a, "c", 3)           -- nor does it take reading commands into a transaction
  end)
  test.equal(lab.copy:wait().notifications, true)
  lab.a:del "a"
  settle(lab)
  test.equal({ lab.b:get "a", lab.copy:status().rescans }, { nil, 0 })
  test.equal(lab.copy:finish().keys, 1)
  equal(lab)
end

T["notifications that somebody switches off are switched on again, and every key is looked at"] = function()
  local lab = copy(function(a) a:set("a", 1) end, { source = { settings = { ["notify-keyspace-events"] = "Kg" } } })
  lab.copy:wait()
  lab.a:config_set("notify-keyspace-events", "Kx")
  lab.a:set("a", "not told")
  settle(lab)
  test.equal({ lab.copy:status().why, lab.b:get "a" }, { "keyspace notifications were switched off", "not told" })
  lab.a:set("a", "told")
  settle(lab)
  test.equal({ lab.copy:status().rescans, lab.b:get "a" }, { 1, "told" })
  lab.copy:finish()
  equal(lab)
end

T["the setting of notifications is put back: by finish and close, at Ctrl-C, and after a kill by the next call"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  local journal = fs.join(test.tmpdir(), "copy.jsonl")
  local function setting() return a:config_get "notify-keyspace-events"[2] end
  a:config_set("notify-keyspace-events", "xK")
  a:set("a", 1)
  local before = setting()
  local p = child(from, to, journal)
  test.equal({ setting(), fs.exists(journal .. ".notifications") }, { "AKE", true })
  p:kill "INT"
  p:wait(20)
  test.equal({ setting(), fs.exists(journal .. ".notifications") }, { before, false })
  p = child(from, to, journal)
  p:kill "KILL"
  p:wait(20)
  test.equal(setting(), "AKE", "nobody was left to put it back")
  a:set("a", 2)
  local c = redis.copy.start { from = from.url, to = to.url, journal = journal, interval = 0.01 }
  c:wait()
  test.equal(c:status().why, "the copy was cut off")
  test.equal(c:finish().keys, 1)
  test.equal({ setting(), b:get "a" }, { before, "2" })
  c = redis.copy.start { from = from.url, to = to.url, replace = true }
  c:close()
  c:close()
  test.equal(setting(), before)
end

return T
