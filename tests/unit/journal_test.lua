local errors = require "errors"
local fs = require "fs"
local journal = require "journal"
local secret = require "secret"
local task = require "task"
local test = require "test"
local T = test.cases()

local function open(dir, write) return journal.open { name = "r.t", dir = dir, write = write } end

T["records are on disk when write returns, and mean the same when read again"] = function()
  local dir = test.tmpdir() .. "/.hkrun"
  local j <close> = open(dir, true)
  j:write { ev = "intent", key = "k:a", kind = "k", gen = 1, spec = { name = "a" } }
  test.equal(open(dir).memory.nouns["k:a"].state, "intent")
  j:write { ev = "created", key = "k:a", id = "id-1" }
  test.equal(open(dir).memory.nouns["k:a"].id, "id-1")
  test.equal(j.memory.nouns["k:a"].id, "id-1")
end

T["tasks side by side share a sync: each finds its record on disk when write returns"] = function()
  local dir = test.tmpdir() .. "/.hkrun"
  local j <close> = open(dir, true)
  local list, missing = {}, 0
  for i = 1, 200 do list[i] = i end
  task.map(list, function(i)
    j:write { ev = "intent", key = "k:" .. i, kind = "k", gen = 1, spec = { name = "n" } }
    if i % 40 == 0 and not open(dir).memory.nouns["k:" .. i] then missing = missing + 1 end
  end)
  test.equal({ missing, #j:records() }, { 0, 200 })
end

T["a cancel while a record is written is told once it is on disk"] = function()
  local dir = test.tmpdir() .. "/.hkrun"
  local j <close> = open(dir, true)
  local writer = task.spawn(function() j:write { ev = "stage", name = "s" } task.sleep(60) end)
  task.sleep(0)
  writer:cancel()
  test.raises("cancelled", writer.join, writer)
  test.equal(open(dir).memory.stage, "s")
end

T["who listens hears each record once it is on disk; the other targets' records are at hand, damaged ones are not in the way"] = function()
  local dir, heard = test.tmpdir() .. "/.hkrun", {}
  test.defer(function() journal.on_write = nil end)
  function journal.on_write(rec, of) heard[#heard + 1] = { rec.name, of.name, of:records()[#heard + 1].name } end
  for _, name in ipairs { "r.t", "r.other", "rest.t" } do
    local j <close> = journal.open { name = name, dir = dir, write = true }
    if name == "r.other" then heard = {} end
    if name == "rest.t" then journal.on_write = nil end
    j:write { ev = "stage", name = "of " .. name }
  end
  test.equal(heard, { { "of r.other", "r.other", "of r.other" } })
  fs.write(dir .. "/r.broken.journal", "{}\nnot JSON\n{}\n")
  local others = open(dir):others()
  test.equal({ #others, others[1].name }, { 1, "of r.other" })
end

T["only the owner can look into it"] = function()
  local dir = test.tmpdir() .. "/.hkrun"
  local j <close> = open(dir, true)
  j:write { ev = "stage", name = "s" }
  test.equal({ fs.stat(dir).mode, fs.stat(dir .. "/r.t.journal").mode, fs.stat(dir .. "/r.t.lock").mode }, { 448, 384, 384 })
end

T["a torn last line is cut off, wherever it was torn"] = function()
  local dir = test.tmpdir()
  do
    local j <close> = open(dir, true)
    j:write { ev = "stage", name = "one" }
    j:write { ev = "stage", name = "two" }
  end
  local bytes = fs.read(dir .. "/r.t.journal")
  local first = bytes:find "\n"
  for cut = first, #bytes - 1, 7 do
    fs.write(dir .. "/r.t.journal", bytes:sub(1, cut))
    test.equal(open(dir).memory.stage, "one")
    local j <close> = open(dir, true)
    j:write { ev = "stage", name = "three" }
    test.equal(fs.read(dir .. "/r.t.journal"):sub(1, first), bytes:sub(1, first))
    test.equal(#open(dir):records(), 2)
  end
end

T["a last line of zeros, as a crashed disk leaves it, is cut off"] = function()
  local dir = test.tmpdir()
  do
    local j <close> = open(dir, true)
    j:write { ev = "stage", name = "one" }
  end
  fs.append(dir .. "/r.t.journal", ("\0"):rep(40) .. "\n")
  local j <close> = open(dir, true)
  j:write { ev = "stage", name = "two" }
  test.equal(open(dir).memory.stage, "two")
end

T["damage in the middle is an error that says what to do"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/r.t.journal", '{"ev":"stage","name":"a"}\n{broken\n{"ev":"stage","name":"b"}\n{"ev":"stage","name":"c"}\n')
  test.raises("line 2 is not JSON; move the file away", open, dir)
end

T["a second writer is refused and told who and since when"] = function()
  local dir = test.tmpdir()
  local j <close> = open(dir, true)
  local e = test.raises("another run has it: process %d+ of %S+ on %S+, since %d+", open, dir, true)
  test.truthy(errors.is(e, "locked"))
  test.equal(open(dir).memory.runs, 0, "readers are welcome")
  j:close()
  local again <close> = open(dir, true)
  test.equal(again.dead, nil)
end

T["a holder that died is recognised and does not block"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/r.t.lock", '{"pid":1,"user":"x","host":"y","since":"2026-01-01T00:00:00Z"}\n')
  local j <close> = open(dir, true)
  test.equal(j.dead.pid, 1)
end

T["a secret never gets in"] = function()
  local dir = test.tmpdir()
  local j <close> = open(dir, true)
  test.raises("a secret must not be kept", j.write, j, { ev = "once", name = "x", result = { secret.new "geheim" } })
  test.truthy(not fs.exists(dir .. "/r.t.journal"))
end

T["a journal open for reading refuses to write, a closed one too"] = function()
  local dir = test.tmpdir()
  local j = open(dir)
  test.raises("open for reading only", j.write, j, { ev = "stage", name = "x" })
  local w = open(dir, true)
  w:close()
  w:close()
  test.raises("open for reading only", w.write, w, { ev = "stage", name = "x" })
end

T["names with odd characters make distinct, plain file names"] = function()
  test.equal(journal.name("r", "a/b"), "r.a%2Fb")
  test.equal(journal.name("r", "a.b"), "r.a%2Eb")
  test.equal(journal.name "r", "r")
end

T["what the system refuses is an error with the path's reason"] = function()
  local host = require "host.journal"
  local h, err = host.open "/nowhere/at/all"
  test.equal({ h, err.kind }, { nil, "io" })
  local f = host.open(test.tmpdir() .. "/x")
  f:close()
  f:close()
  test.raises("the file is closed", f.append, f, "x")
end

return T
