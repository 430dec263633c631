--- Copies of Redis that are cut off at random moments and begun again, until they end; then both sides must be the same.
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local redis = require "redis"
local redis_source = require "redis_source"
local server = require "rehearsal.planes.redis"
local task = require "task"

local M = {}

local Lab = {}
Lab.__index = Lab

-- By `rate` a copy takes some time, so that there is a middle.
local CODE = [[
  local o = load("return " .. os.getenv "OPTIONS")()
  if o.rename then
    local prefix = o.rename
    o.rename = nil
    o.transform = function(key) key.name = prefix .. key.name return key end
  end
  o.from, o.to, o.journal, o.timeout, o.patience = os.getenv "FROM", os.getenv "TO", os.getenv "JOURNAL", 10, 20
  local r = require "redis".copy(o)
  io.stdout:write(r.keys, " ", r.kept, "\n")
]]

local PACED = {
  "{ rate = %d, batch = 50 }", "{ rate = %d, batch = 100, connections = 4 }", "{ rate = %d, batch = 50, parallel = false }",
  '{ rate = %d, batch = 50, method = "value" }', '{ rate = %d, batch = 50, rename = "" }',
}

-- Without a rate the source is asked for more while the target answers; what that takes, about.
local FREE <const>, FREE_SECONDS <const> = { "{ batch = 20 }", "{ batch = 20, connections = 1 }" }, 0.06

-- What an app might do to the source while nobody copies.
local WRITES = {
  { "SET", "string:%d", "changed" }, { "DEL", "string:%d" }, { "SET", "new:%d", "new" }, { "ZADD", "zset:odd", "%d", "tenth" },
  { "XADD", "stream:big", "*", "n", "%d" }, { "PEXPIREAT", "string:%d", "4102444800999" }, { "HSET", "hash:1", "a", "%d" },
  { "RENAME", "string:1", "renamed:%d" }, { "XREADGROUP", "GROUP", "readers", "carol", "COUNT", "3", "STREAMS", "stream:big", ">" },
}

---@param o { keys: integer, seed: integer, seconds: number } seconds: that a copy takes, about
function M.new(o)
  local lab = setmetatable({ dir = fs.tmpdir "hkrun-kill-", folders = {}, seed = o.seed, keys = o.keys, seconds = o.seconds, trials = 0 }, Lab)
  for _, name in ipairs { "source", "target" } do lab:boot(name) end
  lab:fill()
  lab.random = function(n)                           -- the same for the same seed, here and everywhere
    lab.seed = (lab.seed * 1103515245 + 12345) % 2147483648
    return (lab.seed // 65536) % n
  end
  return lab
end

function Lab:boot(name)
  self.folders[name] = self.folders[name] or fs.tmpdir "hkrun-kill-"
  self[name] = server.start { dir = self.folders[name], port = self[name] and self[name].port,
    settings = { appendonly = "yes", appendfsync = "always", ["enable-debug-command"] = "local" } }
end

function Lab:on(name, ...)
  local r <close> = redis.open(self[name].url, { timeout = 20 })
  return r:command(...)
end

function Lab:fill()
  local r <close> = redis.open(self.source.url)
  r:flushall()
  redis_source.fill(r, self.keys)
end

--- A new target and a new journal.
---@param seconds? number that the copy is to take, at a rate; nil: the lab's, or as fast as it can
function Lab:fresh(seconds)
  self.trials = self.trials + 1
  self:on("target", "FLUSHALL")
  self.journal = ("%s/journal-%d"):format(self.dir, self.trials)
  local kind = 1 + self.random(#PACED + (seconds and 0 or #FREE))
  self.span = PACED[kind] and (seconds or self.seconds) or FREE_SECONDS
  self.options = PACED[kind] and PACED[kind]:format(self.keys / self.span // 1 | 0) or FREE[kind - #PACED]
end

--- A copy as another process.
function Lab:start()
  fs.write(self.dir .. "/stderr", "")
  return process.start { "/proc/self/exe", "-e", CODE, stdout = "null", stderr = self.dir .. "/stderr", env = {
    PATH = os.getenv "PATH", HOME = self.dir, FROM = self.source.url, TO = self.target.url, JOURNAL = self.journal,
    OPTIONS = self.options, HKRUN_LIB = os.getenv "HKRUN_LIB" } }
end

local function bug(what, fmt, ...) errors.raise { op = what, kind = "bug", message = fmt:format(...) } end

function Lab:ended(p)
  local code = p:wait(120)
  return code, fs.read(self.dir .. "/stderr"):sub(-800)
end

--- Lets it run to its end, and compares.
function Lab:finish(what, running)
  local code, said = self:ended(running or self:start())
  if code ~= 0 then bug(what, "the copy ended with %s: %s", tostring(code), said) end
  self:compare(what)
end

function Lab:compare(what)
  local r = redis.same { self.source.url, self.target.url, quiet = true }
  local first = r.differences[1]
  if not r.equal then bug(what, "%d differences; %s of %q in %d", r.count, first.kind, first.key, first.db) end
  if self:on("source", "DEBUG", "DIGEST") ~= self:on("target", "DEBUG", "DIGEST") then bug(what, "the digests differ") end
end

--- One to three kills, and in each third something is written to the source in between.
---@return integer kills
function Lab:kill_trial(i)
  self:fresh()
  local kills = 1 + self.random(3)
  for _ = 1, kills do
    local p = self:start()
    task.sleep(1.3 * self.span * self.random(1000) / 1000)
    p:kill "KILL"
    p:wait(20)
    local write, done = self.random(3) == 0, fs.exists(self.journal) and fs.read(self.journal):find '"ev":"end"'
    if write and not done then                       -- what is written after the end is not the copy's
      local words = {}
      for k, word in ipairs(WRITES[1 + self.random(#WRITES)]) do words[k] = word:find "%%d" and word:format(2 + self.random(self.keys - 2)) or word
      end
      pcall(self.on, self, "source", table.unpack(words))              -- RENAME's key may be gone
    end
  end
  self:finish(("trial %d, %s, killed %d times"):format(i, self.options, kills))
  return kills
end

--- Connections that end in the middle, on either side. The copy itself must get over it.
function Lab:cut_trial(i)
  self:fresh()
  local p = self:start()
  local name = self.random(2) == 0 and "source" or "target"
  for _ = 1, 1 + self.random(3) do
    task.sleep(0.6 * self.span * self.random(1000) / 1000)
    self:on(name, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
  end
  self:finish(("cut %d at the %s, %s"):format(i, name, self.options), p)
end

--- Starts a copy that takes longer than anything here, and answers it when it is under way.
function Lab:start_slow()
  self:fresh(20)
  local p = self:start()
  repeat task.sleep(0.02) until self:on("target", "DBSIZE") > 40
  return p
end

--- After the fault it need not be slow any more.
function Lab:finish_fast(what)
  self.options = self.options:gsub("rate = %d+, ", "")
  self:finish(what)
end

--- A server is killed and started again while a copy runs: the copy says so, and goes on when it is called again.
function Lab:restart_trial(i, name)
  local p = self:start_slow()
  local what = ("restart %d of the %s, %s"):format(i, name, self.options)
  self[name]:kill()
  self[name]:stop()
  self:boot(name)
  local code, said = self:ended(p)
  if code == 0 then bug(what, "nothing was said of it") end
  if not said:find("restarted", 1, true) or not said:find("goes on", 1, true) then bug(what, "not said clearly: %s", said) end
  self:finish_fast(what)
end

--- The target runs out of memory; with more of it the same copy ends.
function Lab:full_trial(i)
  local p = self:start_slow()
  local what = ("full %d, %s"):format(i, self.options)
  self:on("target", "CONFIG", "SET", "maxmemory", "1")
  local code, said = self:ended(p)
  self:on("target", "CONFIG", "SET", "maxmemory", "0")
  if code == 0 or not said:find("OOM", 1, true) then bug(what, "it was not said: %s", said) end
  self:finish_fast(what)
end

function Lab:close()
  self.source:stop()
  self.target:stop()
  for _, folder in pairs(self.folders) do fs.rmtree(folder) end
  fs.rmtree(self.dir)
end

return M
