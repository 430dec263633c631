--- Which calls did it: notes the changing calls of AWS and Heroku that a task and its children make, with the ids under
--- which the service knows them. The recipe engine writes them beside what they did. And the names of all calls of AWS, those
--- that only read too, for hkrun policy.
local errors = require "errors"
local sorted_keys = require "sorted_keys"
local task = require "task"

local M = {}

local used = {}

--- Told by the client of AWS of each call, whatever becomes of it.
---@param name string "ec2.DescribeVpcs"
function M.use(name) used[name] = true end

--- Begins anew, as a process would: for tests, of which many run in one.
function M.forget() used = {} end

--- The calls of AWS that this process has made.
---@return string[] names sorted
function M.used()
  return sorted_keys(used)
end

--- The calls of this process that a journal does not know yet, for the record of a run's end.
---@param memory table recipe.memory
---@return string[]? names nil for none
function M.unknown_to(memory)
  local new = {}
  for _, name in ipairs(M.used()) do
    if not memory.calls[name] then new[#new + 1] = name end
  end
  return new[1] and new or nil
end

--- Told by the clients of each changing call that succeeded.
---@param name string "ec2.CreateVpc", "heroku.PATCH /apps/shop"
---@param id? string the service's request id
function M.note(name, id)
  local t = task.current()
  while t do
    local list = t.calls
    if list then
      local known = list[name]
      if known then
        known.id, known.times = id, (known.times or 1) + 1
      else
        known = { call = name, id = id }
        list[name], list[#list + 1] = known, known
      end
      return
    end
    t = t.parent
  end
end

--- Runs fn and says which calls it made.
---@param fn function
---@return { call: string, id: string?, times: integer? }[]? calls in their order, one for each operation, with the last id; nil for none
---@return any ... what fn returned
function M.during(fn, ...)
  local me = task.current()
  local before, list = me.calls, {}
  me.calls = list
  local r = table.pack(xpcall(fn, errors.handler, ...))
  me.calls = before
  if not r[1] then error(r[2], 0) end
  return list[1] and table.move(list, 1, #list, 1, {}) or nil, table.unpack(r, 2, r.n)
end

return M
