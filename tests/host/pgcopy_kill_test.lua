--- A few of the trials of `make kill-pg`.
package.path = "tests/support/?.lua;" .. package.path
local kills = require "pg_kills"
local test = require "test"

local T = test.cases()

local lab = kills.new { scale = 0.005, seed = 11 }
test.defer_file(function() lab:close() end)

T["copies that are killed at random moments go on, and end as the source is"] = function()
  local met = 0
  for i = 1, 4 do met = met + lab:kill_trial(i) end
  test.truthy(met > 0, "a copy that ran was killed")
end

T["a copy gets over connections that are reset"] = function()
  for i = 1, 2 do lab:reset_trial(i) end
end

T["a copy gets over a source, and a target, that crash and start again"] = function()
  lab:restart_trial(1, "source")
  lab:restart_trial(2, "target")
end

T["when the target's disk was full the copy goes on, or the same call copies the rest"] = function()
  lab:full_trial(1)
end

T["comparisons that are killed and go on say what is so, whatever was written meanwhile"] = function()
  for i = 1, 2 do lab:verify_trial(2 * i) end
end

return T
