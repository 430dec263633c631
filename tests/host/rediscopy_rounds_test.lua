--- The source is asked for the next round of keys while the target has yet to answer for the last.
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local fs = require "fs"
local host = require "host.rediscopy"
local process = require "process"
local redis_lab = require "redis_lab"
local task = require "task"
local test = require "test"

local T = test.cases()

local KEYS <const>, ROUND <const> = 400, 20                            -- SCAN gives some keys more than it is asked for

--- A job of one connection from a source of KEYS strings to a target that answers only when it has read two rounds.
local function late(what, more)
  local from, port = redis_lab.start(), fs.free_port()
  local a <close>, sets = redis_lab.open(from.url), {}
  for i = 1, KEYS do sets[i] = { "SET", "key:" .. i, i } end
  a:pipeline(sets)
  local peer = process.start { "python3", "tests/support/late_redis.py", tostring(port), tostring(ROUND * 3 // 2), what, stdout = "pipe" }
  test.defer(function() peer:stop() end)
  test.equal(peer:read_line(), "ready")
  local job = errors.check("make a job", host.new())
  test.defer(function() job:close() end)
  job:source("127.0.0.1", from.port)
  job:target("127.0.0.1", port)
  job:segment { db = 0, expires = false }
  local fields = { connections = 1, strings = true, batch = ROUND, slice = 1, stall = 20000, patience = 20000 }
  for k, v in pairs(more or {}) do fields[k] = v end
  test.equal(job:start(fields), true)
  test.equal(task.await(job:id(), 30), true)
  return job, peer
end

local function keys_of_slices(job)
  local n = 0
  for _, slice in ipairs(job:slices()) do n = n + slice.keys end
  return n
end

T["a key of the last round that is refused is told by its own name"] = function()
  local job, peer = late("refuse", { lenient = true })
  local refused = peer:read_line():match "^refused (.+)$"
  test.equal(errors.check("copy", job:result()).keys, KEYS - 1)
  local told = job:refused()
  test.equal({ #told, told[1].key, told[1].message }, { 1, refused, "ERR Bad data format" })
  test.equal(keys_of_slices(job), KEYS)
end

T["a key of the last round that is refused ends the copy with its own name, and no slice is told of it"] = function()
  local job, peer = late "refuse"
  local refused = peer:read_line():match "^refused (.+)$"
  local v, e = job:result()
  test.equal({ v, e.message }, { nil, ('target: SET of key "%s": ERR Bad data format'):format(refused) })
  test.equal(job:slices(), {})
end

T["a connection that breaks with two rounds on their way: both are copied again"] = function()
  local job, peer = late "close"
  test.equal(errors.check("copy", job:result()).keys, KEYS)
  test.equal(keys_of_slices(job), KEYS)
  local first, second = {}, {}
  for key in peer:read_line():match("^took (.*)$"):gmatch "%S+" do first[key] = true end
  job:close()                                                          -- closes the second connection
  local count = 0
  for key in peer:read_line():match("^took (.*)$"):gmatch "%S+" do
    test.truthy(not second[key], key .. " comes twice")
    second[key], count = true, count + 1
  end
  test.equal(count, KEYS)
  for key in pairs(first) do test.truthy(second[key], key .. " was not copied again") end
end

return T
