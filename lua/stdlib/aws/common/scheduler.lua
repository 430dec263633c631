--- Switches schedules of EventBridge Scheduler on and off.
local aws = require "aws"
local noun = require "aws.common.noun"

local M = {}

local KEPT = { "ActionAfterCompletion", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn", "Name", "ScheduleExpression",
               "ScheduleExpressionTimezone", "StartDate", "Target" }

--- Whether it fires; nil where there is no such schedule.
---@return boolean?
function M.is_on(group, name)
  local s = noun.found("ResourceNotFoundException", aws.scheduler.get_schedule, aws.scheduler, { GroupName = group, Name = name })
  if not s then return nil end
  return s.State == "ENABLED"
end

--- An update says all of a schedule again. One that is gone can be switched off, but not on.
---@param group string
---@param name string
---@param on boolean
function M.switch(group, name, on)
  local args = { GroupName = group, Name = name }
  local s = on and aws.scheduler:get_schedule(args)
    or noun.found("ResourceNotFoundException", aws.scheduler.get_schedule, aws.scheduler, args)
  local state = on and "ENABLED" or "DISABLED"
  if not s or s.State == state then return end
  local all = { State = state }
  for _, field in ipairs(KEPT) do all[field] = s[field] end
  aws.scheduler:update_schedule(all)
end

return M
