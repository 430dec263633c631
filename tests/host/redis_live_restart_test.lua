--- A live copy whose servers are started anew in the middle of it, or that is cut off itself.
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local live_lab = require "redis_live_lab"
local redis = require "redis"
local redis_lab = require "redis_lab"
local server = require "rehearsal.planes.redis"
local test = require "test"

local T = test.cases()

local start, open = redis_lab.start, redis_lab.open
local settle = live_lab.settle

T["a source that starts anew with older data is looked at as a whole, and followed on"] = function()
  local dir = test.tmpdir()
  local from, to = server.start { dir = dir }, start()
  local a = open(from.url)
  a:mset("kept", 1, "changed", 1)
  a:save()
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01 }
  c:wait()
  a:mset("changed", 2, "lost", 3)
  settle { copy = c }
  local b = open(to.url)
  test.equal(b:mget("changed", "lost"), { "2", "3" })
  from:kill()
  from:stop()
  local again = server.start { dir = dir, port = from.port }
  test.defer(function() again:stop() end)
  settle { copy = c }
  settle { copy = c }
  local status = c:status()
  test.equal({ status.rescans >= 1, status.notifications }, { true, true })
  test.equal(b:mget("kept", "changed", "lost"), { "1", "1", false })
  open(from.url):set("after", 1)
  c:finish()
  test.equal(redis.same({ from.url, to.url }).keys, 3)
  test.equal(open(from.url):config_get "notify-keyspace-events"[2], "")
end

T["a source that is started anew in the first copy of all: everything is copied again, then followed"] = function()
  local dir = test.tmpdir()
  local from, to = server.start { dir = dir }, start()
  local a = open(from.url)
  local commands = {}
  for i = 1, 1500 do commands[i] = { "SET", "k" .. i, i } end
  a:pipeline(commands)
  a:save()
  a:set("lost", 1)
  local killed
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01, batch = 50, rate = 600, on_progress = function(keys)
    if killed or keys == 0 then return end
    killed = keys
    from:kill()
    from:stop()
    from = server.start { dir = dir, port = from.port }
  end }
  test.defer(function() from:stop() end)
  c:wait()
  test.truthy(killed < 1500, "in the middle")
  open(from.url):set("after", 1)
  test.equal(c:finish().keys, 1501)
  test.equal(redis.same({ from.url, to.url }).keys, 1501)
  test.equal(open(from.url):config_get "notify-keyspace-events"[2], "")
end

T["a copy that was cut off after the first copy of all goes on by comparing"] = function()
  local from, to = start(), start()
  local a, b = open(from.url), open(to.url)
  a:mset("a", 1, "b", 2, "c", 3)
  local journal, told = fs.join(test.tmpdir(), "copy.jsonl"), 0
  local o = { from = from.url, to = to.url, journal = journal, interval = 0.01, on_progress = function() told = told + 1 end }
  local c = redis.copy.start(o)
  c:wait()
  c:close()
  test.truthy(told > 0)
  a:set("a", "changed")
  a:del "b"
  local other <close> = redis.copy.start { from = from.url, to = to.url }
  test.raises("of a copy that was not finished", other.wait, other)
  told = 0
  c = redis.copy.start(o)
  local status = c:wait()
  test.equal({ told, status.rescans, status.why, b:mget("a", "b", "c") }, { 0, 1, "the copy was cut off", { "changed", false, "3" } })
  test.equal(c:finish().keys, 2)
  test.equal({ b:dbsize(), fs.list(journal:match "^(.*)/") }, { 2, { "copy.jsonl" } })
end

T["a target that is started anew while it is followed, or emptied, gets everything again"] = function()
  local dir = test.tmpdir()
  local from, to = start(), server.start { dir = dir }
  local a = open(from.url)
  a:mset("a", 1, "b", 2)
  local c <close> = redis.copy.start { from = from.url, to = to.url, interval = 0.01 }
  c:wait()
  to:kill()
  to:stop()
  a:set("c", 3)
  to = server.start { dir = dir, port = to.port }
  test.defer(function() to:stop() end)
  settle { copy = c }
  settle { copy = c }
  test.match(c:status().why, "^the target was started anew")
  local b = open(to.url)
  test.equal(b:mget("a", "b", "c"), { "1", "2", "3" })
  b:flushall()
  settle { copy = c }
  test.match(c:status().why, "^FLUSHALL ran on the target")
  c:finish()
  test.equal(redis.same({ from.url, to.url }).keys, 3)
end

return T
