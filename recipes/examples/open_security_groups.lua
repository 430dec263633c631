--- Lists the rules of security groups that let the whole internet in, on other ports than those of the web.
---
---     hkrun plan recipes/examples/open_security_groups.lua --allowed 80,443,22
local recipe, aws = require "recipe", require "aws"

local opt = recipe.options {
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "allowed", "ports that may be open", type = "list", default = { "80", "443" } },
}
local allowed = {}
for _, port in ipairs(opt.allowed) do allowed[tonumber(port)] = true end

local function is_open(permission)
  for _, r in ipairs(permission.IpRanges or {}) do if r.CidrIp == "0.0.0.0/0" then return true end end
  for _, r in ipairs(permission.Ipv6Ranges or {}) do if r.CidrIpv6 == "::/0" then return true end end
end

recipe.stage "look"
local rows = { { "group", "name", "vpc", "protocol", "ports" } }
for group in aws.ec2:each "describe_security_groups" do
  for _, p in ipairs(group.IpPermissions or {}) do
    local from, to = p.FromPort or 0, p.ToPort or 65535
    if is_open(p) and not (from == to and allowed[from]) then
      rows[#rows + 1] = { group.GroupId, group.GroupName, group.VpcId, p.IpProtocol == "-1" and "all" or p.IpProtocol, from .. "-" .. to }
    end
  end
end
recipe.report("Open to the world", rows)
