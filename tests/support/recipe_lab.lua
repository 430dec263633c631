--- A laboratory for recipes: a cloud that is a table, runs of recipes that are functions, and a kill at any effect.
--- An effect is a line of a journal reaching the disk or a call that changes the cloud. After a kill everything that
--- would leave the process fails, so that whatever still unwinds cannot help.
local apply = require "recipe.apply"
local destroy = require "recipe.destroy"
local effects = require "recipe.effects"
local errors = require "errors"
local host_journal = require "host.journal"
local load = require "recipe.load"
local log = require "log"
local prune = require "recipe.prune"
local recipe = require "recipe"
local rollback = require "recipe.rollback"
local task = require "task"
local test = require "test"

local Lab = {}
Lab.__index = Lab

local open_file, print_line = host_journal.open, log.sink

local function killed()
  errors.raise { kind = "killed", message = "the process is dead" }
end

--- Counts one effect; kills before or after it when its turn has come.
function Lab:effect(fn, ...)
  if self.dead then killed() end
  self.effects = self.effects + 1
  if self.effects == self.kill_at and self.kill_when == "before" then
    self.dead = true
    killed()
  end
  local r = table.pack(fn(...))
  if self.effects == self.kill_at then
    self.dead = true
    killed()
  end
  return table.unpack(r, 1, r.n)
end

local function proxy(lab, path)
  local file, err = open_file(path)
  if not file then return nil, err end
  local is_journal = path:find "%.journal$"
  return {
    append = function(_, bytes, lazy)
      if not is_journal then return file:append(bytes) end
      return lab:effect(file.append, file, bytes, lazy)
    end,
    truncate = function(_, n)
      if lab.dead then return true end
      return file:truncate(n)
    end,
    lock = function() return file:lock() end,
    close = function() file:close() end,
  }
end

local function options_of(lab, fn, o)
  o = o or {}
  return {
    recipe = { name = "lab", file = "lab.lua", chunk = fn }, rest = o.args or {}, dir = lab.dir, yes = o.yes ~= false,
    answer = o.answer, until_stage = o.until_stage, only_stage = o.only_stage, adopt = o.adopt, typed = o.typed,
    no_final_snapshot = o.no_final_snapshot, accept_loss = o.accept_loss,
  }
end

--- Plans; returns the run with its entries.
function Lab:plan(fn, o)
  return (apply.plan(options_of(self, fn, o), { name = "lab", file = "lab.lua", chunk = fn }, false))
end

--- Plans and applies.
function Lab:apply(fn, o) return apply.apply(options_of(self, fn, o)) end

--- Deletes what runs of fn made.
function Lab:destroy(fn, o)
  local opts = options_of(self, fn, o)
  local r = load.upto_options(opts, true)
  local _ <close> = r.journal
  return destroy.run(r, opts)
end

--- Goes back; true if there was anything to do.
function Lab:rollback(fn, o)
  local opts = options_of(self, fn, o)
  local r = load.upto_options(opts, true)
  local _ <close> = r.journal
  return rollback.run(r, opts)
end

--- Deletes what fn does not ask for any more.
function Lab:prune(fn, o) return prune.run(options_of(self, fn, o)) end

--- A process that is killed at effect n, before or after it takes place, running fn's apply. True if it came so far.
function Lab:killed_at(n, when, fn, ...)
  self.effects, self.kill_at, self.kill_when, self.dead = 0, n, when, false
  local ok, e = pcall(fn, ...)
  local died = self.dead
  self.kill_at, self.dead = nil, false
  if not ok and not died then error(e, 0) end
  return died
end

--- The cloud without its ids: what must be equal however often a run was killed.
function Lab:state()
  local s = {}
  for _, t in pairs(self.things) do
    local parent = t.part_of and self.things[t.part_of]
    s[t.name] = { size = t.size, zone = t.zone, part_of = parent and parent.name or t.part_of and "gone" or nil }
  end
  return s
end

--- Everything that was printed.
function Lab:text() return table.concat(self.out, "\n") end

--- A new laboratory; its cloud and its kinds are in `lab.things`, `lab.kind`, `lab.thing`.
return function()
  local lab = setmetatable({ dir = test.tmpdir(), things = {}, calls = {}, made = {}, out = {}, effects = 0, next_id = 0 }, Lab)
  host_journal.open = function(path) return proxy(lab, path) end
  log.sink = function(_, line) lab.out[#lab.out + 1] = line end
  local settle = effects.settle
  effects.settle = 0                                         -- reads see at once what was done, also by hand
  test.defer(function() host_journal.open, log.sink, effects.settle = open_file, print_line, settle end)

  function lab:call(name, fn)
    task.sleep(0)                                            -- a call takes a turn of the loop
    return self:effect(function()
      self.calls[#self.calls + 1] = name
      return fn()
    end)
  end

  local function kind(name, extra)
    local def = {
      name = name,
      options = { { "size", "how big", type = "integer" }, { "zone", "where", type = "string" },
        { "part_of", "another thing", type = "table" }, { "labels", "in any order", type = "list" },
        { "password", "never read back", type = "secret" } },
      outputs = { "id", "address" }, fixed = { "zone", "part_of" }, summary = { "size", "zone" },
      compare = { labels = "set" }, idempotent = true,
      read = function(spec, known)
        task.sleep(0)
        if lab.dead then killed() end
        if lab.blind and lab.blind > 0 then
          lab.blind = lab.blind - 1
          return nil
        end
        for id, t in pairs(lab.things) do
          if id == known or not known and t.name == spec.name then
            local copy = {}
            for k, v in pairs(t) do copy[k] = v end
            return copy
          end
        end
      end,
      create = function(spec, ctx)
        return lab:call("create " .. spec.name, function()
          for id, t in pairs(lab.things) do
            if t.token == ctx.token then return id end
          end
          lab.next_id = lab.next_id + 1
          local id = "thing-" .. lab.next_id
          lab.made[spec.name] = (lab.made[spec.name] or 0) + 1
          lab.things[id] = {
            id = id, name = spec.name, size = spec.size, zone = spec.zone, labels = spec.labels, tags = ctx.tags,
            token = ctx.token, part_of = spec.part_of and spec.part_of.id, address = "10.0.0." .. lab.next_id,
          }
          return id
        end)
      end,
      update = function(spec, current, changes)
        lab:call("update " .. spec.name, function()
          for _, c in ipairs(changes) do lab.things[current.id][c.field] = c.new end
        end)
      end,
      delete = function(current)
        lab:call("delete " .. current.name, function()
          for _, t in pairs(lab.things) do
            if t.part_of == current.id then errors.raise { kind = "remote", message = t.name .. " is part of it" } end
          end
          lab.things[current.id] = nil
        end)
      end,
    }
    for k, v in pairs(extra or {}) do def[k] = v end
    if def.create == "none" then def.create = nil end
    return recipe.kind(def)
  end
  lab.kind = kind
  lab.thing = kind "lab.thing"
  return lab
end
