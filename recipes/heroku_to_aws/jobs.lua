--- The jobs of Heroku Scheduler, which are only on its dashboard: a YAML file that says of each what the dashboard shows.
---
---     - command: node bin/report.js
---       dyno_size: Standard-1X                # Standard-1X where it is left out
---       frequency: daily at 03:30 UTC         # or: hourly at :20, every 10 minutes
local errors = require "errors"
local fs = require "fs"
local options = require "options"
local sign = require "sign"
local tables = require "heroku_to_aws.tables"
local yaml = require "yaml"

local M = {}

local MEMBERS = { "command", "dyno_size", "frequency" }

--- Where a member of the n-th job stands in the file, which the reader of YAML does not keep. Without a member: the job.
local function position(text, n, member)
  local seen, indent, line_number = 0, nil, 0
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    line_number = line_number + 1
    local blanks = line:match "^(%s*)%-%s"
    if blanks and (not indent or #blanks == indent) then
      indent = #blanks
      seen = seen + 1
    end
    if seen == n then
      local column = member and line:find("%f[%w_]" .. member:gsub("%p", "%%%0") .. "%f[^%w_]['\"]?%s*:") or not member and #blanks + 1
      if column then return line_number, column end
    elseif seen > n then break end
  end
  return 1, 1
end

--- "hourly at :20" and the like as an expression of EventBridge Scheduler, in UTC.
---@param frequency any
---@return string? expression
---@return string? words the same, in one way
function M.expression(frequency)
  local text = tostring(frequency):lower():gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  if text == "every 10 minutes" then return "cron(0/10 * * * ? *)", "every 10 minutes" end
  local minute = tonumber(text:match "^hourly at :(%d%d)$")
  if minute and minute < 60 then return ("cron(%d * * * ? *)"):format(minute), ("hourly at :%02d"):format(minute) end
  local hours, minutes, half = text:match "^daily at (%d%d?):(%d%d) ?([ap]?m?) ?u?t?c?$"
  hours, minutes = tonumber(hours), tonumber(minutes)
  if not hours or minutes > 59 or (half ~= "" and half ~= "am" and half ~= "pm") then return nil end
  if half ~= "" then
    if hours < 1 or hours > 12 then return nil end
    hours = hours % 12 + (half == "pm" and 12 or 0)
  end
  if hours > 23 then return nil end
  return ("cron(%d %d * * ? *)"):format(minutes, hours), ("daily at %02d:%02d UTC"):format(hours, minutes)
end

--- A name of its own for a job, the same as long as its command is: "node-bin-report-js-1a2b3c".
local function name_of(command, nth)
  local slug = command:lower():gsub("[^%w]+", "-"):gsub("^%-", ""):sub(1, 32):gsub("%-$", "")
  return ("%s-%s"):format(slug, sign.sha256(command .. (nth > 1 and "\n" .. nth or "")):sub(1, 6))
end

--- Reads the file. What is wrong in it is said with its line and column.
---@param path string
---@return { name: string, command: string, size: string, frequency: string, expression: string }[] jobs
function M.read(path)
  local text = fs.read(path)
  local list, err = yaml.decode(text)
  if list == nil then errors.usage("%s: %s", path, err.message) end
  local function wrong(n, member, fmt, ...)
    local line, column = position(text, n, member)
    errors.usage("%s, line %d, column %d: %s", path, line, column, fmt:format(...))
  end
  if type(list) ~= "table" or #list == 0 and next(list) ~= nil then
    errors.usage("%s, line 1, column 1: it must be a list of jobs, each with command, dyno_size and frequency", path)
  end
  local jobs, seen = {}, {}
  for i, job in ipairs(list) do
    if type(job) ~= "table" or #job > 0 then wrong(i, nil, "a job has a command, a dyno_size and a frequency") end
    for member in pairs(job) do
      local known = false
      for _, m in ipairs(MEMBERS) do known = known or m == member end
      if not known then wrong(i, member, "a job has no %s%s", member, options.suggestion(member, MEMBERS)) end
    end
    if type(job.command) ~= "string" or not job.command:find "%S" then wrong(i, job.command and "command", "the command of the job is missing") end
    if job.frequency == nil then wrong(i, nil, "the frequency of the job is missing") end
    local expression, frequency = M.expression(job.frequency)
    if not expression then
      wrong(i, "frequency", "%q is no frequency: say \"every 10 minutes\", \"hourly at :20\" or \"daily at 03:30 UTC\"", tostring(job.frequency))
    end
    local size = tostring(job.dyno_size or "Standard-1X")
    if not tables.dynos[size:lower()] then wrong(i, "dyno_size", "%s is no size of a dyno", size) end
    seen[job.command] = (seen[job.command] or 0) + 1
    jobs[i] = { name = name_of(job.command, seen[job.command]), command = job.command, size = size, frequency = frequency, expression = expression }
  end
  return jobs
end

return M
