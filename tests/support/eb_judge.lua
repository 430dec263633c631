--- The EB CLI, Amazon's own, asked about the environment that a recipe made; its answers beside those of our `eb`.
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"

local M = {}

--- Opens no browser: notes what it is asked for.
local BROWSER = "#!/bin/sh\nprintf '%%s\\n' \"$1\" > '%s.part' && mv '%s.part' '%s'\n"

local OURS = [[
local s, h, list = eb.status(NAME), eb.health(NAME), {}
for i, e in ipairs(eb.events(NAME, { count = 1000 })) do list[i] = e.Message end
return { status = s, health = h.status, machine = h.instances[1].InstanceId, events = list, url = eb.open(NAME), groups = list and
  aws.logs:all("describe_log_groups", { logGroupNamePrefix = "/aws/elasticbeanstalk/" .. NAME .. "/" }):select "logGroupName" }
]]

local function code(text, name) return (text:gsub("NAME", ("%q"):format(name))) end

--- Whether a list is a part of a longer one, or goes on beyond its end: others may have come since.
local function stands_in(part, whole)
  for from = 1, #whole - 10 do
    local same = true
    for i, v in ipairs(part) do same = same and (whole[from + i - 1] == v or from + i - 1 > #whole) end
    if same then return true end
  end
  return false
end

--- `eb init`, `status`, `health`, `events`, `logs`, `open` and `ssh`.
---@param lab RehearsalLab
---@param name string of the environment and of its application
function M.check(lab, name)
  local dir = lab.dir .. "/eb"
  fs.mkdir_p(dir)
  local opened, env = dir .. "/opened", {}
  for key, value in pairs(lab.env) do env[key] = value end
  env.BROWSER = dir .. "/browser"
  fs.write(env.BROWSER, BROWSER:format(opened, opened, opened), 493)
  local function eb(...)
    local r = process.run { test.tool "eb", cwd = dir, env = env, timeout = 100, ... }
    test.equal(r.code, 0, ("eb %s\n%s%s"):format(table.concat({ ... }, " "), r.stdout, r.stderr))
    return r.stdout .. r.stderr
  end
  eb("init", name, "--platform", "docker", "--region", lab.env.AWS_REGION)
  local ours = lab:hkrun { "-e", code(OURS, name) }
  test.equal(ours.code, 0, ours.stderr)
  ours = json.decode(ours.stdout)
  local seen = task.all {
    status = function() return eb("status", name) end, health = function() return eb("health", name) end,
    events = function() return eb("events", name) end, open = function() return eb("open", name) end,
    engine = function() return eb("logs", name) end, web = function() return eb("logs", name, "--log-group", "web") end,
    ssh = function() return eb("ssh", name) end,
  }

  for field, value in pairs { ["Application name"] = name, ["Deployed Version"] = ours.status.version, CNAME = ours.status.cname,
                              Platform = ours.status.platform, Status = ours.status.status, Health = ours.status.health } do
    test.equal(seen.status:match("\n%s+" .. field .. ": ([^\n]*)"), value, "eb status: " .. field)
  end
  test.equal({ seen.health:match(name .. "%s+(%a+)"), seen.health:match "\n%s+(i%-%x+)%s+%a+" }, { ours.health, ours.machine })
  local told = {}
  for message in seen.events:gmatch "%d%d:%d%d:%d%d%s+%u+%s+([^\n]*)" do told[#told + 1] = message end
  test.truthy(#told > 10, "lines of eb events")
  test.truthy(stands_in(told, ours.events), "eb events tells the same: " .. seen.events)
  test.match(seen.engine, "=+ " .. ours.machine:gsub("%-", "%%-") .. " ")
  test.match(seen.engine, "Platform Engine finished execution on command: app%-deploy")
  test.match(seen.web, "web: ")
  task.within(60, "hear of the browser", function() while not fs.exists(opened) do task.sleep(0.05) end end)
  test.equal(fs.read(opened), ours.url .. "\n")
  test.match(seen.ssh, "This environment is not set up for SSH")      -- nobody logs in at its machines but through Session Manager
end

--- A line that comes from elsewhere into a group that was not there.
local SAY = [[
import boto3, time
logs = boto3.client("logs")
group = "/aws/elasticbeanstalk/%s/judge"
logs.create_log_group(logGroupName=group)
logs.create_log_stream(logGroupName=group, logStreamName="judge")
logs.put_log_events(logGroupName=group, logStreamName="judge", logEvents=[{"timestamp": int(time.time() * 1000), "message": "said by a judge"}])
]]

--- eb.tail, ended by Ctrl-C, beside what the AWS CLI says of the same groups.
---@param aws fun(...: string): string the AWS CLI
function M.check_tail(lab, name, aws)
  local hkrun = process.start { fs.realpath "/proc/self/exe", "-e", code("eb.tail(NAME, print, { since = 0 })", name), stdout = "pipe",
    stderr = lab.dir .. "/tail.err", env = lab.env, cwd = lab.dir .. "/work" }
  test.defer(function() hkrun:stop() end)
  local lines = {}
  local function hear(pattern)
    task.within(60, "hear of " .. pattern, function()
      repeat
        lines[#lines + 1] = hkrun:read_line() or error("it ended: " .. fs.read(lab.dir .. "/tail.err"))
      until lines[#lines]:find(pattern)
    end)
  end
  hear "app%-deploy"
  lab:foreign { test.tool "python3", "-c", SAY:format(name) }
  hear " judge said by a judge$"
  hkrun:kill "INT"
  for line in function() return hkrun:read_line() end do lines[#lines + 1] = line end
  test.equal({ hkrun:wait(60), fs.read(lab.dir .. "/tail.err"):find "traceback" }, { 130 })

  local function lines_of(group)
    local said = json.decode(aws("logs", "filter-log-events", "--log-group-name", ("/aws/elasticbeanstalk/%s/%s"):format(name, group), "--output",
      "json", "--query", "events[].[timestamp,logStreamName,message]"))
    local list = {}
    for i, e in ipairs(said) do
      list[i] = ("%s.%03d000+00:00 %s %s"):format(os.date("!%Y-%m-%dT%H:%M:%S", e[1] // 1000), e[1] % 1000, e[2], e[3])
    end
    return list
  end
  local both = task.all { web = function() return lines_of "web" end, judge = function() return lines_of "judge" end }
  aws("logs", "delete-log-group", "--log-group-name", ("/aws/elasticbeanstalk/%s/judge"):format(name))
  local told, said, newest = {}, {}, ""
  for _, line in ipairs(lines) do
    told[line] = (told[line] or 0) + 1
    if line:find " i%-%x+/web%-1 " and line:match "^%S+" > newest then newest = line:match "^%S+" end
  end
  for _, line in ipairs(both.web) do said[line] = (said[line] or 0) + 1 end
  test.truthy(newest ~= "", "lines of the web process")
  test.equal({ #both.judge, told[both.judge[1]] }, { 1, 1 })
  for line, n in pairs(said) do                              -- more may have come at the newest moment, and after it
    local now = told[line] or 0
    test.truthy(now == n or line:match "^%S+" >= newest and now < n, ("told %d times, and said %d times: %s"):format(now, n, line))
  end
  for line in pairs(told) do
    test.truthy(said[line] or not line:find " i%-%x+/web%-1 ", "the AWS CLI says it, too: " .. line)
  end
end

return M
