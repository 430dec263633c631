--- Copies that are cut off at random moments and begun again, until they end; then both sides must be the same.
local errors = require "errors"
local fs = require "fs"
local pg = require "pg"
local pg_source = require "pg_source"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local task = require "task"

local M = {}

local Lab = {}
Lab.__index = Lab

local CODE = [[
  local r = require "pg".copy { from = os.getenv "FROM", to = os.getenv "TO", jobs = tonumber(os.getenv "JOBS"), split = 524288, restart = true, progress = false }
  assert(r.snapshot.one)
]]

-- What an app might do to the source while nobody copies.
local WRITES = {
  app = {
    "UPDATE app.events SET ok = NOT ok WHERE id %% 97 = %d", "DELETE FROM app.notifications WHERE id %% 89 = %d",
    "INSERT INTO app.notifications (user_id, data) SELECT 1000, '{\"n\": %d}' FROM generate_series(1, 20)",
    "UPDATE app.users SET full_name = full_name || 'x' WHERE id %% 31 = %d", "SELECT nextval('billing.invoice_no') + %d",
    "UPDATE app.cache SET v = 'w%d' WHERE k LIKE 'k1%%'", "SELECT lo_put((SELECT min(content) FROM app.files), %d, '\\x01')",
  },
  bench = {
    "UPDATE accounts SET balance = balance + 1 WHERE aid %% 101 = %d", "INSERT INTO history SELECT %d, g FROM generate_series(1, 50) g",
    "DELETE FROM history WHERE tid %% 7 = %d %% 7",
  },
}

local BENCH = [[CREATE TABLE branches (bid int PRIMARY KEY, balance int); CREATE TABLE accounts (aid int PRIMARY KEY, bid int REFERENCES branches,
    balance int, filler char(84)); CREATE TABLE history (tid int, delta int);
  INSERT INTO branches SELECT g, 0 FROM generate_series(1, 10) g;
  INSERT INTO accounts SELECT g, 1 + g %% 10, 0, '' FROM generate_series(1, %d) g; INSERT INTO history SELECT g, g FROM generate_series(1, 500) g]]

--- Two servers, and the realistic source and one like pgbench's on the first.
---@param o { dir: string, scale: number, seed: integer }
function M.new(o)
  local lab = setmetatable({ dir = o.dir, seed = o.seed, scale = o.scale }, Lab)
  lab.source = postgres.start { dir = o.dir .. "/a", user = "owner", rights = "rds" }
  lab.target = postgres.start { dir = o.dir .. "/b", user = "owner", rights = "rds" }
  for _, plane in ipairs { lab.source, lab.target } do
    local conn <close> = pg.open(plane.admin)
    conn:exec "CREATE ROLE app_rw; CREATE ROLE app_ro; GRANT app_rw, app_ro TO owner"
  end
  lab:fresh(lab.source, "app")
  do
    local conn <close> = pg.open(lab.source.admin)
    conn:exec "ALTER ROLE owner SUPERUSER"
    local owner <close> = pg.open(lab:url(lab.source, "app"))
    pg_source.fill(owner, o.scale)
    conn:exec "ALTER ROLE owner NOSUPERUSER"
  end
  lab:fresh(lab.source, "bench")
  lab:sql(lab.source, "bench", BENCH:format(math.floor(2000000 * o.scale)))
  lab.random = function(n)                           -- the same for the same seed, here and everywhere
    lab.seed = (lab.seed * 1103515245 + 12345) % 2147483648
    return (lab.seed // 65536) % n
  end
  lab.seconds = {}
  return lab
end

function Lab:url(plane, database) return ("postgres://owner@127.0.0.1:%d/%s"):format(plane.port, database) end

function Lab:sql(plane, database, text)
  local conn <close> = pg.open(self:url(plane, database))
  return conn:exec(text)
end

function Lab:fresh(plane, name, more)
  local conn <close> = pg.open { host = plane.admin.host, port = plane.port, user = "hkrun_admin", database = "postgres" }
  conn:exec(("DROP DATABASE IF EXISTS %s WITH (FORCE)"):format(name))
  conn:exec(("CREATE DATABASE %s OWNER owner TEMPLATE template0 %s"):format(name, more or ""))
end

--- A copy as another process.
function Lab:start(data, port)
  local to = port and ("postgres://owner@127.0.0.1:%d/copy"):format(port) or self:url(self.target, "copy")
  fs.write(self.dir .. "/stderr", "")
  return process.start { "/proc/self/exe", "-e", CODE, stdout = "null", stderr = self.dir .. "/stderr", env = {
    PATH = os.getenv "PATH", HOME = self.dir, FROM = self:url(self.source, data), TO = to, JOBS = tostring(1 + self.random(3)),
    HKRUN_LIB = os.getenv "HKRUN_LIB" } }
end

--- Lets it run to its end, and compares.
function Lab:finish(data, what, running)
  local p = running or self:start(data)
  local code = p:wait(120)
  local said = fs.exists(self.dir .. "/stderr") and fs.read(self.dir .. "/stderr"):sub(-800) or ""
  if code ~= 0 then errors.raise { op = what, kind = "bug", message = ("the copy ended with %s: %s"):format(tostring(code), said) } end
  local r = pg.same { a = self:url(self.source, data), b = self:url(self.target, "copy"), quiet = true, progress = false,
    tolerate = { "tablespace" } }                    -- of the small disk
  local left = pg.open(self:url(self.target, "copy"))
  local ledger = left:value "SELECT to_regnamespace('hkrun_copy')::text"
  left:close()
  if not r.equal then
    errors.raise { op = what, kind = "bug", message = "not the same: " .. table.concat(r.differences, "; ", 1, math.min(5, #r.differences)) }
  end
  if ledger then errors.raise { op = what, kind = "bug", message = "the ledger is still there" } end
end

--- How long a copy takes that nobody disturbs.
function Lab:measure(data)
  if not self.seconds[data] then
    self:fresh(self.target, "copy")
    local began = task.now()
    self:finish(data, "a quiet copy")
    self.seconds[data] = task.now() - began
  end
  return self.seconds[data]
end

--- One to three kills, and in each third trial something is written to the source in between.
---@return integer kills
function Lab:kill_trial(i)
  local data = i % 2 == 0 and "app" or "bench"
  local seconds = self:measure(data)
  self:fresh(self.target, "copy")
  local kills = 1 + self.random(3)
  for _ = 1, kills do
    local p = self:start(data)
    task.sleep(seconds * self.random(1000) / 1000)
    p:kill "KILL"
    p:wait(20)
    if self.random(3) == 0 then
      local list = WRITES[data]
      self:sql(self.source, data, list[1 + self.random(#list)]:format(self.random(90)))
    end
  end
  self:finish(data, ("trial %d on %s, killed %d times"):format(i, data, kills))
  return kills
end

--- Sessions that end in the middle: some, or all, on either side. The copy itself must get over it.
function Lab:cut_trial(i)
  local data = i % 2 == 0 and "app" or "bench"
  local seconds = self:measure(data)
  self:fresh(self.target, "copy")
  local p = self:start(data)
  local plane = self.random(2) == 0 and self.source or self.target
  local conn <close> = pg.open { host = plane.admin.host, port = plane.port, user = "hkrun_admin", database = "postgres" }
  for _ = 1, 1 + self.random(2) do
    task.sleep(seconds * self.random(1000) / 2000)
    conn:query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'hkrun copy%' AND pid % $1 = 0",
      1 + self.random(2))
  end
  self:finish(data, ("cut %d on %s"):format(i, data), p)
end

--- A server is stopped at once and started again while a copy runs.
function Lab:restart_trial(i, name)
  local data = i % 2 == 0 and "app" or "bench"
  local seconds = self:measure(data)
  self:fresh(self.target, "copy")
  local p = self:start(data)
  task.sleep(seconds * self.random(1000) / 1200)
  local o = { dir = self[name].dir, port = self[name].port, user = "owner", rights = "rds" }
  self[name]:crash()
  self[name] = postgres.start(o)
  self:finish(data, ("restart %d of the %s, on %s"):format(i, name, data), p)
end

--- The target's disk is full in the middle; once it is larger the same copy ends. Needs root, for a file system of its own.
function Lab:full_trial(data)
  local small = self.dir .. "/small"
  fs.mkdir_p(small)
  local function mount(...)
    local r = process.run { "mount", ... }
    if r.code ~= 0 then errors.raise { op = "mount", kind = "io", message = r.stderr } end
  end
  mount("-t", "tmpfs", "-o", "size=200m,mode=0777", "tmpfs", small)
  local _ <close> = setmetatable({}, { __close = function()
    self:fresh(self.target, "copy")
    local conn <close> = pg.open(self.target.admin)
    conn:exec "DROP TABLESPACE IF EXISTS small"
    process.run { "umount", small }
  end })
  fs.mkdir_p(small .. "/space")
  fs.chown(small .. "/space", "postgres")
  local conn <close> = pg.open(self.target.admin)
  conn:exec(("CREATE TABLESPACE small LOCATION '%s/space'"):format(small))
  conn:exec "GRANT CREATE ON TABLESPACE small TO owner"
  self:fresh(self.target, "copy", "TABLESPACE small")
  local used = tonumber(process.run { "du", "-sk", small }.stdout:match "%d+")
  mount("-o", ("remount,size=%dk"):format(used + 1024), small)
  local p = self:start(data)
  local code = p:wait(120)
  local said = fs.read(self.dir .. "/stderr")
  if code == 0 or not said:find "No space left" then
    errors.raise { op = "fill the disk", kind = "bug", message = "the disk was not full: " .. said:sub(-500) }
  end
  mount("-o", "remount,size=2000m", small)
  self:finish(data, "after the disk was full")
end

function Lab:close()
  self.source:stop()
  self.target:stop()
end

return M
