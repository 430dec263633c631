--- The clock of the rehearsal: simulated time runs `scale` times faster than the
--- real one, so that a database that takes AWS ten minutes takes seconds here.
local loop = require "host.loop"
local task = require "task"

local Clock = {}
Clock.__index = Clock

--- Simulated time, seconds since 1970.
function Clock:now()
  return self.began + (task.now() - self.started) * self.scale
end

--- Waits so many simulated seconds.
function Clock:sleep(seconds)
  task.sleep(seconds / self.scale)
end

---@param scale number how many simulated seconds pass in a real one
return function(scale)
  return setmetatable({ scale = scale, began = loop.time(), started = task.now() }, Clock)
end
