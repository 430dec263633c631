--- Dynos: the app's real processes. Each formation type has as many as its
--- quantity says; one that ends by itself is started again, one that is told to
--- stop has 30 seconds. devcenter.heroku.com/articles/dynos
local api = require "rehearsal.heroku.api"
local errors = require "errors"
local fs = require "fs"
local loop = require "host.loop"
local process = require "process"
local task = require "task"

local M = {}

local GRACE, BOOT = 30, 60              -- seconds until KILL; until a web dyno must listen

---@class Dyno
---@field name string "web.1"
---@field state string "starting", "up", "crashed", "down"
local Dyno = {}
Dyno.__index = Dyno

function Dyno:set_state(state)
  if self.state == state then return end
  if self.state then self.app.logs:add("heroku", self.name, ("State changed from %s to %s"):format(self.state, state)) end
  self.state, self.updated_at = state, api.now()
end

--- Kills what is left of a process and its children, also when it has ended itself.
local function kill_group(p)
  if p:is_running() then p:kill "KILL"
  else process.run { "kill", "-KILL", "--", "-" .. p.pid, timeout = 5 } end
end

--- Whether a process listens on the port; asks the kernel, not the app.
local function listens(port)
  local wanted = (":%04X"):format(port)
  for _, path in ipairs { "/proc/net/tcp", "/proc/net/tcp6" } do
    if fs.exists(path) then
      for address, state in fs.read(path):gmatch "\n%s*%d+: (%x+:%x+) %x+:%x+ (%x%x)" do
        if state == "0A" and address:sub(-5) == wanted then return true end
      end
    end
  end
  return false
end

local function wait_listening(self)
  local deadline = task.now() + BOOT
  while self.process and self.process:is_running() and not self.stopping do
    if listens(self.port) then self:set_state "up" return end
    if task.now() > deadline then
      self.app.logs:add("heroku", self.name, "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch")
      kill_group(self.process)
      return
    end
    task.sleep(0.05)
  end
end

--- A dyno ends with its first process: what that left behind is killed.
local function sweep(self, p)
  p:wait()
  if self.stopping then return end      -- they have their grace; stop() sees to it
  task.sleep(1)
  if self.process == p then kill_group(p) end
end

--- One life of the process; returns its exit code.
local function live(self)
  if self.type == "web" then self.port = fs.free_port(nil, true) end
  self:set_state "starting"
  self.app.logs:add("heroku", self.name, ("Starting process with command `%s`"):format(self.command))
  -- bash, as on Heroku: it becomes the command, which so ends with us however we end
  self.process = process.start { "bash", "-c", "exec 2>&1\n" .. self.command, cwd = self.app.dyno_dir, user = "nobody", stdout = "pipe",
    env = self.app:environment { DYNO = self.name, PORT = self.port and tostring(self.port) } }
  if self.stopping then self.process:kill "TERM" end
  local helpers = { task.spawn(sweep, self, self.process) }
  if self.type == "web" then helpers[2] = task.spawn(wait_listening, self) else self:set_state "up" end
  local ok, e = pcall(function()
    for line in self.process.read_line, self.process do self.app.logs:add("app", self.name, line) end
    return self.process:wait()
  end)
  for _, helper in ipairs(helpers) do helper:cancel() pcall(helper.join, helper) end
  local code = self.process:stop(0, "KILL")
  self.process = nil
  if not ok then error(e, 0) end
  self.app.logs:add("heroku", self.name, ("Process exited with status %d"):format(code))
  return code
end

--- A dyno of a cloud without servers: nothing runs, until it is told to stop.
local function stand(self)
  self:set_state "starting"
  self:set_state "up"
  self.told = task.event()
  while not self.stopping do self.told.wait() end
  self:set_state "down"
end

local function run(self)
  if not self.app.servers then return stand(self) end
  local pause = 1
  while not self.stopping do
    local began = task.now()
    self.code = live(self)
    if self.stopping or self.once then break end
    self:set_state "crashed"
    if task.now() - began > 60 then pause = 1 end
    task.sleep(pause)
    pause = math.min(pause * 2, 60)
  end
  self:set_state "down"
end

--- Asks it to end: TERM, and KILL when the grace is over. Does not wait.
function Dyno:stop()
  if self.stopping then return end
  self.stopping = true
  self.app.logs:add("heroku", self.name, "Stopping all processes with SIGTERM")
  local p = self.process
  if p then
    p:kill "TERM"
    self.killer = task.spawn(function()
      task.sleep(GRACE)
      if self.process == p then
        self.app.logs:add("heroku", self.name, "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM")
        kill_group(p)
      end
    end)
  elseif self.state == "crashed" then
    self.task:cancel()                  -- it waits for its next life
  elseif self.told then
    self.told.set()
  end
end

--- Ends it now, and waits.
function Dyno:kill()
  self.stopping = true
  if self.process then kill_group(self.process) else self.task:cancel() end
  pcall(self.task.join, self.task)
end

local function start(app, o)
  local dyno = setmetatable(o, Dyno)
  dyno.app, dyno.id, dyno.created_at, dyno.release = app, api.uuid("dyno", o.name, tostring(loop.now())), api.now(), app.release
  dyno:set_state "starting"
  app.dynos[#app.dynos + 1] = dyno
  dyno.task = task.spawn(function()
    local ok, e = pcall(run, dyno)
    if dyno.killer then dyno.killer:cancel() pcall(dyno.killer.join, dyno.killer) end
    for i = #app.dynos, 1, -1 do if app.dynos[i] == dyno then table.remove(app.dynos, i) end end
    if not ok and not errors.is(e, "cancelled") then app.logs:add("heroku", dyno.name, "Error: " .. tostring(e)) end
  end)
  return dyno
end

--- A one-off dyno, as `heroku run` makes it.
function M.run(app, command, size)
  app.one_offs = (app.one_offs or 1000) + 1
  return start(app, { name = "run." .. app.one_offs, type = "run", command = command, size = size or "Standard-1X", once = true })
end

local function serving(app, name)
  for _, dyno in ipairs(app.dynos) do
    if dyno.name == name and not dyno.stopping then return dyno end
  end
end

--- Brings the running dynos to what the formation says.
function M.converge(app)
  local wanted = {}
  if app.closed then return end
  for _, process_type in ipairs(app.formation) do
    for i = 1, process_type.quantity do wanted[process_type.type .. "." .. i] = process_type end
  end
  for _, dyno in ipairs(table.move(app.dynos, 1, #app.dynos, 1, {})) do
    local process_type = wanted[dyno.name]
    if not dyno.once and not dyno.stopping and (not process_type or process_type.size ~= dyno.size) then dyno:stop() end
  end
  for name, process_type in pairs(wanted) do
    if not serving(app, name) then
      start(app, { name = name, type = process_type.type, command = process_type.command, size = process_type.size })
    end
  end
end

--- Stops the dynos that `which` selects; those of the formation start anew.
---@param which? fun(dyno: Dyno): boolean all of the formation without it
function M.restart(app, which)
  for _, dyno in ipairs(table.move(app.dynos, 1, #app.dynos, 1, {})) do
    if which and which(dyno) or not which and not dyno.once then dyno:stop() end
  end
  M.converge(app)
end

--- The list that the API shows: one that stops is hidden by its successor.
function M.listed(app)
  local list = {}
  for _, dyno in ipairs(app.dynos) do
    if not dyno.stopping or not serving(app, dyno.name) then list[#list + 1] = dyno end
  end
  return list
end

--- Ends all at once.
function M.stop(app)
  app.closed = true
  local all = table.move(app.dynos, 1, #app.dynos, 1, {})
  for _, dyno in ipairs(all) do
    dyno.stopping = true
    if dyno.process then dyno.process:kill "TERM" end
  end
  local deadline = task.now() + 2
  for _, dyno in ipairs(all) do
    while dyno.process and task.now() < deadline do task.sleep(0.02) end
    dyno:kill()
  end
end

return M
