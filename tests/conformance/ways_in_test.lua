--- The ways to a machine that is in a private network: ssh through the bastion, as `eb ssh` does, and Session Manager, whose
--- plugin is played here (AWS's own: tests/judge/session_manager_test.lua). sshd and ssh are real.
local aws = require "aws"
local eb = require "eb"
local fs = require "fs"
local errors = require "errors"
local json = require "json"
local network = require "rehearsal.planes.network"
local secret, sign = require "secret", require "sign"
local ssh = require "ssh"
local task = require "task"
local tcp = require "host.tcp"
local test = require "test"
local T = test.cases()

local root = fs.uid() == 0
local user = root and "ec2-user" or select(2, fs.uid())
local pair = ssh.keygen()

--- A bastion, and an environment whose machine takes our key from the bastion only.
local function made()
  local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
  local door = aws.bastion_door { "shop", network = net, ssh_from = root and network.CLIENT .. "/32" or "127.0.0.1/32" }
  local key = aws.key_pair { "shop-machines", public_key = pair.public }
  aws.environment { "shop", application = aws.eb_application { "shop" }, network = net, key = key.name, ssh_from = door }
  aws.bastion { "shop", network = net, door = door, user = user }
end

-- The plugin's side of a data channel ------------------------------------------------

local HEAD = ">I4c32I4I8i8I8c16c32I4s4"

--- Sends a frame as a client must: masked.
local function send(conn, kind, bytes)
  local mask = "\1\2\3\4"
  local out = { string.char(128 | kind), #bytes < 126 and string.char(128 | #bytes) or (">BI2"):pack(128 | 126, #bytes), mask }
  for i = 1, #bytes do out[#out + 1] = string.char(bytes:byte(i) ~ mask:byte((i - 1) % 4 + 1)) end
  errors.check("write", task.step(conn, "write", table.concat(out), 1))
end

local function message(conn, n, kind, payload)
  send(conn, 2, HEAD:pack(116, "input_stream_data" .. (" "):rep(15), 1, 0, n, 0, sign.random(16), sign.sha256(payload, true), kind, payload))
end

--- What the plugin would print of a channel until it ends or `enough` says so.
local function plugin(answer, token, enough)
  local conn = tcp.connect("127.0.0.1", tonumber(answer.StreamUrl:match ":(%d+)/"))
  task.step(conn, "established")
  local path = answer.StreamUrl:match "^ws://[^/]+(/.*)$"
  task.step(conn, "write", ("GET %s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    .. "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"):format(path), 1)
  send(conn, 1, json.encode { TokenValue = token, MessageSchemaVersion = "1.0", RequestId = sign.uuid() })
  local rest, printed, n, agreed, last = "", "", 0, false, -1
  task.within(120, "hear the agent", function()
    while not (agreed and enough(printed)) do
      local bytes = task.step(conn, "read")
      if not bytes or bytes == "" then return end
      rest = rest .. bytes
      if not agreed and rest:find("\r\n\r\n", 1, true) then
        test.match(rest, "^HTTP/1.1 101 .*Sec%-WebSocket%-Accept: s3pPLMBiTxaQ9kYGzzhZRbK%+xOo=\r\n")     -- of the RFC
        rest, agreed = rest:match "\r\n\r\n(.*)$", true
      end
      while agreed and #rest >= 4 do
        local length, from = rest:byte(2), 3
        if length == 126 then length, from = (">I2"):unpack(rest, 3) end
        if #rest < from + length - 1 then break end
        local _, type, _, _, sequence, _, _, digest, kind, payload = HEAD:unpack(rest, from)
        rest = rest:sub(from + length)
        test.equal(digest == sign.sha256(payload, true), true)
        if type:find "^output" and sequence == last + 1 then
          last = sequence
          if kind == 5 then message(conn, n, 6, json.encode { ClientVersion = "1.3.0.0", ProcessedClientActions = json.array {} })
          elseif kind == 7 then message(conn, n, 1, "SSH-2.0-test\r\n")
          elseif kind == 1 then printed = printed .. payload end
          n = n + (kind ~= 1 and 1 or 0)
        end
      end
    end
  end)
  conn:close()
  return printed
end

T["Session Manager: a channel to sshd for who has the token, none for others, and none to a machine without the role"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.apply(made)
  local id = eb.machines "shop"[1].id
  local function start(target) return aws.ssm:start_session { Target = target, DocumentName = "AWS-StartSSHSession" } end
  local answer = start(id)
  local function banner(text) return text:find "^SSH%-2.0%-OpenSSH" ~= nil end
  local function token() return cloud.cloud.channels.live[answer.SessionId].token end       -- to us it is a secret
  local first = token()
  test.truthy(secret.equal(answer.TokenValue, first), "the token of the answer")
  test.equal(plugin(answer, "another", banner), "")
  test.match(plugin(answer, first, banner), "^SSH%-2%.0%-OpenSSH")
  local again = aws.ssm:resume_session { SessionId = answer.SessionId }
  local second = token()
  test.equal(plugin(again, first, banner), "", "the old one is worth nothing")
  test.match(plugin(again, second, banner), "^SSH%-2%.0%-OpenSSH")
  aws.ssm:terminate_session { SessionId = answer.SessionId }
  test.equal(plugin(again, second, banner), "")
  test.raises("DoesNotExistException", aws.ssm.resume_session, aws.ssm, { SessionId = answer.SessionId })
  test.equal(aws.ssm:describe_sessions({ State = "History" }).Sessions[1].Status, "Terminated")
  local bastion = aws.ec2:describe_instances({ Filters = { { Name = "tag:Name", Values = { "shop-bastion" } } } }).Reservations[1].Instances[1]
  test.raises("TargetNotConnected", start, bastion.InstanceId)
  test.raises("InvalidParameters", aws.ssm.start_session, aws.ssm,
    { Target = id, DocumentName = "AWS-StartSSHSession", Parameters = { host = { "db" } } })
  test.raises("InvalidDocument", aws.ssm.start_session, aws.ssm, { Target = id, DocumentName = "AWS-Nothing" })
end

T["eb.ssh: a shell on the app's machine, through the bastion alone; a stranger's key and another machine are refused"] = function()
  local cloud <close> = test.cloud { servers = true }
  test.apply(made)
  test.equal(test.apply(made).changes, 0)
  local via <close> = aws.bastion_of({ "shop", user = user }):open()
  local machine = eb.machines "shop"[1]
  local port = cloud.cloud:store("ec2", "us-east-1").resources[machine.id].value.sshd.port
  local o = { via = via, key = pair.private, user = user, port = port }
  do
    local shell <close> = eb.ssh("shop", o)
    test.equal(shell:run "printf '%s' \"$SSH_CONNECTION\" | cut -d' ' -f3".stdout, machine.address .. "\n")
  end
  local function refused(what, more)
    for k, v in pairs(o) do if more[k] == nil then more[k] = v end end
    return test.raises(what, eb.ssh, "shop", more)
  end
  test.equal(refused("", { key = ssh.keygen().private }).code, "key_refused")
  test.equal(refused("", { host_key = ssh.keygen().public }).code, "host_key_changed")
  if root then test.raises("", ssh.open, { host = machine.public, user = user, key = pair.private, host_key = pair.public, timeout = 1 }) end
  local groups = {}
  for _, g in ipairs(aws.ec2:describe_security_groups().SecurityGroups) do
    for _, rule in ipairs(g.IpPermissions) do
      local from = rule.UserIdGroupPairs[1] and "the bastion" or rule.IpRanges[1].CidrIp
      if rule.ToPort == 22 then groups[#groups + 1] = g.GroupName:match "^%a+" .. " from " .. from end
    end
  end
  table.sort(groups)
  test.equal(groups, { "awseb from the bastion", "shop from " .. (root and network.CLIENT or "127.0.0.1") .. "/32" })
  test.raises("key and ssh_from go together", test.apply, function()
    aws.environment { "other", application = "shop", network = { id = "vpc-1", public = { "subnet-1" } }, key = "shop-machines" }
  end)
  via:close()
  test.destroy(made)
  test.equal(cloud:left(), {})
end

return T
