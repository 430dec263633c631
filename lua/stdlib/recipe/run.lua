--- One pass over a recipe: planning (reads only) or applying. Nouns, onces and guards ask it where they are and tell it
--- what they do. One process works on one recipe, so there is one current run.
local errors = require "errors"
local journal = require "journal"
local json = require "json"
local log = require "log"
local memory = require "recipe.memory"
local options = require "recipe.options"
local plain = require "recipe.plain"
local task = require "task"
local term = require "term"
local unknown = require "recipe.unknown"

local M = {}
local Run = {}
Run.__index = Run

local active

--- Makes a run.
---@param o table `{ mode="plan"|"apply"|"load", recipe=, args=, until_stage=, only_stage=, adopt=, yes=, shown=, saved=, dir=,
---config=, lock= }`; shown: the entries of the plan that was shown, by key; saved: the saved plan that is carried out
---@return table
function M.new(o)
  local r = setmetatable(o, Run)
  r.recipe = r.recipe or "recipe"
  r.id, r.target = r.recipe, ""
  r.entries, r.stages, r.keys, r.reports, r.guards = {}, {}, {}, {}, {}
  r.done = { create = 0, adopt = 0, change = 0, replace = 0, run = 0 }
  r.memory = memory.new()
  return r
end

--- Runs fn with r as the current run.
---@param r table
---@param fn function
function M.with(r, fn, ...)
  local before = active
  active = r
  local result = table.pack(xpcall(fn, errors.handler, ...))
  active = before
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

--- The current run, with its options and journal in place.
---@param what string who asks
---@return table
function M.current(what)
  if not active then
    errors.usage("%s works only in a recipe that runs; save it in a file and use `hkrun plan FILE`", what)
  end
  if not active.ready then
    if active.mode == "help" then M.stop "help" end
    active:begin({}, "")
    if active.mode == "load" then M.stop "loaded" end
  end
  return active
end

--- The current run or nil.
function M.peek() return active end

--- Called once the options are known: gives the run its target, and its journal.
---@param values table
---@param target string
function Run:begin(values, target)
  if self.ready then errors.usage("recipe.options comes once, before the first stage") end
  if not self.declared then options.none(self.args or {}) end
  self.ready = true
  self.options, self.target = values, target
  self.id = target ~= "" and self.recipe .. "." .. target or self.recipe
  if self.saved and self.mode == "plan" then self.saved:check_options(values) end
  if not self.journal then
    self.journal = journal.open { name = journal.name(self.recipe, target), dir = self.dir, at = self.at, write = self.lock }
  end
  self.memory = self.journal.memory
  local of = self.memory.of
  if of and (of.recipe ~= self.recipe or of.target ~= target) then
    self.journal:close()
    errors.usage("%s is the journal of %s, not of %s", self.journal.path, of.target ~= "" and of.recipe .. "." .. of.target or of.recipe, self.id)
  end
  if self.saved and self.mode == "plan" then self.saved:check_journal(self.memory) end
  if self.mode == "plan" then self.progress = log.progress { what = "look at what is there" } end
  if self.mode == "apply" then
    self.journal:write {
      ev = "run", command = "apply", n = self.memory.runs + 1, recipe = self.recipe, target = target, file = self.file,
      options = plain.spec(values),
    }
    local kept = {}
    function log.on_risk(line)
      if not kept[line] then self.journal:write({ ev = "risk", text = line }, true) end
      kept[line] = true
    end
    if self.intended then self.journal:write { ev = "plan", entries = self.intended, stages = self.intended_stages } end
  end
end

--- Ends the pass: what was not right about the command line shows now at the latest.
function Run:finish()
  if not self.ready and self.mode ~= "help" then self:begin({}, "") end
end

--- Raised to leave the recipe early, in good order.
function M.stop(why)
  errors.raise { kind = "stopped", message = why, early = true }
end

function Run:enter(name)
  if type(name) ~= "string" or name == "" then errors.usage("stage needs a name") end
  for _, s in ipairs(self.stages) do
    if s == name then errors.usage("there are two stages named %s", name) end
  end
  self.stages[#self.stages + 1] = name
  if self.until_stage == name or self.only_stage and self.stage == self.only_stage then
    self.stopped = name
    M.stop("stopped before the stage " .. name)
  end
  self.stage = name
  if self.only_stage == name and self.lacking then errors.raise(self.lacking) end
  if self.mode == "apply" and not self:only_reads() then
    log.step("%s", name)
    self.journal:write { ev = "stage", name = name }
  end
end

--- Refuses a second noun, once or guard with the same key in one pass.
function Run:claim(key)
  if self.keys[key] then
    errors.usage("%s appears twice in this recipe; names must differ", (key:gsub(":", " ", 1)))
  end
  self.keys[key] = true
end

--- Where in the program we are: the serials of the running task and its parents, and one of its own; and for each which
--- task.all it is a part of.
local function place()
  local path, groups, t = { task.next_serial() }, { false }, task.current()
  while t do
    table.insert(path, 1, t.serial)
    table.insert(groups, 1, t.group or false)
    t = t.parent
  end
  return path, groups
end

local function before(a, b)
  for i = 1, math.min(#a.place, #b.place) do
    if a.place[i] ~= b.place[i] then return a.place[i] < b.place[i] end
  end
  return #a.place < #b.place
end

--- Puts the entries in the order of the program: side by side, calls answer in any order.
function Run:sort() table.sort(self.entries, before) end

function Run:add(entry)
  entry.stage = self.stage
  entry.place, entry.groups = place()
  if self.progress then self.progress:update(#self.entries + 1) end
  self.entries[#self.entries + 1] = entry
  return entry
end

--- True in the stages that --only leaves alone.
function Run:only_reads() return self.only_stage ~= nil and self.stage ~= self.only_stage end

--- Something that the stage of --only needs is not there yet. A plan says so where that stage begins: until then it is
--- not known whether there is such a stage.
---@param what string
---@param why string
---@param key string|nil of the noun
function Run:lacks(what, why, key)
  local e = errors.new {
    op = "run only the stage " .. self.only_stage, kind = "invalid", noun = key,
    message = ("%s%s %s"):format(what, self.stage and " of the stage " .. self.stage or "", why), hint = "apply that stage first",
  }
  if self.mode ~= "plan" then errors.raise(e) end
  self.lacking = self.lacking or e
end

--- The name of the once in whose body the running task is, or nil. What a once does needs no word in the plan.
---@return string|nil
function Run:inside_once()
  local t = task.current()
  while t do
    if t.once then return t.once end
    t = t.parent
  end
  return nil
end

--- What people type to agree to something destructive: the target, or else the recipe's name.
function Run:own_name() return self.target ~= "" and self.target or self.recipe end

--- The keys that the journal knows and this pass did not meet; only a whole pass can tell.
---@return table[] nouns as the journal's memory has them, in its order
function Run:forgotten()
  local list = {}
  if self.stopped or self.only_stage then return list end
  for _, key in ipairs(self.memory.order) do
    local n = self.memory.nouns[key]
    if not self.keys[key] and not n.inside then list[#list + 1] = n end
  end
  return list
end

--- Notes what would be, or is being, done to a noun.
function Run:show(noun)
  local kind, spec = noun.kind, noun.spec
  local entry = self:add {
    action = noun.action, key = noun.key, kind = kind.name, of = kind, name = spec.name, title = noun.title, spec = spec,
    reason = noun.reason, id = noun.current and noun.current.id, vanished = noun.vanished, drift = noun.drift,
    current = self.keep_found and noun.current or nil, adopted = noun.adopted or nil,
  }
  if noun.changes and noun.changes[1] then entry.changes = noun.changes end
end

local past = { create = "created", adopt = "taken over", change = "changed", replace = "replaced" }
local marks = { create = "+", adopt = "=", change = "~", replace = "-/+" }

function Run:did(noun)
  self.done[noun.action] = self.done[noun.action] + 1
  local mem = noun.mem or self.memory.nouns[noun.key]
  log.info("  %s %s %s (%s)", marks[noun.action], noun.title, past[noun.action], mem and mem.id or "")
end

--- Counts a verb that was run.
function Run:ran() self.done.run = self.done.run + 1 end

--- Asks a yes-or-no question. --yes answers it.
---@return boolean
function Run:ask(question)
  if self.yes then return true end
  if self.answer then return self.answer(question) end       -- tests answer by themselves
  if not term.interactive() then
    errors.raise {
      kind = "stopped", message = ("nobody can be asked (%s): there is no terminal"):format(question),
      hint = "use --yes where that is what you want",
    }
  end
  local line = log.hold(function() return term.line(question .. " [y/N] ") end)
  return line ~= nil and (line:lower() == "y" or line:lower() == "yes")
end

--- recipe.need
function Run:need(cond, fmt, ...)
  if cond and (self.mode ~= "apply" or not unknown.is(cond)) then return cond end
  local message = fmt and (select("#", ...) > 0 and fmt:format(...) or tostring(fmt)) or "a need of the recipe is not met"
  local e = errors.new { kind = "invalid", message = message, need = true, where = false }
  if self.mode ~= "undo" or self.memory.runs > 0 then error(e, 0) end
  self.unmet = self.unmet or e
  return cond
end

--- recipe.confirm
function Run:confirm(question, note, name)
  if self.memory.confirms[question] or self:only_reads() then return true end
  local key = "confirm:" .. question
  if self.mode ~= "apply" then
    self:add { action = "ask", key = key, title = question }
    return true
  end
  if note then log.info("  %s", note) end
  local agreed = self.saved and self.shown[key]
  if not agreed and name then
    log.info("  %s", question)
    agreed = self.yes or require("recipe.agree").typed(self, name, "do it")
  end
  if not agreed and (name or not self:ask(question)) then
    errors.raise { kind = "stopped", message = "stopped: the answer was no" }
  end
  self.journal:write { ev = "confirm", question = question }
  return true
end

--- recipe.report
function Run:report(title, rows, o)
  if self.mode ~= "apply" and self.mode ~= "plan" or self:only_reads() then return end
  local kept = json.array {}
  for i, row in ipairs(rows) do
    local cells = json.array {}
    if type(row) ~= "table" then row = { row } end
    for j = 1, row.n or #row do cells[j] = plain.show(row[j]) end
    kept[i] = cells
  end
  local report = { title = title, rows = kept, head = o and o.head or nil, part = o and o.part, drawing = o and o.drawing }
  self.reports[#self.reports + 1] = report
  if self.mode ~= "apply" then return end
  local rec = { ev = "report" }
  for k, v in pairs(report) do rec[k] = v end
  self.journal:write(rec)
end

return M
