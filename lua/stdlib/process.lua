--- Child processes. Each has its own process group and dies with hkrun, even
--- when that is killed.
local host = require "host.process"
local task = require "task"
local errors = require "errors"
local fs = require "fs"

local M = {}

--- The pid of hkrun itself.
M.pid = host.self

--- Where hkrun itself lies: what starts it again. The program of the tarball runs under a loader of its own, and its
--- launcher says where it is (tools/launch.c).
---@return string path
function M.program()
  local path = fs.realpath "/proc/self/exe"
  return path:find "/ld%.so$" and os.getenv "HKRUN_PROGRAM" or path
end

--- Sets environment variables of hkrun itself, for the libraries in it and for what it starts; false takes one away.
---@param values table<string, string|Secret|false>
function M.setenv(values)
  for name, value in pairs(values) do host.setenv(name, value or nil) end
end

--- The environment variables of hkrun itself; all are secrets.
---@return table<string, Secret>
function M.environment()
  local env, get = {}, require "host.term".env
  for _, name in ipairs(host.environment()) do env[name] = get(name) end
  return env
end

---@class Process
---@field pid integer
local Process = {}
Process.__index = Process
Process.__close = function(p) p:stop() end

--- Where a program lies: $PATH, then Debian's PostgreSQL folders, the newest first, and sbin. Debian's perl script that
--- chooses among these folders costs more than a dump of a small schema, and is passed over.
---@return string? path
function M.which(name)
  if name:find "/" then return fs.exists(name) and name or nil end
  local dirs = {}
  for dir in (os.getenv "PATH" or "/usr/local/bin:/usr/bin:/bin"):gmatch "[^:]+" do dirs[#dirs + 1] = dir end
  if fs.exists "/usr/lib/postgresql" then
    local versions = fs.list "/usr/lib/postgresql"
    table.sort(versions, function(a, b) return (tonumber(a) or 0) > (tonumber(b) or 0) end)
    for _, version in ipairs(versions) do dirs[#dirs + 1] = "/usr/lib/postgresql/" .. version .. "/bin" end
  end
  dirs[#dirs + 1] = "/usr/sbin"
  dirs[#dirs + 1] = "/sbin"
  for _, dir in ipairs(dirs) do
    local path = dir .. "/" .. name
    if fs.exists(path) and not fs.realpath(path):find "/pg_wrapper$" then return path end
  end
end

local function program(name)
  return M.which(name) or errors.raise {
    kind = "not_found", op = "start " .. name, message = "the program is not installed",
    hint = "`make deps` installs what hkrun's rehearsal needs",
  }
end

--- NAME=value entries; without env, the runner's own PATH, HOME and language.
local function environment(env)
  local text = require "text"
  local entries = {}
  for name, value in pairs(env or { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8" }) do
    entries[#entries + 1] = text("%s=%s", name, value)
  end
  return entries
end

--- Starts a program; its words are the list part.
---@param o table { "program", "arg", ..., env=, cwd=, user=, prefix={}, stdin=, stdout=, stderr= }
---@return Process
function M.start(o)
  local argv = {}
  for _, word in ipairs(o.prefix or {}) do argv[#argv + 1] = word end
  for _, word in ipairs(o) do argv[#argv + 1] = word end
  if #(o.prefix or {}) > 0 then argv[#o.prefix + 1] = program(o[1]) end
  argv[1] = program(argv[1])
  local user = fs.uid() == 0 and o.user or nil
  local handle, err = host.spawn(argv, environment(o.env), o.cwd, user,
    o.stdin or "null", o.stdout or "null", o.stderr or "null")
  errors.check("start " .. o[1], handle, err)
  return setmetatable({ handle = handle, pid = handle:pid(), name = o[1], lines = "" }, Process)
end

--- The exit code (128 + n for signal n), or nil when `seconds` are over.
---@param seconds? number
function Process:wait(seconds)
  local deadline = seconds and task.now() + seconds
  while true do
    local code = self.handle:status()
    if code then return code end
    local left = deadline and deadline - task.now()
    if left and left <= 0 then return nil end
    task.await(self.handle:id(), left)
  end
end

function Process:is_running() return self.handle:status() == nil end
function Process:kill(signal) self.handle:kill(signal) end

--- Ends it: TERM (or `signal`), and KILL after `seconds` (10). Safe twice.
---@return integer code
function Process:stop(seconds, signal)
  local code = self.handle:status()
  if not code then
    self.handle:kill(signal or "TERM")
    code = task.shield(self.wait, self, seconds or 10)
    if not code then
      self.handle:kill "KILL"
      code = task.shield(self.wait, self)
    end
  end
  self.handle:close()
  task.forget(self.handle:id())
  return code
end

local function step(handle, stream, method, ...)
  while true do
    local r = table.pack(handle[method](handle, ...))
    if r[1] or r[1] == nil then return table.unpack(r, 1, r.n) end
    task.wait_fd(handle:fd(stream), r[2])
  end
end

--- The next line of a stdout that is a pipe, without its newline; nil at the end.
function Process:read_line()
  while true do
    local line, rest = self.lines:match "^([^\n]*)\n(.*)$"
    if line then self.lines = rest return line end
    local ok, bytes = step(self.handle, "stdout", "read", "stdout")
    if not ok or bytes == "" then
      local last = self.lines
      self.lines = ""
      return last ~= "" and last or nil
    end
    self.lines = self.lines .. bytes
  end
end

--- What comes next on a stdout that is a pipe, as much as is there; nil at the end.
---@return string?
function Process:read()
  local bytes = self.lines
  self.lines = ""
  if bytes ~= "" then return bytes end
  local ok
  ok, bytes = step(self.handle, "stdout", "read", "stdout")
  return ok and bytes ~= "" and bytes or nil
end

local function read_all(handle, stream)
  local parts = {}
  while true do
    local ok, bytes = step(handle, stream, "read", stream)
    if not ok or bytes == "" then return table.concat(parts) end
    parts[#parts + 1] = bytes
  end
end

local function write_all(handle, bytes)
  local offset, size = 0, require "secret".size(bytes)
  while offset < size do
    local ok, reached = step(handle, "stdin", "write", bytes, offset)
    if not ok then break end            -- it closed its end: its exit code tells
    offset = reached
  end
  handle:close_stdin()
end

--- Runs a program to its end.
---@param o table as for start; stdin= string or secret; timeout= seconds (600)
---@return { code: integer, stdout: string, stderr: string }
function M.run(o)
  local input = o.stdin
  local opts = {}
  for k, v in pairs(o) do opts[k] = v end
  opts.stdin, opts.stdout, opts.stderr = input and "pipe" or "null", o.stdout or "pipe", o.stderr or "pipe"
  local p <close> = M.start(opts)
  return task.within(o.timeout or 600, "run " .. o[1], function()
    local work = {}
    if opts.stdout == "pipe" then work.stdout = function() return read_all(p.handle, "stdout") end end
    if opts.stderr == "pipe" then work.stderr = function() return read_all(p.handle, "stderr") end end
    if input then work.stdin = function() write_all(p.handle, input) end end
    local out = task.all(work)
    return { code = p:wait(), stdout = out.stdout or "", stderr = out.stderr or "" }
  end)
end

return M
