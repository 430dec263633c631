--- A way to a private port without an open one: Session Manager's port forwarding through a machine that may reach it, such
--- as the app's own. AWS's program session-manager-plugin carries the bytes (version 1.2.497 or newer).
---
---     local session <close> = aws.session { "i-0abc", to = "db.internal:5432" }
---     session.host, session.port          -- 127.0.0.1, while the session is open
---
--- The machine's role needs AmazonSSMManagedInstanceCore, which aws.environment gives. Any program of this machine may use the
--- port while it is open.
local aws = require "aws"
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local noun = require "aws.common.noun"
local process = require "process"
local secret = require "secret"
local task = require "task"
local text = require "text"

local DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"
local RESPONSE = "AWS_SSM_START_SESSION_RESPONSE"            -- where the plugin looks for the token: not among its words
local READY = 60                                             -- seconds until the plugin listens

local declared = {
  { "name", "id of the machine", type = "string", required = true },
  { "to", "what is to be reached from there: host:port", type = "string", required = true },
  { "port", "port of this machine that leads there; by default a free one", type = "integer" },
}

---@class PortSession
---@field host string 127.0.0.1
---@field port integer
local Session = {}
Session.__index = Session

--- Ends the session. Safe twice.
function Session:close()
  local p = self.process
  self.process = nil
  if not p then return end
  p:stop(5)
  local ok, e = pcall(aws.ssm.terminate_session, aws.ssm, { SessionId = self.id })
  if not ok and not errors.is(e, "remote") then error(e, 0) end  -- one that ended by itself is no error
end
Session.__close = Session.close

local function plugin()
  if process.which "session-manager-plugin" then return end
  errors.raise { kind = "not_found", op = "open a session", message = "the program session-manager-plugin is not installed",
                 hint = "AWS's page \"Install the Session Manager plugin for the AWS CLI\" says how; or go by the bastion" }
end

--- Opens a session. Raises kind "not_found" without the plugin, "remote" (TargetNotConnected) for a machine whose agent does
--- not report.
---@param o { [1]: string, to: string, port?: integer }
---@return PortSession
return function(o)
  o = noun.options(o, declared, "aws.session")
  local host, port = o.to:match "^(.+):(%d+)$"
  if not host then errors.usage("aws.session: %s does not look like host:port", o.to) end
  plugin()
  local here = o.port or fs.free_port "127.0.0.1"
  local request = { Target = o.name, DocumentName = DOCUMENT,
                    Parameters = { host = { host }, portNumber = { port }, localPortNumber = { tostring(here) } } }
  local answer = aws.ssm:start_session(request)
  local value = secret.is(answer.TokenValue) and answer.TokenValue or secret.new(answer.TokenValue)
  local token = text('{"SessionId":%s,"TokenValue":%s,"StreamUrl":%s}', json.encode(answer.SessionId), secret.encode(value, "json"),
    json.encode(answer.StreamUrl))
  local p = process.start { "session-manager-plugin", RESPONSE, aws.ssm.region, "StartSession", "", json.encode(request, { sort = true }),
    ("https://ssm.%s.amazonaws.com"):format(aws.ssm.region), stdout = "pipe", stderr = "null",
    env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", [RESPONSE] = token } }
  local session = setmetatable({ id = answer.SessionId, host = "127.0.0.1", port = here, process = p }, Session)
  local ok, e = pcall(task.within, READY, "wait for session-manager-plugin", function()
    repeat
      local line = p:read_line()
      if not line then errors.raise { kind = "io", op = "open a session to " .. o.to, message = "session-manager-plugin ended at once" } end
    until line:find "Waiting for connections"
  end)
  if not ok then
    session:close()
    error(e, 0)
  end
  return session
end
