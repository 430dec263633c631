--- A sample of `make crash`: one migration killed at nine moments, one in which every kind of fault happens, both compared
--- with one that nothing disturbed; and two runs at once.
local crash = dofile "tests/support/crash_lab.lua"
local disk_kills = dofile "tests/support/disk_kills.lua"
local fs = require "fs"
local test = require "test"
local two_runs = dofile "tests/support/two_runs.lua"
local T = test.cases()

--- In the order of the migration; each run is a new process that goes on from where the last one was killed. Of what is made
--- side by side there is only one, else the kill at the first may come after the second.
local KILLS = {
  { call = "ec2 CreateVpc", n = 1, fault = "kill", when = "after" },
  { effect = "journal write", n = 25, how = "before" },
  { call = "ec2 RunInstances", n = 1, fault = "kill", when = "after" },
  { call = "secretsmanager CreateSecret", n = 1, fault = "kill", when = "before" },
  { call = "iam CreateInstanceProfile", n = 1, fault = "kill", when = "after" },
  { call = "elasticbeanstalk CreateEnvironment", n = 1, fault = "kill", when = "after" },
  { call = "heroku PATCH /apps/{app}/formation", n = 1, fault = "kill", when = "after" },
  { effect = "sql end of COPY", n = 3, how = "after" },
  { call = "elasticbeanstalk UpdateEnvironment", n = 1, fault = "kill", when = "after" },
}
local KILLS_OF_DESTROY = {
  { call = "rds DeleteDBInstance", n = 1, fault = "kill", when = "after" },
  { call = "ec2 DeleteSubnet", n = 2, fault = "kill", when = "before" },
}

local calm, lab

test.defer_file(function()
  if lab then lab:stop() end
  crash.clean()
end)

--- A trial on the cloud of the one before, and how a migration ends that nothing disturbs.
local function start()
  if not calm then calm, lab = crash.calm() end
  local trial = crash.start(lab)
  lab = nil
  return trial, calm
end

T["kill -9 at nine moments of the migration, then apply: as if nothing had happened; at two of destroy: nothing is left"] = function()
  local trial <close>, wanted = start()
  for _, point in ipairs(KILLS) do
    local code, said = trial:run("apply", point)
    test.equal(code, 137, crash.name(point) .. "\n" .. said:sub(-800))
  end
  local code, said = trial:run "apply"
  test.equal(code, 0, said:sub(-1500))
  trial:check(wanted)
  test.equal(trial.problems, {})
  code, said = trial:run "apply"
  test.match(said, "no changes\n$")
  test.equal(code, 0)
  for _, point in ipairs(KILLS_OF_DESTROY) do test.equal(trial:run("destroy", point), 137, crash.name(point)) end
  trial:destroy()
  test.equal(trial.problems, {})
  lab = trial:finish()
end

--- All in one run; the credentials that have expired end it.
local FAULTS = {
  { call = "ec2 CreateVpc", n = 1, fault = "drop", when = "after" },
  { call = "ec2 CreateSubnet", n = 1, fault = "throttle" },
  { call = "ec2 CreateSecurityGroup", n = 1, fault = "error", when = "after" },
  { call = "ec2 RunInstances", n = 1, fault = "hang", when = "after" },
  { call = "secretsmanager CreateSecret", n = 1, fault = "error" },
  { call = "iam CreateRole", n = 1, fault = "drop", when = "after" },
  { call = "rds CreateDBInstance", n = 1, fault = "error", when = "after" },
  { call = "elasticache CreateReplicationGroup", n = 1, fault = "drop", when = "after" },
  { call = "s3 CreateBucket", n = 1, fault = "error", when = "after" },
  { call = "elasticbeanstalk CreateEnvironment", n = 1, fault = "drop", when = "after" },
  { call = "cloudwatch PutMetricAlarm", n = 3, fault = "throttle" },
  { call = "heroku PATCH /apps/{app}", n = 1, fault = "drop", when = "after" },
  { call = "heroku PATCH /apps/{app}/formation", n = 1, fault = "error", when = "after" },
  -- Beanstalk refuses a second deployment while it is at work on the one whose reply was lost
  { call = "elasticbeanstalk UpdateEnvironment", n = 1, fault = "drop", when = "after" },
}

T["the journal is lost in the copy: apply goes on; and after the migration: apply touches nothing, destroy leaves nothing"] = function()
  local trial <close>, wanted = start()
  local function lose_journal() fs.rmtree(trial.lab.dir .. "/work/.hkrun") end
  local code, said = trial:run("apply", { effect = "redis RESTORE", n = 2, how = "after" })
  test.equal(code, 137, said:sub(-800))
  lose_journal()
  code, said = trial:run "apply"
  test.equal(code, 0, said:sub(-800))
  trial:check(wanted)
  lose_journal()
  code, said = trial:run "apply"
  test.equal(code, 2, said:sub(-800))
  test.match(said, "small runs on AWS already, and the journal of its cutover is not here")
  trial:check(wanted)
  local env = trial.lab.env
  local ssh_from = env.HKRUN_BASTION_SSH_FROM
  env.HKRUN_BASTION_SSH_FROM = nil                          -- needed to make a bastion, not to delete one
  trial:destroy()
  env.HKRUN_BASTION_SSH_FROM = ssh_from
  test.equal(trial.problems, {})
  lab = trial:finish()
end

T["a throttle, a 500, a lost reply, a hang: the run ends well by itself; expired credentials, a lost database: after one more"] = function()
  local trial <close>, wanted = start()
  local code, said = trial:run("apply", { call = "ec2 CreateVpc", n = 1, fault = "expired" })
  test.equal(trial:struck(), 1)
  test.equal(code, 1, said:sub(-800))
  test.match(said, "the credentials have expired: sign in again")
  code, said = trial:run("apply", { faults = FAULTS, hangs = true })
  test.equal({ code, trial:struck() }, { 0, #FAULTS }, said:sub(-1500))
  trial:check(wanted)
  test.equal(trial.problems, {})
end

T["of two runs at once the second refuses, and after kill -9 of the holder it takes over: 20 rounds"] = function()
  two_runs.rounds(20)
end

T["a bundle that is killed while it is built is built again, whole"] = function()
  test.truthy(disk_kills.try(6) > 5, "kills")
end

return T
