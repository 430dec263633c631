--- Following a run by a journal that is no file: it is asked now and then, and what runs is known from its records alone.
local json = require "json"
local log = require "log"
local test = require "test"
local watch = require "recipe.watch"
local T = test.cases()

--- A journal of which `part(n)` is what the n-th reading finds; it is held until a reading found `ends`.
local function journal(records, o)
  local reads, lines = 0, {}
  for i, rec in ipairs(records) do lines[i] = json.encode(rec) .. "\n" end
  local store = { read = function()
    reads = reads + 1
    return table.concat(lines, "", 1, math.min(#lines, o.first + reads - 1))
  end }
  local last = o.last
  return { memory = { last = last }, store = store, path = "s3://somewhere",
    others = function() return {} end,
    holder = function() return { alive = o.first + reads - 1 < #lines, pid = 7, user = "ann", host = "laptop", since = "2026-11-23T10:00:00Z" } end }
end

local RUN = {
  { ev = "run", command = "apply", recipe = "move", target = "", at = "2026-11-23T10:00:01Z", t = 100 },
  { ev = "stage", name = "one", t = 100 }, { ev = "intent", key = "a.db:d", t = 101 }, { ev = "created", key = "a.db:d", id = "db-1", t = 102 },
  { ev = "once", name = "freeze/copy", guard = "freeze", state = "start", t = 103 },
  { ev = "end", state = "failed", error = "the disk is full", t = 190 },
}

local function watched(records, o)
  local sink, ask, said = log.sink, watch.ask_s3, {}
  test.defer(function() log.sink, watch.ask_s3 = sink, ask end)
  log.sink, watch.ask_s3 = function(_, line) said[#said + 1] = line:gsub("\27%[%d*m", "") end, 0
  local code = watch.run({ journal = journal(records, o) }, {})
  return code, said
end

T["what it did so far, what comes, its verdict and its exit code"] = function()
  local code, said = watched(RUN, { first = 3, last = { at = RUN[1].at } })
  test.equal({ code, said }, { 1, { "one", '  + a.db "d" created (db-1)', "  > copy", "apply failed: the disk is full, after 1 min 30 s" } })
end

T["a run that was killed before, and one that is planned: the new one is followed"] = function()
  local records = { { ev = "run", command = "apply", recipe = "move", target = "", at = "2026-11-23T09:00:00Z", t = 1 },
    { ev = "stage", name = "old", t = 2 } }
  table.move(RUN, 1, #RUN, 3, records)
  records[#records] = { ev = "end", state = "cancelled", t = 101 }
  local code, said = watched(records, { first = 2, last = { at = records[1].at } })
  test.equal({ code, said[1], said[2], said[#said] }, { 130,
    "process 7 of ann on laptop, since 2026-11-23T10:00:00Z has the journal, and has not begun", "one", "apply cancelled, after 1 s" })
end

T["an end that comes with the lock's release is not taken for a death"] = function()
  local code, said = watched({ RUN[1], RUN[2], { ev = "end", state = "done", t = 107 } }, { first = 2, last = { at = RUN[1].at } })
  test.equal({ code, said[#said] }, { 0, "apply done, after 7 s" })
end

return T
