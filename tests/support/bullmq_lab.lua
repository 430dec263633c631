--- BullMQ of the sample app, as a judge: programs of tests/support/bullmq.js.
local build = require "rehearsal.heroku.build"
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"
local yaml = require "yaml"

local M = {}

local PROGRAM = fs.realpath "tests/support/bullmq.js"
local modules

--- Where the app's packages are; installed once, as a rehearsal does it.
local function packages()
  if not modules then
    local dir = fs.tmpdir "hkrun-bullmq-"
    test.defer_file(function()
      fs.rmtree(dir)
      modules = nil
    end)
    local base = os.getenv "XDG_CACHE_HOME" or ""
    local cache = fs.join(base ~= "" and base or fs.join(os.getenv "HOME" or "/tmp", ".cache"), "hkrun", "apps")
    local made = build.make { app_dir = "examples/shop", dir = dir, cache = cache,
      install = yaml.decode(fs.read "examples/shop/rehearsal.yml").commands.install }
    modules = fs.join(made.dir, "node_modules")
  end
  return modules
end

local function words(...)
  local list = { "node", PROGRAM, ... }
  list.env = { PATH = os.getenv "PATH", NODE_PATH = packages(), NODE_NO_WARNINGS = "1" }
  return list
end

--- Runs a command to its end; answers what it printed.
function M.run(...)
  local w = words(...)
  w.timeout = 100
  local r = process.run(w)
  if r.code ~= 0 then error(r.stdout .. r.stderr, 2) end
  return r.stdout
end

--- What BullMQ says of its queues.
function M.counts(url) return json.decode(M.run("counts", url)) end

--- Starts workers and waits until they are ready. Ends with the case, if not before.
---@return table worker { stop(), kill(), read_line() }
function M.work(url, side, file)
  local w = words("work", url, side, file)
  w.stdout = "pipe"
  local p = process.start(w)
  local worker = {}
  function worker.stop() p:stop(20) end
  function worker.kill()
    p:kill "KILL"
    p:wait(10)
  end
  --- The next line that it prints.
  function worker.line() return task.within(100, "a line of the worker", function() return p:read_line() end) end
  test.defer(worker.stop)
  test.equal(worker.line(), "ready")
  return worker
end

--- How often each job ran well: { ["QUEUE ID"] = { times, the last side } }.
function M.runs(file)
  local runs = {}
  for side, job in (fs.exists(file) and fs.read(file) or ""):gmatch "(%S+) ([^\n]+)\n" do
    runs[job] = { (runs[job] or { 0 })[1] + 1, side }
  end
  return runs
end

--- Looks until something is true.
function M.until_true(what, fn)
  task.within(100, what, function()
    while not fn() do task.sleep(0.05) end
  end)
end

return M
