--- The migration with AWS DMS, both its ways, on the smallest app: killed on the way, and compared with a migration by
--- hkrun's own copy that nothing disturbed.
local cloud_state = dofile "tests/support/cloud_state.lua"
local crash = dofile "tests/support/crash_lab.lua"
local pg = require "pg"
local task = require "task"
local test = require "test"
local T = test.cases()

test.defer_file(crash.clean)

local calm                              -- how a migration by hkrun's own copy ends

local function value(url, sql)
  local db <close> = pg.open { url = url, sslmode = "require" }
  return db:value(sql)
end

--- What AWS itself keeps of DMS: the reports of assessments, events, log lines, and that an address was used.
local function is_history(line)
  for _, what in ipairs { "/dms/[^/]+/runs/", "/dms/[^/]+/events/", "dms%-tasks%-", "/next_address = " } do
    if line:find(what) then return true end
  end
  return false
end

--- What differs from a migration by hkrun's own copy.
local function differences(trial)
  trial:search()
  for _, line in ipairs(cloud_state.differences(trial:outcome(), calm.outcome)) do
    if not is_history(line) then trial:problem("%s", line:sub(1, 150)) end
  end
  return trial.problems
end

--- What of DMS is left in the account.
local function of_dms(trial)
  local list = {}
  for _, line in ipairs(cloud_state.lines(trial.lab:ask "state")) do
    if (line:find "^/dms/" or line:find "dms%-vpc%-role") and not is_history(line) then list[#list + 1] = line:sub(1, 150) end
  end
  return list
end

T["full-load: killed at four moments, then applied: as by hkrun's own copy, and nothing of DMS is left"] = function()
  local lab
  calm, lab = crash.calm()
  local trial <close> = crash.start(lab)
  trial.lab.env.HKRUN_DATA = "dms"
  trial.lab.env.HKRUN_DMS_STRATEGY = "full-load-and-cdc"
  local code, said = trial:run("apply", { arguments = { "--until", "data" } })
  test.equal(code, 2, said:sub(-800))
  test.match(said, "wal_level is replica, and change data capture needs logical")
  test.match(said, "the role %S+ may not replicate")
  test.match(said, "%-%-dms%-strategy full%-load, where DMS copies while Heroku is frozen; or %-%-data copy, hkrun's own copy in the freeze, "
    .. "which takes about %d")
  trial.lab.env.HKRUN_DMS_STRATEGY = nil
  for _, point in ipairs {
    { call = "dms CreateReplicationInstance", n = 1, fault = "kill", when = "after" },
    { call = "dms StartReplicationTaskAssessmentRun", n = 1, fault = "kill", when = "after" },
    { call = "dms StartReplicationTask", n = 1, fault = "kill", when = "after" },
    { call = "dms DeleteReplicationTask", n = 1, fault = "kill", when = "after" },
  } do
    code, said = trial:run("apply", point)
    test.equal(code, 137, crash.name(point) .. "\n" .. said:sub(-1500))
  end
  code, said = trial:run "apply"
  test.equal(code, 0, said:sub(-1500))
  test.equal({ differences(trial), of_dms(trial) }, { {}, {} })
  code, said = trial:run "apply"
  test.match(said, "no changes\n$")
  test.equal(code, 0)
end

local FORGOTTEN = "INSERT INTO customers (email) VALUES ('forgotten@example.com')"

--- A transaction that somebody prepared and forgot fails DMS's assessment: it says which and what ends it, nothing was
--- loaded and nobody stopped. Once it is ended, the same command can go on.
local function refused_first(trial, old)
  local db <close> = pg.open { url = old, sslmode = "require" }
  db:exec("BEGIN; " .. FORGOTTEN .. "; PREPARE TRANSACTION 'nightly-17'")
  local code, said = trial:run("apply", { arguments = { "--until", "cutover" } })
  test.equal(code, 1, said:sub(-1500))
  local last = said:sub(-1200)
  test.match(last, "1 of %d+ checks of its assessment failed; nothing has been loaded, and Heroku goes on as before:\n"
    .. "    postgres%-check%-preparedtxn %(failed%): [^\n]*nightly%-17[^\n]*ROLLBACK PREPARED 'nightly%-17';[^\n]*\n  put it right and apply again")
  test.equal(trial:heroku(), { maintenance = false, web = 1, worker = 1 })
  local calls = trial:calls()
  test.equal({ calls["dms StartReplicationTaskAssessmentRun"], calls["dms StartReplicationTask"] }, { 1, nil })
  db:exec "ROLLBACK PREPARED 'nightly-17'"
end

T["full-load-and-cdc: what is written while it streams arrives, also after a kill in the drain; no slot is left"] = function()
  test.truthy(calm, "a migration by hkrun's own copy")
  local trial <close> = crash.start(nil, true)
  local old = trial.lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL
  trial.lab.env.HKRUN_DATA, trial.lab.env.HKRUN_DMS_STRATEGY = "dms", "full-load-and-cdc"
  refused_first(trial, old)
  local written, stop = 0, false
  local done = task.all {
    run = function()
      local code, said = trial:run("apply", { arguments = { "--until", "cutover" } })
      stop = true
      return { code, said }
    end,
    write = function()
      while not stop do
        value(old, ("INSERT INTO customers (email, tags) VALUES ('during.%d@example.com', '{a}') RETURNING 1"):format(written))
        written = written + 1
        task.sleep(0.05)
      end
      return true
    end,
  }
  test.equal(done.run[1], 0, done.run[2]:sub(-1500))
  local modes = {}
  for _, e in pairs(trial.lab:ask "state"["dms/us-east-1"].endpoints) do modes[e.EndpointIdentifier] = e.SslMode end
  test.equal(modes, { ["small-dms-source"] = "require", ["small-dms-target"] = "verify-full" })
  local db <close> = pg.open { url = old, sslmode = "require" }
  test.equal(db:value "SELECT count(*) FROM pg_replication_slots WHERE plugin = 'test_decoding'", 1)
  for n = 1, 30 do db:query("INSERT INTO customers (email) VALUES ($1)", ("streamed.%d@example.com"):format(n)) end
  db:exec [[UPDATE orders SET detail = '{"streamed": true}' WHERE id <= 10; DELETE FROM events WHERE id <= 5]]
  db:close()
  local code, said = trial:run("apply", { call = "dms StopReplicationTask", n = 1, fault = "kill", when = "after" })
  test.equal(code, 137, said:sub(-1500))
  code, said = trial:run "apply"
  test.equal(code, 0, said:sub(-1500))
  local app = trial.lab:ask "apps"[1]
  test.equal(trial:judge(app), {})
  local new = app.env.DATABASE_URL
  test.truthy(written > 0, "rows were written while it loaded")
  test.equal(value(old, "SELECT count(*) FROM customers"), 20 + written + 30)
  test.truthy(new, "a new database")
  local inserts, updates, deletes = said:match "then streamed: (%d+) inserts, (%d+) updates, (%d+) deletes"
  test.truthy(tonumber(inserts) >= 30 and tonumber(updates) >= 10 and tonumber(deletes) >= 5, tostring(inserts) .. " inserts")
  test.equal(value(old, "SELECT count(*) FROM pg_replication_slots"), 0)
  test.equal(value(old, "SELECT to_regnamespace('hkrun_dms')::text"), nil)
  test.equal(of_dms(trial), {})
end

return T
