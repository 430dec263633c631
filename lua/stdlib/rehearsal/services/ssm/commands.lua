--- Run Command of Systems Manager: shell scripts on the machines of Elastic
--- Beanstalk environments, which really run.
local errors = require "errors"
local managed = require "rehearsal.managed"
local secret = require "secret"
local sign = require "sign"
local wire = require "rehearsal.wire"

local S = {}

local DOCUMENT, PLUGIN = "AWS-RunShellScript", "aws:runShellScript"

local function commands(cloud, ctx) return managed.table_of(cloud, ctx, "ssm-commands", "commands") end

--- The machines that a request means, each once.
local function machines(cloud, ctx, p)
  local eb, list = cloud:service "elasticbeanstalk", {}
  for _, id in ipairs(p.InstanceIds or {}) do
    local found = eb._machines(cloud, ctx, nil, id)
    if #found == 0 then wire.fail("InvalidInstanceId", 400, "Instances [[%s]] not in a valid state for account %s", id, cloud.account) end
    list[#list + 1] = found[1]
  end
  for _, target in ipairs(p.Targets or {}) do
    if target.Key ~= "tag:elasticbeanstalk:environment-name" then
      wire.fail("InvalidTarget", 400, "The rehearsal finds machines by the tag elasticbeanstalk:environment-name, not by %s.", tostring(target.Key))
    end
    for _, name in ipairs(target.Values or {}) do
      for _, found in ipairs(eb._machines(cloud, ctx, name)) do list[#list + 1] = found end
    end
  end
  return list
end

local function shown(command)
  local done, failed = 0, 0
  for _, i in ipairs(command.invocations) do
    done = done + (i.ended and 1 or 0)
    failed = failed + (i.Status == "Failed" and 1 or 0)
  end
  local status = command.Status
  if #command.invocations > 0 then
    status = done < #command.invocations and "InProgress" or failed > 0 and "Failed" or "Success"
  end
  return { CommandId = command.CommandId, DocumentName = DOCUMENT, Comment = command.Comment, Parameters = command.Parameters,
    Targets = command.Targets, InstanceIds = command.InstanceIds or {}, RequestedDateTime = command.at, ExpiresAfter = command.at + 7200,
    Status = status, StatusDetails = status, TargetCount = #command.invocations, CompletedCount = done, ErrorCount = failed,
    DeliveryTimedOutCount = 0, MaxConcurrency = command.MaxConcurrency, MaxErrors = command.MaxErrors,
    CloudWatchOutputConfig = command.CloudWatchOutputConfig, OutputS3BucketName = "", OutputS3KeyPrefix = "" }
end

local function run(cloud, ctx, command, invocation)
  local eb, output = cloud:service "elasticbeanstalk", {}
  local to = command.CloudWatchOutputConfig
  local group = to and to.CloudWatchOutputEnabled and (to.CloudWatchLogGroupName or "/aws/ssm/" .. DOCUMENT) or nil
  local stream = ("%s/%s/%s/stdout"):format(command.CommandId, invocation.InstanceId, PLUGIN:gsub(":", "-"))
  invocation.Status, invocation.began = "InProgress", cloud.clock:now()
  if group then pcall(cloud:service "logs".CreateLogGroup, cloud, { logGroupName = group }, ctx) end       -- as Systems Manager does
  local ok, code = pcall(eb._shell, cloud, invocation.machine, command.script, function(line)
    output[#output + 1] = line
    if group then cloud:service "logs"._put(cloud, ctx.region, group, stream, { line }, true) end
  end)
  if not ok and errors.is(code, "cancelled") then error(code, 0) end
  invocation.ended, invocation.code = cloud.clock:now(), ok and code or 1
  invocation.Status = invocation.code == 0 and "Success" or "Failed"
  invocation.output = table.concat(output, "\n") .. (#output > 0 and "\n" or "")
  if not ok then invocation.output = invocation.output .. tostring(code) .. "\n" end
end

function S.SendCommand(cloud, p, ctx)
  if p.DocumentName ~= DOCUMENT then wire.fail("InvalidDocument", 400, "Document with name %s does not exist.", p.DocumentName) end
  local lines = {}
  for name, values in pairs(p.Parameters or {}) do
    if name ~= "commands" and name ~= "executionTimeout" and name ~= "workingDirectory" then
      wire.fail("InvalidParameters", 400, "Parameter \"%s\" is not in the document.", name)
    end
    if name == "commands" then lines = values end
  end
  if #lines == 0 then wire.fail("InvalidParameters", 400, "Parameter \"commands\" is required.") end
  local script = {}
  for _, line in ipairs(lines) do
    script[#script + 1] = line
    script[#script + 1] = "\n"
  end
  local found = machines(cloud, ctx, p)
  local command = { CommandId = sign.uuid(), Comment = p.Comment, Parameters = p.Parameters, Targets = p.Targets, InstanceIds = p.InstanceIds,
    at = cloud.clock:now(), Status = #found == 0 and "Success" or "Pending", MaxConcurrency = p.MaxConcurrency or "50",
    MaxErrors = p.MaxErrors or "0", CloudWatchOutputConfig = p.CloudWatchOutputConfig, script = secret.concat(script), invocations = {} }
  commands(cloud, ctx)[command.CommandId] = command
  for i, machine in ipairs(found) do
    local invocation = { CommandId = command.CommandId, InstanceId = machine.id, machine = machine.machine, Status = "Pending" }
    command.invocations[i] = invocation
    cloud:after(2, function() run(cloud, ctx, command, invocation) end)
  end
  return { Command = shown(command) }
end

local function by_time(list)
  table.sort(list, function(a, b) return a.at > b.at end)
  return list
end

function S.ListCommands(cloud, p, ctx)
  local list = {}
  for id, command in pairs(commands(cloud, ctx)) do
    if not p.CommandId or id == p.CommandId then list[#list + 1] = command end
  end
  if p.CommandId and #list == 0 then wire.fail("InvalidCommandId", 400, "The command ID is not valid.") end
  for i, command in ipairs(by_time(list)) do list[i] = shown(command) end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Commands = page, NextToken = token }
end

function S.ListCommandInvocations(cloud, p, ctx)
  local list, chosen = {}, {}
  for _, command in pairs(commands(cloud, ctx)) do chosen[#chosen + 1] = command end
  for _, command in ipairs(by_time(chosen)) do
    for _, i in ipairs(command.invocations) do
      if (not p.CommandId or i.CommandId == p.CommandId) and (not p.InstanceId or i.InstanceId == p.InstanceId) then
        list[#list + 1] = { CommandId = i.CommandId, InstanceId = i.InstanceId, InstanceName = "", Comment = command.Comment, DocumentName = DOCUMENT,
          RequestedDateTime = command.at, Status = i.Status, StatusDetails = i.Status, CommandPlugins = p.Details and { {
            Name = PLUGIN, Status = i.Status, ResponseCode = i.code or -1, Output = i.output or "" } } or {} }
      end
    end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { CommandInvocations = page, NextToken = token }
end

function S.GetCommandInvocation(cloud, p, ctx)
  local command = commands(cloud, ctx)[p.CommandId] or wire.fail("InvalidCommandId", 400, "The command ID is not valid.")
  for _, i in ipairs(command.invocations) do
    if i.InstanceId == p.InstanceId then
      return { CommandId = i.CommandId, InstanceId = i.InstanceId, DocumentName = DOCUMENT, PluginName = PLUGIN, ResponseCode = i.code or -1,
        Status = i.Status, StatusDetails = i.Status, StandardOutputContent = i.output or "", StandardErrorContent = "" }
    end
  end
  wire.fail("InvocationDoesNotExist", 400, "")
end

return S
