--- Copies a stream by its value: entries, groups, consumers and pending entries with their times and counts, and what the
--- stream counts. Only when a consumer was last seen cannot be told to another server.
local M = {}

local SLICE = 500

local function sliced(list, write)
  for i = 1, #list, SLICE do
    write(table.move(list, i, math.min(i + SLICE - 1, #list), 1, {}))
  end
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

local function copy_entries(from, to, key, name, extra, count)
  local start, n = "-", 1
  while true do
    local entries = from:xrange(key, start, "+", "COUNT", count)
    if #entries == 0 then break end
    local commands = {}
    for _, entry in ipairs(entries) do
      while extra[n] and before(extra[n], entry[1]) do
        commands[#commands + 1] = { "XADD", name, extra[n], "ghost", "" }
        n = n + 1
      end
      commands[#commands + 1] = { "XADD", name, entry[1], table.unpack(entry[2]) }
    end
    to:pipeline(commands)
    start = "(" .. entries[#entries][1]
  end
  for i = n, #extra do to:xadd(name, extra[i], "ghost", "") end
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
  sliced(commands, function(some) to:pipeline(some) end)
end

--- Takes the ghosts out as they went at the source: those before the first entry
--- may have been trimmed, which leaves no deleted id behind, the others were deleted.
local function drop_ghosts(from, to, key, name, extra)
  if #extra == 0 then return end
  local first = from:xrange(key, "-", "+", "COUNT", 1)[1]
  if first then to:xtrim(name, "MINID", "=", first[1]) else to:xtrim(name, "MAXLEN", "=", 0) end
  sliced(extra, function(ids) to:command("XDEL", name, table.unpack(ids)) end)
end

--- XINFO STREAM FULL tells as many entries as pending ones; both are asked only for what the largest group has pending.
local function read_state(from, key)
  local pending = 1
  for _, raw in ipairs(from:xinfo_groups(key)) do pending = math.max(pending, named(raw).pending) end
  local info = named(from:command("XINFO", "STREAM", key, "FULL", "COUNT", pending))
  local groups = {}
  for i, raw in ipairs(info.groups) do groups[i] = named(raw) end
  return info, groups
end

---@param name string what the stream is called in the target, where it is not there
---@param count integer entries at once
function M.copy(from, to, key, name, count)
  local info, groups = read_state(from, key)
  local extra = ghosts(from, key, groups)
  copy_entries(from, to, key, name, extra, count)
  if to:exists(name) == 0 then                   -- an empty stream is still a stream
    to:xgroup_create(name, "hkrun", "0-0", "MKSTREAM")
    to:xgroup_destroy(name, "hkrun")
  end
  -- Since 7.0 XSETID takes more than two words: streams and groups count their entries.
  local counted = info["entries-added"] and to:command("COMMAND", "INFO", "XSETID")[1][2] < 0
  for _, group in ipairs(groups) do copy_group(to, name, group, counted) end
  drop_ghosts(from, to, key, name, extra)
  local set = { "XSETID", name, info["last-generated-id"] }
  if counted then
    table.move({ "ENTRIESADDED", info["entries-added"], "MAXDELETEDID", info["max-deleted-entry-id"] }, 1, 4, 4, set)
  end
  to:command(table.unpack(set))
end

return M
