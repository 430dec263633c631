--- Every question of docs/aws-from-the-repl.md is asked, as it stands there, of a moto in which the answer is known.
-- luacheck: no max line length
local aws = require "aws"
local fs = require "fs"
local http = require "http"
local json = require "json"
local process = require "process"
local retry = require "retry"
local shell = require "shell"
local test = require "test"

local T = test.cases()

local SELF = fs.realpath "/proc/self/exe"

local function client(url, service)
  return aws.client { service = service, region = "us-east-1", endpoint = url, credentials = { access_key_id = "AK", secret_access_key = "SK" } }
end

--- Starts moto with an account of three years' work in it; returns its URL and what was made.
local function account()
  local port = fs.free_port()
  local server = process.start { test.tool "moto_server", "-H", "127.0.0.1", "-p", tostring(port), stdout = "null", stderr = "null",
                                 env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8", MOTO_IAM_LOAD_MANAGED_POLICIES = "true" } }
  test.defer(function() server:stop() end)
  local url = "http://127.0.0.1:" .. port
  retry.call(function() http.get(url .. "/moto-api/", { timeout = 5 }) end, { attempts = 300, base = 0.2, cap = 0.4 })
  return url, {}
end

local function tagged(kind, name, owner)
  local tags = { { Key = "Name", Value = name } }
  if owner then tags[2] = { Key = "Owner", Value = owner } end
  return { { ResourceType = kind, Tags = tags } }
end

local function make_compute(url, made)
  local ec2 = client(url, "ec2")
  made.spare = ec2:create_volume { AvailabilityZone = "us-east-1a", Size = 40, VolumeType = "gp3", TagSpecifications = tagged("volume", "old data") }.VolumeId
  made.small = ec2:create_volume { AvailabilityZone = "us-east-1a", Size = 7, VolumeType = "gp3", Encrypted = true }.VolumeId
  made.address = ec2:allocate_address { Domain = "vpc" }
  local run = function(kind, name, owner)
    return ec2:run_instances { ImageId = "ami-12c6146b", MinCount = 1, MaxCount = 1, InstanceType = kind, TagSpecifications = tagged("instance", name, owner) }.Instances[1].InstanceId
  end
  made.web, made.job, made.other = run("t3.micro", "web", "ops"), run("t3.large", "job"), run("t3.micro", "web-2", "ops")
  ec2:stop_instances { InstanceIds = { made.job } }
  ec2:associate_address { InstanceId = made.web, AllocationId = ec2:allocate_address { Domain = "vpc" }.AllocationId }
  made.group = ec2:create_security_group { GroupName = "open", Description = "d" }.GroupId
  local function allow(port, range)
    ec2:authorize_security_group_ingress { GroupId = made.group, IpPermissions = { { IpProtocol = "tcp", FromPort = port, ToPort = port, IpRanges = { { CidrIp = range } } } } }
  end
  allow(22, "0.0.0.0/0")
  allow(443, "0.0.0.0/0")
  local closed = ec2:create_security_group { GroupName = "closed", Description = "d" }.GroupId
  ec2:authorize_security_group_ingress { GroupId = closed, IpPermissions = { { IpProtocol = "tcp", FromPort = 22, ToPort = 22, IpRanges = { { CidrIp = "192.0.2.0/24" } } } } }
  made.first = ec2:create_snapshot { VolumeId = made.spare, Description = "first" }.SnapshotId
  made.second = ec2:create_snapshot { VolumeId = made.small, Description = "second" }.SnapshotId
  local vpc = ec2:describe_vpcs().Vpcs[1].VpcId
  client(url, "elbv2"):create_target_group { Name = "empty", Protocol = "HTTP", Port = 8080, VpcId = vpc }
  local full = client(url, "elbv2"):create_target_group { Name = "full", Protocol = "HTTP", Port = 80, VpcId = vpc }.TargetGroups[1].TargetGroupArn
  client(url, "elbv2"):register_targets { TargetGroupArn = full, Targets = { { Id = made.web } } }
end

local function make_data(url)
  local rds = client(url, "rds")
  for name, o in pairs { ["no-backup"] = { 0, false, false }, safe = { 7, false, true }, public = { 1, true, false } } do
    rds:create_db_instance { DBInstanceIdentifier = name, DBInstanceClass = "db.t4g.micro", Engine = "postgres", MasterUsername = "u", MasterUserPassword = "geheim-123",
                             AllocatedStorage = 20, BackupRetentionPeriod = o[1], PubliclyAccessible = o[2], MultiAZ = o[3] }
  end
  local s3 = client(url, "s3")
  s3:create_bucket { Bucket = "private-box" }
  s3:create_bucket { Bucket = "public-box" }
  s3:put_bucket_acl { Bucket = "public-box", ACL = "public-read" }
  local sqs = client(url, "sqs")
  sqs:create_queue { QueueName = "idle" }
  sqs:send_message { QueueUrl = sqs:create_queue { QueueName = "mails" }.QueueUrl, MessageBody = "x" }
  local r53 = client(url, "route53")
  local zone = r53:create_hosted_zone { Name = "example.com.", CallerReference = "1" }.HostedZone.Id
  local function record(name, address)
    return { Action = "CREATE", ResourceRecordSet = { Name = name, Type = "A", TTL = 60, ResourceRecords = { { Value = address } } } }
  end
  r53:change_resource_record_sets { HostedZoneId = zone, ChangeBatch = { Changes = { record("a.example.com.", "192.0.2.7"), record("b.example.com.", "192.0.2.8") } } }
end

local function make_people(url, made)
  local iam = client(url, "iam")
  for _, name in ipairs { "ann", "bob" } do iam:create_user { UserName = name } end
  iam:attach_user_policy { UserName = "ann", PolicyArn = "arn:aws:iam::aws:policy/AdministratorAccess" }
  made.key = iam:create_access_key { UserName = "ann" }.AccessKey.AccessKeyId
  local old = iam:create_access_key { UserName = "ann" }.AccessKey.AccessKeyId
  iam:update_access_key { UserName = "ann", AccessKeyId = old, Status = "Inactive" }
  local device = iam:create_virtual_mfa_device { VirtualMFADeviceName = "bob" }.VirtualMFADevice.SerialNumber
  iam:enable_mfa_device { UserName = "bob", SerialNumber = device, AuthenticationCode1 = "123456", AuthenticationCode2 = "654321" }
end

local function make_watching(url)
  local logs = client(url, "logs")
  logs:create_log_group { logGroupName = "/for/ever" }
  logs:create_log_group { logGroupName = "/for/a-week" }
  logs:put_retention_policy { logGroupName = "/for/a-week", retentionInDays = 7 }
  local cloudwatch = client(url, "cloudwatch")
  for _, name in ipairs { "cpu", "disk" } do
    cloudwatch:put_metric_alarm { AlarmName = name, MetricName = name:upper(), Namespace = "Shop", Statistic = "Average", Period = 60, EvaluationPeriods = 1, Threshold = 1, ComparisonOperator = "GreaterThanThreshold" }
  end
  cloudwatch:set_alarm_state { AlarmName = "disk", StateValue = "ALARM", StateReason = "it is full" }
  local eb = client(url, "elasticbeanstalk")
  eb:create_application { ApplicationName = "shop" }
  eb:create_environment { ApplicationName = "shop", EnvironmentName = "shop-live", SolutionStackName = "64bit Amazon Linux 2" }
  local acm, dir = client(url, "acm"), test.tmpdir()
  for name, days in pairs { ["soon.example.com"] = 20, ["later.example.com"] = 300 } do
    local r = process.run { "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", dir .. "/key", "-out", dir .. "/cert", "-days", tostring(days), "-subj", "/CN=" .. name, timeout = 300 }
    test.equal(r.code, 0, r.stderr)
    acm:import_certificate { Certificate = fs.read(dir .. "/cert"), PrivateKey = fs.read(dir .. "/key") }
  end
  local function cost(service, amount) return { Keys = { service }, Metrics = { UnblendedCost = { Amount = amount, Unit = "USD" } } } end
  http.request { method = "POST", url = url .. "/moto-api/static/ce/cost-and-usage-results", body = json.encode { results = { {
    ResultsByTime = { { TimePeriod = { Start = "2026-01-01", End = "2026-01-02" }, Estimated = false, Groups = { cost("Amazon S3", "9.5"), cost("Amazon RDS", "12.25") } } } } } } }
end

--- The answers, by the code's question.
local function expected(made)
  return {
    ["Which volumes are attached to nothing?"] = function(r)
      test.equal(r:map "VolumeId", { made.spare, made.small })
      test.equal({ r[1].Size, r[1].Name, math.type(r[1].CreateTime) ~= nil }, { 40, "old data", true })
    end,
    ["Which Elastic IPs belong to nothing?"] = { { PublicIp = made.address.PublicIp, AllocationId = made.address.AllocationId } },
    ["Which instances are stopped, and still pay for their volumes?"] = { { InstanceId = made.job, Name = "job", InstanceType = "t3.large" } },
    ["What did yesterday cost, by service?"] = { { Service = "Amazon RDS", Cost = "12.25" }, { Service = "Amazon S3", Cost = "9.5" } },
    ["How many GiB of volumes are there of each type?"] = { { VolumeType = "gp3", Size = 47 }, { VolumeType = "gp2", Size = 24 } },
    ["Which are the ten oldest snapshots of ours?"] = function(r)
      test.equal(#r, 10)
      for i, snapshot in ipairs(r) do
        test.truthy(i == 1 or r[i - 1].StartTime <= snapshot.StartTime, "the oldest first")
        test.truthy(snapshot.SnapshotId ~= made.first and snapshot.SnapshotId ~= made.second, "moto's own are older than ours")
      end
    end,
    ["Which log groups keep everything for ever?"] = { { logGroupName = "/for/ever", storedBytes = 0 } },
    ["Which target groups have no target?"] = { { TargetGroupName = "empty", Port = 8080 } },
    ["Which security groups let the whole internet in, and where?"] = { { GroupId = made.group, GroupName = "open", Ports = { 22, 443 } } },
    ["Which databases have a public address?"] = function(r)
      test.equal({ #r, r[1].DBInstanceIdentifier, r[1].Engine }, { 1, "public", "postgres" })
      test.match(r[1].Address, "^public%.")
    end,
    ["Which buckets can everybody read?"] = { "public-box" },
    ["Which users have no second factor?"] = { "ann" },
    ["Which access keys are in use, the oldest first?"] = function(r)
      test.equal({ #r, r[1].UserName, r[1].AccessKeyId }, { 1, "ann", made.key })
    end,
    ["Which volumes are not encrypted?"] = { { State = "in-use", Count = 3 }, { State = "available", Count = 1 } },
    ["Who may do everything?"] = { "ann" },
    ["Which databases have no backups?"] = { { DBInstanceIdentifier = "no-backup", Engine = "postgres", DBInstanceClass = "db.t4g.micro" } },
    ["Which databases stand in a single zone?"] = { { Engine = "postgres", Count = 2 } },
    ["Which certificates end within thirty days?"] = function(r)
      test.equal({ #r, r[1].DomainName }, { 1, "soon.example.com" })
    end,
    ["Which alarms are ringing?"] = { { AlarmName = "disk", MetricName = "DISK", StateReason = "it is full" } },
    ["Which Elastic Beanstalk environments are not green?"] = function(r) test.equal(r:map "EnvironmentName", { "shop-live" }) end,
    ["Which queues have work waiting?"] = { { Queue = "mails", Waiting = "1" } },
    ["Which instances lack the tag Owner?"] = { { InstanceId = made.job, Name = "job", State = "stopped" } },
    ["How many instances run, of which type?"] = { { InstanceType = "t3.micro", Count = 2 } },
    ["Which names point at an address?"] = { { Name = "a.example.com.", Type = "A", TTL = 60 } },
  }
end

--- The page's questions and their lines of code, in order.
local function questions()
  local list = {}
  for question, code in fs.read "docs/aws-from-the-repl.md":gmatch "\n([^\n]+%?)\n\n```lua\n(.-)\n```" do
    list[#list + 1] = { question = question, code = code }
  end
  return list
end

T["each question of the page has one line of code, and its answer"] = function()
  local url, made = account()
  make_compute(url, made)
  make_data(url)
  make_people(url, made)
  make_watching(url)
  local answers, asked = expected(made), 0
  local lib = os.getenv "HKRUN_LIB"
  local env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), AWS_ENDPOINT_URL = url, AWS_ACCESS_KEY_ID = "AK", AWS_SECRET_ACCESS_KEY = "SK",
                AWS_REGION = "us-east-1", HKRUN_LIB = lib and fs.realpath(lib) }
  for _, q in ipairs(questions()) do
    test.truthy(not q.code:find "\n", "one line: " .. q.question)
    local r = process.run { SELF, "-e", q.code, "--read-only", env = env, timeout = 300 }
    test.equal({ r.code, r.stderr }, { 0, "" }, q.question)
    local result, answer = json.decode(r.stdout), test.truthy(answers[q.question], "an answer to: " .. q.question)
    if type(answer) == "function" then answer(result) else test.equal(result, answer, q.question) end
    answers[q.question], asked = nil, asked + 1
  end
  test.equal(next(answers), nil, "asked on the page")
  test.truthy(asked >= 20, "twenty questions")
end

T["the page's words are at hand, and its lines compile"] = function()
  for _, q in ipairs(questions()) do test.truthy(shell.compile(q.code, {}, "=page"), q.question) end
  local env = shell.environment()
  for _, name in ipairs { "aws", "heroku", "pg", "redis", "ssh", "json", "yaml", "csv", "list", "show", "unfold", "tag", "save", "days_ago" } do
    test.truthy(env[name], name)
  end
end

return T
