--- Replies that are lost: the rehearsal cloud does what it was asked and cuts the connection. Nothing is made twice.
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

local RECIPE = [[
local recipe, aws = require "recipe", require "aws"
recipe.options {}
local vpc = aws.vpc { "shop", cidr = "10.9.0.0/16" }
aws.internet_gateway { "shop", vpc = vpc }
aws.subnet { "a", vpc = vpc, cidr = "10.9.0.0/24", zone = "us-east-1a" }
aws.route_table { "shop", vpc = vpc }
]]

--- Applies the recipe while the first reply to `action` is lost; returns how many things of each kind there are then.
local function applied(action, times)
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 600,
                          faults = { lost = 1, only = ("Action=%s&"):format(action), times = times or 1 } }
  test.defer(function() c:stop() end)
  fs.write(fs.join(dir, "shop.lua"), RECIPE)
  local env = c:env()
  env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
  env.HKRUN_SETTLE = "1"
  local r = process.run { exe, "apply", "shop.lua", "--yes", env = env, cwd = dir, timeout = 300, stdin = "" }
  local lost, n = 0, {}
  for _, call in ipairs(c.calls) do if call.fault == "lost" then lost = lost + 1 end end
  for _, entry in pairs(c:store("ec2", "us-east-1").resources) do
    local value = entry.value
    for _, tag in ipairs(value.Tags) do
      if tag.Key == "hkrun:key" then n[entry.kind] = (n[entry.kind] or 0) + 1 end
    end
  end
  return r, n, lost
end

local ONE = { vpc = 1, ["internet-gateway"] = 1, subnet = 1, ["route-table"] = 1 }

for _, action in ipairs { "CreateVpc", "CreateInternetGateway", "CreateSubnet", "CreateRouteTable" } do
  T[("a lost reply to %s makes no second one, and the run goes on"):format(action)] = function()
    local r, n, lost = applied(action)
    test.equal(r.code, 0, r.stderr)
    test.equal(lost, 1, "replies that were lost")
    test.equal(n, ONE)
  end
end

return T
