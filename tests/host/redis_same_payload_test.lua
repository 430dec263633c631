--- How redis.same compares values: strings as they are, many at a time; sets and hashes by their DUMPs in any order.
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

local function calls(r, name)
  return tonumber(r:command("INFO", "commandstats"):match("cmdstat_" .. name .. ":calls=(%d+)") or 0)
end

local function dumps(r) return calls(r, "dump") end

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

--- Sets and hashes that are tables, of elements of every length and packing; put in forwards or backwards.
local function fill_tables(r, from, to, step)
  local commands = {}
  for i = from, to, step do
    commands[#commands + 1] = { "SADD", "set", "member " .. i, i, i * 1000, i * 1000000, -i, ("long"):rep(i % 40) .. i }
    commands[#commands + 1] = { "HSET", "hash", "field " .. i, ("value "):rep(i % 300) .. i, i, -i }
  end
  commands[#commands + 1] = { "SADD", "set", "", ("0123456789abcdef!"):rep(10000), ("z"):rep(70000), ("ab"):rep(8000) }
  r:pipeline(commands)
end

T["tables in another order are equal by their DUMPs, and one that differs in a byte is not"] = function()
  local a, b = redis_lab.start(), redis_lab.start()
  local from, to = redis_lab.open(a.url), redis_lab.open(b.url)
  fill_tables(from, 1, 600, 1)
  fill_tables(to, 600, 1, -1)
  to:config_resetstat()
  local function same() return redis.same { a.url, b.url, quiet = true } end
  test.equal({ same().equal, calls(to, "sscan"), calls(to, "hscan"), dumps(to) }, { true, 0, 0, 2 })
  to:hset("hash", "field 17", ("value "):rep(17) .. "18")
  to:pipeline { { "SREM", "set", "member 300" }, { "SADD", "set", "member 301x" } }
  local found = {}
  for _, d in ipairs(same().differences) do found[d.key] = d.kind end
  test.equal(found, { set = "value", hash = "value" })
end

T["a field and its value that changed places, or two values of a hash, are seen"] = function()
  local a, b = redis_lab.start(), redis_lab.start()
  local from, to = redis_lab.open(a.url), redis_lab.open(b.url)
  for _, r in ipairs { from, to } do fill_tables(r, 1, 600, 1) end
  from:pipeline { { "HSET", "hash", "one", "two", "left", "x", "right", "y" }, { "COPY", "hash", "other" } }
  to:pipeline { { "HSET", "hash", "two", "one", "left", "x", "right", "y" }, { "COPY", "hash", "other" }, { "HDEL", "other", "two" },
    { "HSET", "other", "one", "two", "left", "y", "right", "x" } }
  local found = {}
  for _, d in ipairs(redis.same({ a.url, b.url, quiet = true }).differences) do found[d.key] = d.kind end
  test.equal(found, { hash = "value", other = "value" })
end

T["a DUMP that is no table, though it says so, is looked at by value"] = function()
  local b = redis_lab.start()
  redis_lab.open(b.url):sadd("a", "x")
  local payload = redis_lab.open(b.url):dump "a"
  test.equal({ #payload, payload:sub(1, 4) }, { 14, "\2\1\1x" })
  local version = ("\\x%02x\\x%02x"):format(payload:byte(5, 6))
  local function found_with(body)
    local job <close> = errors.check("make a job", host.new())
    local peer = redis_lab.silent_peer(([=[[b"+OK\r\n*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", b"$14\r\nBODY01234567\r\n", b"+none\r\n"]]=])
      :gsub("BODY", body .. version))
    job:first("127.0.0.1", peer.port)
    job:second("127.0.0.1", b.port)
    job:start({ { db = 0 } }, 10, true, 0, 20)
    local done, err
    repeat
      task.await(job:id(), 20)
      done, err = job:result()
    until done or err.code ~= "running"
    test.equal(done, true, body)
    return #job:take()
  end
  test.equal(found_with [[\x02\x01\x01x]], 0, "what the server answers")
  for _, body in ipairs { [[\x02\x01\x01y]], [[\x02\x01\x00x]], [[\x02\x00xx]], [[\x02\x3fxx]], [[\x02\x01\x3fx]],
                          [[\x02\x81\xff\xff]],
                          [[\x02\x01\xc3x]], [[\x02\x01\xc3\xc0]], [[\x02\xc0\x01x]], [[\x02\x02\xc0x]],
                          [[\x02\x01\xc4x]], [[\x02\x85\x01x]], [[\x04\x01\x01x]] } do
    test.equal(found_with(body), 1, body)
  end
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
