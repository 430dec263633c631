--- Kills, cuts and starves copies of Redis at random moments, and wants each to end as the source is.
---
---     make kill-redis                          300 kills, 50 cuts, 20 restarts, 10 times too little memory
---     KILLS=20 CUTS=5 SEED=7 make kill-redis   fewer, others
package.path = "tests/support/?.lua;" .. package.path
local kills = require "redis_kills"

local function number(name, default) return math.tointeger(tonumber(os.getenv(name) or default)) end

local wanted, cuts = number("KILLS", 300), number("CUTS", 50)
local lab = kills.new { keys = number("KEYS", 2000), seed = number("SEED", 1), seconds = 1 }
local bad = 0

local function try(what, i, ...)
  local ok, e = pcall(lab[what], lab, i, ...)
  if ok then return e end
  bad = bad + 1
  print(("not ok %s %d: %s"):format(what, i, tostring(e)))
  return 1
end

local killed, i = 0, 0
while killed < wanted do
  i = i + 1
  killed = killed + try("kill_trial", i)
  if i % 20 == 0 then print(("%d trials, %d kills, %d failed"):format(i, killed, bad)) end
end
for k = 1, cuts do try("cut_trial", k) end
for k = 1, math.ceil(cuts / 5) do
  try("restart_trial", k, "source")
  try("restart_trial", k, "target")
  try("full_trial", k)
end
print(("%d kills in %d trials, %d cuts, %d restarts, %d times too little memory: %d failed"):format(killed, i, cuts,
  2 * math.ceil(cuts / 5), math.ceil(cuts / 5), bad))
lab:close()
if bad > 0 then os.exit(1) end
