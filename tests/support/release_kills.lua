--- The release phase of a migration, killed at each moment around it, and applied again: its command ran once to its success, before
--- anything else of the version did; where it failed nothing of the version ran, and Heroku goes on.
local fs = require "fs"
local http = require "http"

local M = {}

local ASKED = { beanstalk = "elasticbeanstalk UpdateEnvironment", fargate = "ecs RunTask" }
local SERVES = '"key":"serve from AWS"'

--- How often the command began and succeeded.
local function ran(dir)
  local counts = { begun = 0, succeeded = 0 }
  for line in (fs.exists(dir .. "/log") and fs.read(dir .. "/log") or ""):gmatch "[^\n]+" do counts[line] = counts[line] + 1 end
  return counts
end

--- Whether the journal has it that the version was started.
local function is_on_record(trial)
  local dir = trial.lab.dir .. "/work/.hkrun"
  for _, name in ipairs(fs.exists(dir) and fs.list(dir) or {}) do
    for line in (name:find "%.journal$" and fs.read(dir .. "/" .. name) or ""):gmatch "[^\n]+" do
      if line:find(SERVES, 1, true) and line:find('"state":"applied"', 1, true) then return true end
    end
  end
  return false
end

--- The moments, each as a point of the crash lab.
---@param target "beanstalk"|"fargate"
local function moments(trial, target, dir)
  local call = ASKED[target]
  return {
    { "before it is asked for", { call = call, n = 1, fault = "kill", when = "before" } },
    { "when it is asked for", { call = call, n = 1, fault = "kill", when = "after" } },
    { "while it runs", { at = function() return ran(dir).begun > 0 end }, hold = true },
    { "when it has succeeded", { at = function() return ran(dir).succeeded > 0 end }, again = target == "fargate" },
    { "when that is on record", { at = function() return is_on_record(trial) end } },
  }
end

--- Lets a held command go on, when somebody has waited for it for a while.
local function let_go(dir)
  local looks = 0
  return function()
    looks = looks + 1
    if looks == 200 then fs.remove(dir .. "/hold") end
    return false
  end
end

--- Applies again after a kill, to the end.
local function apply_again(trial, dir, held)
  local code, said = trial:run("apply", held and { at = let_go(dir) } or nil)
  if held and fs.exists(dir .. "/hold") then trial:problem "it went on while the release process ran" end
  if code ~= 0 then trial:problem("apply again ended with %d: %s", code, said:sub(-800)) end
end

local function judge(trial)
  local app = trial:app()
  for _, problem in ipairs(app and trial:judge(app) or { "no app runs on AWS" }) do trial:problem("the judge: %s", problem) end
end

--- A kill at one moment.
local function killed(crash, target, i)
  local dir = crash.release()
  for _, name in ipairs { "log", "hold", "broken" } do if fs.exists(dir .. "/" .. name) then fs.remove(dir .. "/" .. name) end end
  local trial <close> = crash.start()
  local moment = moments(trial, target, dir)[i]
  if moment.hold then fs.write(dir .. "/hold", "") end
  local code = trial:run("apply", moment[2])
  if code ~= 137 then trial:problem("it ended with %d instead of a kill", code) end
  apply_again(trial, dir, moment.hold)
  local counts = ran(dir)
  local once = counts.begun == 1 and counts.succeeded == 1
  if not once and not (moment.again and counts.begun == 2 and counts.succeeded == 2) then
    trial:problem("the command began %d times and succeeded %d times", counts.begun, counts.succeeded)
  end
  judge(trial)
  return moment[1], trial.problems
end

--- What must be so once the release phase has failed: nothing of the version runs, Heroku serves.
local function check_failed(trial)
  local app, heroku = trial:app(), trial:heroku()
  local ok, answer = pcall(http.get, app and app.url:gsub("/$", "") .. "/totals" or "", { timeout = 20 })
  if ok and answer.status == 200 then trial:problem "the version whose release phase failed answers" end
  if heroku.maintenance or heroku.web ~= 1 or heroku.worker ~= 1 then trial:problem "Heroku does not serve" end
end

--- A command that fails while hkrun is dead.
local function failed(crash)
  local dir = crash.release()
  if fs.exists(dir .. "/log") then fs.remove(dir .. "/log") end
  for _, name in ipairs { "hold", "broken" } do fs.write(dir .. "/" .. name, "") end
  local trial <close> = crash.start()
  trial:run("apply", { at = function() return ran(dir).begun > 0 end })
  fs.remove(dir .. "/hold")
  local code, said = trial:run "apply"
  if code ~= 1 then trial:problem("with a release process that fails apply again ended with %d: %s", code, said:sub(-800)) end
  check_failed(trial)
  fs.remove(dir .. "/broken")
  apply_again(trial, dir)
  if ran(dir).succeeded ~= 1 then trial:problem("mended, the command succeeded %d times", ran(dir).succeeded) end
  judge(trial)
  return "while it runs, and then it fails", trial.problems
end

--- Tries all moments.
---@param crash table the crash lab, which has all stages
---@param target "beanstalk"|"fargate"
---@param tell fun(what: string, problems: string[])
function M.try(crash, target, tell)
  for i = 1, 5 do tell(killed(crash, target, i)) end
  tell(failed(crash))
end

return M
