--- Certificates and records of the DNS, request by request (see tests/support/noun_lab.lua).
local aws = require "aws"
local lab = dofile "tests/support/noun_lab.lua"
local test = require "test"
local T = test.cases()

local TEAM, ADDED = { tags = { team = "shop" } }, { { Key = "team", Value = "shop" } }
local ARN, NAME = "arn:aws:acm:us-east-1:1:certificate/1", "shop.example.com"

local function detail(status)
  return { Certificate = { CertificateArn = ARN, DomainName = NAME, SubjectAlternativeNames = { NAME, "www.example.com" }, Status = status,
    DomainValidationOptions = { { DomainName = NAME, ResourceRecord = { Name = "_1." .. NAME .. ".", Type = "CNAME", Value = "_2.acm.aws." } } } } }
end
local function listed(...)
  local list = {}
  for i, name in ipairs { ... } do list[i] = { CertificateArn = i == 1 and ARN or ARN .. i, DomainName = name } end
  return { CertificateSummaryList = list }
end

lab.case(T, {
  noun = "certificate", want = { NAME, names = { "www.example.com" } },
  absent = { ["acm ListCertificates"] = listed("other.example.com"), ["acm DescribeCertificate"] = lab.refusal "ResourceNotFoundException",
             ["acm ListTagsForCertificate"] = lab.refusal "ResourceNotFoundException" },
  there = { ["acm ListCertificates"] = listed(NAME, "other.example.com"), ["acm DescribeCertificate"] = detail "ISSUED",
            ["acm ListTagsForCertificate"] = { Tags = lab.tag_list("certificate", NAME) } },
  looks = { { "acm ListCertificates", { CertificateStatuses = { "PENDING_VALIDATION", "ISSUED" } } },
            { "acm ListTagsForCertificate", { CertificateArn = ARN } }, { "acm DescribeCertificate", { CertificateArn = ARN } } },
  gone = { ["acm ListTagsForCertificate"] = "ResourceNotFoundException", ["acm DescribeCertificate"] = "ResourceNotFoundException" },
  create = { { "acm RequestCertificate", { DomainName = NAME, SubjectAlternativeNames = { "www.example.com" }, ValidationMethod = "DNS",
    IdempotencyToken = "(token)", Tags = lab.tag_list("certificate", NAME) }, { CertificateArn = ARN } } },
  change = { { "a tag is added", want = TEAM, calls = { { "acm AddTagsToCertificate", { CertificateArn = ARN, Tags = ADDED } } } } },
  fixed = { names = { "*.example.com" } },
  delete = { { "acm DeleteCertificate", { CertificateArn = ARN } } },
})

local function sets(...) return { ResourceRecordSets = { ... }, IsTruncated = false, MaxItems = "300" } end
local function cname(ttl, value)
  return { Name = NAME, Type = "CNAME", TTL = ttl, ResourceRecords = { { Value = value } } }
end
local OTHER = { Name = NAME .. ".", Type = "TXT", TTL = 60, ResourceRecords = { { Value = '"x"' } } }
local function stored(ttl, value)
  local set = cname(ttl, value)
  set.Name = NAME .. "."
  return set
end
local function change(action, set)
  return { "route53 ChangeResourceRecordSets", { HostedZoneId = "Z1", ChangeBatch = { Changes = { { Action = action, ResourceRecordSet = set } } } },
    { ChangeInfo = { Id = "/change/C1", Status = "INSYNC", SubmittedAt = 1 } } }
end

lab.case(T, {
  noun = "dns_record", want = { NAME, zone = "Z1", ttl = 60, values = { "shop.eb.example.net" } },
  absent = { ["route53 ListResourceRecordSets"] = sets(OTHER) },
  there = { ["route53 ListResourceRecordSets"] = sets(stored(60, "Shop.eb.example.net."), OTHER) },
  looks = { { "route53 ListResourceRecordSets", { HostedZoneId = "Z1", StartRecordName = NAME } } },
  create = { change("CREATE", cname(60, "shop.eb.example.net")) },
  change = {
    { "others may keep it longer", want = { ttl = 300 }, calls = { change("UPSERT", cname(300, "shop.eb.example.net")) } },
    { "it leads elsewhere", want = { values = { "other.example.net" } }, calls = { change("UPSERT", cname(60, "other.example.net")) } },
  },
  delete = { change("DELETE", stored(60, "Shop.eb.example.net.")) },
})

T["aws.hosted_zone: the innermost public zone that the account has, or none"] = function()
  local asked = {}
  lab.world {
    ["route53 ListHostedZonesByName"] = function(args)
      asked[#asked + 1] = args.DNSName
      local zones = { { Id = "/hostedzone/Z9", Name = "example.com.", CallerReference = "1", Config = { PrivateZone = true } },
                      { Id = "/hostedzone/Z1", Name = "example.com.", CallerReference = "2" } }
      return { HostedZones = args.DNSName:find "example%.com$" and zones or {}, IsTruncated = false, MaxItems = "10" }
    end,
    ["route53 GetHostedZone"] = { HostedZone = { Id = "/hostedzone/Z1", Name = "example.com.", CallerReference = "2" },
                                  DelegationSet = { NameServers = { "ns-2.awsdns-00.net", "ns-1.awsdns-00.com" } } },
  }
  test.equal(aws.hosted_zone { "a.Shop.example.com." }, { id = "Z1", name = "example.com", servers = { "ns-1.awsdns-00.com", "ns-2.awsdns-00.net" } })
  test.equal(asked, { "a.shop.example.com", "shop.example.com", "example.com" })
  test.equal(aws.hosted_zone "shop.example.org", nil)
end

return T
