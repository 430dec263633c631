--- What differs in one key that both servers have: its value, read from both sides in slices, told in words.
---
--- The engine (host/redismatch.h) finds which keys differ; this says how, for those that are listed, and it decides where
--- the engine cannot: streams' groups, fields that expire, types that it does not know. At most DETAILS things are told of
--- a key; then no more of it is read.
local names = require "redis.same.names"
local side = require "redis.same.sides"
local streams = require "redis.same.stream"
local task = require "task"

local M = {}

local DETAILS = 3
local SLICE = 500                       -- elements
local SLICE_BYTES = 1 << 20             -- of a string, and of elements by their average size

--- Details as they are found; full when no more are wanted.
local function collector()
  local list = {}
  function list.add(fmt, ...)
    if #list == DETAILS then list.more = true else list[#list + 1] = fmt:format(...) end
    return list.more
  end
  return list
end

--- How many elements are about a slice.
local function slice_of(r, key, length)
  local size = r:pipeline({ { "MEMORY", "USAGE", key, "SAMPLES", 20 } }, { keep_errors = true })[1]
  if math.type(size) ~= "integer" or length == 0 then return SLICE end
  return math.max(1, math.min(SLICE, SLICE_BYTES * length // math.max(size, 1)))
end

local function lengths(sides, command, key)
  local a, b = side.ask(sides, { { command, key } })
  return math.type(a[1]) == "integer" and a[1] or 0, math.type(b[1]) == "integer" and b[1] or 0
end

--- The place of the first byte that two strings do not share, from 1; nil where they are equal.
local function first_other(a, b)
  if a == b then return nil end
  local low, high = 0, math.min(#a, #b)          -- the first `low` bytes are equal
  while low < high do
    local middle = (low + high + 1) // 2
    if a:sub(low + 1, middle) == b:sub(low + 1, middle) then low = middle else high = middle - 1 end
  end
  return low + 1
end

local function sizes(noun, a, b) return ("%d %s%s in a, %d in b"):format(a, noun, a == 1 and "" or "s", b) end

local compare = {}

function compare.string(sides, key, found)
  local size_a, size_b = lengths(sides, "STRLEN", key)
  for offset = 0, math.min(size_a, size_b), SLICE_BYTES do
    local a, b = side.ask(sides, { { "GETRANGE", key, offset, offset + SLICE_BYTES - 1 } })
    local at = first_other(a[1], b[1])
    if at then
      found.add("byte %d differs%s", offset + at - 1, size_a == size_b and "" or (" (%s)"):format(sizes("byte", size_a, size_b)))
      return
    end
  end
end

function compare.list(sides, key, found)
  local size_a, size_b = lengths(sides, "LLEN", key)
  if size_a ~= size_b then found.add("%s", sizes("element", size_a, size_b)) end
  local slice = slice_of(sides.a, key, size_a)
  for from = 0, math.min(size_a, size_b) - 1, slice do
    local a, b = side.ask(sides, { { "LRANGE", key, from, from + slice - 1 } })
    for i = 1, math.min(#a[1], #b[1]) do
      if a[1][i] ~= b[1][i] and found.add("element %d differs", from + i - 1) then return end
    end
  end
end

--- A score as it can be compared: servers write it with more or fewer digits, and keep the sign of zero or not.
local function number(score)
  local word = score:lower()
  return word == "inf" and math.huge or word == "-inf" and -math.huge or tonumber(word) + 0.0
end

--- Sets, sorted sets and hashes: what SCAN gives of one side is looked up in the other, first of a, then of b.
local UNORDERED = {
  set = {
    scan = "SSCAN", count = "SCARD", width = 1, noun = "member",
    ask = function(key, member) return { "SISMEMBER", key, member } end,
    is_there = function(reply) return reply == 1 end,
    same = function() return true end,
  },
  zset = {
    scan = "ZSCAN", count = "ZCARD", width = 2, noun = "member",
    ask = function(key, member) return { "ZSCORE", key, member } end,
    is_there = function(reply) return reply end,
    same = function(a, b) return number(a) == number(b) end,
    say = function(member, a, b) return ("member %s has the score %s in a, %s in b"):format(member, a, b) end,
  },
  hash = {
    scan = "HSCAN", count = "HLEN", width = 2, noun = "field",
    ask = function(key, field) return { "HGET", key, field } end,
    is_there = function(reply) return reply end,
    same = function(a, b) return a == b end,
    say = function(field) return ("field %s differs"):format(field) end,
  },
}

local function each_slice(r, kind, key, slice, fn)
  local cursor = "0"
  repeat
    local reply = r:command(kind.scan, key, cursor, "COUNT", slice)
    cursor = reply[1]
    for i = 1, #reply[2], slice * kind.width do
      if fn(table.move(reply[2], i, math.min(i + slice * kind.width - 1, #reply[2]), 1, {})) then return end
    end
  until cursor == "0"
end

local function compare_unordered(sides, key, found, kind)
  local size_a = lengths(sides, kind.count, key)
  local slice = slice_of(sides.a, key, size_a)
  local function look(from, to, on_both)
    each_slice(from, kind, key, slice, function(elements)
      local ask = {}
      for i = 1, #elements, kind.width do ask[#ask + 1] = kind.ask(key, elements[i]) end
      for i, reply in ipairs(to:pipeline(ask, { keep_errors = true })) do
        local at = (i - 1) * kind.width + 1
        local name = elements[at]
        if type(reply) == "table" then return true end           -- the key has another type by now
        if not kind.is_there(reply) then
          if found.add(on_both and "%s %s is missing in b" or "%s %s is only in b", kind.noun, names.show(name)) then return true end
        elseif on_both and not kind.same(elements[at + 1], reply) then
          if found.add("%s", kind.say(names.show(name), elements[at + 1], reply)) then return true end
        end
      end
    end)
  end
  look(sides.a, sides.b, true)
  if not found.more then look(sides.b, sides.a, false) end
end

for name, kind in pairs(UNORDERED) do
  compare[name] = function(sides, key, found) return compare_unordered(sides, key, found, kind) end
end

--- The entries; `state` compares the rest.
function compare.stream(sides, key, found)
  return streams.entries(sides, key, found, slice_of(sides.a, key, (lengths(sides, "XLEN", key))))
end

--- When fields of a hash expire, which only newer servers know (Redis 7.4, Valkey 9). -1: never.
local function field_expiry(sides, side, key, fields)
  if not sides.expires[side] then return {} end
  local reply = sides[side]:pipeline({ { "HPEXPIRETIME", key, "FIELDS", #fields, table.unpack(fields) } }, { keep_errors = true })[1]
  return reply.kind and {} or reply
end

--- The fields of a hash that do not expire at the same time.
---@return string[]
function M.fields(sides, key, tolerance)
  local found = collector()
  each_slice(sides.a, UNORDERED.hash, key, slice_of(sides.a, key, (lengths(sides, "HLEN", key))), function(elements)
    local fields = {}
    for i = 1, #elements, 2 do fields[#fields + 1] = elements[i] end
    local v = task.all { a = function() return field_expiry(sides, "a", key, fields) end,
                         b = function() return field_expiry(sides, "b", key, fields) end }
    for i, field in ipairs(fields) do
      local a, b = v.a[i] or -1, v.b[i] or -1
      if not names.same_time(a, b, tolerance) and found.add("field %s %s", names.show(field), names.expiry(a, b)) then return true end
    end
  end)
  return found
end

--- What differs in the value of a key that has the same type on both sides. Nothing: equal by now.
---@param kind string
---@return string[] details with .more where there are others
function M.value(sides, key, kind)
  local found = collector()
  compare[kind](sides, key, found)
  return found
end

--- The types of some keys on both sides; "none" for one that has gone.
---@return string[], string[]
function M.types(sides, keys)
  local ask = {}
  for i, key in ipairs(keys) do ask[i] = { "TYPE", key } end
  return side.ask(sides, ask)
end

function M.knows(kind) return compare[kind] ~= nil end

--- What differs in the state of streams whose entries are equal, a list for each.
function M.states(sides, keys)
  return streams.states(sides, keys, collector)
end

return M
