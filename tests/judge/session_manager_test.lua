--- Session Manager with AWS's own parts: the AWS CLI and AWS's session-manager-plugin, built from its source by
--- tools/session-manager.sh, against the rehearsal. `make judge-session-manager` runs it: it needs Go, which Debian 12 has not
--- new enough; what the rehearsal says on the channel is in `make check`, too (tests/conformance/ways_in_test.lua).
local aws = require "aws"
local bastion = require "aws.common.bastion"
local fs = require "fs"
local process = require "process"
local secret = require "secret"
local ssh = require "ssh"
local task = require "task"
local test = require "test"
local text = require "text"
local T = test.cases()

local user = fs.uid() == 0 and "ec2-user" or select(2, fs.uid())
local pair = ssh.keygen()

--- A machine that lets nobody in, with an agent that may report.
local function made()
  local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
  local group = aws.security_group { "shop-closed", vpc = net.id, description = "nobody is let in" }
  local role = aws.role { "shop-machine", service = "ec2.amazonaws.com", policies = { "AmazonSSMManagedInstanceCore" } }
  local image = aws.ssm:get_parameter({ Name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64" }).Parameter.Value
  aws.instance { "shop", image = image, type = "t3.micro", subnet = net.private[1], groups = { group.id },
    key = aws.key_pair({ "shop", public_key = pair.public }).name, profile = aws.instance_profile({ "shop-machine", role = role }).name }
end

--- The plugin is found in PATH.
local function with_plugin()
  local path = os.getenv "PATH"
  process.setenv { PATH = fs.realpath "build/tools-ssm" .. ":" .. path }
  test.defer(function() process.setenv { PATH = path } end)
end

T["psql.lua --via session-manager: a private database through the app's machine, no port of which is open for it"] = function()
  local _ <close> = test.cloud { servers = true }
  with_plugin()
  test.apply(function()
    local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
    local group = aws.security_group { "shop-app", vpc = net.id, description = "the machines of the app" }
    local db = aws.postgres { "shop", network = net, allow = { group.id }, final_snapshot = false }
    aws.environment { "shop", application = aws.eb_application { "shop" }, network = net, groups = { group.id } }
    aws.secret { "shop/config", value = text('{"DATABASE_URL":%s}', secret.encode(db.url, "json")) }
  end)
  local out = test.tmpdir() .. "/out"
  test.apply("recipes/examples/psql.lua", { name = "shop", via = "session-manager", output = out,
    command = "SELECT ssl, current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()" })
  test.match(fs.read(out), "t|app\n$")
end

T["ssh through AWS's plugin, as the AWS CLI starts it; and hkrun's own way to a port, for several connections at once"] = function()
  local cloud <close> = test.cloud { servers = true }
  with_plugin()
  test.apply(made)
  local machine = aws.ec2:describe_instances({ Filters = { { Name = "tag:Name", Values = { "shop" } } } }).Reservations[1].Instances[1]
  local id, host_key, dir = machine.InstanceId, bastion.console_key(machine.InstanceId, "shop"), test.tmpdir()
  fs.write(dir .. "/key", pair.private, 384)
  fs.write(dir .. "/known_hosts", ("%s %s\n"):format(id, host_key))
  local env = cloud.cloud:env()
  env.PATH = os.getenv "PATH"
  local proxy = test.tool "aws" .. " ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
  local sent = ("0123456789abcdef"):rep(8192)
  local r = process.run { "ssh", "-F", "none", "-o", "ProxyCommand=" .. proxy, "-o", "UserKnownHostsFile=" .. dir .. "/known_hosts",
    "-o", "StrictHostKeyChecking=yes", "-i", dir .. "/key", user .. "@" .. id, "cat; whoami", env = env, timeout = 120, stdin = sent }
  test.equal(r.code, 0, r.stderr)
  test.truthy(r.stdout == sent .. user .. "\n", "128 kB there and back")

  local port = cloud.cloud:store("ec2", "us-east-1").resources[id].value.sshd.port
  local session <close> = aws.session { id, to = ("%s:%d"):format(machine.PrivateIpAddress, port) }
  local said = task.map({ 1, 2, 3 }, function(n)
    local shell <close> = ssh.open { host = session.host, port = session.port, user = user, key = pair.private, host_key = host_key, timeout = 60 }
    return shell:run("head -c 100000 /dev/zero | wc -c; echo " .. n).stdout
  end)
  test.equal(said, { "100000\n1\n", "100000\n2\n", "100000\n3\n" })
  test.equal(#aws.ssm:describe_sessions({ State = "Active" }).Sessions, 2)
  session:close()
  test.equal(aws.ssm:describe_sessions({ State = "History" }).Sessions[1].Status, "Terminated")
end

return T
