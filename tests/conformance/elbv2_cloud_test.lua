--- Elastic Load Balancing in the rehearsal: asked by boto3, and by HTTP as a customer's browser would.
local fs = require "fs"
local http = require "http"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local SETUP = [==[
ids = json.loads(sys.argv[1])
elb, ec2 = boto3.client("elbv2"), boto3.client("ec2")
def health(): return [t["TargetHealth"]["State"] for t in elb.describe_target_health(TargetGroupArn=ids["group"])["TargetHealthDescriptions"]]
]==]

local function ask(c, ids, code) return lab.python(c, SETUP .. code, { json.encode(ids) }) end

local SERVER = [[
local server = require("rehearsal.serve").start { host = os.getenv "HOST", port = 8080, handler = function(req)
  if req.path == "/health" then return { status = require("fs").exists(os.getenv "SICK") and 500 or 200, body = "fine" } end
  if req.path == "/away" then return { status = 302, headers = { Location = "/elsewhere" } } end
  return { status = 200, json = { name = os.getenv "NAME", method = req.method, path = req.path, query = req.raw_query, body = req.body,
    forwarded = req.headers["x-forwarded-for"], proto = req.headers["x-forwarded-proto"], host = req.headers.host } }
end }
while true do task.sleep(3600) end
]]

--- A machine of the customer's with a web server on it.
local function web(c, ids, address, name, group)
  local host = lab.host(c, ids, address, group)
  local sick = c.dir .. "/sick-" .. name
  local lib = os.getenv "HKRUN_LIB"
  local env = { PATH = os.getenv "PATH", HOME = "/", NAME = name, HOST = host.address, SICK = sick, HKRUN_LIB = lib and fs.realpath(lib) }
  local p = process.start { fs.realpath "/proc/self/exe", "-e", SERVER, prefix = host.prefix, env = env }
  test.defer(function() p:stop(1) end)
  return host, sick
end

local function get(url) return http.get(url, { timeout = 30 }) end

--- Asks until the answer is as `good` wants it.
local function until_good(url, good)
  local deadline = task.now() + 120
  while true do
    local ok, answer = pcall(get, url)
    if ok and good(answer) then return answer end
    if task.now() > deadline then error(("%s answers %s"):format(url, ok and tostring(answer.status) or tostring(answer)), 2) end
    task.sleep(0.05)
  end
end

--- A certificate of ACM for shop.example.com, whose records are set; and a listener that has it.
local CERTIFY = [==[
acm, r53 = boto3.client("acm"), boto3.client("route53")
forward = [{"Type": "forward", "TargetGroupArn": ids["group"]}]
arn = acm.request_certificate(DomainName="shop.example.com", ValidationMethod="DNS")["CertificateArn"]
args = dict(LoadBalancerArn=ids["lb"], Protocol="HTTPS", Port=443, Certificates=[{"CertificateArn": arn}], DefaultActions=forward)
print(code_of(elb.create_listener, **{**args, "Certificates": []}), code_of(elb.create_listener, **{**args, "Protocol": "HTTP"}),
      code_of(elb.create_listener, **{**args, "Certificates": [{"CertificateArn": arn[:-1] + "x"}]}), code_of(elb.create_listener, **args))
zone = r53.create_hosted_zone(Name="example.com", CallerReference="one")["HostedZone"]["Id"]
def proofs(): return [v["ResourceRecord"] for v in acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"] if "ResourceRecord" in v]
wait_for(lambda: len(proofs()), 1)
def upsert(**set): return dict(HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": set}]})
r53.change_resource_record_sets(**upsert(Name=proofs()[0]["Name"], Type="CNAME", TTL=60, ResourceRecords=[{"Value": proofs()[0]["Value"]}]))
acm.get_waiter("certificate_validated").wait(CertificateArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
lb = elb.describe_load_balancers(LoadBalancerArns=[ids["lb"]])["LoadBalancers"][0]
def alias(zone): return upsert(Name="example.com", Type="A", AliasTarget={"DNSName": lb["DNSName"], "HostedZoneId": zone, "EvaluateTargetHealth": False})
print(code_of(r53.change_resource_record_sets, **alias("Z117KPS5GTRQ2G")), code_of(r53.change_resource_record_sets, **alias(lb["CanonicalHostedZoneId"])))
listener = elb.create_listener(**args)["Listeners"][0]
print(listener["SslPolicy"], code_of(acm.delete_certificate, CertificateArn=arn))
ec2.authorize_security_group_ingress(GroupId=ids["app"], IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
elb.modify_listener(ListenerArn=ids["listener"], DefaultActions=[{"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}])
]==]

local UNCERTIFY = [==[
acm = boto3.client("acm")
elb.delete_listener(ListenerArn=[l["ListenerArn"] for l in elb.describe_listeners(LoadBalancerArn=ids["lb"])["Listeners"] if l["Port"] == 443][0])
arn = acm.list_certificates()["CertificateSummaryList"][0]["CertificateArn"]
print(acm.get_certificate(CertificateArn=arn)["Certificate"])
acm.delete_certificate(CertificateArn=arn)
]==]

--- What curl sees at the load balancer, with the rehearsal's authority as the only one.
local function curl(c, address, ...)
  return process.run { "curl", "-sS", "--max-time", "60", "--cacert", c.ca.file, "--connect-to", "::" .. address .. ":", timeout = 300,
                       env = { PATH = os.getenv "PATH", NO_PROXY = "*" }, ... }
end

T["a load balancer forwards to healthy targets, round robin, and to nobody whom the security groups keep apart"] = function()
  local c, ids = lab.start(8080)
  local made = json.decode(ask(c, ids, [==[
second = ec2.create_subnet(VpcId=ids["vpc"], CidrBlock="10.77.10.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
table = [t["RouteTableId"] for t in ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [ids["public"]]}])["RouteTables"]][0]
args = dict(Name="shop", Subnets=[ids["public"], second], SecurityGroups=[ids["app"]], Tags=[{"Key": "a", "Value": "b"}])
assert code_of(elb.create_load_balancer, **args) == "InvalidSubnet"
ec2.associate_route_table(RouteTableId=table, SubnetId=second)
assert code_of(elb.create_load_balancer, **{**args, "Subnets": [second]}) == "ValidationError"
ec2.authorize_security_group_ingress(GroupId=ids["app"], IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
lb = elb.create_load_balancer(**args)["LoadBalancers"][0]
assert elb.create_load_balancer(**args)["LoadBalancers"][0]["LoadBalancerArn"] == lb["LoadBalancerArn"]
assert code_of(elb.create_load_balancer, **{**args, "Scheme": "internal"}) == "DuplicateLoadBalancerName"
assert lb["State"]["Code"] == "provisioning", lb
group = elb.create_target_group(Name="shop-web", Protocol="HTTP", Port=8080, VpcId=ids["vpc"], TargetType="ip", HealthCheckPath="/health",
  HealthCheckIntervalSeconds=10, HealthCheckTimeoutSeconds=2, UnhealthyThresholdCount=2, HealthyThresholdCount=2)["TargetGroups"][0]
elb.get_waiter("load_balancer_available").wait(LoadBalancerArns=[lb["LoadBalancerArn"]], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
forward = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
listener = elb.create_listener(LoadBalancerArn=lb["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward)["Listeners"][0]
assert code_of(elb.create_listener, LoadBalancerArn=lb["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward) == "DuplicateListener"
assert code_of(elb.delete_target_group, TargetGroupArn=group["TargetGroupArn"]) == "ResourceInUse"
assert code_of(ec2.delete_security_group, GroupId=ids["app"]) == "DependencyViolation"
assert code_of(ec2.delete_subnet, SubnetId=second) == "DependencyViolation"
assert code_of(elb.register_targets, TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": "web.example"}]) == "InvalidTarget"
elb.modify_target_group_attributes(TargetGroupArn=group["TargetGroupArn"], Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
print(json.dumps({"lb": lb["LoadBalancerArn"], "url": "http://" + lb["DNSName"], "group": group["TargetGroupArn"], "listener": listener["ListenerArn"]}))
]==]))
  ids.lb, ids.group, ids.listener = made.lb, made.group, made.listener
  test.equal(until_good(made.url, function(a) return a.status == 503 end).status, 503, "without targets")
  local one, sick = web(c, ids, "10.77.1.21", "one", "store")
  local two = web(c, ids, "10.77.1.22", "two", "store")
  local closed = web(c, ids, "10.77.1.23", "closed", "other")
  ids.one, ids.two, ids.closed = one.address, two.address, closed.address
  ask(c, ids, [==[
elb.register_targets(TargetGroupArn=ids["group"], Targets=[{"Id": ids["one"]}, {"Id": ids["two"], "Port": 8080}])
wait_for(health, ["healthy", "healthy"])
]==])
  local seen = {}
  for _ = 1, 6 do seen[get(made.url .. "/a%20b?c=d"):json().name] = true end
  test.equal(seen, { one = true, two = true })
  local answer = http.request { method = "POST", url = made.url .. "/p?q=1", body = "hello", headers = { Host = "shop.example" } }:json()
  test.equal({ answer.method, answer.path, answer.query, answer.body, answer.proto, answer.host }, { "POST", "/p", "q=1", "hello", "http",
    "shop.example" })
  test.match(answer.forwarded, "^%d+%.%d+%.%d+%.%d+$")
  test.equal(get(made.url .. "/away").status, 302, "redirects are the client's affair")
  fs.write(sick, "x", 420)
  ask(c, ids, 'wait_for(health, ["unhealthy", "healthy"])\nprint(elb.describe_target_health(TargetGroupArn=ids["group"], '
    .. 'Targets=[{"Id": ids["one"]}])["TargetHealthDescriptions"][0]["TargetHealth"])')
  for _ = 1, 4 do test.equal(get(made.url .. "/"):json().name, "two", "only the healthy one is asked") end
  fs.remove(sick)
  ids.isolated = c.net.isolated
  test.equal(ask(c, ids, [==[
wait_for(health, ["healthy", "healthy"])
if ids["isolated"]:
    elb.register_targets(TargetGroupArn=ids["group"], Targets=[{"Id": ids["closed"]}])
    wait_for(health, ["healthy", "healthy", "unhealthy"])
    print(elb.describe_target_health(TargetGroupArn=ids["group"])["TargetHealthDescriptions"][2]["TargetHealth"]["Reason"])
    elb.deregister_targets(TargetGroupArn=ids["group"], Targets=[{"Id": ids["closed"]}])
]==]), c.net.isolated and "Target.Timeout\n" or "")
  lab.held(c, function() ask(c, ids, [==[
elb.deregister_targets(TargetGroupArn=ids["group"], Targets=[{"Id": ids["one"]}])
assert "draining" in health(), health()
]==]) end)
  ask(c, ids, 'wait_for(health, ["healthy"])')
  test.equal(get(made.url .. "/"):json().name, "two")
  test.equal(ask(c, ids, CERTIFY), "CertificateNotFound InvalidConfigurationRequest CertificateNotFound UnsupportedCertificate\n"
    .. "InvalidChangeBatch no error\nELBSecurityPolicy-2016-08 ResourceInUseException\n")
  local away = until_good(made.url .. "/x?y=z", function(a) return a.status == 301 end)
  test.match(away.headers.location, "^https://[%d.]+:443/x%?y=z$")
  local served
  if c.net.isolated then                                     -- else hosts share the ports of this machine: 443 is another one
    local address = made.url:match "//(.*)$"
    local r = curl(c, address, "-L", "-w", " %{num_redirects} %{url_effective} %{certs}", "http://shop.example.com/x?y=z")
    test.equal(r.code, 0, r.stderr)
    local body, led = r.stdout:match "^(%b{}) (1 https://shop%.example%.com:443/x%?y=z)"
    test.equal(led, "1 https://shop.example.com:443/x?y=z", r.stdout)
    test.equal({ json.decode(body).name, json.decode(body).proto, json.decode(body).query }, { "two", "https", "y=z" })
    served = test.truthy(r.stdout:match "%-%-%-%-%-BEGIN CERTIFICATE.-END CERTIFICATE%-%-%-%-%-", "curl shows the certificate")
    test.equal(curl(c, address, "https://other.example.com/").code, 60, "a name that the certificate does not have")
  end
  local issued = ask(c, ids, UNCERTIFY)
  if served then test.equal(served, issued:match "%-%-%-%-%-BEGIN CERTIFICATE.-END CERTIFICATE%-%-%-%-%-", "what is served is ACM's") end
  ask(c, ids, 'elb.delete_target_group(TargetGroupArn=ids["group"])')
  test.equal(ask(c, ids, [==[
arn = ids["lb"]
print(elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"])
elb.delete_load_balancer(LoadBalancerArn=arn)
elb.get_waiter("load_balancers_deleted").wait(LoadBalancerArns=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": 120})
print(code_of(elb.describe_load_balancers, LoadBalancerArns=[arn]), code_of(elb.describe_listeners, ListenerArns=[ids["listener"]]),
      code_of(elb.describe_target_groups, Names=["shop-web"]))
def freed(): return code_of(ec2.delete_subnet, SubnetId=ids["public"])
wait_for(freed, "no error")
]==]), "[{'Key': 'a', 'Value': 'b'}]\nLoadBalancerNotFound ListenerNotFound TargetGroupNotFound\n")
end

return T
