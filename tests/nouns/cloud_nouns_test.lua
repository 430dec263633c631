--- The nouns against the rehearsal cloud: made, made again without a change, changed, deleted.
local fs = require "fs"
local process = require "process"
local cloud = require "rehearsal.cloud"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"

--- A folder with a recipe, a cloud, and what runs hkrun in it.
local function lab(recipe)
  local dir = test.tmpdir()
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 600 }
  test.defer(function() c:stop() end)
  fs.write(fs.join(dir, "shop.lua"), recipe)
  local l = { dir = dir, cloud = c }
  function l.run(command, more)
    local env = c:env()
    env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
    local o = { exe, command, "shop.lua", table.unpack(more or {}) }
    if command ~= "plan" then o[#o + 1] = "--yes" end
    o.env, o.cwd, o.timeout, o.stdin = env, dir, 110, ""
    local r = process.run(o)
    if r.code ~= 0 then error(("%s: %s%s"):format(command, r.stdout, r.stderr), 2) end
    return r.stdout, r.stderr
  end
  function l.changes()
    local n = 0
    for _, call in ipairs(c.calls) do n = n + (call.mutating and 1 or 0) end
    return n
  end
  return l
end

local network = [[
local recipe, aws = require "recipe", require "aws"
local opt = recipe.options { { "zones", "", type = "integer", default = 2 }, { "colour", "", default = "blue" } }
recipe.stage "network"
local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = opt.zones, tags = { colour = opt.colour } }
local inner = aws.security_group { "shop-app", vpc = net.id, description = "the app" }
aws.security_group { "shop-db", vpc = net.id, rules = { { port = 5432, from = inner.id, why = "the app" } } }
recipe.report("Network", { { "id", net.id }, { "public", net.public[1] }, { "private", net.private[2] } })
]]

--- Plans (nothing happens), applies, applies again (nothing happens), plans again.
local function there_and_stays(l, creates)
  local out = l.run "plan"
  test.match(out, ("Plan: %d to create"):format(creates))
  test.equal(l.changes(), 0, "calls of plan that change something")
  out = l.run "apply"
  test.match(out, ("Done: %d created"):format(creates))
  local n = l.changes()
  test.equal(l.run "apply", "no changes\n")
  test.equal(l.changes(), n, "calls of a second apply that change something")
end

local function left(c)
  local kinds = {}
  for _, entry in pairs(c:store("ec2", "us-east-1").resources) do kinds[#kinds + 1] = entry.kind .. " " .. entry.id end
  table.sort(kinds)
  return kinds
end

T["a network is planned, made, changed and deleted"] = function()
  local l = lab(network)
  there_and_stays(l, 10)
  local out = l.run("apply", { "--colour", "red" })
  test.match(out, "8 changed")
  l.run "destroy"
  test.equal(left(l.cloud), {})
end

T["a rule that someone else put into a security group is taken away"] = function()
  local l = lab(network)
  l.run "apply"
  local store = l.cloud:store("ec2", "us-east-1")
  for _, e in pairs(store.resources) do
    if e.kind == "security-group" and e.value.GroupName == "shop-db" then
      e.value.IpPermissions[2] = { IpProtocol = "tcp", FromPort = 22, ToPort = 22, IpRanges = { { CidrIp = "0.0.0.0/0" } },
                                   Ipv6Ranges = {}, UserIdGroupPairs = {}, PrefixListIds = {} }
    end
  end
  test.match(l.run "apply", "1 changed")
  test.equal(l.run "apply", "no changes\n")
end

return T
