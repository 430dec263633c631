--- PostgreSQL by AWS DMS instead of hkrun's own copy. DMS carries rows and, where the source allows it, changes; the rest is
--- done here: the schema before, without what slows or breaks a load, and after it indexes, keys, foreign keys, triggers,
--- sequences, views, large objects, and the tables that DMS would damage. What comes out is compared as a copy is.
---
--- full-load           all of it within the freeze
--- full-load-and-cdc   rows, indexes and keys before the freeze, while customers write; then changes are streamed. In the
---                     freeze the stream is drained to a marker that must arrive, and the rest is done.
local aws = require "aws"
local carry = require "heroku_to_aws.dms_carry"
local errors = require "errors"
local held = require "heroku_to_aws.held"
local log = require "log"
local marker = require "heroku_to_aws.dms_marker"
local pg = require "pg"
local recipe = require "recipe"
local scope = require "heroku_to_aws.dms_scope"
local stores = require "heroku_to_aws.stores"
local task = require "task"

local M = {}

local CLEAN = "clean up DMS"
local MOVED = "the app has moved"      -- until then its parts are needed

local SLOTS = "see which replication slots the source has"

local function freeze_of(app) return "freeze " .. app.name end

--- Shows an assessment, with what helps against each check that did not pass; raises if one failed, with a sentence for each.
local function judge(result, o)
  local bad, failed = {}, {}
  for _, c in ipairs(result) do
    if c.status ~= "passed" and c.status ~= "skipped" then bad[#bad + 1] = c end
  end
  local remedies = scope.remedies(bad, o)
  for _, c in ipairs(bad) do
    c.remedy = remedies[c.name] or "see " .. result.report
    local is_failure = c.status == "failed" or c.status == "error"
    if is_failure and not scope.expected[c.name] then failed[#failed + 1] = ("%s (%s): %s"):format(c.name, c.status, c.remedy)
    else log.info("    %s: %s; %s", c.name, c.status, scope.expected[c.name] or c.remedy) end
  end
  if #failed == 0 then return end
  errors.raise {
    kind = "invalid", code = "assessment", op = "let DMS carry the rows",
    message = ("%d of %d checks of its assessment failed; nothing has been loaded, and Heroku goes on as before:\n    %s"):format(#failed,
      #result, table.concat(failed, "\n    ")),
    hint = ("\n  put it right and apply again, which assesses again; the whole report is in %s; --data copy does without DMS"):format(result.report),
  }
end

local function told(result)
  local rows = { { "check of DMS", "result", "what to do" } }
  for _, c in ipairs(result.checks) do rows[#rows + 1] = { c.name, c.status, c.remedy or "" } end
  recipe.report(("DMS's assessment (%d checks, %s)"):format(result.all, result.report), rows, { head = true })
end

---@class DmsSide what stands between the stage "data" and the cutover
local Side = {}
Side.__index = Side

--- The stage "data": everything of DMS that can be done before anybody is stopped. Nil where hkrun itself copies, or when
--- the app has moved.
---@param o { app: HerokuApp, facts: table, plan: table, new: table, bastion: table?, network: table, group: table, account: string, opt: table,
---  has_run: fun(): boolean }
---@return DmsSide?
function M.prepare(o)
  local app, facts, opt = o.app, o.facts, o.opt
  local found = opt.data == "dms" and facts.postgres and facts.postgres.dms
  if not found or facts.moved or recipe.begun(freeze_of(app) .. "/" .. CLEAN) then return nil end
  local side = setmetatable({ app = app, facts = facts, opt = opt, at = stores.new(o), strategy = opt.dms_strategy, tables = found.tables },
    Side)
  local streams = side.strategy == "full-load-and-cdc"
  -- What an attempt left that was called off before the app ran on AWS is a copy, and may go.
  held.check(o, side.at)
  local again = held.again()
  side.reset = opt.overwrite or held.is_our_postgres(side.at) and not o.has_run()
  side.lob = recipe.once("measure the largest values that DMS is to carry" .. again, function()
    return scope.lob_kilobytes(side.at:old_postgres(), side.tables)
  end)
  side.dms = aws.dms_migration {
    o.plan.name, network = o.network, groups = { o.group.id }, source = app.postgres.url, target = o.new.db,
    target_roots = stores.rds_roots(), strategy = side.strategy, tables = side.tables, lob_kilobytes = side.lob,
    bucket = ("hkrun-%s-dms-%s-%s"):format(o.plan.name, o.account, aws.dms.region), tags = recipe.until_tags(MOVED),
  }
  recipe.once("test the connections of DMS" .. again, function() side.dms:test() end)
  local attempt = side:attempt()
  if streams then
    recipe.once(SLOTS .. again, function() return { slots = carry.slots(side.at:old_postgres()) } end)
    if not side.finishing then marker { app.name, tags = recipe.until_tags(MOVED) } end
  end
  recipe.once("make the tables for DMS" .. attempt, function() side:make_tables() end)
  local assessed = recipe.once("let DMS assess the task" .. again, function()
    local result = side.dms:assess()
    judge(result, { from = side.at:old_postgres(), to = side.at:new_postgres(), mover = side.strategy })
    local shown = {}
    for _, c in ipairs(result) do
      if c.status ~= "passed" then shown[#shown + 1] = { name = c.name, status = c.status, remedy = scope.expected[c.name] or c.remedy } end
    end
    return { all = #result, checks = shown, report = result.report }
  end)
  if not recipe.is_unknown(assessed) and #assessed.checks > 0 then told(assessed) end
  if streams then side:stream(attempt) end
  return side
end

--- Which attempt this is, as the end of a name: what was finished in a freeze that was undone is stale, for customers have
--- written since.
function Side:attempt()
  local frozen, n = recipe.remembered(freeze_of(self.app)), 1
  while true do
    local begun, result = recipe.begun(("finish what DMS carried (%d)"):format(n))
    self.finishing = begun and frozen and result and result.freeze == frozen.at
    if not begun or self.finishing then break end
    n = n + 1
  end
  self.n, self.frozen = n, frozen ~= nil
  return n > 1 and (" (%d)"):format(n) or ""
end

--- The same call of pg.copy at each step; it knows in the target how far it is.
function Side:copy(stop_after, more)
  local filled = {}
  for i, t in ipairs(self.tables) do filled[i] = t.schema .. "." .. t.name end
  local o = { from = self.at:old_postgres(), to = self.at:new_postgres(), jobs = self.opt.jobs, exclude_data = filled, stop_after = stop_after }
  for k, v in pairs(more or {}) do o[k] = v end
  return pg.copy(o)
end

function Side:make_tables()
  self:copy("tables", { restart = true, reset = self.reset })
  carry.open_identities(self.at:new_postgres(), self.tables)
end

--- Rows, indexes and keys before the freeze, then changes as they come.
function Side:stream(attempt)
  recipe.once("start the load of DMS" .. attempt, function() self.dms:start "load" end)
  local loaded = recipe.once("let DMS load the rows" .. attempt, function(progress) return scope.loaded(self.dms:load(progress)) end)
  recipe.once("build indexes and keys" .. attempt, function() self:copy "keys" end)
  recipe.once("start streaming changes" .. attempt, function() self.dms:start "resume" end)
  if not recipe.planning() and not self.frozen then self.dms:stream() end
  self.at:close()                                            -- a stream may go on for days before the freeze
  self.loaded = loaded
end

--- Within the freeze: what is left to do until the target is as the source is. It may be cut off anywhere, and called again.
---@param progress table of the once that it is in
---@return table for the report
function Side:finish(progress)
  local started, at = task.now(), (recipe.remembered(freeze_of(self.app)) or {}).at
  local loaded, drained = self.loaded, nil
  if self.strategy == "full-load" then
    self:make_tables()
    recipe.once(("start the load of DMS in the freeze of %d"):format(at), function() self.dms:start "load" end)
    loaded = scope.loaded(self.dms:load(progress))
  else
    drained = recipe.once(("drain the stream of DMS in the freeze of %d"):format(at), function(p)
      return carry.drain(self.dms, self.at:old_postgres(), self.at:new_postgres(), ("freeze of %d"):format(at), p)
    end)
  end
  recipe.once(("finish what DMS carried (%d)"):format(self.n), function() return { freeze = at } end)
  if not carry.is_complete(self.at:new_postgres()) then
    carry.close_identities(self.at:new_postgres(), self.tables)
    self:copy()
  end
  if self.strategy == "full-load-and-cdc" then carry.unmark(self.at:old_postgres()) end
  return { seconds = task.now() - started, by = "DMS", loaded = loaded, changes = drained and drained.changes }
end

--- Ends the ssh session.
function Side:close() self.at:close() end
Side.__close = Side.close

--- Deletes all that DMS needed, once the app lives on AWS, and shows that the source has no slot of it any more.
---@param o { app: HerokuApp, facts: table, opt: table }
---@return fun(): table for freeze:once
function M.clean_up(o)
  return function()
    local source = o.app.postgres and { url = o.app.postgres.url, sslmode = "require" }
    local gone, _, seen = recipe.retire(MOVED), recipe.begun(SLOTS .. held.again())
    return { deleted = #gone, slots = source and seen and carry.new_slots(source, seen.slots) or 0 }
  end
end

M.CLEAN = CLEAN

return M
