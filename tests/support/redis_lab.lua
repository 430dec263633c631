--- Redis servers and connections of one test case, which end with it.
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local test = require "test"

local M = {}

--- A server of its own, empty.
---@param o? table as planes/redis.lua takes it
function M.start(o)
  o = o or {}
  o.dir = o.dir or test.tmpdir()
  local s = server.start(o)
  test.defer(function() s:stop() end)
  return s
end

---@param where any as redis.open takes it
function M.open(where, opts)
  local r = redis.open(where, opts)
  test.defer(function() r:close() end)
  return r
end

return M
