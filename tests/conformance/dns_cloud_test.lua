--- Route 53 and ACM in the rehearsal, driven by boto3 and judged by dig: the records are really in the DNS.
local cloud = require "rehearsal.cloud"
local dns = require "dns"
local fs = require "fs"
local process = require "process"
local task = require "task"
local test = require "test"

local T = test.cases()

local function start() return cloud.start { dir = fs.join(test.tmpdir(), "cloud"), servers = false } end

local function python(c, code)
  local r = process.run { test.tool "python3", "-c", code, env = c:env(), timeout = 600 }
  test.equal(r.code, 0, r.stderr)
  return r.stdout
end

--- What dig says: the short answers, one a line.
local function dig(c, name, kind, ...)
  local host, port = c:service "route53"._address(c):match "^(.*):(%d+)$"
  local words = { "dig", "@" .. host, "-p", port, "+time=20", "+tries=3", name, kind, ... }
  words.timeout = 300
  local r = process.run(words)
  test.equal(r.code, 0, r.stdout .. r.stderr)
  return r.stdout
end

local HEAD = [==[
import boto3, time
r53, acm = boto3.client("route53"), boto3.client("acm")
def record(action, name, kind, *values, ttl=60): return {"Action": action, "ResourceRecordSet": {"Name": name, "Type": kind, "TTL": ttl,
    "ResourceRecords": [{"Value": v} for v in values]}}
def change(*changes, wait=True):
    info = r53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": list(changes)})["ChangeInfo"]
    if wait: r53.get_waiter("resource_record_sets_changed").wait(Id=info["Id"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return info
def refused(fn, *args, **more):
    try: fn(*args, **more)
    except Exception as e: return e.response["Error"]["Code"] + ": " + e.response["Error"]["Message"]
    return "not refused"
]==]

T["records reach the DNS when their change is in sync, and wrong ones are refused as a whole"] = function()
  local c <close> = start()
  local out = python(c, HEAD .. [==[
made = r53.create_hosted_zone(Name="Example.com", CallerReference="1", HostedZoneConfig={"Comment": "ours"})
zone = made["HostedZone"]["Id"]
print(made["HostedZone"]["Name"], made["ChangeInfo"]["Status"], len(made["DelegationSet"]["NameServers"]), refused(r53.create_hosted_zone, Name="example.org", CallerReference="1")[:23])
info = change(record("CREATE", "www.example.com", "CNAME", "calm.herokudns.com", ttl=3600), record("CREATE", "*.dev.example.com", "A", "192.0.2.1", "192.0.2.2"),
  {"Action": "CREATE", "ResourceRecordSet": {"Name": "example.com", "Type": "A", "AliasTarget": {"HostedZoneId": "Z117KPS5GTRQ2G", "DNSName": "198.18.7.9", "EvaluateTargetHealth": False}}})
print(info["Status"])
for wrong in (record("CREATE", "www.example.com", "CNAME", "other"), record("CREATE", "www.example.com", "A", "192.0.2.3"), record("UPSERT", "example.com", "CNAME", "x.y"),
              record("DELETE", "none.example.com", "A", "192.0.2.3"), record("DELETE", "www.example.com", "CNAME", "calm.herokudns.com"), record("CREATE", "a.example.org", "A", "192.0.2.3"),
              record("CREATE", "a.example.com", "A", "192.0.2.300")):
    print(refused(change, record("CREATE", "fine.example.com", "A", "192.0.2.3"), wrong))
sets = [s for page in r53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone, PaginationConfig={"PageSize": 2}) for s in page["ResourceRecordSets"]]
print([(s["Name"], s["Type"]) for s in sets])
print(refused(r53.delete_hosted_zone, Id=zone)[:18], r53.test_dns_answer(HostedZoneId=zone, RecordName="x.dev.example.com", RecordType="A")["RecordData"])
r53.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1], AddTags=[{"Key": "a", "Value": "b"}])
print(r53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.split("/")[-1])["ResourceTagSet"]["Tags"], [z["Name"] for z in r53.list_hosted_zones_by_name(DNSName="example.com")["HostedZones"]])
]==])
  local fine = "[name='www.example.com.', type='CNAME']"
  test.equal(out, table.concat({
    "example.com. PENDING 4 HostedZoneAlreadyExists", "PENDING",
    "InvalidChangeBatch: [Tried to create resource record set " .. fine .. " but it already exists]",
    "InvalidChangeBatch: [RRSet of type A with DNS name www.example.com. is not permitted as it conflicts with other records "
      .. "with the same DNS name in zone]",
    "InvalidChangeBatch: [RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com.]",
    "InvalidChangeBatch: [Tried to delete resource record set [name='none.example.com.', type='A'] but it was not found]",
    "InvalidChangeBatch: [Tried to delete resource record set " .. fine .. " but the values provided do not match the current values]",
    "InvalidChangeBatch: [RRSet with DNS name a.example.org. is not permitted in zone example.com.]",
    "InvalidChangeBatch: [Invalid Resource Record: 'FATAL problem: 192.0.2.300 is not a value of type A']",
    "[('example.com.', 'A'), ('example.com.', 'NS'), ('example.com.', 'SOA'), ('\\\\052.dev.example.com.', 'A'), ('www.example.com.', 'CNAME')]",
    "HostedZoneNotEmpty ['192.0.2.1', '192.0.2.2']", "[{'Key': 'a', 'Value': 'b'}] ['example.com.']", "" }, "\n"))
  test.equal(dig(c, "WWW.example.com", "CNAME", "+noall", "+answer"):gsub("%s+", " "), "www.example.com. 3600 IN CNAME calm.herokudns.com. ")
  test.equal(dig(c, "example.com", "A", "+short"), "198.18.7.9\n")
  test.equal(dig(c, "x.dev.example.com", "A", "+short"), "192.0.2.1\n192.0.2.2\n")
  test.match(dig(c, "fine.example.com", "A"), "status: NXDOMAIN.*flags: qr aa.*SOA")
  test.match(dig(c, "www.example.com", "AAAA"), "status: NOERROR.*ANSWER: 1")
  test.match(dig(c, "dev.example.com", "A"), "status: NOERROR.*ANSWER: 0")
  test.match(dig(c, "other.org", "A", "+noedns"), "status: NXDOMAIN.*flags: qr rd")

  local o = { server = c:service "route53"._address(c) }
  local www = dns.resolve("www.example.com.", "CNAME", o)
  test.equal({ www[1], www.ttl }, { "calm.herokudns.com", 3600 })
  test.equal(dns.resolve("none.example.com", "A", o), {})
  local zone, servers = dns.zone("a.b.example.com", o)
  test.equal({ zone, #servers }, { "example.com", 4 })
  test.equal(dns.authoritative("example.com", "A", o)[1].values[1], "198.18.7.9")
  local err = test.raises("example%.com A: 127%.0%.0%.1:1: .*refused", dns.query, "example.com", "A", { server = "127.0.0.1:1", timeout = 60 })
  test.equal(err.kind, "network")
end

T["a certificate is issued when its records are in the DNS, and not before"] = function()
  local c <close> = start()
  test.equal(python(c, HEAD .. [==[
arn = acm.request_certificate(DomainName="shop.example.com", SubjectAlternativeNames=["*.example.com", "example.com"], ValidationMethod="DNS", IdempotencyToken="one", Tags=[{"Key": "a", "Value": "b"}])["CertificateArn"]
print(arn == acm.request_certificate(DomainName="shop.example.com", ValidationMethod="DNS", IdempotencyToken="one")["CertificateArn"])
def look(): return acm.describe_certificate(CertificateArn=arn)["Certificate"]
def proofs(): return {v["ResourceRecord"]["Name"]: v["ResourceRecord"]["Value"] for v in look()["DomainValidationOptions"] if "ResourceRecord" in v}
while len(proofs()) < 2: time.sleep(0.05)
zone = r53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
first, second = sorted(proofs().items())
change(record("UPSERT", first[0], "CNAME", first[1]))
while "SUCCESS" not in [v["ValidationStatus"] for v in look()["DomainValidationOptions"]]: time.sleep(0.05)
print(look()["Status"], refused(acm.get_certificate, CertificateArn=arn)[:26])
change(record("UPSERT", second[0], "CNAME", second[1]), wait=False)
acm.get_waiter("certificate_validated").wait(CertificateArn=arn, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print(look()["Status"], look()["InUseBy"], acm.get_certificate(CertificateArn=arn)["Certificate"][:27], [s["DomainName"] for s in acm.list_certificates(CertificateStatuses=["ISSUED"])["CertificateSummaryList"]])
acm.add_tags_to_certificate(CertificateArn=arn, Tags=[{"Key": "c", "Value": "d"}])
print(acm.list_tags_for_certificate(CertificateArn=arn)["Tags"], refused(acm.request_certificate, DomainName="not a name", ValidationMethod="DNS")[:19])
acm.delete_certificate(CertificateArn=arn)
print(refused(acm.describe_certificate, CertificateArn=arn)[:25])
]==]), table.concat({ "True", "PENDING_VALIDATION RequestInProgressException", "ISSUED [] -----BEGIN CERTIFICATE----- ['shop.example.com']",
    "[{'Key': 'a', 'Value': 'b'}, {'Key': 'c', 'Value': 'd'}] ValidationException", "ResourceNotFoundException", "" }, "\n"))
end

T["a question of the DNS can be cancelled, and a dead server is passed over"] = function()
  local c <close> = start()
  local silent <close> = require "host.udp".bind("127.0.0.1", 0)
  local _, port = silent:address()
  local server = c:service "route53"._server(c)
  local asked = task.spawn(function() dns.query("example.com", "A", { server = "127.0.0.1:" .. port, timeout = 60 }) end)
  task.step(silent, "receive")
  asked:cancel()
  test.equal(pcall(asked.join, asked), false)
  local list = { "127.0.0.1:" .. port, ("%s:%d"):format(server.host, server.port) }
  test.equal(dns.query("example.com", "A", { server = list }).server, list[2])
end

return T
