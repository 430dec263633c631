--- What is done to one noun: reading with its record in mind, creating, changing, replacing, deleting, each with its
--- lines in the journal: the intent before the call, the id after it.
local agree = require "recipe.agree"
local calls = require "calls"
local diff = require "recipe.diff"
local errors = require "errors"
local log = require "log"
local owner = require "recipe.owner"
local loop = require "host.loop"
local plain = require "recipe.plain"
local token = require "recipe.token"
local task = require "task"

local M = {}

--- Seconds after a call during which a read may still miss what it made or changed (EC2 is eventually consistent).
M.settle = tonumber(os.getenv "HKRUN_SETTLE") or 10
M.AGAIN = "run it again, it goes on from here; timeout = SECONDS on the noun waits longer"
local VISIBLE = 60                                           -- seconds until a made thing must be readable

--- A noun in work: kind, spec, its record, and what create needs to make it findable.
function M.noun(r, kind, spec, key)
  key = key or kind.name .. ":" .. spec.name
  local mem = r.memory.nouns[key]
  local gone = r.memory.gone and r.memory.gone[key]
  local noun = {
    run = r, kind = kind, spec = spec, key = key, mem = mem,
    title = ("%s %q"):format(kind.name, spec.name),
    gen = mem and mem.gen or gone and gone + 1 or 1,
    began = math.floor(loop.time() * 1000) / 1000,           -- reading is a part of the work
  }
  M.context(noun)
  return noun
end

--- What the service said last of the noun; nil when it does not say.
local function last_event(noun)
  local mem, now = noun.mem, os.time()
  local since = math.max(mem and mem.at or now, now - 3600)
  local ok, event = pcall(noun.kind.event, mem and mem.id or noun.spec.name, since)
  if not ok and errors.is(event, "cancelled") then error(event, 0) end
  if not ok then log.debug("no events of %s: %s", noun.title, tostring(event)) end
  return ok and event or nil                                 -- a run does not fail because nobody may read them
end

--- Fills noun.ctx: the same token for the same generation, however often it is tried.
function M.context(noun)
  noun.ctx = {
    token = token.token(noun.run.id, noun.key, noun.gen),
    tags = { ["hkrun:recipe"] = noun.run.id, ["hkrun:key"] = noun.key, Name = noun.spec.name },
    key = noun.key, recipe = noun.run.id,
    timeout = noun.kind.takes_timeout and noun.spec.timeout or noun.kind.timeout,
    event = noun.kind.event and function() return last_event(noun) end or function() end,
    final_snapshot = noun.spec.final_snapshot ~= false and not noun.run.no_final_snapshot,
    note = function(s) if noun.progress then noun.progress:note(s) end end,
  }
end

local function wrapped(noun, verb, fn, ...)
  local r = table.pack(xpcall(fn, errors.handler, ...))
  if r[1] then return table.unpack(r, 2, r.n) end
  local e = r[2]
  if errors.is(e, "cancelled") or errors.is(e, "bug") or errors.is(e, "unknown") then error(e, 0) end
  if e.noun then error(e, 0) end
  errors.raise {
    op = verb .. " " .. noun.title, kind = e.kind, message = tostring(e), cause = e, noun = noun.key,
    retry = e.retry, lost = e.lost, traceback = e.traceback,
  }
end

local function read_once(noun, known)
  return wrapped(noun, "read", noun.kind.read, noun.spec, known, noun.ctx)
end

--- Reads again and again until `good` says so; nil when it never did.
local function poll(noun, known, seconds, good)
  local delay, stop = 0.05, task.now() + seconds
  while true do
    local current = read_once(noun, known)
    if good(current) then return current end
    local left = stop - task.now()
    if left <= 0 then return nil end
    task.sleep(math.min(delay, left))
    delay = math.min(delay * 2, 5)
  end
end

local function there(current) return current ~= nil end

--- Reads again until `good` says so, as long as a read may still miss what was done at that time.
---@param noun table
---@param at number? seconds since 1970
---@param good fun(current: table?): boolean
---@return table? current
function M.settled(noun, at, good)
  local left = (at or 0) + M.settle - loop.time()
  return left > 0 and poll(noun, noun.mem.id, left, good) or nil
end

--- Reads a noun. After a crash a read may miss what an unanswered call made, so it is given time to show up.
function M.read(noun)
  local mem = noun.mem
  local current = read_once(noun, mem and mem.id)
  if current or not mem then return current end
  if mem.id then
    current = M.settled(noun, mem.changed, there)
  elseif not noun.kind.idempotent and noun.run.mode ~= "plan" then
    return M.settled(noun, mem.at, there)
  end
  if not current and mem.id then
    noun.vanished = true
    noun.gen = mem.gen + 1                                   -- a used token would answer with what is gone
    M.context(noun)
  end
  return current
end

--- In what the thing that is there differs from what is asked for.
---@param noun table
---@param current table
---@return table changes
function M.changes(noun, current)
  return diff.changes(owner.wanted(noun, noun.spec), current, noun.kind.fields, noun.kind.compare)
end

--- The spec as update gets it: of the tags, those that are to be set.
local function to_set(noun, changes)
  if not changes.tags then return noun.spec end
  return setmetatable({ tags = changes.tags.new }, { __index = noun.spec })
end

local function write(noun, rec, lazy)
  rec.key, rec.kind = noun.key, noun.kind.name
  noun.run.journal:write(rec, lazy)
end

local function record_spec(noun) return plain.spec(noun.spec) end

--- Seconds after the deadline in which a noun's own wait may say what it waited for.
M.grace = 30

local function with_progress(noun, verb, fn)
  local what = verb .. " " .. noun.title
  local p <close> = log.progress { what = what, key = noun.key }
  noun.progress = p
  local r = table.pack(xpcall(task.within, errors.handler, noun.ctx.timeout + M.grace, what, fn))
  noun.progress = nil
  local e = r[2]
  if not r[1] and errors.is(e, "timeout") and e.op == what and not e.hint then
    e.message = e.message .. (p.note_text and "; it was last " .. p.note_text or "")
    e.hint = M.AGAIN
  end
  if not r[1] then error(e, 0) end
  return table.unpack(r, 2, r.n)
end

local AGAIN = 4                                              -- times that a call without an answer is asked again

--- Creates, and looks for it when no answer came: it is there, or it is asked for again. What was found may lack what
--- later calls of its create would have given it.
local function create_once(noun)
  for attempt = 1, AGAIN + 1 do
    local ok, id = pcall(wrapped, noun, "create", noun.kind.create, noun.spec, noun.ctx)
    if ok then return id end
    if not (type(id) == "table" and id.lost) or attempt > AGAIN then error(id, 0) end
    log.debug("%s; looking whether it is there", tostring(id))
    local current = poll(noun, nil, noun.kind.idempotent and 0 or M.settle, there)
    if current and not current.deleting then
      noun.current = current
      owner.check(noun)
      return current.id, current
    end
  end
end

--- Changes; a call without an answer is asked again for what is still different.
local function update(noun, current, changes)
  for attempt = 1, AGAIN + 1 do
    local ok, e = pcall(wrapped, noun, "change", noun.kind.update, to_set(noun, changes), current, changes, noun.ctx)
    if ok then return end
    if not (type(e) == "table" and e.lost) or attempt > AGAIN then error(e, 0) end
    current = read_once(noun, current.id) or current
    changes = M.changes(noun, current)
    if #changes == 0 then return end
  end
end

--- What is begun inside is finished, also when the run is to end.
local function finished(noun, fn)
  return task.shield(function()
    local p = noun.progress
    p.finishes = true
    local r = table.pack(pcall(fn))
    p.finishes = nil
    if not r[1] then error(r[2], 0) end
    return table.unpack(r, 2, r.n)
  end)
end

local function create(noun)
  with_progress(noun, "create", function()
    finished(noun, function()
      write(noun, { ev = "intent", gen = noun.gen, spec = record_spec(noun), keep = noun.spec.keep,
        inside = noun.run:inside_once(), began = noun.began })
      noun.mem = noun.run.memory.nouns[noun.key]
      local by, id, found = calls.during(create_once, noun)
      if type(id) ~= "string" or id == "" then
        errors.raise { op = "create " .. noun.title, kind = "bug", message = "its create function returned no id" }
      end
      write(noun, { ev = "created", id = id, by = by })
      local changes = found and noun.kind.update and M.changes(noun, found) or {}
      if #changes > 0 then update(noun, found, changes) end
    end)
  end)
  noun.mem = noun.run.memory.nouns[noun.key]
  local current = poll(noun, noun.mem.id, VISIBLE, there)
  if not current then
    errors.raise {
      op = "create " .. noun.title, kind = "timeout", noun = noun.key,
      message = ("%s was made but cannot be read after %d s"):format(noun.mem.id, VISIBLE), hint = "apply again",
    }
  end
  return current
end

--- Waits until it is usable; reads it again when that took any waiting.
local function ready(noun, current, changed)
  local kind = noun.kind
  if kind.ready then
    local fresh = with_progress(noun, "wait for", function()
      return wrapped(noun, "wait for", kind.ready, current, noun.ctx)
    end)
    current = fresh or changed and read_once(noun, current.id) or current
  end
  if noun.mem and (noun.mem.state ~= "ready" or changed and kind.ready) then write(noun, { ev = "ready" }, true) end
  return current
end

local IN_USE = 900                                           -- seconds that a service may take to let go of a thing

--- Begins to delete; asks again while the service says that the thing is still in use. One that is going already was
--- deleted by a call whose answer was lost, and the service refused the next.
local function begin_delete(noun, current)
  local delay, stop = 0.5, task.now() + math.min(IN_USE, noun.ctx.timeout)
  while true do
    local ok, e = pcall(finished, noun, function() wrapped(noun, "delete", noun.kind.delete, current, noun.ctx) end)
    if ok then return end
    if errors.is(e, "cancelled") or errors.is(e, "bug") then error(e, 0) end
    local now = read_once(noun, current.id)
    if not now or now.deleting then return end
    if not e.retry or task.now() + delay > stop then error(e, 0) end
    noun.ctx.note("still in use: " .. tostring(e.cause and e.cause.message or e.message))
    task.sleep(delay)
    delay = math.min(delay * 2, 15)
  end
end

--- Deletes and waits until it is gone.
function M.delete(noun, current)
  local kind = noun.kind
  if not current.deleting then
    write(noun, { ev = "delete", id = current.id, leaves = kind.leaves and kind.leaves(current, noun.ctx) })
  end
  local by
  with_progress(noun, "delete", function()
    if not current.deleting then by = calls.during(begin_delete, noun, current) end
    local state, gone
    poll(noun, current.id, noun.ctx.timeout, function(c)
      gone = c == nil
      if c then
        local event = noun.ctx.event()
        state = (c.state or "still there") .. (event and ": " .. event or "")
        noun.ctx.note(state)
      end
      return gone
    end)
    if not gone then
      errors.raise {
        op = "delete " .. noun.title, kind = "timeout", noun = noun.key,
        message = ("after %g s it is %s"):format(noun.ctx.timeout, state), hint = M.AGAIN,
      }
    end
  end)
  write(noun, { ev = "deleted", id = current.id, by = by })
end

local function names_any(v, ids)
  if type(v) ~= "table" then return ids[v] ~= nil end
  for _, x in next, v do
    if names_any(x, ids) then return true end
  end
  return false
end

--- The nouns that hang on this one and are to be replaced with it, the last made first.
local function dependents(noun)
  local run, list = noun.run, {}
  local ids = { [noun.mem.id] = true }
  for _, key in ipairs(run.memory.order) do
    local n = run.memory.nouns[key]
    if key ~= noun.key and n.id and names_any(n.spec, ids) and run.shown and (run.shown[key] or {}).action == "replace" then
      ids[n.id] = true
      table.insert(list, 1, M.noun(run, require("recipe.kind").find(n.kind), n.spec, key))
    end
  end
  return list
end

local function replace(noun)
  local current = noun.current or read_once(noun, noun.mem and noun.mem.id)
  if current then
    local hanging = noun.mem and noun.mem.id and dependents(noun) or {}
    owner.refuse_adopted(noun)
    for _, other in ipairs(hanging) do owner.refuse_adopted(other) end
    for _, other in ipairs(hanging) do
      local there_now = read_once(other, other.mem.id)
      if there_now then M.delete(other, there_now) end
    end
    M.delete(noun, current)
  end
  noun.gen = noun.gen + 1
  M.context(noun)
  noun.mem = nil
  return create(noun)
end

--- What the recipe says of a thing that only the journal knows: whether it is kept, whether it leaves a snapshot.
local REMEMBERED = { keep = false, final_snapshot = true }

--- Where the recipe says otherwise than the journal has it.
---@return table[] changes as diff.changes gives them
function M.unrecorded(noun)
  local list, mem = {}, noun.mem
  for field, default in pairs(mem and mem.spec and mem.id and REMEMBERED or {}) do
    local old, new = mem.spec[field], noun.spec[field]
    if old == nil then old = default end
    if new == nil then new = default end
    if old ~= new then list[#list + 1] = { field = field, old = old, new = new, unrecorded = true } end
  end
  table.sort(list, function(a, b) return a.field < b.field end)
  return list
end

local function change(noun)
  local fields, changes = {}, {}
  for _, c in ipairs(noun.changes) do
    if not c.unrecorded then
      changes[#changes + 1] = c
      fields[#fields + 1], changes[c.field] = c.field, c
    end
  end
  if #changes == 0 then return noun.current end              -- only the journal had to know
  with_progress(noun, "change", function()
    finished(noun, function()
      write(noun, { ev = "update", fields = fields, began = noun.began })
      local by = calls.during(update, noun, noun.current, changes)
      write(noun, { ev = "updated", spec = record_spec(noun), keep = noun.spec.keep, by = by })
    end)
  end)
  return poll(noun, noun.current.id, M.settle, function(c) return c and #M.changes(noun, c) == 0 end)   -- it may not be seen yet
    or read_once(noun, noun.current.id) or noun.current
end

local function remember_found(noun)
  local mem, current = noun.mem, noun.current
  local spec = record_spec(noun)
  if mem and mem.id == current.id and mem.keep == noun.spec.keep and not mem.updating and diff.same(spec, mem.spec) then return end
  write(noun, {
    ev = "found", id = current.id, spec = spec, adopted = noun.adopted or nil, gen = noun.gen,
    keep = noun.spec.keep,
  })
  noun.mem = noun.run.memory.nouns[noun.key]
end

--- Puts our tags on what is taken over.
local function put_tags(noun)
  local tags = owner.tags(noun)
  if not tags then return end
  local current, change = noun.current, { field = "tags", old = noun.current.tags, new = tags }
  local changes = { change, tags = change }
  task.shield(wrapped, noun, "tag", noun.kind.update, to_set(noun, changes), current, changes, noun.ctx)
end

local function adopt(noun)
  put_tags(noun)
  remember_found(noun)
  return #noun.changes > 0 and change(noun) or noun.current
end

--- Brings the world to what was decided; returns what is there then.
---@param noun table
---@return table current
function M.perform(noun)
  if noun.action == "read" then return noun.current end
  if noun.action == "none" then
    remember_found(noun)
    return ready(noun, noun.current, false)
  end
  agree.noun(noun.run, noun)
  local current
  if noun.action == "create" then
    if noun.current and noun.current.deleting then
      poll(noun, noun.current.id, noun.ctx.timeout, function(c) return c == nil end)
    end
    current = create(noun)
  elseif noun.action == "replace" then
    current = replace(noun)
  elseif noun.action == "adopt" then
    current = adopt(noun)
  else
    remember_found(noun)
    current = change(noun)
  end
  noun.run:did(noun)
  return ready(noun, current, true)
end

return M
