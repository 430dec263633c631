--- Exact faults: what goes wrong at the n-th call of an operation from now on, once, before or after its effect.
---
---     { call = "ec2 CreateSubnet", n = 2, fault = "kill", when = "after", pid_file = "pid" }
---
--- `throttle`, `error` (a 500) and `expired` (the credentials) are answers in the service's own words; `drop` closes the
--- connection without one, `hang` keeps it open without one, `kill` ends the process that sent the call, whose
--- number is in `pid_file`, with SIGKILL. Tests set it through the inspector (POST /_hkrun/faults).
local errors = require "errors"
local options = require "options"
local process = require "process"

local M = {}

---@class ExactFaults
---@field struck integer how many of them took place
local Faults = {}
Faults.__index = Faults

local DECLARED = {
  { "call", "the operation, as the inspector's list of calls names it, or \"*\" for all that change something", type = "string", required = true },
  { "n", "which of its calls", type = "integer", default = 1 },
  { "fault", "what goes wrong", type = "string", required = true, one_of = { "throttle", "error", "expired", "drop", "hang", "kill" } },
  { "when", "before or after the call's effect", type = "string", default = "before", one_of = { "before", "after" } },
  { "pid_file", "where the number of the process is that sends the call", type = "string" },
}

local HANG = 3600                       -- seconds: longer than any client waits

--- The codes of AWS: of most services, and of those that have their own.
local AWS = {
  throttle = { query = { "Throttling", 400 }, json = { "ThrottlingException", 400 }, ec2 = { "RequestLimitExceeded", 503 },
               ["rest-xml"] = { "SlowDown", 503 } },
  error = { query = { "InternalFailure", 500 }, json = { "InternalFailure", 500 }, ec2 = { "InternalError", 500 },
            ["rest-xml"] = { "InternalError", 500 } },
  expired = { query = { "ExpiredToken", 403 }, json = { "ExpiredTokenException", 400 }, ec2 = { "RequestExpired", 400 },
              ["rest-xml"] = { "ExpiredToken", 400 } },
}
local HEROKU = {
  throttle = { 429, "rate_limit", "Your account reached the API rate limit" }, error = { 500, "internal_server_error", "An error occurred." },
  expired = { 401, "unauthorized", "Invalid credentials provided." },
}

--- AWS's code and status for a refusal.
---@param protocol string of the service
function M.aws(fault, protocol) return table.unpack(AWS[fault][protocol] or AWS[fault].json) end

--- Heroku's status, id and message for a refusal.
function M.heroku(fault) return table.unpack(HEROKU[fault]) end

--- What goes wrong at this call, if anything does: each plan counts the calls of its operation.
function Faults:meet(call)
  local name, met = ("%s %s"):format(call.api, call.operation), nil
  for _, fault in ipairs(self) do
    if fault.call == name or fault.call == "*" and call.mutating then
      fault.seen = fault.seen + 1
      if fault.seen == fault.n then met = met or fault end
    end
  end
  return met
end

--- Does what the call does, unless something goes wrong at it.
---@param call table the cloud's record of the call
---@param refuse fun(fault: string) raises the service's own answer
---@param act fun(): table does it, and answers
---@return table answer
function Faults:around(call, refuse, act)
  local met = self:meet(call)
  if not met then return act() end
  self.struck, call.fault = self.struck + 1, met.fault
  if met.when == "after" then
    local ok, e = pcall(act)            -- what the service refuses meets its fault too
    if not ok and errors.is(e, "cancelled") then error(e, 0) end
  end
  if met.fault == "kill" then process.run { "sh", "-c", 'kill -KILL "$(cat "$0")"', met.pid_file }
  elseif met.fault == "hang" then return { drop = true, delay = HANG }
  elseif met.fault ~= "drop" then refuse(met.fault) end
  return { drop = true }
end

--- The faults of a list of plans.
---@param plans table[] see DECLARED
---@return ExactFaults
function M.new(plans)
  local faults = { struck = 0 }
  for i, plan in ipairs(plans) do
    faults[i] = options.check(plan, DECLARED, "a fault")
    if plan.fault == "kill" and not plan.pid_file then errors.usage "a kill needs the pid_file of the process" end
    faults[i].seen = 0
  end
  return setmetatable(faults, Faults)
end

return M
