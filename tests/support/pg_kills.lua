--- Copies and comparisons that are cut off at random moments and begun again, until they end; then both sides must be the
--- same, by pg.same and by sums that have nothing to do with it.
local errors = require "errors"
local fs = require "fs"
local pg = require "pg"
local pg_lab = require "pg_lab"
local pg_source = require "pg_source"
local process = require "process"
local task = require "task"

local M = {}

local Lab = {}
Lab.__index = Lab

local COPY = [[
  local r = require "pg".copy { from = os.getenv "FROM", to = os.getenv "TO", jobs = tonumber(os.getenv "JOBS"), split = 524288, restart = true,
                                patience = tonumber(os.getenv "PATIENCE"), progress = false }
  assert(r.snapshot.one)
]]

local SAME = [[
  require "pg.same.chunks".PART = 256
  local r = require "pg".same { a = os.getenv "FROM", b = os.getenv "TO", journal = os.getenv "JOURNAL", quiet = true, progress = false }
  require "fs".write(os.getenv "JOURNAL" .. ".verdict", tostring(r.equal))
]]

-- A network that swallows packets is noticed within seconds instead of minutes.
local QUICK = "?keepalives_idle=1&keepalives_interval=1&keepalives_count=3&tcp_user_timeout=3000"

-- What an app might do to the source while nobody copies.
local WRITES = {
  app = {
    "UPDATE app.events SET ok = NOT ok WHERE id %% 97 = %d", "DELETE FROM app.notifications WHERE id %% 89 = %d",
    "INSERT INTO app.notifications (user_id, data) SELECT 1000, '{\"n\": %d}' FROM generate_series(1, 20)",
    "UPDATE app.users SET full_name = full_name || 'x' WHERE id %% 31 = %d", "SELECT nextval('billing.invoice_no') + %d",
    "UPDATE app.cache SET v = 'w%d' WHERE k LIKE 'k1%%'", "SELECT lo_put((SELECT min(content) FROM app.files), %d, '\\x01')",
  },
  bench = {
    "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid %% 101 = %d",
    "INSERT INTO pgbench_history SELECT 1 + %d %% 10, 1, g, g, now(), 'x' FROM generate_series(1, 50) g",
    "DELETE FROM pgbench_history WHERE tid %% 7 = %d %% 7",
  },
}

-- One row that the other side does not have so; what it says is the same whenever it is done.
local DAMAGES = {
  app = { "UPDATE app.events SET message = message || 'x%d' WHERE id = (SELECT id FROM app.events ORDER BY id OFFSET %d LIMIT 1)",
          "DELETE FROM audit.log WHERE actor = 'actor %d' AND at = (SELECT max(at) FROM audit.log WHERE actor = 'actor %d')" },
  bench = { "UPDATE pgbench_accounts SET abalance = abalance + %d WHERE aid = %d + 1" },
}

--- The library that gives a program a disk of a size.
local function build_disk(dir)
  local path = dir .. "/full_disk.so"
  local r = process.run { "cc", "-std=c11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", path, "tests/support/full_disk.c", "-ldl" }
  if r.code ~= 0 then error("cc: " .. r.stderr, 0) end
  return path
end

--- Two servers; on the first the realistic source and pgbench's.
---@param o { scale: number, seed: integer }
function M.new(o)
  local lab = setmetatable({ dir = fs.tmpdir "hkrun-pgkill-", seed = o.seed, scale = o.scale, seconds = {} }, Lab)
  fs.chmod(lab.dir, 457)                             -- 0711: the servers' user passes through
  lab:disk(1 << 60)
  fs.chmod(lab.dir .. "/disk", 438)                  -- 0666
  lab.source = pg_lab.new { user = "owner", rights = "rds" }
  lab.target = pg_lab.new { user = "owner", rights = "rds", settings = { min_wal_size = "32MB" },
    prefix = { "env", "LD_PRELOAD=" .. build_disk(lab.dir), "HKRUN_DISK=" .. lab.dir .. "/disk" } }
  for _, server in ipairs { lab.source, lab.target } do
    server:sql(server:admin(), "CREATE ROLE app_rw; CREATE ROLE app_ro; GRANT app_rw, app_ro TO owner")
  end
  lab.source:fresh "app"
  lab.source:sql(lab.source:admin(), "ALTER ROLE owner SUPERUSER")
  do
    local owner <close> = pg.open(lab.source:at "app")
    pg_source.fill(owner, o.scale)
  end
  lab.source:sql(lab.source:admin(), "ALTER ROLE owner NOSUPERUSER")
  lab.source:fresh "bench"
  pg_source.bench(lab.source:at "bench", o.scale)
  lab.random = function(n)                           -- the same for the same seed, here and everywhere
    lab.seed = (lab.seed * 1103515245 + 12345) % 2147483648
    return (lab.seed // 65536) % n
  end
  return lab
end

local function bug(what, message, ...) errors.raise { op = what, kind = "bug", message = message:format(...) } end

local function data_of(i) return i % 2 == 0 and "app" or "bench" end

-- ---- copies and comparisons as other processes ----

---@param o? { from: integer, to: integer, journal: string, patience: string } ports of relays; a journal makes it a comparison
function Lab:start(data, o)
  o = o or {}
  local function url(server, port, database) return ("postgres://owner@127.0.0.1:%d/%s%s"):format(port or server.port, database, QUICK) end
  fs.write(self.dir .. "/stderr", "")
  return process.start { "/proc/self/exe", "-e", o.journal and SAME or COPY, stdout = "null", stderr = self.dir .. "/stderr", env = {
    PATH = os.getenv "PATH", HOME = self.dir, FROM = url(self.source, o.from, data), TO = url(self.target, o.to, "copy"),
    JOBS = tostring(1 + self.random(3)), JOURNAL = o.journal, PATIENCE = o.patience or "120", HKRUN_LIB = os.getenv "HKRUN_LIB" } }
end

function Lab:said() return fs.read(self.dir .. "/stderr"):sub(-800) end

--- Waits a share of the time that the undisturbed work takes, and kills it; false where it had ended by itself.
local function killed(p, seconds)
  task.sleep(seconds)
  local was_running = p:is_running()
  p:kill "KILL"
  p:wait(20)
  return was_running
end

local RELATIONS = [[SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'S') AND n.nspname !~ '^pg_|^information_schema$|^hkrun_copy$' ORDER BY 1]]

local function sums(endpoint)
  local conn <close> = pg.open(endpoint)
  local list = {}
  conn:exec "SET search_path = ''; SET extra_float_digits = 3"
  for _, row in ipairs(conn:query(RELATIONS)) do
    local sql = row.kind == "S" and "SELECT last_value || ' ' || is_called FROM %s"
      or "SELECT count(*) || ' ' || coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::int8), 0) FROM ONLY %s t"
    list[#list + 1] = row.name .. " " .. conn:value(sql:format(row.name))
  end
  list[#list + 1] = "large objects " .. (conn:value "SELECT string_agg(oid || md5(lo_get(oid)), ' ' ORDER BY oid) FROM pg_largeobject_metadata" or "")
  return list
end

--- What is not the same, by sums of md5 that each side computes of the rows as text; nil if nothing is.
function Lab:different(data)
  local sides = task.all { a = function() return sums(self.source:admin(data)) end, b = function() return sums(self.target:admin "copy") end }
  for i = 1, math.max(#sides.a, #sides.b) do
    if sides.a[i] ~= sides.b[i] then return ("%s | %s"):format(tostring(sides.a[i]), tostring(sides.b[i])) end
  end
end

--- Lets a copy run to its end, and compares.
function Lab:finish(data, what, running)
  local p = running or self:start(data)
  local code = p:wait(280)
  if code ~= 0 then bug(what, "the copy ended with %s: %s", tostring(code), self:said()) end
  local different = self:different(data)
  if different then bug(what, "not the same: %s", different) end
  local r = pg.same { a = self.source:at(data), b = self.target:at "copy", quiet = true, progress = false }
  if not r.equal then bug(what, "not the same: %s", table.concat(r.differences, "; ", 1, math.min(5, #r.differences))) end
  if self.target:value("copy", "SELECT to_regnamespace('hkrun_copy')::text") then bug(what, "the ledger is still there") end
end

--- An empty target.
function Lab:renew()
  self.target:fresh "copy"
  self.compared = nil
end

--- How long a copy takes that nobody disturbs, and a comparison.
function Lab:measure(data)
  if not self.seconds[data] then
    self:renew()
    local p, began = self:start(data), task.now()
    p:wait(280)
    local copied = task.now()
    self:start(data, { journal = self.dir .. "/first" }):wait(280)
    self.seconds[data] = { copy = copied - began, same = task.now() - copied }
  end
  return self.seconds[data]
end

-- ---- trials ----

--- One to three kills, and after each third of them something is written to the source.
---@return integer kills those that met a copy that ran
function Lab:kill_trial(i)
  local data = data_of(i)
  local seconds = self:measure(data).copy
  self:renew()
  local kills, wanted = 0, 1 + self.random(3)
  for n = 1, wanted do
    if killed(self:start(data), seconds * self.random(1000) / 1000 / n) then kills = kills + 1 end
    if self.random(3) == 0 then
      local list = WRITES[data]
      self.source:sql(data, list[1 + self.random(#list)]:format(self.random(90)))
    end
  end
  self:finish(data, ("trial %d on %s, killed %d times"):format(i, data, kills))
  return kills
end

--- Connections that end with RST in the middle: some, or all, on either side. The copy itself must get over it.
function Lab:reset_trial(i)
  local data = data_of(i)
  local seconds = self:measure(data).copy
  local relays, ports = {}, {}
  for side, server in pairs { from = self.source, to = self.target } do
    relays[side], ports[side] = server:relay()
  end
  local _ <close> = setmetatable({}, { __close = function() for _, p in pairs(relays) do p:stop(5) end end })
  self:renew()
  local p = self:start(data, ports)
  for _ = 1, 1 + self.random(3) do
    task.sleep(seconds * self.random(1000) / 1500)
    local signal = self.random(2) == 0 and "USR1" or "HUP"
    for side, relay in pairs(relays) do
      if self.random(3) > 0 then relay:kill(signal) end
    end
  end
  self:finish(data, ("reset %d on %s"):format(i, data), p)
end

local function nft(...)
  local r = process.run { "nft", ... }
  if r.code ~= 0 then bug("nft", "%s", r.stderr) end
end

--- From a random moment on, packets of some of the connections are swallowed, in both directions. Needs a network of its own.
function Lab:stall_trial(i)
  local data = data_of(i)
  local seconds = self:measure(data).copy
  if not self.stalls then
    nft "add table inet cut; \z
      add set inet cut dead { type inet_service; }; add chain inet cut out { type filter hook output priority 0; }; \z
      add rule inet cut out tcp sport @dead drop; add rule inet cut out tcp dport @dead drop"
    self.stalls = true
  end
  self:renew()
  local p = self:start(data)
  for _ = 1, 1 + self.random(2) do
    task.sleep(seconds * self.random(1000) / 1500)
    local every, server = 1 + self.random(2), self.random(2) == 0 and self.source or self.target
    local found = process.run { "ss", "-Htn", "state", "established", "dport", "=", ":" .. server.port }.stdout
    for port in found:gmatch "127%.0%.0%.1:(%d+)%s+127" do
      if tonumber(port) % every == 0 then nft("add element inet cut dead { " .. port .. " }") end
    end
  end
  local ok, e = pcall(self.finish, self, data, ("stall %d on %s"):format(i, data), p)
  nft "flush set inet cut dead"
  if not ok then error(e, 0) end
end

--- A server is stopped at once and started again while a copy runs.
---@param name "source"|"target"
function Lab:restart_trial(i, name)
  local data = data_of(i)
  local seconds = self:measure(data).copy
  self:renew()
  local p = self:start(data)
  task.sleep(seconds * self.random(1000) / 1200)
  self[name].plane:crash()
  self[name]:restart()
  self:finish(data, ("restart %d of the %s, on %s"):format(i, name, data), p)
end

--- Sets how many bytes the target's disk has left.
function Lab:disk(bytes)
  local path = self.dir .. "/disk"
  local file <close> = io.open(path, fs.exists(path) and "r+b" or "wb")
  file:write(string.pack("=i8", bytes))
end

--- The target's disk is full in the middle, for rows, indexes or its log, which may end the server; once it is larger the copy
--- goes on, or the same one begun again.
---@return string how it was met
function Lab:full_trial(i)
  local data, share = data_of(i), 20 + self.random(70)
  local size = self.source:value(data, "SELECT pg_database_size(current_database()) - pg_database_size('template1')")
  local what = ("a disk for %d %% of %s"):format(share, data)
  while true do
    self:renew()
    self:disk(size * share // 100)
    local _ <close> = setmetatable({}, { __close = function() self:disk(1 << 60) end })
    local p = self:start(data, { patience = "20" })
    while p:is_running() and self.target.plane.process:is_running() do task.sleep(0.05) end
    self:disk(1 << 60)
    if not self.target.plane.process:is_running() then
      self.target:restart()
      self:finish(data, what, p)
      return "the server ended"
    elseif p:wait() ~= 0 then
      local said = self:said()
      if not (said .. fs.read(self.target.plane.log)):find "No space left" then bug(what, "the copy ended otherwise: %s", said) end
      self:finish(data, what)
      return "the copy ended"
    end
    share = share // 2                               -- it had room enough
    if share == 0 then bug(what, "the disk was never full") end
  end
end

--- Comparisons that are killed, with something written to both sides, or to one, before they go on with their journal: they
--- must find what sums of md5 find.
---@return integer kills
function Lab:verify_trial(i)
  local data = data_of(i)
  local seconds = self:measure(data).same
  if self.compared ~= data then
    self:renew()
    self:finish(data, "copy for comparisons")
  end
  self.compared = nil
  local journal, kills, done = self.dir .. "/journal", 0, {}
  for _, path in ipairs { journal, journal .. ".verdict" } do if fs.exists(path) then fs.remove(path) end end
  for n = 1, 1 + self.random(2) do
    if killed(self:start(data, { journal = journal }), seconds * (50 + self.random(700)) / 1000 / n) then kills = kills + 1 end
    local list = DAMAGES[data]
    local sql = list[1 + self.random(#list)]
    local number = self.random(100)
    sql = sql:format(number, number)
    local how = self.random(4)                       -- nothing, on both sides, on one
    if how > 0 then self.target:sql("copy", sql) end
    if how == 1 then self.source:sql(data, sql) elseif how > 1 then done[#done + 1] = sql end
  end
  local p = self:start(data, { journal = journal })
  local what = ("comparison %d of %s, killed %d times"):format(i, data, kills)
  if p:wait(280) ~= 0 then bug(what, "it ended otherwise: %s", self:said()) end
  local verdict, different = fs.read(journal .. ".verdict"), self:different(data)
  if verdict ~= tostring(different == nil) then bug(what, "it said %s; %s", verdict, different or "nothing is different") end
  for _, sql in ipairs(done) do self.source:sql(data, sql) end
  self.compared = data
  return kills
end

function Lab:close()
  self.source:close()
  self.target:close()
  if self.stalls then nft "delete table inet cut" end
  fs.rmtree(self.dir)
end

return M
