--- The last lines of an Elastic Beanstalk environment's logs, as its machines hand them out.
local aws = require "aws"
local errors = require "errors"
local http = require "http"
local log = require "log"
local task = require "task"

local M = {}

local PATIENCE = 90                     -- seconds that the machines may take
local QUOTED = 15                       -- lines that an error says
local ENGINE, COMMANDS = "/var/log/eb-engine.log", "/var/log/cfn-init-cmd.log"

local function infos(name)
  return aws.elasticbeanstalk:retrieve_environment_info({ EnvironmentName = name, InfoType = "tail" }).EnvironmentInfo or {}
end

--- The text of each file, by its path: a rule, the path, a rule, the lines.
---@param text string as the machines hand it out
---@return table<string, string[]>
function M.files(text)
  local files, current, before = {}, nil, nil
  for line in (text:gsub("\r\n", "\n") .. "\n"):gmatch "([^\n]*)\n" do
    if line:find "^%-%-%-%-%-%-%-%-%-%-%-%-+$" and before and before:find "^/" then
      if current then current[#current] = nil end           -- the path, and the rule above it
      if current and (current[#current] or ""):find "^%-%-%-%-+$" then current[#current] = nil end
      files[before] = files[before] or {}
      current = files[before]
    elseif current then current[#current + 1] = line end
    before = line
  end
  for _, lines in pairs(files) do
    while lines[#lines] == "" do lines[#lines] = nil end
  end
  return files
end

--- The texts that the machines hand out when they are asked for the last lines of their logs; none where they do not answer.
---@param name string of the environment
---@return string[]
local function texts(name)
  local last = 0
  for _, info in ipairs(infos(name)) do last = math.max(last, info.SampleTimestamp or 0) end
  aws.elasticbeanstalk:request_environment_info { EnvironmentName = name, InfoType = "tail" }
  local stop, list = task.now() + PATIENCE, {}
  repeat
    task.sleep(1)
    for _, info in ipairs(infos(name)) do
      if info.SampleTimestamp > last and info.Message then
        local answer = http.get(info.Message, { timeout = 30 })
        if answer:ok() then list[#list + 1] = answer.body end
      end
    end
  until #list > 0 or task.now() > stop
  return list
end

--- What the last of the bundle's commands printed: each line stands behind the time, the process and a tab.
local function last_command(lines)
  local name, output
  for _, line in ipairs(lines or {}) do
    local said = line:gsub("^%d+%-%d+%-%d+ [%d:,]+ P%d+ %[%u+%] ?", "")
    local begun = said:match "^Command (%S+)$"
    if begun then name, output = begun, {}
    elseif output and said:find "^\t" then output[#output + 1] = said:sub(2) end
  end
  return name and { name = name, output = output } or nil
end

--- The last lines of an environment's logs. It never fails: logs help to understand another failure.
---@param name string
---@return { app: string[], engine: string[], failed_command: { name: string, output: string[] }? } app: what the processes
--- printed; failed_command: the command of the bundle that the last deployment ended at
function M.tail(name)
  local found = { app = {}, engine = {} }
  local ok, list = pcall(texts, name)
  if not ok then
    if errors.is(list, "cancelled") then error(list, 0) end
    log.debug("the logs of %s cannot be read: %s", name, tostring(list))
    return found
  end
  for _, text in ipairs(list) do
    local files, broken = M.files(text), nil
    for path, lines in pairs(files) do
      if path:find "stdouterr%.log$" or path:find "/web%.stdout%.log$" then table.move(lines, 1, #lines, #found.app + 1, found.app) end
    end
    for _, line in ipairs(files[ENGINE] or {}) do
      found.engine[#found.engine + 1] = line
      if line:find("An error occurred during execution of command", 1, true) then broken = line end
    end
    if broken and broken:find("EbExtension", 1, true) then found.failed_command = last_command(files[COMMANDS]) end
  end
  return found
end

--- The last lines for an error: each on a line of its own. The password of a URL among them is not said.
---@param lines string[]
---@return string
function M.quoted(lines)
  local parts = {}
  for i = math.max(1, #lines - QUOTED + 1), #lines do
    parts[#parts + 1] = "\n    " .. lines[i]:gsub("(%a[%w+.-]*://[^:/@%s]*):[^@/%s]+@", "%1:(secret)@")
  end
  return #parts > 0 and "\n  the last lines of its log:" .. table.concat(parts) .. "\n  " or ""
end

return M
