--- Events and the logs that an environment hands out.
local C = require "rehearsal.services.elasticbeanstalk.common"

local S = {}

local SEVERITIES = { TRACE = 1, DEBUG = 2, INFO = 3, WARN = 4, ERROR = 5, FATAL = 6 }

function S.DescribeEvents(cloud, p, ctx)
  local list, events = {}, C.events(cloud, ctx)
  for i = #events, 1, -1 do             -- the newest first
    local e = events[i]
    local fits = (not p.StartTime or e.EventDate >= p.StartTime) and (not p.EndTime or e.EventDate < p.EndTime)
                 and (not p.Severity or SEVERITIES[e.Severity] >= SEVERITIES[p.Severity])
    for _, name in ipairs { "ApplicationName", "EnvironmentName", "EnvironmentId", "VersionLabel", "PlatformArn", "RequestId", "TemplateName" } do
      fits = fits and (p[name] == nil or p[name] == e[name])
    end
    if fits then list[#list + 1] = e end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { Events = page, NextToken = token }
end

--- The tail (100 lines) or all that is kept, as of now.
function S.RequestEnvironmentInfo(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  if p.InfoType == "analyze" then C.refuse "The rehearsal does not analyze environments: ask for tail or bundle." end
  C.event(cloud, ctx, env, "INFO", "requestEnvironmentInfo is starting.")
  cloud:after(5, function()
    local lines = env.app and env.app.lines or {}
    local first = p.InfoType == "tail" and math.max(1, #lines - 99) or 1
    env.info = env.info or {}
    env.info[p.InfoType] = { InfoType = p.InfoType, Ec2InstanceId = env.instance, SampleTimestamp = cloud.clock:now(),
                             text = "----------------------------------------\n/var/log/eb-docker-compose.log\n----------------------------------------\n"
                                    .. table.concat(lines, "\n", first) .. "\n" }
    C.event(cloud, ctx, env, "INFO", "[Instance: %s] Successfully finished tailing %d log(s)", env.instance, 1)
  end)
end

function S.RetrieveEnvironmentInfo(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  local info = env.info and env.info[p.InfoType]
  if not info then return { EnvironmentInfo = {} } end
  cloud.pages["logs/" .. env.EnvironmentId .. "/" .. p.InfoType] = function()
    return { status = 200, headers = { ["content-type"] = "text/plain" }, body = info.text }
  end
  return { EnvironmentInfo = { { InfoType = info.InfoType, Ec2InstanceId = info.Ec2InstanceId, SampleTimestamp = info.SampleTimestamp,
                                 Message = ("%s/_hkrun/logs/%s/%s"):format(cloud.url, env.EnvironmentId, p.InfoType) } } }
end

return S
