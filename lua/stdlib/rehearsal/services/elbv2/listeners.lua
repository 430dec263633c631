--- Listeners: a port of a load balancer, and what is done with what arrives there.
local C = require "rehearsal.services.elbv2.common"
local engine = require "rehearsal.services.elbv2.engine"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local POLICY = "ELBSecurityPolicy-2016-08"                   -- what a listener gets that names none

local function described(listener)
  return { ListenerArn = listener.ListenerArn, LoadBalancerArn = listener.LoadBalancerArn, Port = listener.Port, Protocol = listener.Protocol,
    Certificates = listener.Certificates, SslPolicy = listener.SslPolicy, DefaultActions = listener.DefaultActions }
end

local function check_action(cloud, ctx, lb, action)
  if action.Type == "forward" then
    local arns = C.forwards_to { DefaultActions = { action } }
    if #arns == 0 then C.refuse "A target group ARN must be specified" end
    for _, arn in ipairs(arns) do
      if C.group(cloud, ctx, arn).VpcId ~= lb.VpcId then
        wire.fail("InvalidConfigurationRequest", 400, "The following target groups are not in the same VPC as the load balancer: '%s'", arn)
      end
    end
  elseif action.Type == "redirect" then
    local r = action.RedirectConfig or C.refuse "A redirect configuration must be specified"
    if not (r.Protocol or r.Port or r.Host or r.Path or r.Query) then
      wire.fail("InvalidLoadBalancerAction", 400, "The redirect configuration is not valid because it creates a loop.")
    end
    action.RedirectConfig = { Protocol = r.Protocol or "#{protocol}", Port = r.Port or "#{port}", Host = r.Host or "#{host}",
      Path = r.Path or "/#{path}", Query = r.Query or "#{query}", StatusCode = r.StatusCode }
  elseif action.Type == "fixed-response" then
    if not (action.FixedResponseConfig or {}).StatusCode then C.refuse "A fixed response must be specified" end
  else
    C.refuse("The rehearsal's listeners do not know the action '%s'", action.Type)
  end
end

--- A certificate of ACM that has been issued.
local function check_certificates(cloud, ctx, listener)
  if listener.Protocol == "HTTP" then
    if listener.Certificates and #listener.Certificates > 0 then
      wire.fail("InvalidConfigurationRequest", 400, "Certificates cannot be specified for HTTP listeners")
    end
    listener.Certificates, listener.SslPolicy = nil, nil
    return
  end
  local arn = ((listener.Certificates or {})[1] or {}).CertificateArn
  if not arn then wire.fail("CertificateNotFound", 400, "A certificate must be specified for HTTPS listeners") end
  local ok, answer = pcall(cloud:service "acm".DescribeCertificate, cloud, { CertificateArn = arn }, ctx)
  if not ok then wire.fail("CertificateNotFound", 400, "Certificate '%s' not found", arn) end
  if answer.Certificate.Status ~= "ISSUED" then
    wire.fail("UnsupportedCertificate", 400, "The certificate '%s' must have a fully-qualified domain name, a supported signature, "
      .. "and a supported key size.", arn)
  end
  listener.SslPolicy = listener.SslPolicy or POLICY
end

local function check(cloud, ctx, lb, listener)
  if listener.Protocol ~= "HTTP" and listener.Protocol ~= "HTTPS" then
    wire.fail("UnsupportedProtocol", 400, "The protocol '%s' is not supported by application load balancers", tostring(listener.Protocol))
  end
  for _, action in ipairs(listener.DefaultActions) do check_action(cloud, ctx, lb, action) end
  check_certificates(cloud, ctx, listener)
end

local function taken(cloud, ctx, lb, port, but)
  for _, other in ipairs(C.listeners_of(cloud, ctx, lb.LoadBalancerArn)) do
    if other.Port == port and other ~= but then return other end
  end
end

function S.CreateListener(cloud, p, ctx)
  local lb = C.balancer(cloud, ctx, p.LoadBalancerArn)
  if not p.Protocol or not p.Port then C.refuse "A listener protocol and port must be specified" end
  local arn = p.LoadBalancerArn:gsub(":loadbalancer/", ":listener/") .. "/" .. require "sign".hex(require "sign".random(8))
  local listener = { ListenerArn = arn, LoadBalancerArn = p.LoadBalancerArn, Port = p.Port, Protocol = p.Protocol, SslPolicy = p.SslPolicy,
    Certificates = p.Certificates, DefaultActions = p.DefaultActions, Tags = managed.tags(p.Tags) }
  check(cloud, ctx, lb, listener)
  if taken(cloud, ctx, lb, p.Port) then wire.fail("DuplicateListener", 400, "A listener already exists on this port for this load balancer '%s'",
    p.LoadBalancerArn) end
  C.listeners(cloud, ctx)[arn] = listener
  engine.refresh(cloud, ctx)
  return { Listeners = { described(listener) } }
end

function S.DescribeListeners(cloud, p, ctx)
  local list = {}
  if p.LoadBalancerArn then
    C.balancer(cloud, ctx, p.LoadBalancerArn)
    list = C.listeners_of(cloud, ctx, p.LoadBalancerArn)
  else
    for i, arn in ipairs(p.ListenerArns or {}) do list[i] = C.listener(cloud, ctx, arn) end
    if #list == 0 then C.refuse "A load balancer ARN or a listener ARN must be specified" end
  end
  local page, marker = cloud.page(list, p.Marker, p.PageSize)
  for i, listener in ipairs(page) do page[i] = described(listener) end
  return { Listeners = page, NextMarker = marker }
end

function S.ModifyListener(cloud, p, ctx)
  local listener = C.listener(cloud, ctx, p.ListenerArn)
  local lb = C.balancer(cloud, ctx, listener.LoadBalancerArn)
  local wanted = { Port = p.Port or listener.Port, Protocol = p.Protocol or listener.Protocol, SslPolicy = p.SslPolicy or listener.SslPolicy,
    Certificates = p.Certificates or listener.Certificates, DefaultActions = p.DefaultActions or listener.DefaultActions }
  check(cloud, ctx, lb, wanted)
  if taken(cloud, ctx, lb, wanted.Port, listener) then
    wire.fail("DuplicateListener", 400, "A listener already exists on this port for this load balancer '%s'", listener.LoadBalancerArn)
  end
  for _, name in ipairs { "Port", "Protocol", "SslPolicy", "Certificates", "DefaultActions" } do listener[name] = wanted[name] end
  engine.refresh(cloud, ctx)
  return { Listeners = { described(listener) } }
end

function S.DeleteListener(cloud, p, ctx)
  C.listener(cloud, ctx, p.ListenerArn)
  C.listeners(cloud, ctx)[p.ListenerArn] = nil
  engine.refresh(cloud, ctx)
end

return S
