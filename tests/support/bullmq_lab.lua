--- BullMQ of the sample app, as a judge: tests/support/bullmq.js.
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

local function start(...)
  local words = { "node", PROGRAM, ... }
  words.stdin, words.stdout = "pipe", "pipe"
  words.env = { PATH = os.getenv "PATH", NODE_PATH = packages(), NODE_NO_WARNINGS = "1" }
  return process.start(words)
end

local function line_of(p)
  return task.within(100, "a line of BullMQ's program", function() return p:read_line() or error("BullMQ's program has ended", 0) end)
end

local judges = {}

--- What BullMQ itself does or says.
---@param ... string a command of bullmq.js and its arguments
function M.ask(url, ...)
  local judge = judges[url]
  if not judge then
    judge = start("serve", url)
    judges[url] = judge
    test.defer(function()
      judges[url] = nil
      judge:stop(20)
    end)
  end
  local ok, why = judge.handle:write(table.concat({ ... }, " ") .. "\n", 0)
  if not ok then error(why) end                              -- a short line fits into the pipe
  return json.decode(line_of(judge))
end

--- Starts workers and waits until they are ready. Ends with the case, if not before.
---@param stalled? integer milliseconds between two looks for stalled jobs
---@return table worker { stop(), kill(), line() }
function M.work(url, side, file, stalled)
  local p = start("work", url, side, file, tostring(stalled or 300))
  local worker = {}
  function worker.stop() p:stop(100) end
  function worker.kill()
    p:kill "KILL"
    p:wait(100)
  end
  --- The next line that it prints.
  function worker.line() return line_of(p) end
  test.defer(worker.stop)
  test.equal(worker.line(), "ready")
  return worker
end

--- The runs that ended well, by job: { ["QUEUE ID"] = { times =, side =, late = } }; side and late are of the last.
function M.runs(file)
  local runs = {}
  for side, job, late in (fs.exists(file) and fs.read(file) or ""):gmatch "(%S+) (%S+ %S+) (%-?%d+)\n" do
    runs[job] = { times = runs[job] and runs[job].times + 1 or 1, side = side, late = tonumber(late) }
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
