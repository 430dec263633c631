--- The network: VPC, subnets, routes, security groups. See terraform/types.lua.
local aws = require "aws"
local hcl = require "terraform.hcl"
local tags = require "terraform.tags"

local M = {}

M["aws.vpc"] = {
  type = "aws_vpc", import = "{id}",
  body = function(v)
    return { { "cidr_block", v.cidr }, { "enable_dns_support", v.dns_support }, { "enable_dns_hostnames", v.dns_hostnames }, { "tags", tags(v) } }
  end,
}

M["aws.subnet"] = {
  type = "aws_subnet", import = "{id}",
  body = function(v)
    return { { "vpc_id", v.vpc }, { "cidr_block", v.cidr }, { "availability_zone", v.zone }, { "map_public_ip_on_launch", v.public },
             { "tags", tags(v) } }
  end,
}

M["aws.internet_gateway"] = {
  type = "aws_internet_gateway", import = "{id}",
  body = function(v) return { { "vpc_id", v.attached and v.vpc or nil }, { "tags", tags(v) } } end,
}

--- The argument of a route's target, by what its id begins with.
local TARGETS = { nat = "nat_gateway_id", pcx = "vpc_peering_connection_id", tgw = "transit_gateway_id", eni = "network_interface_id",
                  eigw = "egress_only_gateway_id" }

M["aws.route_table"] = {
  type = "aws_route_table", import = "{id}",
  body = function(v, x)
    for i, r in ipairs(v.routes) do
      local to = r.to:find "^pl%-" and "destination_prefix_list_id" or r.to:find(":", 1, true) and "destination_ipv6_cidr_block"
        or "destination_cidr_block"
      x:part("aws_route", i == 1 and "" or r.to, v.id .. "_" .. r.to,
        { { "route_table_id", v.id }, { to, r.to }, { TARGETS[r.gateway:match "^%a+"] or "gateway_id", r.gateway } })
    end
    for _, subnet in ipairs(v.subnets) do
      x:part("aws_route_table_association", x:name_of(subnet), subnet .. "/" .. v.id, { { "subnet_id", subnet }, { "route_table_id", v.id } })
    end
    return { { "vpc_id", v.vpc }, { "tags", tags(v) } }
  end,
}

--- "in_5432_from_sg": what tells a rule from the others of its group.
local function rule_name(r)
  local ports = r.FromPort and r.FromPort >= 0 and (r.FromPort == r.ToPort and r.FromPort or r.FromPort .. "_" .. r.ToPort) or "all"
  return ("%s_%s"):format(r.IsEgress and "out" or "in", ports)
end

M["aws.security_group"] = {
  type = "aws_security_group", import = "{id}",
  read = function(v)
    local rules = {}
    for r in aws.ec2:each("describe_security_group_rules", { Filters = { { Name = "group-id", Values = { v.id } } } }) do rules[#rules + 1] = r end
    table.sort(rules, function(a, b) return a.SecurityGroupRuleId < b.SecurityGroupRuleId end)
    return { described = rules }
  end,
  body = function(v, x)
    for _, r in ipairs(v.described) do
      local ports = r.IpProtocol ~= "-1"
      x:part(r.IsEgress and "aws_vpc_security_group_egress_rule" or "aws_vpc_security_group_ingress_rule", rule_name(r), r.SecurityGroupRuleId, {
        { "security_group_id", v.id }, { "description", r.Description }, { "ip_protocol", r.IpProtocol },
        { "from_port", ports and r.FromPort or nil }, { "to_port", ports and r.ToPort or nil },
        { "cidr_ipv4", r.CidrIpv4 }, { "cidr_ipv6", r.CidrIpv6 }, { "prefix_list_id", r.PrefixListId },
        { "referenced_security_group_id", r.ReferencedGroupInfo and r.ReferencedGroupInfo.GroupId },
      })
    end
    return { { "name", v.name }, { "description", v.description }, { "vpc_id", v.vpc }, { "tags", tags(v) } }
  end,
}

M["aws.certificate"] = {
  type = "aws_acm_certificate", import = "{arn}",
  body = function(v)
    return { { "domain_name", v.name }, { "subject_alternative_names", #v.names > 0 and v.names or nil }, { "validation_method", "DNS" },
             { "tags", tags(v) }, { "lifecycle", hcl.blocks { { "create_before_destroy", true } } } }
  end,
}

M["aws.dns_record"] = {
  type = "aws_route53_record", import = "{zone_id}_{name}_{type}", gives = { fqdn = "fqdn" },
  read = function(v) return { zone_id = v.zone:match "[^/]*$" } end,
  body = function(v)
    return { { "zone_id", v.zone_id }, { "name", v.name }, { "type", v.type }, { "ttl", not v.alias and v.ttl or nil },
             { "records", not v.alias and v.values or nil },
             { "alias", v.alias and hcl.blocks { { "name", v.alias.name }, { "zone_id", v.alias.zone }, { "evaluate_target_health", false } } } }
  end,
}

return M
