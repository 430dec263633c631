--- The network that the recipe makes, tried out: every TCP port of every host is asked from everywhere, and what answers is
--- what aws.reach said from the security groups and routes alone.
local aws = require "aws"
local fs = require "fs"
local json = require "json"
local network = require "rehearsal.planes.network"
local process = require "process"
local test = require "test"
local T = test.cases()


--- The network, its door and its stores as recipes/heroku_to_aws.lua lays them out.
local function made()
  local net = aws.network { "shop", cidr = "10.40.0.0/16", zones = 2 }
  local group = aws.security_group { "shop-app", vpc = net.id, description = "the machines of the app" }
  local door = aws.bastion_door { "shop", network = net, ssh_from = network.CLIENT .. "/32" }
  aws.bastion { "shop", network = net, door = door }
  aws.postgres { "shop", network = net, allow = { group.id, door.id }, final_snapshot = false }
  aws.cache { "shop", network = net, allow = { group.id, door.id }, final_snapshot = false }
  aws.environment { "shop", application = aws.eb_application { "shop" }, network = net, groups = { group.id } }
  aws.security_group { "stranger", vpc = net.id, description = "of somebody else" }
end

--- What answers, asked from inside this prefix: { [address] = { open =, closed = } }.
local function scan(prefix, addresses, ...)
  local words = { "python3", "tests/support/scan.py", prefix = prefix, timeout = 600, env = { PATH = os.getenv "PATH" } }
  for _, a in ipairs(addresses) do words[#words + 1] = a end
  if ... then words[#words + 1] = "--" end
  for _, port in ipairs { ... } do words[#words + 1] = tostring(port) end
  local r = process.run(words)
  test.equal(r.code, 0, r.stderr)
  return json.decode(r.stdout)
end

if fs.uid() == 0 then
  T["every port of every host, asked from the internet, from a stranger in the VPC, from the app and from the bastion"] = function()
    local cloud <close> = test.cloud { servers = true }
    local net = cloud.cloud.net
    test.truthy(net.isolated, net.reason)
    test.apply(made)

    local hosts, public, vpc_id = {}, {}, next(net.vpcs)
    local vpc = net.vpcs[vpc_id]
    for address in pairs(vpc.hosts) do hosts[#hosts + 1] = address end
    for address, entry in pairs(vpc.public) do            -- but for the door by which the rehearsal itself looks at the app
      if not entry.inspect then public[#public + 1] = address end
    end
    test.equal(#public, 2, "public addresses: the app's, the bastion's")
    table.sort(hosts)
    test.equal(#hosts, 4, "hosts: the app, the bastion, the database, the cache")

    local function address_of(group)
      for address, host in pairs(vpc.hosts) do
        for _, id in ipairs(host.groups) do
          local g = aws.ec2:describe_security_groups({ GroupIds = { id } }).SecurityGroups[1]
          if g.GroupName == group then return address, host end
        end
      end
      error("no host in the group " .. group)
    end
    local db, cache = address_of "shop-db", address_of "shop-cache"
    local app_address, app = address_of "shop-app"
    local _, bastion = address_of "shop-bastion"
    local group_of = {}
    for _, g in ipairs(aws.ec2:describe_security_groups().SecurityGroups) do group_of[g.GroupName] = g.GroupId end
    local stranger = net:add_host(vpc_id, "10.40.200.9", { group_of.stranger })
    local outsider = net:add_outsider(vpc_id, "198.19.7.7")

    local function silent(found, allowed, who)
      for address, answer in pairs(found) do
        test.equal({ answer.open, answer.closed }, { allowed[address] or json.array {}, json.array {} }, ("%s, asked by %s"):format(address, who))
      end
    end
    local everywhere = table.move(public, 1, #public, #hosts + 1, table.move(hosts, 1, #hosts, 1, {}))
    local web
    for address, entry in pairs(vpc.public) do if entry.host == app and not entry.inspect then web = address end end

    silent(scan(stranger.prefix, hosts), { [app_address] = { 80 } }, "a stranger in the VPC")
    silent(scan(outsider.prefix, everywhere), { [app_address] = { 80 }, [web] = { 80 } }, "the internet")
    silent(scan(app.prefix, { db, cache }), { [db] = { 5432 }, [cache] = { 6379 } }, "the app")
    silent(scan(bastion.prefix, { db, cache }, 22, 80, 5431, 5432, 6379, 6380), { [db] = { 5432 }, [cache] = { 6379 } }, "the bastion")
    local door
    for address, entry in pairs(vpc.public) do if entry.host == bastion then door = address end end
    silent(scan(nil, { door }, 21, 22, 23, 80, 443, 5432, 6379), { [door] = { 22 } }, "the range that may use ssh")

    local said = {}
    for _, o in ipairs(aws.reach { vpc = vpc_id }) do
      if o.what == "internet" then said[#said + 1] = ("%d %s"):format(o.port, o.from) end
    end
    table.sort(said)
    test.equal(said, { "22 198.18.0.1/32", "80 0.0.0.0/0" }, "what the data says of the internet")

    -- A hole: both see it.
    aws.ec2:authorize_security_group_ingress { GroupId = group_of["shop-db"], IpPermissions = { { IpProtocol = "tcp", FromPort = 5432, ToPort = 5432,
      IpRanges = { { CidrIp = "10.40.0.0/16" } } } } }
    silent(scan(stranger.prefix, { db, cache }, 5432, 6379), { [db] = { 5432 } }, "a stranger, through the hole")
    local seen = aws.reach({ vpc = vpc_id }):where(function(o) return o.what == "vpc" and o.kind == "database" end)
    test.equal({ #seen, seen[1].from }, { 1, "10.40.0.0/16" })
  end
else
  T["without root nothing is isolated, and the network says so"] = function()
    test.equal(network.new().isolated, false)
  end
end

return T
