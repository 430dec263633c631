--- Rollback rehearsed from every stage of the migration, after it, and through kills: the app answers on Heroku afterwards, also
--- under its own domain, no row and no job is lost, AWS is as asked. The migration has all that options add: a domain with its
--- certificate, HTTPS and DNS, a release process, a scheduled job, deployments from GitHub. The cases build on each other, in this
--- order, on one cloud.
local crash = dofile "tests/support/crash_lab.lua"
local dns = require "dns"
local fs = require "fs"
local http = require "http"
local judge = dofile "tests/crash/judge.lua"
local labs = dofile "tests/support/rehearsal_lab.lua"
local pg = require "pg"
local redis = require "redis"
local task = require "task"
local test = require "test"
local T = test.cases()

local trial

test.defer_file(function()
  if trial then trial:stop() end
  crash.clean()
end)

local function start()
  if not trial then
    crash.whole "beanstalk"
    trial = crash.start()
    trial.lab.env.HKRUN_GITHUB = "tea/small"
  end
  return trial
end

local function old_database(t) return pg.open { url = t.lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, sslmode = "require" } end

local function stores(t)
  return { old = old_database(t), new = pg.open { url = t:app().env.DATABASE_URL, sslmode = "require" },
    old_redis = redis.open { url = t.lab.said.HKRUN_REHEARSAL_OLD_REDIS_URL, insecure = true } }
end

local DOMAIN = "small.example.com"

--- What the rehearsal's name server says of the app's own name: where it leads, and for how many seconds others keep that.
local function asked(t)
  local found = dns.query(DOMAIN, "CNAME", { server = t.lab.env.HKRUN_DNS_SERVER }).answers[1]
  return { at = found.value:match "%.herokudns%.com%.?$" and "Heroku" or "AWS", ttl = found.ttl }
end

--- Whether AWS starts the scheduled job.
local function is_scheduled(t)
  local on = {}
  for key, store in pairs(t.lab:ask "state") do
    for _, schedule in pairs(key:find "^scheduler/" and store.schedules or {}) do on[#on + 1] = schedule.State == "ENABLED" end
  end
  test.equal(#on, 1, "schedules")
  return on[1]
end

--- The app runs on Heroku as before, and its router lets visitors in, who come by the app's own name, too. That name's TTL is as
--- before after a rollback; a minute while the migration only waits for another try.
local function on_heroku(t, where, ttl)
  test.equal(t:heroku(), { maintenance = false, web = 1, worker = 1, release = 0 }, where)
  local port, name = t.lab.said.HKRUN_REHEARSAL_APP_URL:match ":(%d+)", "127.0.0.1"
  local server = t.lab.env.HKRUN_DNS_SERVER
  if server then
    test.equal(asked(t), { at = "Heroku", ttl = ttl or 3600 }, where)
    name = DOMAIN
  end
  local address = server and dns.resolve(DOMAIN, "A", { server = server })[1] or name
  test.equal(http.get(("http://%s:%s/totals"):format(name, port), { connect_to = ("%s:%s"):format(address, port), timeout = 120 }).status, 200, where)
end

local function run(t, code, words)
  local r = t.lab:hkrun(words, { timeout = 240 })
  test.equal(r.code, code, table.concat(words, " ") .. "\n" .. r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  return r.stdout .. r.stderr
end

local function stages()
  local list = {}
  for name in fs.read(labs.recipe):gmatch '\nstage "([%w_]+)"' do list[#list + 1] = name end
  return list
end

T["rollback from every stage before the freeze: only the TTL to undo, the app on Heroku goes on, what was made stays"] = function()
  local t = start()
  local tried, low = 0, 0
  for _, stage in ipairs(stages()) do
    run(t, 0, { "apply", labs.recipe, "--yes", "--until", stage })
    local lowered = t.lab.env.HKRUN_DNS_SERVER and asked(t).ttl == 60
    test.match(run(t, 0, { "rollback", labs.recipe, "--yes" }), lowered and "Rolled back" or "There is nothing to roll back", stage)
    on_heroku(t, stage)
    tried, low = tried + 1, low + (lowered and 1 or 0)
    if stage == "cutover" then break end
  end
  test.truthy(tried > 6, "stages")
  test.equal(low, t.lab.isolated and 3 or 0, "of them with a TTL that was lowered: alarms, data, cutover")
  test.truthy(#t.lab:ask "left" > 0, "AWS is kept")
end

local SWITCH = "route53 ChangeResourceRecordSets"

T["a cutover killed anywhere, then rolled back: Heroku is thawed and answers, without --yes nothing is touched"] = function()
  local t = start()
  for i, point in ipairs {
    { call = "heroku PATCH /apps/{app}/formation", n = 1, fault = "kill", when = "after" },
    { effect = "sql end of COPY", n = 3, how = "after" },
    { call = "elasticbeanstalk UpdateEnvironment", n = 1, fault = "kill", when = "after" },
    t.lab.isolated and { call = SWITCH, n = 2, fault = "kill", when = "after", arguments = { "--overwrite" } } or nil,  -- the first lowers the TTL
  } do
    local where = crash.name(point)
    test.equal((t:run("apply", point)), 137, where)
    if point.call == SWITCH then test.equal({ asked(t).at, is_scheduled(t) }, { "AWS", true }, where) end
    if i == 1 then
      test.match(run(t, 1, { "rollback", labs.recipe }), "there is no terminal")
      test.equal(t:heroku().maintenance, true, "without --yes")
    end
    local out = run(t, 0, { "rollback", labs.recipe, "--yes" })
    test.match(out, "Rolled back", where)
    test.match(out, "small answers on Heroku", where)
    on_heroku(t, where)
  end
end

--- The recipe, changed: { ["file below recipes/"] = { text, other text } }.
local function edited(t, name, edits)
  local from, dir = labs.recipe:match "^(.*)/", t.lab.dir .. "/" .. name
  t.lab:foreign { "cp", "-R", from, dir, env = { PATH = os.getenv "PATH" } }
  for file, edit in pairs(edits) do
    local path = dir .. "/" .. file
    local text = fs.read(path)
    local at, stop = text:find(edit[1], 1, true)
    test.truthy(at, "the text to change in " .. file)
    fs.write(path, text:sub(1, at - 1) .. edit[2] .. text:sub(stop + 1))
  end
  return dir .. "/heroku_to_aws.lua"
end

local SMOKE = "web:expect(opt.health_path)"

T["a failed smoke test, a budget that is used up: Heroku answers again, and it says what to do"] = function()
  local t = start()
  local recipe = edited(t, "smoke", { ["heroku_to_aws.lua"] = { SMOKE, 'web:expect(opt.health_path, { text = "good" })' },
    ["heroku_to_aws/smoke.lua"] = { "M.SETTLE = 20", "M.SETTLE = 0" } })
  local said = run(t, 1, { "apply", recipe, "--yes", "--overwrite" })
  test.match(said, 'cannot test https?://%S+/health: "good" is not in its answer')
  on_heroku(t, "a failed smoke test", 60)
  test.match(run(t, 1, { "apply", labs.recipe, "--yes", "--overwrite", "--downtime-budget", "5s" }),
    "the budget cannot be kept: predicted downtime 3 min 10 s, budget 5 s; .*Nothing was stopped")
  recipe = edited(t, "late", { ["heroku_to_aws.lua"] = { SMOKE, "task.sleep(600)" },
    ["heroku_to_aws/tables.lua"] = { "M.window = { stop = 40, start = 150,", "M.window = { stop = 0, start = 0," } })
  said = run(t, 1, { "apply", recipe, "--yes", "--overwrite", "--downtime-budget", "6s" })
  test.match(said, "the budget of 6 s is used up; the app goes on running on Heroku, and nothing is lost; apply again tries anew")
  on_heroku(t, "a budget that is used up", 60)
end

T["a token that expires in mid-run, of AWS or of Heroku: it says so, and the next run goes on"] = function()
  local t = start()
  local code, said = t:run("apply", { call = "elasticbeanstalk UpdateEnvironment", n = 1, fault = "expired", arguments = { "--overwrite" } })
  test.equal(code, 1, said)
  test.match(said, "the credentials have expired: sign in again")
  on_heroku(t, "AWS's token", 60)
  local expired = {}
  for n = 1, 2 do expired[n] = { call = "heroku PATCH /apps/{app}/formation", n = n, fault = "expired" } end
  code, said = t:run("apply", { faults = expired, arguments = { "--overwrite" } })
  test.equal({ code, t:struck() }, { 1, 2 }, said)
  test.match(said, "the token is wrong or has expired: run `heroku login` or set HEROKU_API_KEY")
  test.match(said, "run it again, which takes it up where it is, or undo it by hand: .*heroku ps:scale [%w= ]*web=1 worker=1 %-%-app small")
  test.equal(t:heroku().maintenance, true, "it could not be undone")
  test.match(run(t, 0, { "rollback", labs.recipe, "--yes" }), "Rolled back")
  on_heroku(t, "Heroku's token")
end

--- What a customer does on AWS, which Heroku knows nothing of.
local function order(new, n)
  new:query("INSERT INTO orders (customer, total, status) VALUES (1, $1, 'open')", n)
end

local JOBS = 400                         -- more than the worker on Heroku does before the freeze
local RUNS = "SELECT count(*) AS runs, count(DISTINCT job) AS jobs FROM job_runs"

--- Somebody outside of Heroku with the app's credentials: writes a row at a time, and connects again when that fails.
local function outsider(t)
  local seen = { rows = 0, refused = 0, unsure = 0 }         -- unsure: the connection ended before the answer came
  seen.task = task.spawn(function()
    local db
    while not seen.done do
      local ok, e = pcall(function()
        db = db or pg.open({ url = t.lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, sslmode = "require" }, { application_name = "etl" })
        db:exec "INSERT INTO events (at, kind) VALUES (now(), 'outside')"
        seen.rows = seen.rows + 1
      end)
      if not ok then
        local how = e.code == "25006" and "refused" or "unsure"
        seen[how] = seen[how] + 1
        if db then db:close() end
        db = nil
      end
      task.sleep(0.02)
    end
    if db then db:close() end
  end)
  return seen
end

local OUTSIDE = "SELECT count(*) FROM events WHERE kind = 'outside'"

T["rollback after the whole migration, killed on its way four times: what was written on AWS is on Heroku, each job ran once"] = function()
  local t = start()
  judge.seed({ database = t.lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, redis = t.lab.said.HKRUN_REHEARSAL_OLD_REDIS_URL }, JOBS)
  local out = outsider(t)
  local said = run(t, 0, { "apply", labs.recipe, "--yes", "--overwrite", "--live-redis", "yes" })
  test.match(said, "\n  > switch the keyspace notifications of %S+ on\n.*\n  < undo: switch the keyspace notifications of ")
  out.done = true
  out.task:join()
  local at = stores(t)
  test.truthy(out.rows > 0 and out.refused > 0, "somebody outside wrote, and then could not")
  local rows = at.new:value(OUTSIDE)
  test.truthy(rows >= out.rows and rows <= out.rows + out.unsure, ("%d rows of somebody outside, of %d acknowledged"):format(rows, out.rows))
  if t.lab.isolated then test.equal(asked(t), { at = "AWS", ttl = 3600 }) end
  test.match(said, "production +small on each push to main of tea/small")
  order(at.new, 4711)
  task.within(120, "run the jobs that are left on AWS", function()
    while at.new:query(RUNS)[1].jobs < JOBS do task.sleep(0.05) end
  end)
  for _, point in ipairs {
    t.lab.isolated and { call = SWITCH, n = 1, fault = "kill", when = "after" } or { effect = "journal write", n = 5, how = "after" },
    { call = "elasticbeanstalk UpdateEnvironment", n = 1, fault = "kill", when = "after" },
    { effect = "sql end of COPY", n = 3, how = "after" },
    { call = "heroku PATCH /apps/{app}/formation", n = 1, fault = "kill", when = "after" },
  } do
    test.equal((t:run("rollback", point)), 137, crash.name(point))
  end
  test.match(run(t, 0, { "rollback", labs.recipe, "--yes" }), "Rolled back")
  on_heroku(t, "after the rollback")
  test.equal(is_scheduled(t), false, "the job")
  test.equal(at.old:value "SELECT count(*) FROM orders WHERE total = 4711", 1, "the order")
  test.equal(at.old:value "SELECT count(*) FROM orders", 101)
  local db <close> = old_database(t)
  db:exec "INSERT INTO events (at, kind) VALUES (now(), 'outside')"
  test.equal(db:value(OUTSIDE), rows + 1, "the fence is gone")
  test.equal(at.old_redis:command("ZCARD", "bull:mail:completed"), JOBS, "jobs that are done")
  local jobs = at.old:query(RUNS)[1]
  test.equal({ jobs.runs, jobs.jobs }, { JOBS, JOBS }, "jobs that ran, and each of them once")
  test.equal(at.old:value "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()", nil, "no mark is left")
  test.match(run(t, 0, { "rollback", labs.recipe, "--yes" }), "There is nothing to roll back")
  test.truthy(#t.lab:ask "left" > 0, "AWS is kept")
  for _, c in pairs(at) do c:close() end
end

T["another cutover, then before the names move a rollback that leaves the data there: it says what is lost; --destroy leaves nothing"] = function()
  local t = start()
  local said = run(t, 0, { "apply", labs.recipe, "--yes", "--until", "dns" })
  test.match(said, "what the new stores hold is on Heroku, too, since the rollback of %d+%-%d+%-%d+T%S+: it is dropped and copied again")
  local at = stores(t)
  order(at.new, 4712)
  order(at.new, 4712)
  local r = t.lab:hkrun { "rollback", labs.recipe, "--accept-loss" }
  test.equal(r.code, 1, r.stderr)
  test.match(r.stdout, "2 rows were added on AWS; changed: public.orders %(2 rows more%)")
  test.match(r.stdout, "ALL THIS IS LOST")
  test.equal(t:heroku().maintenance, true, "nobody agreed")
  run(t, 0, { "rollback", labs.recipe, "--accept-loss", "--yes" })
  on_heroku(t, "after the rollback")
  test.equal(at.old:value "SELECT count(*) FROM orders WHERE total = 4712", 0)
  local n = #t.lab:ask "calls"
  test.match(run(t, 1, { "apply", labs.recipe, "--yes" }), "cannot go live again: .*public%..*the new Redis holds %d+ keys; it is not known that "
    .. "all of it is on Heroku, too; nothing was stopped; the same command with %-%-overwrite drops it, if nobody needs it")
  local stopped = t:calls(n)
  test.equal({ stopped["heroku PATCH /apps/{app}"], stopped["heroku PATCH /apps/{app}/formation"] }, {}, "nobody was stopped")
  test.equal(at.new:value "SELECT count(*) FROM orders WHERE total = 4712", 2, "nothing was dropped")
  run(t, 0, { "rollback", labs.recipe, "--destroy", "--no-final-snapshot", "--yes" })
  test.equal(t.lab:ask "left", {})
  for _, c in pairs(at) do c:close() end
end

return T
