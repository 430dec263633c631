--- A cloud of a test's own, in the test's process, and runs of recipes in it. See test.cloud.
local apply = require "recipe.apply"
local aws = require "aws"
local calls = require "calls"
local clouds = require "rehearsal.cloud"
local config = require "aws.config"
local destroy = require "recipe.destroy"
local errors = require "errors"
local fs = require "fs"
local inspect = require "rehearsal.inspect"
local load = require "recipe.load"
local log = require "log"
local options = require "options"
local plan = require "recipe.plan"
local process = require "process"
local rollback = require "recipe.rollback"
local task = require "task"
local test = require "test"

local M = {}

local declared = {
  { "region", "its region", type = "string", default = "us-east-1" },
  { "servers", "real servers behind databases, caches and machines", type = "boolean", default = false },
  { "heroku", "the app on its Heroku: { app=, formation=, config=, addons=, ... }", type = "table" },
  { "faults", "what goes wrong: { throttle = 0.05, error = 0.01, seed = 7 }", type = "table" },
}

local SCALE = 600                       -- simulated seconds of the cloud in a second of the process

---@class TestCloud
---@field output string[] every line that recipes printed
local Cloud = {}
Cloud.__index = Cloud

local open                              -- the case's cloud: an environment is one for the whole process

local function current(what)
  return open or errors.usage("%s needs a cloud: local cloud <close> = test.cloud()", what)
end

--- Variables that would lead to somebody else's account, or tell a recipe its options.
local function is_foreign(name)
  return (name:find "^AWS_" or name:find "^HEROKU_" or name:find "^HKRUN_" or name:find "^PG%u" or name:find "_?[Pp][Rr][Oo][Xx][Yy]$")
    and name ~= "HKRUN_LIB" and name ~= "HKRUN_SETTLE"
end

--- What is to be set so that only `env` leads anywhere, and what sets it back.
local function environment(env)
  local before, new, back = process.environment(), {}, {}
  for name in pairs(before) do
    if is_foreign(name) then new[name] = false end
  end
  for name, value in pairs(env) do new[name] = value end
  for name in pairs(new) do back[name] = before[name] or false end
  return new, back
end

local function file_of(path)
  local beside = test.folder and fs.join(test.folder, path)
  if beside and path:sub(1, 1) ~= "/" and fs.exists(beside) then return beside end
  return path
end

--- Starts the case's cloud.
---@return TestCloud
function M.start(o)
  o = options.check(o or {}, declared, "test.cloud")
  if open then errors.usage "a case has one cloud at a time: close the other one first" end
  local self = setmetatable({ dir = test.tmpdir(), output = {}, sink = log.sink }, Cloud)
  fs.chmod(self.dir, 493)               -- servers that refuse root must get in
  self.cloud = clouds.start { dir = fs.join(self.dir, "cloud"), scale = SCALE, region = o.region, servers = o.servers, faults = o.faults }
  open = self
  test.defer(function() self:close() end)
  if o.heroku then
    local ok, e = pcall(require "test.heroku", self.cloud, o.heroku, file_of)
    if not ok then
      self:close()
      error(e, 0)
    end
  end
  local env
  env, self.env_before = environment(self.cloud:env())
  process.setenv(env)
  self.getenv, config.getenv = config.getenv, os.getenv
  aws.forget()
  calls.forget()
  log.sink = function(_, line)
    if not line:find "^  %.%.%. " then self.output[#self.output + 1] = line end    -- progress is nothing to compare
  end
  if not o.servers then task.simulate(true) end
  return self
end

--- Ends it; everything is as it was before. Safe twice, and done by itself when the case ends.
function Cloud:close()
  if open ~= self then return end
  open = nil
  task.simulate(false)
  log.sink, config.getenv = self.sink, self.getenv or config.getenv
  self.cloud:stop()
  process.setenv(self.env_before or {})
  aws.forget()
  test.output = self.output             -- the runner shows it where the case fails
end
Cloud.__close = Cloud.close

--- What the account holds: "ec2 Vpcs vpc-0a1b2c", "sns Topics arn:aws:...", in no order that counts.
---@return string[]
function Cloud:left() return inspect.left(self.cloud) end

--- The calls so far that could change something, in their order: "ec2 CreateVpc".
---@return string[]
function Cloud:calls()
  local list = {}
  for _, call in ipairs(self.cloud.calls) do
    if call.mutating then list[#list + 1] = ("%s %s"):format(call.api, call.operation) end
  end
  return list
end

--- Lets so much simulated time pass.
---@param seconds number
function Cloud:pass(seconds) self.cloud.clock:sleep(seconds) end

--- A recipe as the engine takes it; what its chunk returns is kept.
local function loaded(recipe)
  local found = type(recipe) == "function" and { name = "test", file = "(test)", chunk = recipe } or load.file(file_of(recipe))
  local held, chunk = {}, found.chunk
  return { name = found.name, file = found.file, chunk = function() held.value = chunk() end }, held
end

--- What the engine's commands get: no flags, no hkrun.yml, no variables, and everything agreed to.
local function told(self, recipe, values, how)
  how = how or {}
  return { recipe = recipe, rest = { given = values or {} }, dir = fs.join(self.dir, "journal"), until_stage = how.until_stage,
           yes = how.answer == nil, answer = how.answer, typed = how.answer and function() end }
end

local function by_title(reports)
  local map = {}
  for _, report in ipairs(reports) do map[report.title] = report.rows end
  return map
end

local CHANGES = { "create", "adopt", "change", "replace", "delete", "run" }

local function planned(self, recipe, values, how)
  local r = apply.plan(told(self, recipe, values, how), recipe, false)
  local result = plan.data(r)
  result.changes, result.reports, result.target = 0, by_title(r.reports), r.target
  for _, action in ipairs(CHANGES) do result.changes = result.changes + (result.summary[action] or 0) end
  return result, r.entries
end

--- The lines that were printed since the n-th.
local function printed(self, n) return table.concat(self.output, "\n", n + 1) end

---@return TestRun
function M.plan(recipe, values, how)
  local self = current "test.plan"
  local before, found, held = #self.output, loaded(recipe)
  local result, entries = planned(self, found, values, how)
  for _, line in ipairs(plan.lines(entries)) do self.output[#self.output + 1] = line end
  result.output, result.value = printed(self, before), held.value
  return result
end

---@return TestRun
function M.apply(recipe, values, how)
  local self = current "test.apply"
  local before, found, held = #self.output, loaded(recipe)
  local result = planned(self, found, values, how)
  local o = told(self, found, values, how)
  apply.apply(o)
  local memory = load.upto_options(o, false).memory
  if result.changes > 0 then result.reports = by_title(memory.reports) end
  result.output, result.value = printed(self, before), held.value
  return result
end

---@return { output: string }
function M.destroy(recipe, values)
  local self = current "test.destroy"
  local before, found = #self.output, loaded(recipe)
  local o = told(self, found, values)
  local r = load.upto_options(o, true)
  local _ <close> = r.journal
  destroy.run(r, o)
  return { output = printed(self, before) }
end

---@return { output: string }
function M.rollback(recipe, values)
  local self = current "test.rollback"
  local before, found = #self.output, loaded(recipe)
  local o = told(self, found, values)
  local r = load.upto_options(o, true)
  local _ <close> = r.journal
  rollback.run(r, o)
  return { output = printed(self, before) }
end

return M
