--- The nouns of Elastic Load Balancing, request by request (see tests/support/noun_lab.lua).
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local LB = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/shop/50dc6c495c0c9188"
local GROUP = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/shop-web/73e2d6bc24d8a067"
local OTHER = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/other/73e2d6bc24d8a068"
local LISTENER = "arn:aws:elasticloadbalancing:us-east-1:1:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2"
local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }

local function tagging(arn) return { "elbv2 AddTags", { ResourceArns = { arn }, Tags = ADDED } } end
local function tags_of(arn, noun, name) return { TagDescriptions = { { ResourceArn = arn, Tags = lab.tag_list(noun, name) } } } end

local function balancer(more)
  return { LoadBalancers = { lab.merged({ LoadBalancerArn = LB, LoadBalancerName = "shop", DNSName = "shop-1.us-east-1.elb.amazonaws.com",
    CanonicalHostedZoneId = "Z35SXDOTRQ7X7K", Scheme = "internet-facing", State = { Code = "active" }, SecurityGroups = { "sg-1" },
    AvailabilityZones = { { SubnetId = "subnet-1" }, { SubnetId = "subnet-2" } } }, more or {}) } }
end

lab.case(T, {
  noun = "load_balancer", want = { "shop", subnets = { "subnet-1", "subnet-2" }, groups = { "sg-1" } },
  absent = { ["elbv2 DescribeLoadBalancers"] = lab.refusal "LoadBalancerNotFound" },
  there = {
    ["elbv2 DescribeLoadBalancers"] = balancer(),
    ["elbv2 DescribeLoadBalancerAttributes"] = { Attributes = { { Key = "idle_timeout.timeout_seconds", Value = "60" } } },
    ["elbv2 DescribeTags"] = tags_of(LB, "load_balancer", "shop"),
  },
  looks = { { "elbv2 DescribeLoadBalancers", { Names = { "shop" } } }, { "elbv2 DescribeLoadBalancerAttributes", { LoadBalancerArn = LB } },
            { "elbv2 DescribeTags", { ResourceArns = { LB } } } },
  gone = { ["elbv2 DescribeLoadBalancerAttributes"] = "LoadBalancerNotFound", ["elbv2 DescribeTags"] = "LoadBalancerNotFound" },
  create = { { "elbv2 CreateLoadBalancer", { Name = "shop", Type = "application", Scheme = "internet-facing", Subnets = { "subnet-1", "subnet-2" },
    SecurityGroups = { "sg-1" }, Tags = lab.tag_list("load_balancer", "shop") }, balancer() } },
  change = {
    { "it gets another group", want = { groups = { "sg-2" } },
      calls = { { "elbv2 SetSecurityGroups", { LoadBalancerArn = LB, SecurityGroups = { "sg-2" } } } } },
    { "it stands in other subnets", want = { subnets = { "subnet-1", "subnet-3" } },
      calls = { { "elbv2 SetSubnets", { LoadBalancerArn = LB, Subnets = { "subnet-1", "subnet-3" } } } } },
    { "it waits longer", want = { idle_timeout = 120 }, calls = { { "elbv2 ModifyLoadBalancerAttributes", { LoadBalancerArn = LB,
      Attributes = { { Key = "idle_timeout.timeout_seconds", Value = "120" } } } } } },
    { "a tag is added", want = TEAM, calls = { tagging(LB) } },
  },
  fixed = { internal = true },
  delete = { { "elbv2 DeleteLoadBalancer", { LoadBalancerArn = LB } } },
})

local function group(more)
  return { TargetGroups = { lab.merged({ TargetGroupArn = GROUP, TargetGroupName = "shop-web", VpcId = "vpc-1", Port = 8080, TargetType = "ip",
    Protocol = "HTTP", HealthCheckPath = "/health", Matcher = { HttpCode = "200" }, HealthCheckIntervalSeconds = 15, HealthCheckTimeoutSeconds = 5 },
    more or {}) } }
end

local function delay(seconds)
  return { "elbv2 ModifyTargetGroupAttributes", { TargetGroupArn = GROUP,
    Attributes = { { Key = "deregistration_delay.timeout_seconds", Value = seconds } } } }
end

lab.case(T, {
  noun = "target_group", want = { "shop-web", vpc = "vpc-1", port = 8080, health_path = "/health" },
  absent = { ["elbv2 DescribeTargetGroups"] = lab.refusal "TargetGroupNotFound" },
  there = {
    ["elbv2 DescribeTargetGroups"] = group(),
    ["elbv2 DescribeTargetGroupAttributes"] = { Attributes = { { Key = "deregistration_delay.timeout_seconds", Value = "30" } } },
    ["elbv2 DescribeTags"] = tags_of(GROUP, "target_group", "shop-web"),
  },
  looks = { { "elbv2 DescribeTargetGroups", { Names = { "shop-web" } } }, { "elbv2 DescribeTargetGroupAttributes", { TargetGroupArn = GROUP } },
            { "elbv2 DescribeTags", { ResourceArns = { GROUP } } } },
  gone = { ["elbv2 DescribeTargetGroupAttributes"] = "TargetGroupNotFound", ["elbv2 DescribeTags"] = "TargetGroupNotFound" },
  create = { { "elbv2 CreateTargetGroup", { Name = "shop-web", Protocol = "HTTP", Port = 8080, VpcId = "vpc-1", TargetType = "ip",
    HealthCheckProtocol = "HTTP", HealthCheckPath = "/health", HealthCheckIntervalSeconds = 15, HealthCheckTimeoutSeconds = 5,
    HealthyThresholdCount = 2, UnhealthyThresholdCount = 3, Matcher = { HttpCode = "200" }, Tags = lab.tag_list("target_group", "shop-web") },
    group() }, delay "30" },
  change = {
    { "another path is asked", want = { health_path = "/up" },
      calls = { { "elbv2 ModifyTargetGroup", { TargetGroupArn = GROUP, HealthCheckPath = "/up" } } } },
    { "other statuses mean well", want = { healthy_codes = "200-399" },
      calls = { { "elbv2 ModifyTargetGroup", { TargetGroupArn = GROUP, Matcher = { HttpCode = "200-399" } } } } },
    { "those that leave get more time", want = { drain = 60 }, calls = { delay "60" } },
    { "a tag is added", want = TEAM, calls = { tagging(GROUP) } },
  },
  fixed = { port = 9090 },
  delete = { { "elbv2 DeleteTargetGroup", { TargetGroupArn = GROUP } } },
})

local function listener(more)
  return { Listeners = { lab.merged({ ListenerArn = LISTENER, LoadBalancerArn = LB, Port = 80, Protocol = "HTTP",
    DefaultActions = { { Type = "forward", TargetGroupArn = GROUP } } }, more or {}) } }
end

local forward = { { Type = "forward", TargetGroupArn = GROUP } }
local to_https = { { Type = "redirect", RedirectConfig = { Protocol = "HTTPS", Port = "443", StatusCode = "HTTP_301" } } }
local secured = listener { Protocol = "HTTPS", Certificates = { { CertificateArn = "arn:cert-1" } } }

lab.case(T, {
  noun = "listener", want = { "shop-80", load_balancer = LB, port = 80, target_group = GROUP },
  absent = { ["elbv2 DescribeListeners"] = { Listeners = {} } },
  there = { ["elbv2 DescribeListeners"] = listener(), ["elbv2 DescribeTags"] = tags_of(LISTENER, "listener", "shop-80") },
  looks = { { "elbv2 DescribeListeners", { LoadBalancerArn = LB } }, { "elbv2 DescribeTags", { ResourceArns = { LISTENER } } } },
  gone = { ["elbv2 DescribeTags"] = "ListenerNotFound" },
  create = { { "elbv2 CreateListener", { LoadBalancerArn = LB, Port = 80, Protocol = "HTTP", DefaultActions = forward,
    Tags = lab.tag_list("listener", "shop-80") }, listener() } },
  change = {
    { "it leads elsewhere", want = { target_group = OTHER }, calls = { { "elbv2 ModifyListener", { ListenerArn = LISTENER, Protocol = "HTTP",
      DefaultActions = { { Type = "forward", TargetGroupArn = OTHER } } } } } },
    { "it gets another certificate", there = { ["elbv2 DescribeListeners"] = secured }, want = { certificate = "arn:cert-2" },
      calls = { { "elbv2 ModifyListener", { ListenerArn = LISTENER, Protocol = "HTTPS", SslPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06",
        Certificates = { { CertificateArn = "arn:cert-2" } }, DefaultActions = forward } } } },
    { "someone made it redirect", there = { ["elbv2 DescribeListeners"] = listener { DefaultActions = to_https } },
      calls = { { "elbv2 ModifyListener", { ListenerArn = LISTENER, Protocol = "HTTP", DefaultActions = forward } } } },
    { "a tag is added", want = TEAM, calls = { tagging(LISTENER) } },
  },
  fixed = { load_balancer = LB .. "2" },
  delete = { { "elbv2 DeleteListener", { ListenerArn = LISTENER } } },
})

return T
