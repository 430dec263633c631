--- Strings in redis.same: they are compared as they are, many at a time; only what is no string by DUMP.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local host = require "host.redissame"
local redis = require "redis"
local redis_lab = require "redis_lab"
local redis_source = require "redis_source"
local task = require "task"
local test = require "test"

local T = test.cases()

--- Two servers with equal keys of every kind.
local function pair(o)
  local a, b = redis_lab.start(o), redis_lab.start()
  local from, to = redis_lab.open(a.url), redis_lab.open(b.url)
  redis_source.fill(from)
  from:set("large", ("0123456789abcdef?"):rep(100000))
  redis.copy { from = a.url, to = b.url }
  return from, to, function(more)
    local given = { a.url, b.url, quiet = true }
    for k, v in pairs(more or {}) do given[k] = v end
    return redis.same(given)
  end
end

local function dumps(r)
  return tonumber(r:command("INFO", "commandstats"):match "cmdstat_dump:calls=(%d+)" or 0)
end

T["only keys that are no strings are packed to be compared"] = function()
  local from, to, same = pair()
  local others = 0
  for key in from:keys_of() do if from:type(key) ~= "string" then others = others + 1 end end
  from:config_resetstat()
  to:config_resetstat()
  local r = same { databases = { 0 } }
  test.equal({ r.equal, r.keys, dumps(from), dumps(to) }, { true, from:dbsize(), others, others })
end

T["a server without MGET has its strings packed"] = function()
  local from, _, same = pair { settings = { ["rename-command"] = 'MGET ""' } }
  from:config_resetstat()
  local r = same { databases = { 0 } }
  test.equal({ r.equal, r.keys, dumps(from) }, { true, from:dbsize(), r.keys })
end

T["a string that differs in a byte, its length, its expiry, its type, or is on one side only"] = function()
  local from, to, same = pair()
  to:setrange("large", 1699999, "!")
  to:append("string:1", "more")
  to:set("string:2", "")
  to:pexpireat("string:3", 4102444800022)
  to:del("string:4", "string:5")
  to:rpush("string:5", "x")
  to:set("new", "x")
  from:del "hash:1"
  from:set("hash:1", "a string")
  local found = {}
  for _, d in ipairs(same().differences) do found[d.key] = d.kind end
  test.equal(found, { large = "value", ["string:1"] = "value", ["string:2"] = "value", ["string:3"] = "ttl", ["string:4"] = "missing",
    ["string:5"] = "type", new = "extra", ["hash:1"] = "type" })
end

T["answers to MGET that no Redis gives end the comparison, not the process"] = function()
  local b = redis_lab.start()
  redis_lab.open(b.url):set("a", "x")
  local function fail(answer)
    local job <close> = errors.check("make a job", host.new())
    local peer = redis_lab.silent_peer([=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"]=] .. answer .. [=["]]=])
    job:first("127.0.0.1", peer.port)
    job:second("127.0.0.1", b.port)
    job:start({ { db = 0 } }, 10, true, 0, 20, true)
    test.equal(task.await(job:id(), 20), true)
    return select(2, job:result())
  end
  for _, answer in ipairs { [[*2\r\n$1\r\n]], [[*-1\r\n]], [[+OK\r\n]], [[*1\r\n:1\r\n]], [[*1\r\n$-7\r\n]], [[*1\r\n$9223372036854775807\r\n]] } do
    test.equal(fail(answer).kind, "protocol", answer)
  end
  local e = fail [[-NOPERM not you\r\n]]
  test.equal({ e.kind, e.code, e.message }, { "remote", "NOPERM", "the first server: MGET: NOPERM not you" })
end

return T
