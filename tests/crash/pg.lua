--- Kills, cuts and starves copies of PostgreSQL at random moments, and wants each to end as the source is.
---
---     make kill-pg                          300 kills, 50 cuts, 20 restarts, 10 full disks, 50 comparisons that are killed
---     KILLS=20 CUTS=5 SEED=7 make kill-pg   fewer, others
package.path = "tests/support/?.lua;" .. package.path
local errors = require "errors"
local kills = require "pg_kills"

local function number(name, default) return math.tointeger(tonumber(os.getenv(name) or default)) end

local wanted, cuts, restarts = number("KILLS", 300), number("CUTS", 50), number("RESTARTS", 20)
local disks, comparisons = number("DISKS", 10), number("COMPARISONS", 50)
local lab = kills.new { scale = tonumber(os.getenv "SCALE" or "0.05"), seed = number("SEED", 1) }
local bad = 0

--- Runs trials until they have made `n`; each says how many it was, and what it met.
local function trials(what, n, fn)
  local done, failed, i, met = 0, 0, 0, {}
  while done < n do
    i = i + 1
    local ok, count = pcall(fn, i)
    if not ok then
      if errors.is(count, "cancelled") then error(count, 0) end
      failed = failed + 1
      print(("not ok %s %d: %s"):format(what, i, tostring(count)))
    end
    if ok and type(count) == "string" then met[count] = (met[count] or 0) + 1 end
    done = done + (ok and math.tointeger(count) or 1)
    if i % 20 == 0 then print(("%s: %d of %d, %d failed"):format(what, done, n, failed)) end
  end
  local parts = {}
  for name, times in pairs(met) do parts[#parts + 1] = ("; %s %d times"):format(name, times) end
  print(("%s: %d in %d trials, %d failed%s"):format(what, done, i, failed, table.concat(parts)))
  bad = bad + failed
end

local has_network = os.getenv "OWN_NETWORK" ~= nil
trials("kills", wanted, function(i) return lab:kill_trial(i) end)
trials("connections reset", has_network and cuts - cuts // 2 or cuts, function(i) lab:reset_trial(i) end)
if has_network then trials("connections silent", cuts // 2, function(i) lab:stall_trial(i) end)
else print "connections silent: NONE TRIED, for this user gets no network of his own here" end
trials("restarts", restarts, function(i) lab:restart_trial(i, i // 2 % 2 == 0 and "source" or "target") end)
trials("full disks", disks, function(i) return lab:full_trial(i) end)
trials("kills of comparisons", comparisons, function(i) return lab:verify_trial(i) end)
lab:close()
if bad > 0 then os.exit(1) end
