--- EventBridge Scheduler in the rehearsal: asked by boto3 and the AWS CLI; its schedules fire in simulated time.
local lab = dofile "tests/support/vpc_lab.lua"
local cloud = require "rehearsal.cloud"
local process = require "process"
local test = require "test"
local T = test.cases()

local SETUP = [==[
sch, iam, sqs = boto3.client("scheduler"), boto3.client("iam"), boto3.client("sqs")
def trust(service): return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
  "Principal": {"Service": service}}]})
wrong = iam.create_role(RoleName="wrong", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))["Role"]["Arn"]
role = iam.create_role(RoleName="right", AssumeRolePolicyDocument=trust("scheduler.amazonaws.com"))["Role"]["Arn"]
def allow(*actions): iam.put_role_policy(RoleName="right", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17",
  "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}))
url, dead = sqs.create_queue(QueueName="jobs")["QueueUrl"], sqs.create_queue(QueueName="dead")["QueueUrl"]
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["All"])["Attributes"]["QueueArn"]
def count(queue): return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["ApproximateNumberOfMessages"])
target = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "RoleArn": role, "Input": json.dumps({"QueueUrl": url, "MessageBody": "tick"}),
  "DeadLetterConfig": {"Arn": dead_arn}, "RetryPolicy": {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60}}
base = dict(Name="tick", GroupName="shop", ScheduleExpression="cron(0/10 * * * ? *)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target,
  State="DISABLED")
]==]

T["a schedule fires at its times while it is enabled; what fails goes to its dead-letter queue"] = function()
  local c = cloud.start { dir = test.tmpdir(), scale = 3600, servers = false }           -- ten minutes pass in a sixth of a second
  test.defer(function() c:stop() end)
  test.equal(lab.python(c, SETUP .. [==[
def create(**change): return code_of(sch.create_schedule, **{**base, **change})
print(create(), code_of(sch.get_schedule, Name="tick", GroupName="shop"), code_of(sch.delete_schedule_group, Name="default"))
arn = sch.create_schedule_group(Name="shop", ClientToken="t", Tags=[{"Key": "a", "Value": "b"}])["ScheduleGroupArn"]
assert sch.create_schedule_group(Name="shop", ClientToken="t")["ScheduleGroupArn"] == arn
print(code_of(sch.create_schedule_group, Name="shop"), sch.list_tags_for_resource(ResourceArn=arn)["Tags"])
print(create(ScheduleExpression="cron(0/10 * * * * *)"), create(ScheduleExpression="rate(0 minutes)"), create(ScheduleExpression="every day"),
      create(Target={**target, "RoleArn": wrong}), create(Target={**target, "Arn": "arn:aws:sqs"}), create(Target={**target, "Input": "no"}))
sch.create_schedule(ClientToken="u", **base)
sch.create_schedule(ClientToken="u", **base)
print(create(), sch.get_schedule(Name="tick", GroupName="shop")["ScheduleExpressionTimezone"])
time.sleep(0.6)
print("disabled:", count(url), count(dead))
allow("sqs:SendMessage")
lost = {**target, "Input": json.dumps({"QueueUrl": url + "-lost", "MessageBody": "tick"})}
sch.update_schedule(**{**base, "Target": lost, "State": "ENABLED"})
wait_for(lambda: count(dead) > 0, True)
message = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"][0]
print("lost:", count(url), message["Body"] == lost["Input"], message["MessageAttributes"]["ERROR_CODE"]["StringValue"])
allow("sqs:ReceiveMessage")
sch.update_schedule(**{**base, "State": "ENABLED"})
time.sleep(0.6)
print("not allowed:", count(url))
allow("sqs:SendMessage")
wait_for(lambda: count(url) >= 3, True)
print([(s["Name"], s["State"]) for s in sch.list_schedules(GroupName="shop")["Schedules"]])
sch.update_schedule(**base)
time.sleep(0.1)
before = count(url)
time.sleep(0.6)
print("disabled again:", count(url) - before)
once = int(time.time()) + 10 ** 9
sch.update_schedule(**{**base, "ScheduleExpression": "at(%s)" % time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(once)), "State": "ENABLED"})
time.sleep(0.4)
print("not yet:", count(url) - before)
sch.delete_schedule_group(Name="shop")
wait_for(lambda: code_of(sch.get_schedule, Name="tick", GroupName="shop"), "ResourceNotFoundException")
print([g["Name"] for g in sch.list_schedule_groups()["ScheduleGroups"]])
]==]), table.concat({ "ResourceNotFoundException ResourceNotFoundException ValidationException", "ConflictException [{'Key': 'a', 'Value': 'b'}]",
    "ValidationException ValidationException ValidationException ValidationException ValidationException ValidationException",
    "ConflictException UTC", "disabled: 0 0", "lost: 0 True AWS.SimpleQueueService.NonExistentQueue", "not allowed: 0", "[('tick', 'ENABLED')]",
    "disabled again: 0", "not yet: 0",
    "['default']", "" }, "\n"))
  local cli = process.run { test.tool "aws", "--endpoint-url", c.url, "--output", "text", "scheduler", "list-schedule-groups", "--query",
    "ScheduleGroups[].[Name,State]", env = c:env(), timeout = 300 }
  test.equal(cli.stdout, "default\tACTIVE\n", cli.stderr)
end

return T
