--- Tries again what may work the next time, with full jitter: a wait is random
--- between 0 and base * 2^n, so that many callers do not come back together.
--- (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)
local errors = require "errors"
local options = require "options"
local task = require "task"

local M = {}

local declared = {
  { "attempts", "calls in all", type = "integer", default = 5 },
  { "base", "seconds: the bound of the first wait", type = "number", default = 0.5 },
  { "cap", "seconds: the bound of any wait", type = "number", default = 20 },
  { "longest", "seconds: gives up when the other side asks for more patience", type = "number", default = 300 },
  { "retryable", "says of an error whether to go on; the default is its `retry`", type = "function" },
  { "on_retry", "called before each wait with error, seconds, attempt", type = "function" },
}

local function retryable_by_itself(e) return e.retry == true end

--- The wait before attempt n + 1.
local function delay(o, e, n)
  local jitter = math.random() * math.min(o.cap, o.base * 2 ^ (n - 1))
  local asked = type(e) == "table" and e.retry_after
  return asked and asked + jitter * 0.1 or jitter
end

--- Calls fn(attempt) until it returns; raises the last error. An error may say
--- in `retry_after` how many seconds to wait. A cancel is never tried again.
---@param fn fun(attempt: integer): any
---@param opts? { attempts?: integer, base?: number, cap?: number, longest?: number, retryable?: function, on_retry?: function }
---@return any ... what fn returns
function M.call(fn, opts)
  local o = options.check(opts or {}, declared, "retry.call")
  local retryable = o.retryable or retryable_by_itself
  local attempt = 1
  while true do
    local told = task.is_cancelled()
    local r = table.pack(pcall(fn, attempt))
    if r[1] then return table.unpack(r, 2, r.n) end
    local e = r[2]
    local over = attempt >= o.attempts or task.is_cancelled() ~= told    -- cancelled, and e hides it
    if over or not errors.is(e) or e.kind == "cancelled" or not retryable(e) then error(e, 0) end
    local seconds = delay(o, e, attempt)
    if seconds > o.longest then error(e, 0) end
    if o.on_retry then o.on_retry(e, seconds, attempt) end
    task.sleep(seconds)
    attempt = attempt + 1
  end
end

return M
