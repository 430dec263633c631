--- The ways to a machine that is in a private network: ssh through the bastion, as `eb ssh` does. sshd and ssh are real.
local aws = require "aws"
local eb = require "eb"
local fs = require "fs"
local network = require "rehearsal.planes.network"
local ssh = require "ssh"
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
