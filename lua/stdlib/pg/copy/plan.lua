--- What there is to do for the rows, indexes, constraints, statistics and foreign keys of all tables, as jobs for the
--- engine: each with what it waits for, what it locks, and a weight. The heaviest job that may run is taken first, but
--- one worker at least is kept at rows as long as there are any. A job's weight is what it and the longest chain behind it
--- cost, so that nothing large is left for the end.
local pieces = require "pg.copy.pieces"

local M = {}

-- Costs in bytes of COPY: what an index or statistics need, as measured against the rows of a table.
local INDEX, GIN, SAMPLE = 5, 8, 80 * 1024 * 1024
local SMALL = 8 * 1024 * 1024                        -- below, all that follows the rows is one job
local TOGETHER = 64 * 1024 * 1024                    -- from there on, keys are built as indexes, several at once

---@class PgPlan
---@field jobs table[] in the order in which the engine gets them; needs and locks name jobs and tables
local Plan = {}
Plan.__index = Plan

---@param ledger PgLedger
---@param is_analyzing boolean
function M.new(ledger, is_analyzing)
  return setmetatable({ ledger = ledger, analyze = is_analyzing, jobs = {}, complete = {}, sizes = {}, ids = {}, locks = 0,
                        left_out = {}, lost = {} }, Plan)
end

--- A number for what may be locked.
function Plan:lock(name)
  if not self.ids[name] then
    self.locks = self.locks + 1
    self.ids[name] = self.locks
  end
  return self.ids[name]
end

--- Adds a job unless its mark is there; returns it, or nil.
function Plan:add(job)
  if self.ledger.done[job.mark] then return nil end
  job.cost, job.needs = job.cost or 1, job.needs or {}
  self.jobs[#self.jobs + 1] = job
  return job
end

--- A statement that marks itself.
function Plan:statement(job)
  job.target = self.ledger:mark(job.mark, job.object) .. "; " .. job.sql
  return self:add(job)
end

local function rows(self, t, o)
  local format = (o.same_major and t.portable or t.stable) and "binary" or "text"
  local list = t.columns and " (" .. t.columns .. ")" or ""   -- a table may have no columns of its own, and rows
  local jobs, todo, share = {}, pieces.of(t, o, self.ledger:rows_of(t)), 0
  for _, p in ipairs(todo) do share = share + p.share end
  for _, p in ipairs(todo) do
    local condition = pieces.condition(t, p.by, p.from, p.to)
    if t.where then condition = (condition and condition .. " AND " or "") .. "(" .. t.where .. ")" end
    local source, target
    if condition then
      source = ("COPY (SELECT %s FROM ONLY %s WHERE %s) TO STDOUT (FORMAT %s)"):format(t.columns or "", t.name, condition, format)
    else
      source = ("COPY %s%s TO STDOUT (FORMAT %s)"):format(t.name, list, format)
    end
    if p.by then target = ("COPY %s%s FROM STDIN (FORMAT %s)"):format(t.name, list, format)
    else target = ("TRUNCATE ONLY %s; COPY %s%s FROM STDIN (FORMAT %s, FREEZE)"):format(t.name, t.name, list, format) end
    jobs[#jobs + 1] = self:add { mark = p.name, object = t.name, what = "table " .. t.plain, table = t, source = source,
      target = self.ledger:mark(p.name, t.name, p) .. "; " .. target, after = self.ledger:count(p.name),
      cost = t.bytes * share / #todo, is_rows = true }
  end
  return jobs
end

--- A key as an index that is built beside others, and then becomes the key.
local function key_apart(self, entry, t, index, needs)
  local kind = index.constraint == "p" and "PRIMARY KEY" or "UNIQUE"
  local rest = entry.sql:match "^[^;]*;(.*)$" or ""
  local built = self:statement { mark = "index of " .. entry.mark, object = t.name, what = "index " .. entry.name,
    sql = index.definition, needs = needs, locks = { -self:lock(t.name) }, builds = true, cost = index.bytes * INDEX }
  return self:statement { mark = entry.mark, object = t.name, what = "constraint " .. entry.name, needs = { built or needs[1] },
    sql = ("ALTER TABLE ONLY %s ADD CONSTRAINT %s %s USING INDEX %s%s;%s"):format(t.name, entry.quoted, kind, entry.quoted,
      index.deferrable and (index.deferred and " DEFERRABLE INITIALLY DEFERRED" or " DEFERRABLE") or "", rest),
    locks = { self:lock(t.name) } }
end

local function analyze(self, t, needs)
  if not self.analyze then return nil end
  return self:statement { mark = "analyze " .. t.name, object = t.name, what = "analyze " .. t.plain, sql = "ANALYZE " .. t.name, needs = needs,
    locks = { self:lock(t.name) }, cost = math.min(t.bytes / 4, SAMPLE) }
end

--- Everything that one table needs after its rows; returns the jobs after which it is complete.
local function follow(self, t, data, entries, indexes)
  if t.bytes < SMALL then
    local sql = {}
    for i, entry in ipairs(entries) do sql[i] = entry.sql:gsub(";$", "") end
    if self.analyze then sql[#sql + 1] = "ANALYZE " .. t.name end
    if #sql == 0 then return {} end
    return { self:statement { mark = "after " .. t.name, object = t.name, what = "indexes of " .. t.plain, needs = data,
      sql = table.concat(sql, ";\n"), locks = { self:lock(t.name) }, cost = t.bytes * 2 } }
  end
  local all, first = {}, nil
  if not t.expressions then first = analyze(self, t, data) end
  all[1] = first
  for _, entry in ipairs(entries) do
    local index = indexes[t.name .. " " .. (entry.quoted or "")]
    local alone = entry.type == "CONSTRAINT" or entry.sql:find "ALTER TABLE"
    local job
    if index and (index.constraint == "p" or index.constraint == "u") and t.bytes >= TOGETHER then
      job = key_apart(self, entry, t, index, data)
    else
      job = self:statement { mark = entry.mark, object = t.name, what = entry.type:lower() .. " " .. entry.name, sql = entry.sql, needs = data,
        locks = { alone and self:lock(t.name) or -self:lock(t.name) }, builds = true,
        cost = index and index.bytes * (index.method == "gin" and GIN or INDEX) or t.bytes / 4 }
    end
    all[#all + 1] = job
  end
  if first then                                      -- alone on its table: the others wait for it, not it for them
    for _, job in ipairs(all) do if job ~= first then first.ahead = (first.ahead or 0) + job.cost end end
  end
  if t.expressions then all[#all + 1] = analyze(self, t, #all > 0 and { table.unpack(all) } or data) end
  return all
end

--- Rows, and each table's indexes, constraints and statistics.
---@param tables table[]
---@param post DumpEntry[]
---@param indexes table<string, table> by "table name"
function Plan:tables(tables, post, indexes, o)
  local entries = {}
  for _, t in ipairs(tables) do entries[t.name] = {} end
  for _, entry in ipairs(post) do
    local list = entries[entry.table or ""]
    if list and (entry.type == "INDEX" or entry.type == "CONSTRAINT") then list[#list + 1] = entry end
  end
  for _, t in ipairs(tables) do
    if t.lost then
      self.lost[t.name] = true
      for _, entry in ipairs(entries[t.name]) do entry.done = true end
    elseif t.kind == "r" then
      self.sizes[t.name] = t.bytes
      t.is_bare = #entries[t.name] == 0 and not self.analyze
      local data = not t.skip_data and not t.masked and rows(self, t, o) or {}
      for _, entry in ipairs(entries[t.name]) do entry.done = true end
      self.complete[t.name] = follow(self, t, data, entries[t.name], indexes)
      table.move(data, 1, #data, #self.complete[t.name] + 1, self.complete[t.name])
    end
  end
end

--- Statistics of partitioned tables, once all rows are in.
function Plan:partitioned(tables)
  local needs = {}
  for _, job in ipairs(self.jobs) do if job.is_rows then needs[#needs + 1] = job end end
  for _, t in ipairs(tables) do if t.kind == "p" then analyze(self, t, needs) end end
end

--- Foreign keys of plain tables, when both are complete; never two at once that lock the same table.
function Plan:foreign_keys(post, is_excluded)
  for _, entry in ipairs(post) do
    if entry.type == "FK CONSTRAINT" and not entry.done then
      local a, b = self.complete[entry.table], self.complete[entry.references]
      if is_excluded[entry.references] then
        entry.done = true
        self.left_out["CONSTRAINT " .. entry.name:gsub("^(.*) (%S+)$", "%2 ON %1")] = true
      elseif self.lost[entry.table] or self.lost[entry.references] then entry.done = true
      elseif a and b or self.all_complete then
        entry.done = true
        local needs, locks = {}, { self:lock(entry.table) }
        if a and b then
          table.move(a, 1, #a, 1, needs)
          if b ~= a then table.move(b, 1, #b, #needs + 1, needs) end
        end
        if entry.references ~= entry.table then locks[2] = self:lock(entry.references) end
        self:statement { mark = entry.mark, object = entry.table, what = "foreign key " .. entry.name, sql = entry.sql, needs = needs,
          locks = locks, cost = (self.sizes[entry.table] or 0) / 4 }
      end
    end
  end
  for _, entry in ipairs(post) do
    if entry.type == "COMMENT" and self.left_out[entry.name] then entry.done = true end
  end
end

--- One statement after all others of its kind, as the views are filled: each may read the ones before.
function Plan:chain(entries)
  local last
  for _, entry in ipairs(entries) do
    entry.done = true
    local what = entry.type:lower() .. " " .. entry.name
    last = self:statement { mark = entry.mark, what = what, sql = entry.sql, needs = last and { last } or {} } or last
  end
end

--- Weights, and the jobs to the engine.
function Plan:give(engine)
  local behind = {}
  for i = #self.jobs, 1, -1 do
    local job = self.jobs[i]
    job.weight = job.cost + (behind[job] or 0) + (job.ahead or 0)
    for _, other in ipairs(job.needs) do behind[other] = math.max(behind[other] or 0, job.weight) end
  end
  for _, job in ipairs(self.jobs) do
    local needs = {}
    for i, other in ipairs(job.needs) do needs[i] = other.index end
    job.index = engine:add { source = job.source, target = job.target, after = job.after, needs = needs, locks = job.locks, weight = job.weight,
                             builds = job.builds }
  end
end

return M
