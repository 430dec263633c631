local test = require "test"
local task = require "task"
local process = require "process"
local network = require "rehearsal.planes.network"

local T = test.cases()

--- Listens inside a host until the test ends.
local function listen(host, port)
  local p = process.start { "python3", "-c", ([[
import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("%s", %d)); s.listen(); print("ready", flush=True)
while True:
    c = s.accept()[0]; c.sendall(b"hello"); c.close()
]]):format(host.address, port), prefix = host.prefix, stdout = "pipe" }
  test.defer(function() p:stop(1) end)
  test.equal(p:read_line(), "ready")
end

--- Whether somebody gets through; what is dropped would never answer, so whom nobody hears is given up soon.
local function reaches(prefix, address, port, seconds)
  return process.run { "python3", "-c", ([[
import socket
c = socket.create_connection(("%s", %d), timeout=%g)
assert c.recv(5) == b"hello"
]]):format(address, port, seconds or 30), prefix = prefix }.code == 0
end

local function is_shut_out(prefix, address, port) return not reaches(prefix, address, port, 0.5) end

if require "fs".uid() == 0 then
  T["the security groups decide who reaches a private host"] = function()
    test.truthy(network.available())
    local net <close> = network.new()
    net:add_vpc "vpc-1"
    local db = net:add_host("vpc-1", "10.40.2.5", { "sg-db" })
    local bastion = net:add_host("vpc-1", "10.40.0.7", { "sg-bastion" })
    local other = net:add_host("vpc-1", "10.40.0.8", { "sg-other" })
    local everywhere = { protocol = "-1", cidrs = { "0.0.0.0/0" } }
    net:set_groups("vpc-1", {
      ["sg-db"] = { ingress = { { protocol = "tcp", from = 5432, to = 5432, groups = { "sg-bastion" } } }, egress = { everywhere } },
      ["sg-bastion"] = { ingress = { { protocol = "tcp", from = 22, to = 22, cidrs = { network.CLIENT .. "/32" } } }, egress = { everywhere } },
      ["sg-other"] = { ingress = {}, egress = { everywhere } },
    })
    listen(db, 5432)
    listen(bastion, 22)
    listen(bastion, 23)
    local public = net:publish(bastion)
    test.truthy(reaches(bastion.prefix, "10.40.2.5", 5432), "the bastion reaches the database")
    test.truthy(is_shut_out(other.prefix, "10.40.2.5", 5432), "a stranger in the VPC does not")
    test.truthy(is_shut_out(nil, "10.40.2.5", 5432), "the internet does not")
    test.truthy(reaches(nil, public, 22), "the client reaches the bastion's ssh")
    test.truthy(is_shut_out(nil, public, 23), "but no other port of it")
    local door = net:publish(db, { [5432] = 5432 }, true)
    test.truthy(reaches(nil, door, 5432), "the inspector's door leads to the database")
    net:unpublish("vpc-1", door)
    test.truthy(is_shut_out(nil, "10.40.2.5", 5432) and is_shut_out(nil, door, 5432), "and is closed again")
    net:set_groups("vpc-1", {})
    test.truthy(is_shut_out(bastion.prefix, "10.40.2.5", 5432), "a revoked rule is gone")
  end

  T["of hosts that come at the same time none is shut out, however late a filter is written"] = function()
    local net <close> = network.new()
    net:add_vpc "vpc-3"
    local run, written, late = process.run, 0, nil
    test.defer(function() process.run = run end)
    process.run = function(words)
      if words[1] ~= "nft" then return run(words) end
      if not late then                    -- the first one is slow, until another one was written or none is on its way
        late = true
        for _ = 1, 50 do
          if written > 0 then break end
          task.sleep(0.02)
        end
      end
      local r = run(words)
      written = written + 1
      return r
    end
    local addresses = { "10.40.3.5", "10.40.3.6" }
    task.map(addresses, function(address) return net:add_host("vpc-3", address, { "sg-app" }) end)
    process.run = run
    local rules = process.run { "nft", "list", "table", "inet", "vpc", prefix = net.vpcs["vpc-3"].ns.prefix }.stdout
    for _, address in ipairs(addresses) do
      test.truthy(rules:find(address .. " : jump ingress_" .. address:gsub("%.", "_"), 1, true), address .. " is in the filter:\n" .. rules)
    end
  end

  T["a load balancer's port is mapped, and removing hosts leaves no link"] = function()
    local net = network.new()
    net:add_vpc "vpc-2"
    local app = net:add_host("vpc-2", "10.40.1.9", { "sg-app" })
    net:set_groups("vpc-2", { ["sg-app"] = { ingress = { { protocol = "tcp", from = 8080, to = 8080, cidrs = { "0.0.0.0/0" } } }, egress = {} } })
    listen(app, 8080)
    local public = net:publish(app, { [80] = 8080 })
    test.truthy(reaches(nil, public, 80), "port 80 outside is 8080 inside")
    test.truthy(is_shut_out(app.prefix, network.CLIENT, 80), "without an egress rule nothing goes out")
    test.cleanup()
    net:remove_host(app)
    net:close()
    local own = ("hkrun%d."):format(process.pid() % 100000)
    for _ = 1, 50 do
      if not process.run({ "ip", "link" }).stdout:find(own, 1, true) then break end
      task.sleep(0.02)
    end
    test.truthy(not process.run({ "ip", "link" }).stdout:find(own, 1, true), "the links are gone")
  end
else
  T["without root there is no isolation, and it says so"] = function()
    local net <close> = network.new()
    test.equal(net.isolated, false)
    test.match(net.reason, "root")
    net:add_vpc "vpc-1"
    test.match(net:add_host("vpc-1", "10.40.2.5", {}).address, "^127%.%d+%.%d+%.1$")
  end
end

return T
