--- Start-up and one AWS call, as ratios to other programs measured in turns in the same run:
--- `hkrun -e ''` against `lua5.4 -e ''` (time, peak memory), and a list call against the AWS CLI on one sandbox.
--- Run by tests/bench/run.sh with `hkrun - < tests/bench/start.lua`; AWS is the CLI's path.
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"

local SELF = fs.realpath "/proc/self/exe"
local MEMORY = [[for l in io.lines "/proc/self/status" do local n = l:match "^VmHWM:%s+(%d+)" if n then print(n) end end]]

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function run(words, env)
  words.env, words.timeout = env, 30
  local r = process.run(words)
  if r.code ~= 0 then
    errors.raise { kind = "remote", op = "run " .. words[1], message = r.stderr:match "([^\n]+)\n*$" or "exit code " .. tostring(r.code) }
  end
  return r.stdout
end

--- Seconds of each command, median of the rounds; the commands take turns.
local function measure(rounds, commands, env)
  local times = {}
  for i = 0, rounds do
    for name, words in pairs(commands) do
      times[name] = times[name] or {}
      local began = task.now()
      run({ table.unpack(words) }, env)
      if i > 0 then table.insert(times[name], task.now() - began) end      -- the first round warms the caches
    end
  end
  for name, list in pairs(times) do times[name] = median(list) end
  return times
end

local function row(what, ours, theirs, unit, name)
  print(("%-34s %9.2f %s   %-7s %9.2f %s   ratio %5.2f"):format(what, ours, unit, name, theirs, unit, ours / theirs))
end

local plain = { PATH = os.getenv "PATH", HOME = os.getenv "HOME" }
local start = measure(21, { ours = { SELF, "-e", "" }, theirs = { "lua5.4", "-e", "" } }, plain)
row("start: hkrun -e ''", start.ours * 1000, start.theirs * 1000, "ms", "lua5.4")
row("peak memory of it", tonumber(run({ SELF, "-e", MEMORY }, plain)) / 1024, tonumber(run({ "lua5.4", "-e", MEMORY }, plain)) / 1024,
  "MB", "lua5.4")

local dir = fs.tmpdir "hkrun-bench-"
local sandbox = process.start { SELF, "sandbox", "--no-heroku", "--dir", dir .. "/cloud", "--ready-file", dir .. "/env",
  stdout = "null", stderr = dir .. "/log", env = plain }
local ok, e = pcall(function()
  local stop = task.now() + 30
  while not fs.exists(dir .. "/env") do
    if task.now() > stop or not sandbox:is_running() then
      errors.raise { kind = "io", op = "start the sandbox", message = fs.read(dir .. "/log") }
    end
    task.sleep(0.05)
  end
  local env = json.decode(fs.read(dir .. "/env"))
  for name, value in pairs(plain) do env[name] = env[name] or value end
  local call = measure(9, {
    ours = { SELF, "-e", "print(#aws.ec2:describe_vpcs{}.Vpcs)" },
    theirs = { os.getenv "AWS" or "aws", "ec2", "describe-vpcs", "--query", "length(Vpcs)" },
  }, env)
  row("list: aws.ec2:describe_vpcs{}", call.ours * 1000, call.theirs * 1000, "ms", "aws")
end)
sandbox:stop(10)
fs.rmtree(dir)
if not ok then error(e, 0) end
