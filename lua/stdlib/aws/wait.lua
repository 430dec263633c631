--- Waiters: asks again and again until AWS says that something has come to be.
local errors = require "errors"
local log = require "log"
local model_of = require "aws.model"
local options = require "options"
local path = require "aws.path"
local task = require "task"

local M = {}

local FIRST, GROWTH = 0.5, 1.5 -- seconds; the model's delay is the longest pause, not the first

local function all_equal(list, expected)
  if type(list) ~= "table" or #list == 0 then return false end
  for _, value in ipairs(list) do if value ~= expected then return false end end
  return true
end

local function any_equal(list, expected)
  if type(list) ~= "table" then return false end
  for _, value in ipairs(list) do if value == expected then return true end end
  return false
end

--- Whether an acceptor speaks for what was seen: a result, or the error that the service answered.
local function accepts(acceptor, result, err, status)
  if acceptor.matcher == "status" then return status == acceptor.expected end
  if acceptor.matcher == "error" then
    if type(acceptor.expected) == "boolean" then return (err ~= nil) == acceptor.expected end
    return err ~= nil and err.code == acceptor.expected
  end
  if not result then return false end
  local found = path.find(acceptor.argument, result)
  if acceptor.matcher == "pathAll" then return all_equal(found, acceptor.expected) end
  if acceptor.matcher == "pathAny" then return any_equal(found, acceptor.expected) end
  if found == nil and acceptor.expected == false then found = false end
  return found == acceptor.expected
end

---@param waiter aws.Waiter
---@param result? table
---@param err? table
---@param status? integer
---@return "success"|"failure"|"retry"|nil state
---@return table? acceptor
function M.judge(waiter, result, err, status)
  for _, acceptor in ipairs(waiter.acceptors) do
    if accepts(acceptor, result, err, status) then return acceptor.state, acceptor end
  end
  return nil
end

--- What the waiter looks at, in words: "creating, available".
local function seen(waiter, result)
  local words, known = {}, {}
  for _, acceptor in ipairs(waiter.acceptors) do
    local found = result and acceptor.matcher:find "^path" and path.find(acceptor.argument, result)
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
  errors.usage("aws.%s has no waiter %s%s", model.service, name, options.suggestion(name, names))
end

--- Waits; returns the last result. Raises "timeout" at the deadline, "remote" when the waiter ends in failure.
---@param client aws.Client
---@param name string
---@param args table
---@param o? { timeout?: number, delay?: number, what?: string } seconds; delay: the longest pause between two questions
---@return table?
function M.wait(client, name, args, o)
  o = o or {}
  local waiter = M.find(client.model, name)
  local what = o.what or ("wait for %s of %s"):format((name:gsub("_", " ")), client.model.service)
  local longest = o.delay or waiter.delay
  local timeout = o.timeout or waiter.delay * waiter.tries
  local deadline, pause = task.now() + timeout, math.min(FIRST, longest)
  local progress <close> = log.progress { what = what }
  while true do
    local ok, result, meta = pcall(client.call, client, waiter.operation, args)
    local err = not ok and result or nil
    if err and not (errors.is(err, "remote") and err.code) then error(err, 0) end
    progress:note(seen(waiter, ok and result or nil))
    local state, acceptor = M.judge(waiter, ok and result or nil, err, err and err.status or ok and meta.status or nil)
    if state == "success" then
      return ok and result or nil
    elseif state == "failure" then
      errors.raise { kind = "remote", op = what, cause = err, code = err and err.code, request_id = err and err.request_id,
                     message = err and err.message or ("it became %s"):format(tostring(acceptor.expected)) }
    elseif err and state ~= "retry" then
      error(err, 0)
    end
    local left = deadline - task.now()
    if left <= 0 then
      errors.raise { kind = "timeout", op = what, message = ("it did not happen within %d seconds"):format(timeout // 1) }
    end
    task.sleep(math.min(pause, left))
    pause = math.min(pause * GROWTH, longest)
  end
end

return M
