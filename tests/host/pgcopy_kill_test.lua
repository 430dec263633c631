--- A few of the trials of `make kill-pg`.
local fs = require "fs"
package.path = "tests/support/?.lua;" .. package.path
local kills = require "pg_kills"
local test = require "test"

local T = test.cases()

local dir = fs.tmpdir "hkrun-pgkill-"
local lab = kills.new { dir = dir, scale = 0.005, seed = 11 }

T["copies that are killed at random moments go on, and end as the source is"] = function()
  for i = 1, 4 do lab:kill_trial(i) end
end

T["a copy gets over sessions that are ended"] = function()
  for i = 1, 2 do lab:cut_trial(i) end
end

T["a copy gets over a source, and a target, that crash and start again"] = function()
  lab:restart_trial(1, "source")
  lab:restart_trial(2, "target")
end

T["when the target's disk was full the same call copies the rest"] = function()
  if fs.uid() ~= 0 then return end                   -- only root can make a small disk
  lab:full_trial "bench"
end

T["the servers stop and leave nothing running"] = function()
  lab:close()
  fs.rmtree(dir)
end

return T
