--- Kills, cuts and starves copies of PostgreSQL at random moments, and wants each to end as the source is.
---
---     make kill-pg                          300 kills, 50 cuts, 20 restarts, full disks
---     KILLS=20 CUTS=5 SEED=7 make kill-pg   fewer, others
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local kills = require "pg_kills"

local function number(name, default) return math.tointeger(tonumber(os.getenv(name) or default)) end

local seed, wanted, cuts = number("SEED", 1), number("KILLS", 300), number("CUTS", 50)
local dir = fs.tmpdir "hkrun-kill-pg-"
local lab = kills.new { dir = dir, scale = tonumber(os.getenv "SCALE" or "0.02"), seed = seed }

local function each(what, n, fn)
  local bad = 0
  for i = 1, n do
    local ok, e = pcall(fn, i)
    if not ok then
      bad = bad + 1
      print(("not ok %s %d: %s"):format(what, i, tostring(e)))
    end
  end
  print(("%s: %d, %d of them failed"):format(what, n, bad))
  return bad
end

local bad, killed, i = 0, 0, 0
while killed < wanted do
  i = i + 1
  local ok, n = pcall(lab.kill_trial, lab, i)
  if ok then killed = killed + n
  else
    bad, killed = bad + 1, killed + 1
    print(("not ok kill %d: %s"):format(i, tostring(n)))
  end
  if i % 20 == 0 then print(("%d trials, %d kills, %d failed"):format(i, killed, bad)) end
end
print(("%d kills in %d trials: %d failed"):format(killed, i, bad))
bad = bad + each("cuts", cuts, function(k) lab:cut_trial(k) end)
bad = bad + each("restarts of the source", math.ceil(cuts / 5), function(k) lab:restart_trial(k, "source") end)
bad = bad + each("restarts of the target", math.ceil(cuts / 5), function(k) lab:restart_trial(k, "target") end)
if fs.uid() == 0 then bad = bad + each("full disks", math.ceil(cuts / 10), function(k) lab:full_trial(k % 2 == 0 and "app" or "bench") end) end
lab:close()
fs.rmtree(dir)
if bad > 0 then os.exit(1) end
