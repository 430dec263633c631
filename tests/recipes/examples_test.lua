--- Every recipe in recipes/examples does what its first lines say, against the rehearsal cloud and real PostgreSQL.
local aws = require "aws"
local cloud = require "rehearsal.cloud"
local fs = require "fs"
local pg = require "pg"
local postgres = require "rehearsal.planes.postgres"
local process = require "process"
local test = require "test"
local text = require "text"
local T = test.cases()

local exe, folder = fs.realpath "/proc/self/exe", fs.realpath "recipes/examples"

--- A cloud, a client of each service of it, and what runs hkrun on an example.
local function lab()
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local c = cloud.start { dir = fs.join(dir, "cloud"), scale = 600 }
  test.defer(function() c:stop() end)
  local l = { dir = dir, cloud = c }
  function l.client(service)
    return aws.client { service = service, region = "us-east-1", endpoint = c.url,
                        credentials = { access_key_id = c.access_key, secret_access_key = c.secret_key } }
  end
  function l.run(command, name, words, more)
    local env = c:env()
    env.HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
    for k, v in pairs(more or {}) do env[k] = v end
    local o = { exe, command, fs.join(folder, name .. ".lua"), env = env, cwd = dir, timeout = 60, stdin = "" }
    table.move(words or {}, 1, #(words or {}), #o + 1, o)
    if command == "apply" then o[#o + 1] = "--yes" end
    local r = process.run(o)
    test.equal(r.code, 0, r.stdout .. r.stderr)
    return r.stdout
  end
  return l
end

local ran = {}

T["bucket_with_lifecycle: a bucket keeps versions for so many days, and nothing else changes it"] = function()
  local l = lab()
  ran.bucket_with_lifecycle = true
  l.run("apply", "bucket_with_lifecycle", { "--name", "acme-backups-7f", "--days", "30" })
  local s3 = l.client "s3"
  test.equal(s3:get_bucket_versioning({ Bucket = "acme-backups-7f" }).Status, "Enabled")
  local rule = s3:get_bucket_lifecycle_configuration({ Bucket = "acme-backups-7f" }).Rules[1]
  test.equal({ rule.Status, rule.NoncurrentVersionExpiration.NoncurrentDays }, { "Enabled", 30 })
  test.equal(rule.NoncurrentVersionTransitions[1].StorageClass, "STANDARD_IA")
  test.match(l.run("apply", "bucket_with_lifecycle", { "--name", "acme-backups-7f", "--days", "30" }), "no changes")
end

T["open_security_groups: only what is open to the world, and not on a port that may be"] = function()
  local l = lab()
  ran.open_security_groups = true
  local ec2 = l.client "ec2"
  local vpc = ec2:create_vpc({ CidrBlock = "10.9.0.0/16" }).Vpc.VpcId
  local function group(name, port, range)
    local id = ec2:create_security_group({ GroupName = name, Description = name, VpcId = vpc }).GroupId
    ec2:authorize_security_group_ingress { GroupId = id, IpPermissions = { { IpProtocol = "tcp", FromPort = port, ToPort = port,
      IpRanges = { { CidrIp = range } } } } }
  end
  group("open-db", 5432, "0.0.0.0/0")
  group("open-web", 443, "0.0.0.0/0")
  group("inner-db", 5432, "10.9.0.0/16")
  local out = l.run("plan", "open_security_groups")
  test.match(out, "open%-db%s+vpc%-%x+%s+tcp%s+5432%-5432")
  test.truthy(not out:find("open-web", 1, true) and not out:find("inner-db", 1, true), out)
  out = l.run("plan", "open_security_groups", { "--allowed", "5432" })
  test.truthy(out:find("open-web", 1, true) and not out:find("open-db", 1, true), out)
end

T["unattached_volumes: the disks that no instance has, the largest first"] = function()
  local l = lab()
  ran.unattached_volumes = true
  local ec2 = l.client "ec2"
  local small = ec2:create_volume { AvailabilityZone = "us-east-1a", Size = 10, VolumeType = "gp3" }
  local large = ec2:create_volume { AvailabilityZone = "us-east-1b", Size = 500, VolumeType = "st1" }
  local used = ec2:create_volume { AvailabilityZone = "us-east-1a", Size = 77, VolumeType = "gp3" }
  ec2:wait("volume_available", { VolumeIds = { small.VolumeId, large.VolumeId, used.VolumeId } }, { delay = 0.1 })
  l.cloud:store("ec2", "us-east-1").resources[used.VolumeId].value.State = "in-use"
  local out = l.run("plan", "unattached_volumes")
  local function exact(id) return (id:gsub("%-", "%%-")) end
  test.match(out, exact(large.VolumeId) .. "%s+500%s+st1%s+us%-east%-1b%s+%d%d%d%d%-%d%d%-%d%d\n%s+" .. exact(small.VolumeId) .. "%s+10%s+gp3")
  test.match(out, "all%s+510")
  test.truthy(not out:find(used.VolumeId, 1, true), out)
end

T["tail_logs: the lines of the environment's groups, and of no other"] = function()
  local l = lab()
  ran.tail_logs = true
  local logs = l.client "logs"
  local function write(group, message)
    logs:create_log_group { logGroupName = group }
    logs:create_log_stream { logGroupName = group, logStreamName = "i-1" }
    logs:put_log_events { logGroupName = group, logStreamName = "i-1", logEvents = { { timestamp = os.time() * 1000, message = message } } }
  end
  write("/aws/elasticbeanstalk/shop/var/log/web.stdout.log", "order 17 paid")
  write("/aws/elasticbeanstalk/other/var/log/web.stdout.log", "not ours")
  local out = l.run("plan", "tail_logs", { "--environment", "shop", "--minutes", "0" })
  test.match(out, "%d%d:%d%d:%d%d order 17 paid")
  test.truthy(not out:find("not ours", 1, true), out)
end

T["copy_database: every row arrives, and both sides are compared"] = function()
  local l = lab()
  ran.copy_database = true
  local function server(name)
    local s = postgres.start { dir = fs.join(l.dir, name), user = "app", password = require("secret").new("pw-" .. name), database = "app" }
    test.defer(function() s:stop() end)
    return s
  end
  local from, to = server "from", server "to"
  do
    local db <close> = pg.open(from.url)
    db:query "CREATE TABLE orders (id bigint PRIMARY KEY, note text)"
    db:query "INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 1000) n"
  end
  local function plain(s) return text("%s?sslmode=disable", s.url) end
  local out = l.run("apply", "copy_database", {}, { HKRUN_FROM = plain(from), HKRUN_TO = plain(to) })
  test.match(out, "orders%s+1000%s+%S+")
  local db <close> = pg.open(to.url)
  test.equal(db:value "SELECT sum(id)::bigint FROM orders", 500500)
end

T["each example has its case"] = function()
  for _, file in ipairs(fs.list(folder)) do test.truthy(ran[file:match "^(.*)%.lua$"], file) end
end

return T
