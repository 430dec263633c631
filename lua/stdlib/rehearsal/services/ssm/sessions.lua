--- Session Manager: sessions on the machines that have an agent, and their data channels, websockets on a port of this machine.
--- AWS-StartSSHSession leads to the machine's sshd; the two documents for ports to whatever the machine reaches.
local agent = require "rehearsal.services.ssm.agent"
local errors = require "errors"
local json = require "json"
local log = require "log"
local managed = require "rehearsal.managed"
local sign = require "sign"
local task = require "task"
local tcp = require "host.tcp"
local websocket = require "rehearsal.websocket"
local wire = require "rehearsal.wire"

local S = {}

local TOKEN = 30                                             -- seconds until the first message must be there

local function sessions(cloud, ctx) return managed.table_of(cloud, ctx, "ssm-sessions", "sessions") end

local function one(p, name, default)
  local list = (p.Parameters or {})[name]
  return list and list[1] or default or wire.fail("InvalidParameters", 400, "Parameter \"%s\" is required.", name)
end

local function port_of(text)
  local port = math.tointeger(tonumber(text))
  if not port or port < 1 or port > 65535 then wire.fail("InvalidParameters", 400, "Parameter \"portNumber\" has an invalid value.") end
  return port
end

--- What each document allows: its parameters, where it leads, and what the agent tells the plugin of it.
local DOCUMENTS = {
  ["AWS-StartSSHSession"] = { portNumber = true, open = function(p, machine)
    local port = port_of(one(p, "portNumber", "22"))
    if port == 22 and machine.sshd then port = machine.sshd.port end
    return { host = machine.host.address, port = port }, { portNumber = tostring(port) }
  end },
  ["AWS-StartPortForwardingSession"] = { portNumber = true, localPortNumber = true, open = function(p, machine)
    local port = port_of(one(p, "portNumber"))
    return { host = machine.host.address, port = port },
      { portNumber = tostring(port), localPortNumber = one(p, "localPortNumber", "0"), type = "LocalPortForwarding" }
  end },
  ["AWS-StartPortForwardingSessionToRemoteHost"] = { portNumber = true, localPortNumber = true, host = true, open = function(p)
    local port, host = port_of(one(p, "portNumber")), one(p, "host")
    return { host = host, port = port },
      { host = host, portNumber = tostring(port), localPortNumber = one(p, "localPortNumber", "0"), type = "LocalPortForwarding" }
  end },
}

--- The machine that runs under an id, where its agent reports: its role must have the policy of Systems Manager.
---@return { host: Host, sshd: Sshd? }
local function machine_of(cloud, ctx, id)
  local function missing() wire.fail("TargetNotConnected", 400, "%s is not connected.", id) end
  local found = cloud:service "ec2"._running(cloud, ctx, id) or missing()
  local env = cloud:service "elasticbeanstalk"._machines(cloud, ctx, nil, id)[1]
  local profile, host = (env or {}).profile or (found.IamInstanceProfile or {}).Arn, (env or found).host
  if not host or not profile or not cloud:service "iam"._profile_has(cloud, profile, "AmazonSSMManagedInstanceCore") then missing() end
  return { host = host, sshd = found.sshd }
end

-- The data channels -----------------------------------------------------------------

--- One connection of a plugin: its first message must have the session's token.
local function attend(cloud, conn)
  local socket = websocket.accept(conn)
  local session = cloud.channels and cloud.channels.live[socket.path:match "^/v1/data%-channel/([^?]+)"]
  local first = task.within(TOKEN, "wait for the token", function() return json.decode(socket:receive()) end)
  if not session or type(first) ~= "table" or first.TokenValue ~= session.token or session.channel then return end
  agent.serve(socket, session)
end

--- Serves the connections of the plugins; each is a task.
local function listen(cloud)
  local channels = { open = {}, live = {} }
  channels.socket = errors.check("listen for data channels", tcp.listen("127.0.0.1", 0))
  channels.task = task.spawn(function()
    while true do
      local conn = errors.check("accept a data channel", task.step(channels.socket, "accept"))
      local served
      served = task.spawn(function()
        local ok, e = pcall(attend, cloud, conn)
        conn:close()
        channels.open[served] = nil
        if not ok and not (errors.is(e, "cancelled") or errors.is(e, "closed") or errors.is(e, "network")) then
          log.warn("the rehearsal's data channel: %s", tostring(e))
        end
      end)
      channels.open[served] = true
    end
  end)
  return channels
end

--- What a session that is alive answers to whoever begins or resumes it: each token opens one channel.
local function way_in(cloud, live)
  live.token = sign.base64(sign.random(96))
  return { SessionId = live.session, TokenValue = live.token,
    StreamUrl = ("ws://127.0.0.1:%d/v1/data-channel/%s?role=publish_subscribe"):format(cloud.channels.socket:port(), live.session) }
end

-- The API ---------------------------------------------------------------------------

function S.StartSession(cloud, p, ctx)
  local name = p.DocumentName or "SSM-SessionManagerRunShell"
  local document = DOCUMENTS[name] or wire.fail("InvalidDocument", 400, "Document with name %s is none that the rehearsal has.", name)
  for parameter in pairs(p.Parameters or {}) do
    if parameter == "open" or not document[parameter] then
      wire.fail("InvalidParameters", 400, "Parameter \"%s\" is not in the document.", parameter)
    end
  end
  local machine = machine_of(cloud, ctx, p.Target)
  local to, properties = document.open(p, machine)
  local id = "hkrun-" .. sign.hex(sign.random(9))
  sessions(cloud, ctx)[id] = { SessionId = id, Target = p.Target, DocumentName = name, Reason = p.Reason, StartDate = cloud.clock:now(),
    Owner = ("arn:aws:iam::%s:root"):format(cloud.account) }
  cloud.channels = cloud.channels or listen(cloud)
  local live = { session = id, machine = machine, to = to, properties = properties, type = properties.type }
  cloud.channels.live[id] = live
  return way_in(cloud, live)
end

local function live_one(cloud, id) return cloud.channels and cloud.channels.live[id] end

function S.ResumeSession(cloud, p)
  return way_in(cloud, live_one(cloud, p.SessionId) or wire.fail("DoesNotExistException", 400, "Session %s does not exist.", p.SessionId))
end

function S.TerminateSession(cloud, p, ctx)
  local session, live = sessions(cloud, ctx)[p.SessionId], live_one(cloud, p.SessionId)
  if session then session.EndDate = session.EndDate or cloud.clock:now() end
  if live then
    cloud.channels.live[p.SessionId] = nil
    if live.channel then live.channel:finish() end
  end
  return { SessionId = p.SessionId }
end

function S.DescribeSessions(cloud, p, ctx)
  local list = {}
  for id, session in pairs(sessions(cloud, ctx)) do
    if (session.EndDate ~= nil) == (p.State == "History") then
      local live, shown = live_one(cloud, id), { Status = "Terminated" }
      if live then shown.Status = live.channel and "Connected" or "Connecting" end
      for k, v in pairs(session) do shown[k] = v end
      list[#list + 1] = shown
    end
  end
  table.sort(list, function(a, b) return a.StartDate > b.StartDate end)
  local page, token = cloud.page(list, p.NextToken, p.MaxResults)
  return { Sessions = page, NextToken = token }
end

--- Ends all channels.
function S._stop(cloud)
  local channels = cloud.channels
  cloud.channels = nil
  if not channels then return end
  channels.task:cancel()
  pcall(channels.task.join, channels.task)
  for served in pairs(channels.open) do
    served:cancel()
    pcall(served.join, served)
  end
  channels.socket:close()
end

return S
