--- One migration on a rehearsal cloud of its own, in which one thing goes wrong; then it is simply applied again, and
--- compared with one that nothing disturbed. tests/recipes/crash_test.lua tries a sample, tests/crash/all.lua everything.
---
--- A point is where it goes wrong:
---   { call = "ec2 CreateVpc", n = 1, fault = "kill", when = "after" }      at the cloud: see rehearsal.exact_faults
---   { effect = "sql COMMENT ON", n = 2, how = "after" }                    on a database, a Redis, a file: see crash/effects.c
---   { at = function() return boolean end }                                 as soon as it is so: looked at all the time
--- `during = "destroy"`: while all is deleted.
---
--- `M.whole` adds what takes longer: a name of its own, a release process, a scheduled job; and can make Fargate the target.
local cloud_state = dofile "tests/support/cloud_state.lua"
local fs = require "fs"
local http = require "http"
local json = require "json"
local labs = dofile "tests/support/rehearsal_lab.lua"
local marks = dofile "tests/support/marks.lua"
local process = require "process"
local task = require "task"
local judge = dofile "tests/crash/judge.lua"

local M = {}

local EFFECTS = fs.realpath "." .. "/build/effects.so"
local EXE = fs.realpath "/proc/self/exe"
local KILLED = 137
local TOO_LONG = 240                    -- seconds

---@class Trial a cloud with the sample app, and what was found wrong
local Trial = {}
Trial.__index = Trial

local APP = "small"                      -- tests/crash/app
local JOBS = 40

local app_dir
local target                             -- of M.whole

--- All trials from now on are of a migration with all stages.
---@param name "beanstalk"|"fargate" where the app goes
function M.whole(name) target = name end

--- The release process: says in a file that it began and that it succeeded; goes on once nobody holds it.
local RELEASE = [[
cd "$1"
echo begun >> log
while [ -e hold ]; do sleep 0.02; done
echo "released with ${#DATABASE_URL}"
[ ! -e broken ] && echo succeeded >> log
]]

--- What M.whole adds to the app, and the recipe's target.
local function add_stages(dir)
  fs.append(dir .. "/app/rehearsal.yml", "domains: [small.example.com]\n")
  fs.write(dir .. "/app/release.sh", RELEASE, 420)
  fs.append(dir .. "/app/Procfile", ("release: sh release.sh %s/release\n"):format(dir))
  fs.mkdir_p(dir .. "/release", 511)
  fs.chmod(dir .. "/release", 511)      -- written to by the app's processes
  fs.write(dir .. "/jobs.yml", '- command: echo "a job with ${#SESSION_SECRET}"\n  frequency: daily at 03:30 UTC\n', 420)
  if target == "fargate" then
    local recipe = dir .. "/recipes/heroku_to_aws.lua"
    fs.write(recipe, (fs.read(recipe):gsub('require "heroku_to_aws%.deploy"', 'require "heroku_to_aws.fargate"')))
  end
end

--- A folder with the app, the program that runs it, and the recipe, the same for all clouds.
local function app()
  if app_dir then return app_dir end
  app_dir = fs.tmpdir "hkrun-small-"
  fs.chmod(app_dir, 493)                -- the app's processes are another user's
  for name, from in pairs { app = "tests/crash/app", hkrun = EXE, recipes = labs.recipe:match "^(.*)/" } do
    local r = process.run { "cp", "-R", from, app_dir .. "/" .. name, env = { PATH = os.getenv "PATH" } }
    if r.code ~= 0 then error(r.stderr, 0) end
  end
  fs.append(app_dir .. "/app/rehearsal.yml", ("  PROGRAM: %s/hkrun\n"):format(app_dir))
  if target then add_stages(app_dir) end
  return app_dir
end

--- Where the release processes of M.whole write `log`, and look for the files `hold` and `broken`. One for all clouds.
---@return string folder
function M.release() return app() .. "/release" end

--- Removes that folder.
function M.clean()
  if app_dir then fs.rmtree(app_dir) end
  app_dir = nil
end

--- A cloud whose time flies, with the app on its Heroku.
local function start_lab(may_replicate)
  return labs.start { app = app() .. "/app", scale = 20000, by_hand = true, may_replicate = may_replicate,
    options = { HKRUN_APP = APP, HKRUN_HEALTH_PATH = "/health", HKRUN_SCHEDULER_JOBS = target and app() .. "/jobs.yml" or nil,
                HKRUN_IMAGE = target == "fargate" and "registry.example.com/small:1" or nil } }
end

local function heroku(lab, method, path, body)
  local answer = http.request { method = method, url = lab.env.HEROKU_HOST .. "/apps/" .. APP .. path, json = body, timeout = 60,
    headers = { Accept = "application/vnd.heroku+json; version=3", Authorization = "Bearer " .. lab.env.HEROKU_API_KEY } }
  if not answer:ok() then error(("Heroku answered %d to %s %s"):format(answer.status, method, path), 2) end
  return answer:json()
end

local function old_stores(lab)
  return { database = lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, redis = lab.said.HKRUN_REHEARSAL_OLD_REDIS_URL }
end

--- Everything as it was before the first trial: an empty account, the app at work on Heroku with all its jobs to do.
local function renew(lab)
  local dns = lab:ask "fresh".dns
  if target and lab.isolated then lab.env.HKRUN_DOMAIN, lab.env.HKRUN_DNS_SERVER = "all", dns end      -- else load balancers have no port 443
  for _, name in ipairs { "work", "tmp" } do
    fs.rmtree(lab.dir .. "/" .. name)
    fs.mkdir_p(lab.dir .. "/" .. name, 448)
  end
  judge.open(old_stores(lab))
  judge.seed(old_stores(lab), JOBS)
  heroku(lab, "PATCH", "", { maintenance = false })
  heroku(lab, "PATCH", "/formation", { updates = { { type = "web", quantity = 1 }, { type = "worker", quantity = 1 } } })
end

--- A trial on a cloud of its own, or on that of a trial that has ended well.
---@param lab? RehearsalLab of trial:finish()
---@param may_replicate? boolean the app's role on the emulated Heroku may stream changes
---@return Trial
function M.start(lab, may_replicate)
  lab = lab or start_lab(may_replicate)
  local trial = setmetatable({ lab = lab, problems = {}, n = 0, pid_file = lab.dir .. "/pid" }, Trial)
  local ok, e = pcall(renew, lab)
  if not ok then
    trial:stop()
    error(e, 0)
  end
  trial.first = #lab:ask "calls"        -- those were ours
  return trial
end

--- The cloud, for another trial: if this one left nothing there that should not be.
---@return RehearsalLab?
function Trial:finish()
  if #self.problems > 0 or #self.lab:ask "left" > 0 then return nil end
  local lab = self.lab
  self.lab = nil
  return lab
end

function Trial:stop()
  if self.lab then self.lab:stop() end
  self.lab = nil
end
Trial.__close = Trial.stop

function Trial:problem(fmt, ...) self.problems[#self.problems + 1] = fmt:format(...) end

--- A string that says what a point is.
function M.name(point)
  local what = point.call and ("%s %s %s"):format(point.fault, point.when or "", point.call) or ("%s %s"):format(point.how, point.effect)
  return ("%s #%d%s"):format(what, point.n, point.during and " in " .. point.during or "")
end

--- The variables under which a process meets a point that is an effect of its own, or notes its effects.
function M.preloaded(point)
  local env = { LD_PRELOAD = EFFECTS }
  if point.effect then env.EFFECTS_AT = ("%s|%d|%s"):format(point.effect, point.n, point.how) end
  if point.log then env.EFFECTS_LOG = point.log end
  return env
end

local IMPATIENT = [[
local http = require "http"
local request = http.request
function http.request(o)
  o.stall_timeout = 5
  return request(o)
end
]]

--- The recipe, with less patience for an answer that does not come than the minute that hkrun has.
local function impatient(lab)
  local dir = lab.dir .. "/impatient"
  if not fs.exists(dir) then
    lab:foreign { "cp", "-R", app() .. "/recipes", dir, env = { PATH = os.getenv "PATH" } }
    fs.write(dir .. "/heroku_to_aws.lua", IMPATIENT .. fs.read(dir .. "/heroku_to_aws.lua"))
  end
  return dir .. "/heroku_to_aws.lua"
end

--- Kills a process as soon as `at` is so.
local function kill_at(p, at)
  local deadline = task.now() + TOO_LONG
  while p:is_running() and task.now() < deadline do
    if at() then p:kill "KILL" end
    task.sleep(0.005)
  end
  return p:wait(1)
end

--- Runs `hkrun COMMAND RECIPE --yes` with what goes wrong; returns its exit code and what it said.
---@param point table? a point, or { faults = { point, ... }, hangs = boolean }, or { log = FILE }, which notes the effects
function Trial:run(command, point)
  point = point or {}
  local env = {}
  for name, value in pairs(self.lab.env) do env[name] = value end
  for name, value in pairs(next(point) and M.preloaded(point) or {}) do env[name] = value end
  self.n = self.n + 1
  local out = ("%s/out.%d"):format(self.lab.dir, self.n)
  local recipe = (point.hangs or point.fault == "hang") and impatient(self.lab) or app() .. "/recipes/heroku_to_aws.lua"
  self:plan(point.faults or point.call and { point } or {})
  local p <close> = process.start { "sh", "-c", 'echo $$ > "$0"; exec "$@"', self.pid_file, EXE, command, recipe, "--yes", env = env,
                                    cwd = self.lab.dir .. "/work", stdout = out, stderr = out, table.unpack(point.arguments or {}) }
  local code
  if point.at then code = kill_at(p, point.at) else code = p:wait(TOO_LONG) end
  if not code then
    p:kill "KILL"
    p:wait(10)
    self:problem("%s did not end within %d s", command, TOO_LONG)
  end
  self.said = fs.read(out)
  return code or 1, self.said
end

--- Tells the cloud what is to go wrong from now on.
function Trial:plan(points)
  local list = json.array {}
  for i, point in ipairs(points) do
    list[i] = { call = point.call, n = point.n, fault = point.fault, when = point.when, pid_file = self.pid_file }
  end
  http.post(self.lab.env.AWS_ENDPOINT_URL .. "/_hkrun/faults", { timeout = 60, json = list,
    headers = { ["X-Hkrun-Key"] = self.lab.env.AWS_SECRET_ACCESS_KEY } })
end

--- How many of the planned faults took place: a process that does less may have ended before.
---@return integer
function Trial:struck() return self.lab:ask "faults".struck end

local function last_lines(said) return (said:sub(-1200):gsub("^[^\n]*\n", "")) end

--- Runs a command into the point, and again until it ends well.
---@return boolean reached
function Trial:through(command, point)
  if point.how == "cut" then
    point.log = ("%s/cut.%d"):format(self.lab.dir, self.n)
    fs.remove(point.log)                -- of the trial before, on the same cloud
  end
  local code, said = self:run(command, point)
  local reached = self:struck() > 0 or point.effect and code == KILLED or point.how == "cut" and M.count_lines(point.log).cut == 1
  local is_kill = point.fault == "kill" or point.how == "before" or point.how == "after"
  if is_kill and reached ~= (code == KILLED) then self:problem("%s ended with %d instead of a kill", command, code) end
  if code ~= 0 then code, said = self:run(command) end
  if code ~= 0 then self:problem("%s again ended with %d:\n%s", command, code, last_lines(said)) end
  return reached
end

--- Heroku's side: what runs, and whether visitors are let in.
function Trial:heroku()
  local found = { maintenance = heroku(self.lab, "GET", "").maintenance }
  for _, row in ipairs(heroku(self.lab, "GET", "/formation")) do found[row.type] = math.tointeger(row.quantity) end
  return found
end

--- What the app on AWS is given, addresses and passwords of the new stores aside.
local function variables(app)
  local found = {}
  for name, value in pairs(app and app.env or {}) do
    found[name] = value:gsub("//([^:]*):[^@]+@[%d.]+:%d+", "//%1:(password)@(host)")
  end
  return found
end

--- No row, key or job is lost or was done twice.
---@return string[] what is wrong
function Trial:judge(app)
  return judge.compare(old_stores(self.lab), { database = app.env.DATABASE_URL, redis = app.env.REDIS_URL }, JOBS)
end

--- The app on AWS: what has its name there, not what only keeps a machine for its jobs.
function Trial:app()
  for _, app in ipairs(self.lab:ask "apps") do
    if app.environment == APP or app.environment == APP .. "-web" then return app end
  end
end

--- What there is once it has been applied.
function Trial:outcome()
  local app = self:app()
  local list = cloud_state.lines(self.lab:ask "state")
  for name, value in pairs(variables(app)) do list[#list + 1] = ("app variable %s = %s"):format(name, value) end
  for name, value in pairs(self:heroku()) do list[#list + 1] = ("heroku %s = %s"):format(name, tostring(value)) end
  list[#list + 1] = "answers = " .. (app and http.get(app.url:gsub("/$", "") .. "/totals", { timeout = 20 }).status or "no app")
  for _, problem in ipairs(app and self:judge(app) or {}) do list[#list + 1] = "the judge: " .. problem end
  return list
end

--- The calls that changed something and were answered, as { ["ec2 CreateVpc"] = 1 }, from the n-th call on.
function Trial:calls(from)
  local counts, all = {}, self.lab:ask "calls"
  for i = (from or self.first) + 1, #all do
    local call = all[i]
    if call.mutating then
      local name = ("%s %s"):format(call.api, call.operation)
      counts[name] = (counts[name] or 0) + 1
    end
  end
  return counts, #all
end

--- Nothing that a killed process leaves where it ran holds a secret. rehearsal.yml has them: it is one of the app's files.
function Trial:search()
  local said, list = self.lab.said, {}
  local function add(value)
    for _, form in ipairs(value and marks.forms(value) or {}) do list[#list + 1] = form end
  end
  local app = self:app()
  local env = app and app.env or {}
  for _, name in ipairs { "SESSION_SECRET", "PAPERTRAIL_API_TOKEN" } do add(env[name]) end
  for _, url in ipairs { env.DATABASE_URL or "", env.REDIS_URL or "", said.HKRUN_REHEARSAL_OLD_DATABASE_URL, said.HKRUN_REHEARSAL_OLD_REDIS_URL } do
    add(url:match "://[^:]*:([^@]+)@")
  end
  add(said.AWS_SECRET_ACCESS_KEY)
  add(said.HEROKU_API_KEY)
  local file, dir = self.lab.dir .. "/marks", self.lab.dir
  fs.write(file, table.concat(list, "\n") .. "\n", 384)
  local words = { "grep", "-r", "-a", "-l", "-F", "-f", file, "--exclude=rehearsal.yml", "--", dir .. "/work", dir .. "/tmp",
                  self.lab.env.HOME, may_fail = true }
  for i = 1, self.n do words[#words + 1] = ("%s/out.%d"):format(dir, i) end
  local r = self.lab:foreign(words)
  for path in r.stdout:gmatch "[^\n]+" do self:problem("a secret is in %s", path) end
  if r.code > 1 then self:problem("the search for secrets failed: %s", r.stderr) end
end

--- Compares with the undisturbed outcome; nothing may have been deleted on the way, which would hide what was made twice.
function Trial:check(calm)
  for _, line in ipairs(cloud_state.differences(self:outcome(), calm.outcome)) do self:problem("%s", line:sub(1, 400)) end
  for name, n in pairs((self:calls())) do
    if name:find " Delete" or name:find " Terminate" or name:find " Remove" then self:problem("%d x %s while it was applied", n, name) end
  end
  self:search()
end

--- Deletes everything, through a point if one is given; nothing may be left, and Heroku is as it was.
---@return boolean reached
function Trial:destroy(point)
  local before = self:heroku()
  local reached = self:through("destroy", point or {})
  for _, what in ipairs(self.lab:ask "left") do self:problem("destroy left %s", what) end
  for name, value in pairs(self:heroku()) do
    if before[name] ~= value then self:problem("destroy changed %s of the Heroku app to %s", name, tostring(value)) end
  end
  return reached
end

--- How often each line stands in a file.
---@return table<string, integer>
function M.count_lines(path)
  local counts = {}
  for line in fs.read(path):gmatch "[^\n]+" do counts[line] = (counts[line] or 0) + 1 end
  return counts
end

--- A migration that nothing disturbs: what it ends with, and all points at which something could go wrong.
---@return { outcome: string[], calls: table, effects: table, destroy_calls: table, destroy_effects: table }
---@return RehearsalLab? lab its cloud, for a trial
function M.calm()
  local trial <close> = M.start()
  local calm = {}
  local log = trial.lab.dir .. "/effects"
  local code, said = trial:run("apply", { log = log .. ".apply" })
  if code ~= 0 then error("the undisturbed apply failed: " .. last_lines(said), 0) end
  local n
  calm.calls, n = trial:calls()
  calm.effects, calm.outcome = M.count_lines(log .. ".apply"), trial:outcome()
  code, said = trial:run("destroy", { log = log .. ".destroy" })
  if code ~= 0 or #trial.lab:ask "left" > 0 then error("the undisturbed destroy failed: " .. last_lines(said), 0) end
  calm.destroy_calls = trial:calls(n)
  calm.destroy_effects = M.count_lines(log .. ".destroy")
  return calm, trial:finish()
end

--- All that can go wrong once: each kind at each call, and a kill or a lost connection at each effect.
---@param calls table<string, integer>
---@param effects table<string, integer>
---@param o { faults?: boolean, during?: string }
---@return table[] points in an order that is always the same
function M.points(calls, effects, o)
  local list = {}
  local function add(point)
    point.during = o.during
    list[#list + 1] = point
  end
  for call, count in pairs(calls) do
    for n = 1, count do
      if not o.faults then
        add { call = call, n = n, fault = "kill", when = "before" }
        add { call = call, n = n, fault = "kill", when = "after" }
      else
        for _, fault in ipairs { "throttle", "error", "expired" } do add { call = call, n = n, fault = fault, when = "before" } end
        for _, fault in ipairs { "error", "drop", "hang" } do add { call = call, n = n, fault = fault, when = "after" } end
      end
    end
  end
  for effect, count in pairs(effects) do
    local is_disk = not effect:find "^sql " and not effect:find "^redis "
    for n = 1, effect:find " sync$" and 0 or count do
      if not o.faults then
        add { effect = effect, n = n, how = "before" }
        add { effect = effect, n = n, how = "after" }
      elseif not is_disk then
        add { effect = effect, n = n, how = "cut" }
      end
    end
  end
  table.sort(list, function(a, b) return M.name(a) < M.name(b) end)
  return list
end

return M
