--- Copies one key by its value, for servers whose DUMP formats differ. Every
--- type is read in slices; the target's key is replaced.
local errors = require "errors"

local M = {}

local SLICE = 500

--- Calls write(list) with at most `width` x SLICE words at a time.
local function sliced(list, width, write)
  for i = 1, #list, width * SLICE do
    write(table.move(list, i, math.min(i + width * SLICE - 1, #list), 1, {}))
  end
end

local function send(to, command, key, words)
  if #words > 0 then to:command(command, key, table.unpack(words)) end
end

--- All elements by HSCAN, SSCAN or ZSCAN; an element may come twice, which does
--- no harm when it is set again.
local function scan(from, command, key, write)
  local cursor = "0"
  repeat
    local reply = from:command(command, key, cursor, "COUNT", SLICE)
    cursor = reply[1]
    sliced(reply[2], 2, write)
  until cursor == "0"
end

local copy = {}

function copy.string(from, to, key)
  to:set(key, from:get(key) or "")
end

--- The expiry of single fields (Redis 7.4, Valkey 9): only where there is any.
local function field_expiry(from, to, key)
  local fields = from:hkeys(key)
  sliced(fields, 1, function(names)
    local reply = from:pipeline({ { "HPEXPIRETIME", key, "FIELDS", #names, table.unpack(names) } }, { keep_errors = true })[1]
    if reply.kind then return end                -- the source does not know field expiry
    for i, at in ipairs(reply) do
      if at > 0 then to:command("HPEXPIREAT", key, at, "FIELDS", 1, names[i]) end
    end
  end)
end

function copy.hash(from, to, key)
  scan(from, "HSCAN", key, function(words) send(to, "HSET", key, words) end)
  field_expiry(from, to, key)
end

function copy.list(from, to, key)
  local start = 0
  while true do
    local items = from:lrange(key, start, start + SLICE - 1)
    if #items == 0 then return end
    send(to, "RPUSH", key, items)
    start = start + #items
  end
end

function copy.set(from, to, key)
  scan(from, "SSCAN", key, function(words) send(to, "SADD", key, words) end)
end

function copy.zset(from, to, key)
  scan(from, "ZSCAN", key, function(words)
    for i = 1, #words, 2 do words[i], words[i + 1] = words[i + 1], words[i] end
    send(to, "ZADD", key, words)
  end)
end

--- A reply of names and values in turn, as a table.
local function named(list)
  local t = {}
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end
M.named = named

--- Stream ids, two numbers of up to 64 bits, in their order.
local function before(a, b)
  local am, as = a:match "^(%d+)-(%d+)$"
  local bm, bs = b:match "^(%d+)-(%d+)$"
  if am ~= bm then return #am < #bm or (#am == #bm and am < bm) end
  return #as < #bs or (#as == #bs and as < bs)
end

--- Ids that are pending but no longer in the stream, in order: XCLAIM needs an
--- entry, so they are added for a moment.
local function ghosts(from, key, groups)
  local seen, list, found = {}, {}, {}
  for _, group in ipairs(groups) do
    for _, p in ipairs(group.pending) do
      if not seen[p[1]] then seen[p[1]] = true list[#list + 1] = p[1] end
    end
  end
  for i = 1, #list, SLICE do
    local commands = {}
    for j = i, math.min(i + SLICE - 1, #list) do commands[#commands + 1] = { "XRANGE", key, list[j], list[j] } end
    for j, reply in ipairs(from:pipeline(commands)) do
      if #reply == 0 then found[#found + 1] = list[i + j - 1] end
    end
  end
  table.sort(found, before)
  return found
end

local function copy_entries(from, to, key, extra)
  local start, n = "-", 1
  while true do
    local entries = from:xrange(key, start, "+", "COUNT", SLICE)
    if #entries == 0 then break end
    local commands = {}
    for _, entry in ipairs(entries) do
      while extra[n] and before(extra[n], entry[1]) do
        commands[#commands + 1] = { "XADD", key, extra[n], "ghost", "" }
        n = n + 1
      end
      commands[#commands + 1] = { "XADD", key, entry[1], table.unpack(entry[2]) }
    end
    to:pipeline(commands)
    start = "(" .. entries[#entries][1]
  end
  for i = n, #extra do to:xadd(key, extra[i], "ghost", "") end
end

local function copy_group(to, key, group, counted)
  local create = { "XGROUP", "CREATE", key, group.name, group["last-delivered-id"], "MKSTREAM" }
  if counted and math.type(group["entries-read"]) == "integer" then
    create[#create + 1] = "ENTRIESREAD"
    create[#create + 1] = group["entries-read"]
  end
  local commands = { create }
  for _, raw in ipairs(group.consumers) do
    local consumer = named(raw)
    commands[#commands + 1] = { "XGROUP", "CREATECONSUMER", key, group.name, consumer.name }
    for _, p in ipairs(consumer.pending) do
      commands[#commands + 1] = { "XCLAIM", key, group.name, consumer.name, 0, p[1], "TIME", p[2], "RETRYCOUNT", p[3], "FORCE", "JUSTID" }
    end
  end
  sliced(commands, 1, function(some) to:pipeline(some) end)
end

--- Takes the ghosts out as they went at the source: those before the first entry
--- may have been trimmed, which leaves no deleted id behind, the others were deleted.
local function drop_ghosts(from, to, key, extra)
  if #extra == 0 then return end
  local first = from:xrange(key, "-", "+", "COUNT", 1)[1]
  if first then to:xtrim(key, "MINID", "=", first[1]) else to:xtrim(key, "MAXLEN", "=", 0) end
  sliced(extra, 1, function(ids) to:command("XDEL", key, table.unpack(ids)) end)
end

function copy.stream(from, to, key)
  local info = named(from:command("XINFO", "STREAM", key, "FULL", "COUNT", 0))
  local last = info["last-generated-id"]
  local groups = {}
  for i, raw in ipairs(info.groups) do groups[i] = named(raw) end
  local extra = ghosts(from, key, groups)
  copy_entries(from, to, key, extra)
  if to:exists(key) == 0 then                    -- an empty stream is still a stream
    to:xgroup_create(key, "hkrun", "0-0", "MKSTREAM")
    to:xgroup_destroy(key, "hkrun")
  end
  -- Since 7.0 XSETID takes more than two words: streams and groups count their entries.
  local counted = info["entries-added"] and to:command("COMMAND", "INFO", "XSETID")[1][2] < 0
  for _, group in ipairs(groups) do copy_group(to, key, group, counted) end
  drop_ghosts(from, to, key, extra)
  local set = { "XSETID", key, last }
  if counted then
    set = { "XSETID", key, last, "ENTRIESADDED", info["entries-added"], "MAXDELETEDID", info["max-deleted-entry-id"] }
  end
  to:command(table.unpack(set))
end

--- Copies one key: its value by type, then its expiry, absolute.
---@param expires_at integer milliseconds since 1970; -1: never
---@return boolean copied false when the key has gone
function M.copy(from, to, key, expires_at)
  local kind = from:type(key)
  if kind == "none" then return false end
  local fn = copy[kind]
  if not fn then
    errors.raise { kind = "limit", op = ("copy the key %q by value"):format(key),
      message = "its type is " .. kind .. ", of a module that has no value commands we know" }
  end
  to:del(key)
  fn(from, to, key)
  if expires_at >= 0 then to:pexpireat(key, expires_at) end
  return true
end

return M
