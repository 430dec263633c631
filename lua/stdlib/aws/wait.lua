--- Waiters: asks again and again until AWS says that something has come to be.
local errors = require "errors"
local log = require "log"
local model_of = require "aws.model"
local options = require "options"
local path = require "aws.path"
local task = require "task"

local M = {}

local FIRST, GROWTH = 0.5, 1.5 -- seconds; the model's delay is the longest pause, not the first
local LAST = 1                 -- second that the question at the deadline may take

--- The values that pathAll and pathAny look at: none unless the path finds a list with something in it.
local function values_of(acceptor, result)
  local found = path.find(acceptor.argument, result)
  return type(found) == "table" and found[1] ~= nil and found or nil
end

local MATCHERS = {
  path = function(acceptor, result)
    return result ~= nil and path.equal(path.find(acceptor.argument, result), acceptor.expected)
  end,
  pathAll = function(acceptor, result)
    local values = result and values_of(acceptor, result)
    for _, value in ipairs(values or {}) do if not path.equal(value, acceptor.expected) then return false end end
    return values ~= nil
  end,
  pathAny = function(acceptor, result)
    for _, value in ipairs(result and values_of(acceptor, result) or {}) do
      if path.equal(value, acceptor.expected) then return true end
    end
    return false
  end,
  status = function(acceptor, _, _, status) return status == acceptor.expected end,
  error = function(acceptor, _, err)
    if type(acceptor.expected) == "boolean" then return (err ~= nil) == acceptor.expected end
    return err ~= nil and err.code == acceptor.expected
  end,
}

--- What the first acceptor that speaks for an answer says of it; nil if none does.
---@param waiter aws.Waiter
---@param result? table
---@param err? table the error that the service answered instead
---@param status? integer
---@return "success"|"failure"|"retry"|nil state
---@return table? acceptor
function M.judge(waiter, result, err, status)
  for _, acceptor in ipairs(waiter.acceptors) do
    if MATCHERS[acceptor.matcher](acceptor, result, err, status) then return acceptor.state, acceptor end
  end
  return nil
end

--- What the waiter looks at, in words: "creating, available", or the error that it was answered.
local function seen(waiter, result, err)
  if err then return err.code end
  local words, known = {}, {}
  for _, acceptor in ipairs(waiter.acceptors) do
    local found = acceptor.matcher:find "^path" and path.find(acceptor.argument, result)
    for _, value in ipairs(type(found) == "table" and found or { found or nil }) do
      if type(value) == "string" and not known[value] then
        known[value] = true
        words[#words + 1] = value
      end
    end
  end
  return table.concat(words, ", ")
end

--- The waiter of that name, boto3's or the model's.
---@param model aws.Model
---@param name string "db_instance_available"
---@return aws.Waiter
function M.find(model, name)
  local names = {}
  for _, candidate in ipairs(model.names "waiters") do
    if candidate == name or model_of.snake(candidate) == name then return model.waiters[candidate] end
    names[#names + 1] = model_of.snake(candidate)
  end
  errors.usage("aws.%s has no waiter %s%s", model.service:gsub("-", "_"), name, options.suggestion(name, names))
end

local declared = {
  { "timeout", "seconds until it gives up; the default is the model's", type = "number" },
  { "delay", "seconds: the longest pause between two questions; the default is the model's", type = "number" },
  { "what", "what is waited for, as progress and errors say it", type = "string" },
  { "progress", "called after each answer with the state that it shows and the seconds gone by", type = "function" },
}

--- Why it ended in failure: the service's error, or the state that is an end.
local function raise_failure(what, acceptor, err, last)
  local expected = tostring(acceptor.expected)
  local message = err and err.message or ("it became %s"):format(type(acceptor.expected) == "string" and expected or last)
  if not err and last ~= expected and last ~= "" then message = ("%s (%s)"):format(message, last) end
  errors.raise { kind = "remote", op = what, cause = err, code = err and err.code, request_id = err and err.request_id,
                 message = message, state = last }
end

--- Waits; returns the last result. Raises "timeout" at the deadline and "remote" when the waiter ends in failure; both
--- errors have the last state that was seen in `state`.
---@param client aws.Client
---@param name string
---@param args table
---@param o? { timeout?: number, delay?: number, what?: string, progress?: fun(state: string, seconds: number) }
---@return table?
function M.wait(client, name, args, o)
  o = options.check(o or {}, declared, "aws.wait")
  local waiter = M.find(client.model, name)
  local what = o.what or ("wait for %s of %s"):format((name:gsub("_", " ")), client.model.service)
  local longest, timeout = o.delay or waiter.delay, o.timeout or waiter.delay * waiter.tries
  local began = task.now()
  local deadline, pause, last = began + timeout, math.min(FIRST, longest), ""
  local progress <close> = log.progress { what = what }
  local function give_up()
    errors.raise { kind = "timeout", op = what, state = last,
                   message = ("it did not happen within %g seconds%s"):format(timeout, last ~= "" and "; last seen: " .. last or "") }
  end
  while true do
    local ok, result, meta = pcall(client.call, client, waiter.operation, args, { deadline = math.max(deadline, task.now() + LAST) })
    local err = not ok and result or nil
    if errors.is(err, "timeout") and task.now() >= deadline then give_up() end
    if err and not (errors.is(err, "remote") and err.code) then error(err, 0) end
    last = seen(waiter, result, err)
    progress:note(last)
    if o.progress then o.progress(last, task.now() - began) end
    local state, acceptor = M.judge(waiter, ok and result or nil, err, err and err.status or ok and meta.status or nil)
    if state == "success" then
      return ok and result or nil
    elseif state == "failure" then
      raise_failure(what, acceptor, err, last)
    elseif err and state ~= "retry" then
      error(err, 0)
    end
    local left = deadline - task.now()
    if left <= 0 then give_up() end
    task.sleep(math.min(pause, left))
    pause = math.min(pause * GROWTH, longest)
  end
end

return M
