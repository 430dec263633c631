--- Looks through a region for what costs money for nothing and for what is open to the world: disks that no machine has,
--- databases that are public, unencrypted or without backups, buckets that can be made public, security groups that let
--- everybody in. Only reads; `hkrun plan` and `hkrun apply` print the same.
---
---     hkrun plan recipes/examples/account_audit.lua --region eu-west-1
---
--- It prints
---
---     Findings in eu-west-1
---       what                    which                  why
---       disk without a machine  vol-0a1b2c3d4e5f67890  500 GB of gp3
---       open security group     sg-0123456789abcdef0   tcp 5432-5432 from everywhere (db)
local recipe, aws, task = require "recipe", require "aws", require "task"

local opt = recipe.options {
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "allowed", "ports that may be open to everybody", type = "list", default = { "80", "443" } },
}
local allowed = {}
for _, port in ipairs(opt.allowed) do allowed[tonumber(port)] = true end

local function disks(found)
  for v in aws.ec2:each("describe_volumes", { Filters = { { Name = "status", Values = { "available" } } } }) do
    found("disk without a machine", v.VolumeId, ("%d GB of %s"):format(v.Size, v.VolumeType))
  end
end

local function databases(found)
  for db in aws.rds:each "describe_db_instances" do
    local name = db.DBInstanceIdentifier
    if db.PubliclyAccessible then found("public database", name, "it has an address of the internet") end
    if not db.StorageEncrypted then found("unencrypted database", name, "its disk can be read") end
    if db.BackupRetentionPeriod == 0 then found("database without backups", name, "its backups are off") end
  end
end

local function buckets(found)
  for _, bucket in ipairs(aws.s3:list_buckets().Buckets or {}) do
    local ok, answer = pcall(aws.s3.get_public_access_block, aws.s3, { Bucket = bucket.Name })
    local block = ok and answer.PublicAccessBlockConfiguration or {}
    if not (block.BlockPublicAcls and block.BlockPublicPolicy and block.IgnorePublicAcls and block.RestrictPublicBuckets) then
      found("bucket that can be public", bucket.Name, ok and "its block of public access is partly off" or answer.code or tostring(answer))
    end
  end
end

local function groups(found)
  local everybody = { ["0.0.0.0/0"] = true, ["::/0"] = true }
  for group in aws.ec2:each "describe_security_groups" do
    for _, p in ipairs(group.IpPermissions or {}) do
      local open = false
      for _, r in ipairs(p.IpRanges or {}) do open = open or everybody[r.CidrIp] end
      for _, r in ipairs(p.Ipv6Ranges or {}) do open = open or everybody[r.CidrIpv6] end
      local from, to = p.FromPort or 0, p.ToPort or 65535
      if open and not (from == to and allowed[from]) then
        found("open security group", group.GroupId, ("%s %d-%d from everywhere (%s)"):format(
          p.IpProtocol == "-1" and "all" or p.IpProtocol, from, to, group.GroupName))
      end
    end
  end
end

recipe.stage "look"
local rows = {}
local function found(...) rows[#rows + 1] = { ... } end
task.map({ disks, databases, buckets, groups }, function(look) look(found) end)
table.sort(rows, function(a, b) return a[1] .. a[2] < b[1] .. b[2] end)
table.insert(rows, 1, { "what", "which", "why" })
recipe.report(rows[2] and "Findings in " .. opt.region or "Nothing found in " .. opt.region, rows, { head = true })
