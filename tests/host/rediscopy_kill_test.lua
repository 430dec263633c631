--- A few of the trials of `make kill-redis`.
package.path = "tests/support/?.lua;" .. package.path
local kills = require "redis_kills"
local test = require "test"

local T = test.cases()

local lab = kills.new { keys = 600, seed = 5, seconds = 0.5 }

T["copies that are killed at random moments go on, and end as the source is"] = function()
  for i = 1, 2 do lab:kill_trial(i) end
end

T["a copy gets over connections that are cut"] = function()
  for i = 1, 2 do lab:cut_trial(i) end
end

T["a source, and a target, that were started again are named, and the same call goes on"] = function()
  lab:restart_trial(1, "source")
  lab:restart_trial(2, "target")
end

T["a target that runs out of memory is named, and with more the same call goes on"] = function()
  lab:full_trial(1)
end

T["the servers stop and leave nothing running"] = function() lab:close() end

return T
