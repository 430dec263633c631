local aws = require "aws"
local test = require "test"
local T = test.cases()

local function findings(options)
  local found = {}
  for title, rows in pairs(test.plan("account_audit.lua", options).reports) do
    found.title = title
    for i = 2, #rows do found[#found + 1] = rows[i][1] .. " " .. rows[i][2] .. " " .. rows[i][3] end
  end
  return found
end

T["an empty account has nothing to be found"] = function()
  local cloud <close> = test.cloud { region = "eu-west-1" }
  test.equal(findings { region = "eu-west-1" }, { title = "Nothing found in eu-west-1" })
  test.equal(test.apply("account_audit.lua").changes, 0)
  test.equal(cloud:calls(), {})
end

T["disks, databases, buckets and doors that are open are found, and others are not"] = function()
  local cloud <close> = test.cloud()
  local disk = aws.ec2:create_volume({ AvailabilityZone = "us-east-1a", Size = 500, VolumeType = "gp3" }).VolumeId
  aws.ec2:wait("volume_available", { VolumeIds = { disk } })
  aws.s3:create_bucket { Bucket = "acme-open" }
  aws.s3:delete_public_access_block { Bucket = "acme-open" }
  test.apply(function()
    local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
    aws.bucket "acme-closed"
    aws.postgres { "safe", network = net }
    aws.security_group { "web", vpc = net.id, description = "the web", rules = { { port = 443, from = "0.0.0.0/0", why = "https" } } }
    aws.security_group { "inner", vpc = net.id, description = "inner", rules = { { port = 5432, from = "10.9.0.0/16", why = "app" } } }
    aws.security_group { "door", vpc = net.id, description = "a door", rules = { { port = 5432, from = "0.0.0.0/0", why = "oh" } } }
  end)
  aws.rds:modify_db_instance { DBInstanceIdentifier = "safe", BackupRetentionPeriod = 0, ApplyImmediately = true }
  aws.rds:wait("db_instance_available", { DBInstanceIdentifier = "safe" })
  local door = aws.ec2:describe_security_groups({ Filters = { { Name = "group-name", Values = { "door" } } } }).SecurityGroups[1].GroupId
  local web = aws.ec2:describe_security_groups({ Filters = { { Name = "group-name", Values = { "web" } } } }).SecurityGroups[1].GroupId
  local before = #cloud:calls()
  test.equal(findings(), {
    title = "Findings in us-east-1", "bucket that can be public acme-open NoSuchPublicAccessBlockConfiguration",
    "database without backups safe its backups are off", "disk without a machine " .. disk .. " 500 GB of gp3",
    "open security group " .. door .. " tcp 5432-5432 from everywhere (door)" })
  test.equal(findings({ allowed = { "5432" } })[4], "open security group " .. web .. " tcp 443-443 from everywhere (web)")
  test.equal(#cloud:calls(), before, "an audit changes nothing")
end

return T
