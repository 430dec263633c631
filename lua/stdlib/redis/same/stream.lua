--- What differs in two streams: their entries, and their state, which is all that XADD does not bring: the last id, the
--- counters, groups, consumers, pending entries with delivery times and counts. Left out is how a stream is stored, and
--- when a consumer was last seen, which no command can set.
local names = require "redis.same.names"
local side = require "redis.same.sides"

local M = {}

local FIRST = 10                        -- pending entries of a group that are asked for at once
local MOST = 10000                      -- ... and where there are more than that, or the entries are large, page by page
local MOST_BYTES = 8 << 20
local PAGE = 1000
local TOLERANCE = 1000                  -- milliseconds that delivery times may differ which were computed from idle times

local function named(list)
  local t = {}
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end

--- Ids, two numbers of up to 64 bits, in their order.
local function is_before(a, b)
  local a_ms, a_seq = a:match "^(%d+)-(%d+)$"
  local b_ms, b_seq = b:match "^(%d+)-(%d+)$"
  if a_ms ~= b_ms then return #a_ms < #b_ms or (#a_ms == #b_ms and a_ms < b_ms) end
  return #a_seq < #b_seq or (#a_seq == #b_seq and a_seq < b_seq)
end

--- Pages of one side: page(from) answers a list; id_of its items' ids. next() gives one item after the other.
local function reader(page, id_of)
  local list, i, start, over = {}, 0, "-", false
  local self = {}
  function self.next()
    i = i + 1
    if i > #list and not over then
      list, i = page(start), 1
      over = #list == 0
      start = not over and "(" .. id_of(list[#list]) or start
    end
    self.item = list[i]
    return self.item
  end
  return self
end

--- Walks both sides by id; on(id, a, b) is given what either has, and ends it by answering true.
local function walk(a, b, id_of, on)
  a.next()
  b.next()
  while a.item or b.item do
    local x, y = a.item, b.item
    if x and y and id_of(x) ~= id_of(y) then
      if is_before(id_of(x), id_of(y)) then y = nil else x = nil end
    end
    if on(id_of(x or y), x, y) then return end
    if x then a.next() end
    if y then b.next() end
  end
end

local function first(item) return item[1] end

local function same_list(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end

--- The entries, by id.
function M.entries(sides, key, found, slice)
  local function pages(r)
    return reader(function(start) return r:command("XRANGE", key, start, "+", "COUNT", slice) end, first)
  end
  walk(pages(sides.a), pages(sides.b), first, function(id, a, b)
    if not b then return found.add("entry %s is missing in b", id) end
    if not a then return found.add("entry %s is only in b", id) end
    if not same_list(a[2], b[2]) then return found.add("entry %s differs", id) end
  end)
end

--- Pending entries as { id, consumer, delivery time, count }, for a group that has too many to ask for at once.
local function pending_pages(r, key, group)
  return reader(function(start)
    local now, list = table.unpack(r:pipeline { { "TIME" }, { "XPENDING", key, group, start, "+", PAGE } })
    local ms = math.tointeger(tonumber(now[1])) * 1000 + math.tointeger(tonumber(now[2])) // 1000
    for _, p in ipairs(list) do p[3] = ms - p[3] end
    return list
  end, first)
end

local function compare_pending(sides, key, name, a, b, found)
  local whole = #a.pending == a["pel-count"] and #b.pending == b["pel-count"]
  local function pages(r, group)
    if not whole then return pending_pages(r, key, name) end
    return reader(function(start) return start == "-" and group.pending or {} end, first)
  end
  local say = "group " .. names.show(name) .. ": pending entry %s "
  walk(pages(sides.a, a), pages(sides.b, b), first, function(id, x, y)
    if not y then return found.add(say .. "of consumer %s is missing in b", id, names.show(x[2])) end
    if not x then return found.add(say .. "of consumer %s is only in b", id, names.show(y[2])) end
    if x[2] ~= y[2] then return found.add(say .. "belongs to consumer %s in a, %s in b", id, names.show(x[2]), names.show(y[2])) end
    if x[4] ~= y[4] then return found.add(say .. "was delivered %d times in a, %d in b", id, x[4], y[4]) end
    if math.abs(x[3] - y[3]) > (whole and 0 or TOLERANCE) then
      return found.add(say .. "was delivered %d ms %s in b", id, math.abs(y[3] - x[3]), x[3] < y[3] and "later" or "earlier")
    end
  end)
end

local function by_name(list)
  local map, order = {}, {}
  for i, raw in ipairs(list) do
    local t = named(raw)
    map[t.name], order[i] = t, t.name
  end
  table.sort(order)
  return map, order
end

local function compare_names(noun, a, a_order, b, b_order, found)
  for _, name in ipairs(a_order) do if not b[name] then found.add("%s %s is missing in b", noun, names.show(name)) end end
  for _, name in ipairs(b_order) do if not a[name] then found.add("%s %s is only in b", noun, names.show(name)) end end
end

local function compare_fields(prefix, fields, a, b, found)
  for _, field in ipairs(fields) do
    local x, y = a[field], b[field]
    if x ~= y then
      found.add("%s%s is %s in a, %s in b", prefix, field:gsub("-", " "), x and tostring(x) or "not known", y and tostring(y) or "not known")
    end
  end
end

--- Two replies of XINFO STREAM FULL. Servers before 7.0 do not count the entries added, deleted and read: what one side does
--- not tell is not compared.
local function compare_state(sides, key, a, b, found)
  local counted = a["entries-added"] and b["entries-added"]
  compare_fields("", counted and { "last-generated-id", "entries-added", "max-deleted-entry-id" } or { "last-generated-id" }, a, b, found)
  local groups_a, order_a = by_name(a.groups)
  local groups_b, order_b = by_name(b.groups)
  compare_names("group", groups_a, order_a, groups_b, order_b, found)
  for _, name in ipairs(order_a) do
    local x, y = groups_a[name], groups_b[name]
    if y then
      local prefix = "group " .. names.show(name) .. ": "
      compare_fields(prefix, counted and { "last-delivered-id", "entries-read" } or { "last-delivered-id" }, x, y, found)
      local c_x, c_order_x = by_name(x.consumers)
      local c_y, c_order_y = by_name(y.consumers)
      compare_names(prefix .. "consumer", c_x, c_order_x, c_y, c_order_y, found)
      compare_pending(sides, key, name, x, y, found)
    end
  end
end

--- The most entries that any group has pending, where the first answer did not hold them all.
local function pending_left(info)
  local most = 0
  for _, raw in ipairs(info.groups) do
    local group = named(raw)
    if #group.pending < group["pel-count"] then most = math.max(most, group["pel-count"]) end
  end
  return most
end

--- The bytes of an entry of each stream, on average; XINFO FULL gives as many entries as pending ones, so they count.
local function entry_sizes(r, keys)
  local commands, sizes = {}, {}
  for _, key in ipairs(keys) do
    commands[#commands + 1] = { "MEMORY", "USAGE", key }
    commands[#commands + 1] = { "XLEN", key }
  end
  local replies = r:pipeline(commands, { keep_errors = true })
  for i = 1, #keys do
    local size, length = replies[2 * i - 1], replies[2 * i]
    local known = math.type(size) == "integer" and math.type(length) == "integer"
    sizes[i] = known and size // math.max(length, 1) + 1 or MOST_BYTES
  end
  return sizes
end

--- The states of some streams: a list of details for each, in their order.
---@param collector fun(): table
function M.states(sides, keys, collector)
  local commands, lists, sizes = {}, {}, entry_sizes(sides.a, keys)
  local function ask(i, count) return { "XINFO", "STREAM", keys[i], "FULL", "COUNT", count } end
  for i = 1, #keys do commands[i] = ask(i, math.max(1, math.min(FIRST, MOST_BYTES // #keys // sizes[i]))) end
  local a, b = side.ask(sides, commands)
  for i, key in ipairs(keys) do
    lists[i] = collector()
    local left = not (a[i].kind or b[i].kind) and math.max(pending_left(named(a[i])), pending_left(named(b[i]))) or 0
    if left > 0 and left <= MOST and left * sizes[i] <= MOST_BYTES then
      local again_a, again_b = side.ask(sides, { ask(i, left) })
      a[i], b[i] = again_a[1], again_b[1]
    end
    if not (a[i].kind or b[i].kind) then                         -- else it is no stream any more
      compare_state(sides, key, named(a[i]), named(b[i]), lists[i])
    end
    a[i], b[i] = false, false
  end
  return lists
end

return M
