--- What test files use: cases, comparisons, cleaning up.
local errors = require "errors"
local fs = require "fs"

local M = {}

local deferred, deferred_file = {}, {}

--- A table of cases that keeps the order in which they are written.
---@return table<string, fun()>
function M.cases()
  local order = {}
  return setmetatable({}, {
    __index = { order = order },
    __newindex = function(_, name, fn) order[#order + 1] = { name = name, fn = fn } end,
  })
end

local function show(v, depth)
  if type(v) == "string" then return ("%q"):format(#v > 300 and v:sub(1, 300) .. "..." or v) end
  local meta = getmetatable(v)
  if type(v) ~= "table" or (type(meta) == "table" and meta.__tostring) then return tostring(v) end
  if (depth or 0) > 4 then return "{...}" end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  local parts = {}
  for _, k in ipairs(keys) do parts[#parts + 1] = tostring(k) .. "=" .. show(v[k], (depth or 0) + 1) end
  return "{" .. table.concat(parts, ", ") .. "}"
end
M.show = show

local function same(a, b)
  if a == b then return true end
  if type(a) ~= "table" or type(b) ~= "table" then return false end
  for k, v in pairs(a) do if not same(v, b[k]) then return false end end
  for k in pairs(b) do if a[k] == nil then return false end end
  return true
end

--- Fails unless both are equal; tables by their contents.
function M.equal(actual, expected, what)
  if same(actual, expected) then return end
  error(("%sexpected %s, got %s"):format(what and what .. ": " or "", show(expected), show(actual)), 2)
end

--- Fails unless v is true, or anything but false and nil; returns it.
function M.truthy(v, what)
  if not v then error((what or "a true value") .. " was expected, got " .. show(v), 2) end
  return v
end

--- Fails unless s is a string in which the Lua pattern is found.
function M.match(s, pattern, what)
  if type(s) ~= "string" or not s:find(pattern) then
    error(("%sexpected something like %q, got %s"):format(what and what .. ": " or "", pattern, show(s)), 2)
  end
end

--- Fails unless fn raises an error that matches; returns the error.
function M.raises(pattern, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok then error("expected an error like " .. pattern .. ", got none", 2) end
  if not tostring(e):find(pattern) then
    error(("expected an error like %q, got %q"):format(pattern, tostring(e)), 2)
  end
  return e
end

--- Gives the case that runs so many seconds in all, of the machine's own time also where time is simulated; outside of a
--- case, each of the file's. Without it a case has 300, or what `hkrun test --timeout=SECONDS` says. One that takes longer
--- fails, with what it waits for, and the next begins.
---@param seconds number
function M.deadline(seconds)
  if type(seconds) ~= "number" or seconds <= 0 then errors.usage("test.deadline takes seconds, not %s", show(seconds)) end
  if not require "test.deadline".extend(seconds) then M.file_deadline = seconds end
end

--- Runs fn when the case ends, last first.
function M.defer(fn) deferred[#deferred + 1] = fn end

--- Runs fn when the last case of the file has ended: for what its cases share.
function M.defer_file(fn) deferred_file[#deferred_file + 1] = fn end

--- A folder that is removed when the case ends.
function M.tmpdir()
  local dir = fs.tmpdir "hkrun-test-"
  M.defer(function() fs.rmtree(dir) end)
  return dir
end

--- Starts a cloud of the case's own, in this process: the emulated AWS of `hkrun rehearse`, empty. Until the case ends
--- the environment leads to it, for recipes, `require "aws"` and programs alike, and nothing of yours does; time is
--- simulated, so that ten minutes in which a database is made are over at once. Behind its databases, caches and machines
--- is nothing, unless `servers` is true: then they are real ones, and time passes 600 times faster, but passes.
---
---     local cloud <close> = test.cloud()
---     local made = test.apply("queue.lua", { name = "orders" })
---     test.equal(made.summary.create, 1)
---     test.equal(cloud:left(), { "sqs QueueUrls orders" })
---
--- With `heroku` it has a Heroku side too, on which one app is, told as in a rehearsal.yml: its formation, config vars,
--- add-ons, domains and drains. Its dynos are up, and databases have URLs, behind which is nothing; with `servers` its
--- processes run from the folder `source`, on a PostgreSQL and a Redis of their own.
---
---     local cloud <close> = test.cloud { heroku = { app = "shop", formation = { web = 2 }, config = { COLOR = "red" },
---                                                   addons = { "heroku-postgresql:standard-0" } } }
---
---@param o? { region?: string, servers?: boolean, faults?: table, heroku?: table }
---@return TestCloud cloud `:left()` what is in the account; `:calls()` the calls that could change something; `.output`
function M.cloud(o) return require "test.cloud".start(o) end

---@class TestRun
---@field entries table[] { action=, kind=, name=, changes=, ... }
---@field summary table<string, integer>
---@field changes integer
---@field reports table<string, table[]>
---@field output string
---@field value any

--- Plans a recipe in the case's cloud. What it answers has `entries` ({ action=, kind=, name=, changes=, ... }), `summary`
--- ({ create=, adopt=, change=, replace=, delete=, run= }), `changes` (their sum), `reports` (rows by title), `output` (what was
--- printed) and `value` (what the recipe returned).
---@param recipe string|function a file, beside the test or in the current folder; or the recipe itself
---@param options? table<string, any> its options. Flags, HKRUN_* and hkrun.yml do not count in tests
---@param how? { until_stage?: string, answer?: fun(question: string): boolean } who answers; else everything is agreed to
---@return TestRun planned
function M.plan(recipe, options, how) return require "test.cloud".plan(recipe, options, how) end

--- Applies a recipe in the case's cloud, as `hkrun apply --yes`. Answers as `test.plan`, with what there was to do; raises
--- what the recipe raises.
---@param recipe string|function
---@param options? table<string, any>
---@param how? { until_stage?: string, answer?: fun(question: string): boolean }
---@return TestRun done
function M.apply(recipe, options, how) return require "test.cloud".apply(recipe, options, how) end

--- Destroys what the recipe made in the case's cloud, as `hkrun destroy --yes`.
---@param recipe string|function
---@param options? table<string, any>
---@return { output: string } done
function M.destroy(recipe, options) return require "test.cloud".destroy(recipe, options) end

--- Undoes what the recipe did beside what it made, as `hkrun rollback --yes`.
---@param recipe string|function
---@param options? table<string, any>
---@return { output: string } done
function M.rollback(recipe, options) return require "test.cloud".rollback(recipe, options) end

local TOOLS = { "build/tools/bin", "build/tools-eb/bin", "build/tools-heroku/node_modules/.bin", "build/tools-node/node_modules/.bin" }

--- The path of a foreign tool that `make tools` installed, or of the machine's own.
function M.tool(name)
  for _, folder in ipairs(TOOLS) do
    local own = fs.join(folder, name)
    if fs.exists(own) then return fs.join(fs.cwd(), own) end    -- the link itself: a virtual environment is known by its path
  end
  return require "process".which(name) or errors.raise {
    kind = "not_found", op = "find " .. name, message = "it is not installed", hint = "run `make tools`" }
end

local function run_all(list)
  local failure
  while #list > 0 do
    local fn = table.remove(list)
    local ok, e = pcall(fn)
    failure = failure or (not ok and e or nil)
  end
  local http = package.loaded.http
  if http then http.close_idle() end    -- kept connections are no leak
  return failure
end

--- Runs what was deferred; the first failure is returned, after all ran.
function M.cleanup() return run_all(deferred) end
function M.cleanup_file() return run_all(deferred_file) end

return M
