--- The steps of a rehearsal, and its verdict.
local apply = require "recipe.apply"
local columns = require "recipe.columns"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local log = require "log"
local network = require "rehearsal.planes.network"
local process = require "process"
local task = require "task"
local yaml = require "yaml"

local SCALE = 120                                            -- the sandbox's own

---@class Rehearsal
---@field dir string
---@field env table<string, string> where the cloud is, for its clients
local Rehearsal = {}
Rehearsal.__index = Rehearsal
Rehearsal.__close = function(r) r:stop() end

--- The sample app: beside the recipe (a checkout), or where `make install` puts it.
local function default_app(recipe)
  local root = recipe:match "^(.*)/recipes/[^/]+$" or "."
  for _, dir in ipairs { root .. "/examples/shop", "/usr/local/share/hkrun/examples/shop", "/usr/share/hkrun/examples/shop" } do
    if fs.exists(dir .. "/rehearsal.yml") then return dir end
  end
  errors.usage "no sample app is found beside the recipe; name your own with --app DIR (it needs a rehearsal.yml)"
end

local function manifest_of(dir)
  local path = fs.join(dir, "rehearsal.yml")
  if not fs.exists(path) then errors.usage("%s has no rehearsal.yml, which says how the app runs on Heroku", dir) end
  return errors.check("read " .. path, yaml.decode(fs.read(path)))
end

-- The cloud ----------------------------------------------------------------

function Rehearsal:start_cloud(o)
  local ready = fs.join(self.dir, "ready.json")
  local words = { process.program(), "sandbox", "--dir", fs.join(self.dir, "cloud"), "--app", self.app, "--ready-file", ready }
  for _, name in ipairs { "scale", "faults", "policy", "orders", "jobs" } do
    if o[name] then words[#words + 1] = ("--%s=%s"):format(name, o[name]) end
  end
  if o["heroku-may-replicate"] then words[#words + 1] = "--heroku-may-replicate" end
  words.stdout, words.stderr = fs.join(self.dir, "cloud.log"), fs.join(self.dir, "cloud.log")
  words.env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8", HKRUN_LIB = os.getenv "HKRUN_LIB" }
  self.cloud = process.start(words)
  local progress = log.progress { what = "start the cloud and the app on its Heroku" }
  local deadline = task.now() + 600
  while not fs.exists(ready) do
    if not self.cloud:is_running() or task.now() > deadline then
      progress:done()
      local text = fs.read(fs.join(self.dir, "cloud.log"))
      errors.raise { kind = "io", op = "start the rehearsal cloud", message = text:match "([^\n]+)\n*$" or "it said nothing",
                     hint = "its log is " .. fs.join(self.dir, "cloud.log") }
    end
    task.sleep(0.1)
  end
  progress:done()
  self.env = errors.check("read what the cloud said", json.decode(fs.read(ready)))
end

--- A page of the cloud's inspector.
function Rehearsal:ask(page)
  local answer = http.get(self.env.AWS_ENDPOINT_URL .. "/_hkrun/" .. page,
    { headers = { ["X-Hkrun-Key"] = self.env.AWS_SECRET_ACCESS_KEY }, timeout = 60 })
  if answer.status ~= 200 then
    errors.raise { kind = "protocol", op = "ask the rehearsal cloud for " .. page, message = "it answered " .. answer.status }
  end
  return answer:json()
end

function Rehearsal:mutating_calls()
  local n, first = 0, nil
  for _, call in ipairs(self:ask "calls") do
    if call.mutating then
      n = n + 1
      first = first or ("%s %s"):format(call.api or "?", call.operation or call.path)
    end
  end
  return n, first
end

-- Steps --------------------------------------------------------------------

--- What a step's hkrun sees: the cloud's variables, and the options that a
--- person at a terminal would give.
function Rehearsal:step_env()
  local env = {}
  for name, value in pairs(self.env) do env[name] = value end
  env.HKRUN_APP = self.manifest.app.name
  env.HKRUN_REGION = env.AWS_REGION
  env.HKRUN_BASTION_SSH_FROM = network.CLIENT .. "/32"
  env.HKRUN_NOTIFICATION_EMAIL = "ops@example.com"
  env.HKRUN_HEALTH_PATH = self.manifest.health
  env.HKRUN_ENGINE = "none"             -- base images would have to be fetched: the same processes run without one
  if env.HKRUN_REHEARSAL_DNS and env.HKRUN_REHEARSAL_ISOLATED == "yes" then      -- else load balancers have no port 443
    env.HKRUN_DOMAIN, env.HKRUN_DNS_SERVER = "all", env.HKRUN_REHEARSAL_DNS
  end
  if fs.uid() ~= 0 then               -- sshd without root knows only its own user, and everybody is on loopback
    env.HKRUN_BASTION_USER = select(2, fs.uid())
    env.HKRUN_BASTION_SSH_FROM = "127.0.0.1/32"
  end
  env.HKRUN_LIB = os.getenv "HKRUN_LIB"
  for _, name in ipairs { "NO_COLOR", "TERM", "LANG", "LC_ALL", "LC_CTYPE" } do env[name] = os.getenv(name) end
  return env
end

--- Runs one hkrun command on the recipe; its output goes to the terminal (or
--- is returned when `quiet`).
function Rehearsal:step(command, quiet, ...)
  if not quiet then log.out("\n$ hkrun %s %s", command, self.name) end
  local words = { process.program(), command, self.recipe, ... }
  for _, word in ipairs(self.rest) do words[#words + 1] = word end
  words.env, words.cwd = self:step_env(), fs.join(self.dir, "work")
  if quiet then
    words.timeout = 1800
    local r = process.run(words)
    return r.code, r.stdout, r.stderr
  end
  words.stdout, words.stderr = "inherit", "inherit"
  local p <close> = process.start(words)
  return (task.within(3600, "run hkrun " .. command, p.wait, p))
end

local function verdict(list, ok, fmt, ...)
  list[#list + 1] = { ok = ok and true or false, text = fmt:format(...) }
  if not ok then list.failed = (list.failed or 0) + 1 end
  return ok
end

--- How long apply took in simulated time, and how long it had to.
function Rehearsal:tell_time(list, scale)
  local code, out = self:step("status", true, "--timeline", "--json")
  local t = code == 0 and json.decode(out)
  if type(t) ~= "table" or not t.path_seconds then return end
  verdict(list, true, "apply took %s of simulated time, its critical path %s: %.0f %% (hkrun status --timeline)",
    log.duration(t.seconds * scale), log.duration(t.path_seconds * scale), t.path_seconds / t.seconds * 100)
end

--- The report of apply, while there is one: destroy ends the journal, and the folder goes.
function Rehearsal:keep_report(o)
  if not o.report then return end
  local flag = o.report:find "%.md$" and "--markdown" or "--html"
  local code, _, err = self:step("report", true, flag, o.report, "--note",
    ("A rehearsal: its cloud is on this machine, and its clock ran %s times as fast as AWS's."):format(o.scale or SCALE))
  if code ~= 0 then log.warn("the report could not be written: %s", err:match "[^\n]+" or "it said nothing") end
end

--- The app's customers: a program of the app's own, if it has one.
function Rehearsal:start_traffic()
  local command = self.manifest.commands and self.manifest.commands.traffic
  if not command then return end
  self.url_file = fs.join(self.dir, "url")
  fs.write(self.url_file, self.env.HKRUN_REHEARSAL_APP_URL)
  self.acknowledged = fs.join(self.dir, "acknowledged")
  local env = { PATH = os.getenv "PATH", HOME = self.dir, LANG = "C.UTF-8", ACKNOWLEDGED = self.acknowledged, RATE = "10",
                SUMMARY = fs.join(self.dir, "traffic.json") }
  self.traffic = process.start { "sh", "-c", "exec " .. command:gsub("{url}", self.url_file), cwd = self.env.HKRUN_REHEARSAL_APP_DIR, env = env,
                                 stdout = fs.join(self.dir, "traffic.log"), stderr = fs.join(self.dir, "traffic.log") }
end

function Rehearsal:stop_traffic()
  if not self.traffic then return nil end
  self.traffic:stop(15)
  self.traffic = nil
  local path = fs.join(self.dir, "traffic.json")
  return fs.exists(path) and json.decode(fs.read(path)) or nil
end

--- The app's own judge, which compares both sides with its own libraries.
function Rehearsal:judge(app)
  local command = self.manifest.commands and self.manifest.commands.verify
  if not (command and app) then return nil end
  local env = { PATH = os.getenv "PATH", HOME = self.dir, LANG = "C.UTF-8", MODE = "after", WAIT = "120", ACKNOWLEDGED = self.acknowledged,
                OLD_DATABASE_URL = self.env.HKRUN_REHEARSAL_OLD_DATABASE_URL, OLD_REDIS_URL = self.env.HKRUN_REHEARSAL_OLD_REDIS_URL,
                NEW_DATABASE_URL = app.env.DATABASE_URL, NEW_REDIS_URL = app.env.REDIS_URL }
  local r = process.run { "sh", "-c", "exec " .. command, cwd = self.env.HKRUN_REHEARSAL_APP_DIR, env = env, timeout = 300 }
  fs.write(fs.join(self.dir, "judge.json"), r.stdout ~= "" and r.stdout or r.stderr, 384)
  local result = json.decode(r.stdout)
  if type(result) ~= "table" then
    errors.raise { kind = "remote", op = "let the app's judge compare both sides", message = r.stderr:match "[^\n]+" or "it said nothing" }
  end
  result.code = r.code
  return result
end

--- What the recipe reported when it had begun to do something, from its journal: checksums, jobs, the write pause. What it
--- said before that, the plan has shown.
function Rehearsal:reports()
  local list, dir, begun = {}, fs.join(self.dir, "work/.hkrun"), false
  for _, name in ipairs(fs.exists(dir) and fs.list(dir) or {}) do
    for line in (name:find "%.journal$" and fs.read(fs.join(dir, name)) or ""):gmatch "[^\n]+" do
      local entry = json.decode(line)
      local ev = type(entry) == "table" and entry.ev
      begun = begun or ev == "intent" or ev == "once"
      if begun and ev == "report" then list[#list + 1] = entry end
    end
  end
  return list
end

-- The verdict --------------------------------------------------------------

local function counts(by_state)
  local parts = {}
  for state, n in pairs(by_state or {}) do
    if n > 0 then parts[#parts + 1] = ("%d %s"):format(n, state) end
  end
  table.sort(parts)
  return table.concat(parts, ", ")
end

--- What the app's own judge found. It tells `problems`, and may tell `tables`, `queues`, `totals`, `acknowledged`.
local function print_judge(result)
  log.out "\nBoth sides afterwards, as the app's own judge sees them"
  local rows = { { "table", "rows on Heroku", "rows on AWS", "of Heroku's, on AWS" } }
  for _, t in ipairs(result.tables or {}) do
    local changed = t.missing or 0                  -- a row that is no longer as it was: the app goes on working
    rows[#rows + 1] = { t.table, tostring(t.old.rows), tostring(t.new.rows), t.equal and "all, the same" or changed == 0 and "all"
                        or t.new.rows >= t.old.rows and ("all, %d changed since"):format(changed) or "some are missing" }
  end
  if #rows > 1 then columns.print(rows) end
  rows = { { "queue", "on Heroku", "on AWS", "ran exactly once" } }
  for _, q in ipairs(result.queues or {}) do
    rows[#rows + 1] = { q.queue, counts(q.old), counts(q.new), tostring(q.processed_exactly_once or "-") }
  end
  if #rows > 1 then log.out "" columns.print(rows) end
  for _, problem in ipairs(result.problems or {}) do log.out("  ! %s", tostring(problem)) end
end

local function total_of(url, path)
  if not (url and path) then return nil end
  local ok, answer = pcall(http.get, url:gsub("/$", "") .. path, { timeout = 20 })
  return ok and answer.status == 200 and answer:json() or nil
end

--- Plans, applies under load, applies again, judges, destroys.
function Rehearsal:play(o)
  local list = {}
  local isolated = self.env.HKRUN_REHEARSAL_ISOLATED
  log.out("The cloud listens on %s; private networks are %s.", self.env.AWS_ENDPOINT_URL,
    isolated == "yes" and "namespaces of their own" or "NOT isolated here (" .. tostring(isolated) .. ")")
  local code = self:step "plan"
  if code ~= 0 then errors.raise { kind = "stopped", op = "rehearse " .. self.name, message = "the plan failed" } end
  local n, first = self:mutating_calls()
  verdict(list, n == 0, "plan: changed nothing%s", n > 0 and (", but made %d mutating calls, the first %s"):format(n, first) or "")
  self:start_traffic()
  code = self:step("apply", false, "--yes")
  self:keep_report(o)
  if code ~= 0 then errors.raise { kind = "stopped", op = "rehearse " .. self.name, message = "apply ended with exit code " .. code } end
  self:tell_time(list, tonumber(o.scale) or SCALE)
  local app = self:ask "apps"[1]
  if app and self.url_file then fs.write(self.url_file, app.url) end
  if self.traffic then task.sleep(2) end
  local before = self:mutating_calls()
  local _, out, err = self:step("apply", true, "--yes")
  local again = self:mutating_calls() - before
  verdict(list, out:find "no changes" and again == 0, "second apply: %s", again > 0 and again .. " mutating calls"
    or out:find "no changes" and "no changes" or (out .. err):match "([^\n]+)\n*$" or "no answer")
  local traffic = self:stop_traffic()
  if traffic then
    verdict(list, traffic.acknowledged > 0, "traffic: %d orders were acknowledged; the longest pause between two was %.1f s",
      traffic.acknowledged, traffic.longest_gap_ms / 1000)
  end
  local judged = self:judge(app)
  if judged then
    print_judge(judged)
    local orders = judged.acknowledged
    verdict(list, judged.code == 0, "the app's judge: %s", judged.code == 0
      and ("nothing is lost%s, every job ran exactly once"):format(orders and (", all %d acknowledged orders are there"):format(orders.found) or "")
      or #(judged.problems or {}) .. " problems, in " .. fs.join(self.dir, "judge.json"))
  end
  local totals = total_of(app and app.url, self.manifest.totals)
  if totals then
    local of = judged and judged.totals
    verdict(list, true, "the app answers at %s with %s orders%s", app.url, tostring(totals.orders),
      of and (("; Heroku's %s come to %s cents on both sides"):format(of.old.orders, of.old.total_cents)) or "")
  elseif app then
    verdict(list, false, "the app does not answer at %s", tostring(app.url))
  end
  list.judged, list.reports = judged, self:reports()
  if o.keep then return list end
  code = self:step("destroy", false, "--yes")
  local left = self:ask "left"
  verdict(list, code == 0 and #left == 0, "destroy: %s", #left == 0 and "nothing left" or table.concat(left, ", "))
  return list
end

function Rehearsal:stop()
  if self.traffic then self.traffic:stop(5) end
  if self.cloud then self.cloud:stop(60) end
end

--- Runs a rehearsal; returns the exit code.
---@param o { recipe: string, rest: string[], app?: string, scale?: string, keep?: boolean, dir?: string, faults?: string,
---  orders?: string, jobs?: string, report?: string } report: where to keep the report of apply, an absolute path
return function(o)
  local r <close> = setmetatable({ recipe = o.recipe, rest = o.rest, name = o.recipe:match "[^/]+$" }, Rehearsal)
  r.app = fs.realpath(o.app or default_app(o.recipe))
  r.manifest = manifest_of(r.app)
  if o.dir then fs.mkdir_p(o.dir, 448) end
  r.dir = o.dir and fs.realpath(o.dir) or fs.tmpdir "hkrun-rehearsal-"
  fs.chmod(r.dir, 457)                  -- 0711: the servers' users pass through
  fs.mkdir_p(fs.join(r.dir, "work"), 448)
  local began = task.now()
  r:start_cloud(o)
  local list = r:play(o)
  apply.print_reports(list.reports)
  if list.judged then print_judge(list.judged) end
  log.out "\nRehearsal"
  for _, v in ipairs(list) do log.out("  %s %s", v.ok and "ok  " or "FAIL", v.text) end
  if o.report and fs.exists(o.report) then log.out("  report: %s", o.report) end
  log.out("  %d s in all; %s", math.floor(task.now() - began), list.failed and list.failed .. " of them failed: not rehearsed" or "rehearsed")
  if o.keep then
    log.out("\nThe cloud goes on; its variables are in %s. Ctrl-C ends it.", fs.join(r.dir, "ready.json"))
    r.cloud:wait()
  end
  r:stop()
  if not o.dir and not list.failed then fs.rmtree(r.dir) else log.out("Everything it kept is in %s.", r.dir) end
  return list.failed and 1 or 0
end
