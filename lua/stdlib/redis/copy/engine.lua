--- The fast way of a copy: DUMP and RESTORE on worker threads (host.rediscopy), watched from here.
local endpoints = require "redis.endpoint"
local errors = require "errors"
local host = require "host.rediscopy"
local task = require "task"

local M = {}

local TICK = 0.25
local FIRST = 0.05                      -- the first look at who else works there comes sooner

--- The workers go to the address at which the control connection found the server.
local function set_end(job, method, r, run_id)
  local e = r.endpoint
  local tls_name, ca, pin, insecure = endpoints.tls(e)
  errors.check("copy Redis", job[method](job, r.address, r.port, e.user, e.password, tls_name, ca, pin, insecure, run_id))
end

--- A job between the servers of two connections, with what redis.copy was told.
---@param c table the copy: from, to, o, load, exact, source_run, target_run
function M.job(c)
  local job = errors.check("copy Redis", host.new())
  set_end(job, "source", c.from, c.source_run)
  set_end(job, "target", c.to, c.target_run)
  return job
end

--- Starts it. `more` are fields of job:start besides.
function M.start(job, c, more)
  local o = c.o
  local fields = { connections = o.connections, batch = o.batch, exact = c.exact, strings = c.strings, stall = math.max(1, o.timeout * 1000 // 1 | 0),
    patience = o.patience * 1000 // 1 | 0, lenient = o.method ~= "dump", in_turn = not o.parallel }
  for k, v in pairs(more or {}) do fields[k] = v end
  job:limit(c.load:limit())
  errors.check("copy Redis", job:start(fields))
end

--- Looks at the load. A connection that broke is no reason to end: the workers have their own, and their patience.
local function look(c, job)
  local ok, e = pcall(c.load.look, c.load, c.strings and function() return job:progress().gets end)
  if not ok and (errors.is(e, "cancelled") or not e.kind) then error(e, 0) end
  job:limit(c.load:limit())
end

--- Waits for the job, or until `done(progress)`; told(progress) is called some times a second, and once when it has ended.
function M.watch(job, c, told, done)
  local seconds = FIRST
  look(c, job)
  while true do
    local ended = task.await(job:id(), seconds)
    local result, err = job:result()
    local p = job:progress()
    told(p)
    if result or err.code ~= "running" then
      return errors.check(("copy Redis %s to %s"):format(c.from.label, c.to.label), result, err)
    end
    if ended and done and done(p) then return p end
    if not ended then
      look(c, job)
      seconds = TICK
    end
  end
end

--- Scans the segments and copies what it finds.
---@param segments { db: integer, cursor: string, stop: string, expires: boolean, digest?: string }[]
---@param told fun(progress: table, slices: table[], refused: table[])
function M.run(c, segments, told)
  local job <close> = M.job(c)
  for _, s in ipairs(segments) do errors.check("copy Redis", job:segment(s)) end
  M.start(job, c)
  return M.watch(job, c, function(p)
    local slices = job:slices()         -- first: what was refused in them is known then
    told(p, slices, job:refused())
  end)
end

return M
