--- One table of pg.same: its chunks on both sides, and what differs in them.
local chunks = require "pg.same.chunks"
local errors = require "errors"
local keys = require "pg.same.keys"
local sign = require "sign"
local task = require "task"

local M = {}

local AGAIN = 32                                     -- chunks up to which a live table is not read as a whole again

local function both(fn) return task.all { a = function() return fn "a" end, b = function() return fn "b" end } end

--- All chunks of one side, part after part.
local function read_side(conn, t, plan, name, how)
  local sums = {}
  local own = t[name] or {}
  local list = chunks.parts(own, how.can_cut)
  local side = how.sides[name]
  for _, where in ipairs(list) do
    local part = { side = name, system = side.system, table = t.plain, file = own.file, where = where, question = how.question,
                   snapshot = side.read_in }
    if not how.parts:take(conn, own, part, sums) then
      how.parts:keep(part, chunks.add(conn, plan, where ~= "" and where or nil, {}), sums)
    end
    how.advance(t.bytes // (2 * #list))
  end
  return sums
end

--- What differs after a live side has had time to be followed.
local function settle(conns, plan, sums, o)
  local different = chunks.different(sums.a, sums.b)
  local stop, pause = task.now() + o.deadline, 0.1
  while #different > 0 and task.now() < stop do
    task.sleep(math.min(pause, math.max(0, stop - task.now())))
    pause = math.min(pause * 2, 5)
    local where
    if #different <= AGAIN then
      local parts = {}
      for i, chunk in ipairs(different) do parts[i] = "(" .. chunks.condition(plan, chunk) .. ")" end
      where = table.concat(parts, " OR ")
    end
    local again = both(function(name) return chunks.add(conns[name], plan, where, {}) end)
    for name, side in pairs(sums) do
      for _, chunk in ipairs(different) do side[chunk] = again[name][chunk] end
    end
    different = chunks.different(sums.a, sums.b)
  end
  return different
end

--- The side whose materialized view waits for a REFRESH: computed anew it would be the other's. A copy does that.
local function behind_of(conns, t, plan, sums)
  if t.kind ~= "m" then return nil end
  for name, other in pairs { a = "b", b = "a" } do
    local anew = setmetatable({ from = "(" .. t[name].definition .. ") x" }, { __index = plan })
    if #chunks.different(chunks.add(conns[name], anew, nil, {}), sums[other]) == 0 then return name end
  end
end

local function compare(conns, t, o, sides, parts, advance)
  local plan = chunks.plan(conns.a, conns.b, t, sides)
  local how = { parts = parts, advance = advance, can_cut = not sides.old, sides = sides,
                question = sign.hex(sign.sha256(plan.label .. "\n" .. plan.hash .. "\n" .. plan.count)):sub(1, 16) }
  local function read()
    return both(function(name) return read_side(conns[name], t, plan, name, how) end)
  end
  local sums = read()
  local different = chunks.different(sums.a, sums.b)
  if o.live then different = settle(conns, plan, sums, o) end
  local behind = #different > 0 and behind_of(conns, t, plan, sums) or nil
  if behind then different = {} end
  local r = { table = t.plain, behind = behind, equal = #different == 0, chunks_different = #different,
              chunks = plan.last and plan.last + 1 or plan.count }
  r.rows_a, r.checksum_a = chunks.total(sums.a)
  r.rows_b, r.checksum_b = chunks.total(sums.b)
  if not r.equal then r.different = keys.find(conns.a, conns.b, t, plan, different, sums) end
  return r
end

--- Compares the rows of one table. A table that a server refuses to read is a difference, and not the end.
---@param slot integer which of the sides' connections
---@param advance fun(bytes: integer)
function M.compare(sides, slot, t, o, parts, advance)
  local conns = { a = sides.a.all[slot], b = sides.b.all[slot] }
  local _ <close> = conns.a:transaction()
  local _ <close> = conns.b:transaction()
  local ok, r = pcall(compare, conns, t, o, sides, parts, advance)
  if ok then return r end
  if not (errors.is(r, "remote") or errors.is(r, "auth")) then error(r, 0) end
  return { table = t.plain, equal = false, error = r.message }
end

return M
