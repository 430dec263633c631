--- The rehearsal cloud, read and written by boto3, which none of us wrote.
local test = require "test"
local fs = require "fs"
local process = require "process"
local cloud = require "rehearsal.cloud"

local T = test.cases()

local function python(c, code)
  local r = process.run { test.tool "python3", "-c", "import boto3, botocore\n" .. code, env = c:env(), timeout = 300 }
  if r.code ~= 0 then error(r.stderr) end
  return r.stdout
end

T["boto3 builds a network, and wrong requests get AWS's own errors"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud") }
  local out = python(c, [[
ec2 = boto3.client("ec2")
print(boto3.client("sts").get_caller_identity()["Account"])
vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "shop"}]}])["Vpc"]["VpcId"]
ec2.get_waiter("vpc_available").wait(VpcIds=[vpc], WaiterConfig={"Delay": 1})
ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
assert ec2.describe_vpc_attribute(VpcId=vpc, Attribute="enableDnsHostnames")["EnableDnsHostnames"]["Value"]
subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24", AvailabilityZone="us-east-1a")["Subnet"]["SubnetId"]
igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
ec2.attach_internet_gateway(InternetGatewayId=igw, VpcId=vpc)
rt = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
ec2.create_route(RouteTableId=rt, DestinationCidrBlock="0.0.0.0/0", GatewayId=igw)
ec2.associate_route_table(RouteTableId=rt, SubnetId=subnet)
sg = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
ec2.authorize_security_group_ingress(GroupId=sg, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
  "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}]}])
g = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["web"]}])["SecurityGroups"][0]
print(g["IpPermissions"][0]["IpRanges"][0]["CidrIp"], g["IpPermissionsEgress"][0]["IpProtocol"])
print(ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["sh*"]}])["Vpcs"][0]["VpcId"] == vpc)
for call, args in ((ec2.delete_vpc, {"VpcId": vpc}), (ec2.create_subnet, {"VpcId": vpc, "CidrBlock": "10.9.1.0/25"}),
                   (ec2.describe_vpcs, {"VpcIds": ["vpc-00000000"]}), (ec2.create_security_group, {"GroupName": "web", "Description": "x", "VpcId": vpc})):
    try: call(**args); print("no error")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])
bad = boto3.client("ec2", aws_access_key_id="AKIAWRONG", aws_secret_access_key="x")
for c in (bad, boto3.client("ec2", aws_secret_access_key="wrong", aws_access_key_id=boto3.Session().get_credentials().access_key)):
    try: c.describe_vpcs(); print("let in")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])
]])
  test.equal(out, table.concat({ "123456789012", "0.0.0.0/0 -1", "True", "DependencyViolation", "InvalidSubnet.Conflict", "InvalidVpcID.NotFound",
    "InvalidGroup.Duplicate", "InvalidClientTokenId", "SignatureDoesNotMatch", "" }, "\n"))
end

T["boto3 keeps roles, secrets, objects, logs, topics and alarms"] = function()
  local dir = test.tmpdir()
  local c <close> = cloud.start { dir = fs.join(dir, "cloud") }
  local out = python(c, [==[
import json
iam = boto3.client("iam")
trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]})
iam.create_role(RoleName="app", AssumeRolePolicyDocument=trust, Tags=[{"Key": "a", "Value": "b"}])
iam.attach_role_policy(RoleName="app", PolicyArn="arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier")
iam.put_role_policy(RoleName="app", PolicyName="read", PolicyDocument=trust)
iam.create_instance_profile(InstanceProfileName="app")
iam.add_role_to_instance_profile(InstanceProfileName="app", RoleName="app")
print(iam.get_role(RoleName="app")["Role"]["AssumeRolePolicyDocument"]["Version"], iam.get_instance_profile(InstanceProfileName="app")["InstanceProfile"]["Roles"][0]["RoleName"])
sm = boto3.client("secretsmanager")
arn = sm.create_secret(Name="app/config", SecretString='{"A":"1"}')["ARN"]
sm.put_secret_value(SecretId=arn, SecretString='{"A":"2"}')
print(sm.get_secret_value(SecretId="app/config")["SecretString"], sm.get_secret_value(SecretId=arn, VersionStage="AWSPREVIOUS")["SecretString"])
sm.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
s3 = boto3.client("s3")
s3.create_bucket(Bucket="my-bucket")
s3.put_public_access_block(Bucket="my-bucket", PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True, "RestrictPublicBuckets": True})
print(s3.get_public_access_block(Bucket="my-bucket")["PublicAccessBlockConfiguration"]["BlockPublicAcls"])
s3.put_object(Bucket="my-bucket", Key="a/\u00e4 +.txt", Body=b"hello" * 100, Metadata={"who": "me"})
big = b"x" * (3 * 1024 * 1024)
s3.put_object(Bucket="my-bucket", Key="b/big", Body=big, IfNoneMatch="*")
print(s3.get_object(Bucket="my-bucket", Key="a/\u00e4 +.txt")["Body"].read() == b"hello" * 100, s3.get_object(Bucket="my-bucket", Key="b/big")["Body"].read() == big,
      s3.head_object(Bucket="my-bucket", Key="a/\u00e4 +.txt")["Metadata"])
print([o["Key"] for o in s3.list_objects_v2(Bucket="my-bucket", MaxKeys=1)["Contents"]], [p["Prefix"] for p in s3.list_objects_v2(Bucket="my-bucket", Delimiter="/")["CommonPrefixes"]])
for call in (lambda: s3.put_object(Bucket="my-bucket", Key="b/big", Body=b"", IfNoneMatch="*"), lambda: s3.delete_bucket(Bucket="my-bucket"),
             lambda: s3.get_object(Bucket="my-bucket", Key="none"), lambda: s3.head_object(Bucket="my-bucket", Key="none"),
             lambda: iam.delete_role(RoleName="app"), lambda: iam.get_role(RoleName="none")):
    try: call(); print("no error")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"])
logs = boto3.client("logs")
logs.create_log_group(logGroupName="/app/web")
logs.put_retention_policy(logGroupName="/app/web", retentionInDays=30)
logs.create_log_stream(logGroupName="/app/web", logStreamName="s")
logs.put_log_events(logGroupName="/app/web", logStreamName="s", logEvents=[{"timestamp": 1, "message": "hi"}])
print(logs.describe_log_groups()["logGroups"][0]["retentionInDays"], logs.filter_log_events(logGroupName="/app/web")["events"][0]["message"])
sns = boto3.client("sns")
topic = sns.create_topic(Name="alarms")["TopicArn"]
print(sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")["SubscriptionArn"])
cw = boto3.client("cloudwatch")
cw.put_metric_alarm(AlarmName="cpu", Namespace="AWS/RDS", MetricName="CPUUtilization", Statistic="Average", Period=300, EvaluationPeriods=2, Threshold=80.0,
  ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic], Dimensions=[{"Name": "DBInstanceIdentifier", "Value": "shop"}])
a = cw.describe_alarms(AlarmNames=["cpu"])["MetricAlarms"][0]
print(a["Threshold"], a["StateValue"], a["Dimensions"][0]["Value"])
]==])
  test.equal(out, table.concat({ "2012-10-17 app", '{"A":"2"} {"A":"1"}', "True", "True True {'who': 'me'}", "['a/ä +.txt'] ['a/', 'b/']",
    "PreconditionFailed", "BucketNotEmpty", "NoSuchKey", "404", "DeleteConflict", "NoSuchEntity", "30 hi", "pending confirmation",
    "80.0 INSUFFICIENT_DATA shop", "" }, "\n"))
  test.equal(#fs.list(fs.join(dir, "cloud", "mail")), 1)
end

T["boto3 keeps queues: their attributes, tags and messages, and SQS's own errors"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud"), scale = 1 }
  local out = python(c, [==[
sqs = boto3.client("sqs")
url = sqs.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "60"}, tags={"a": "b"})["QueueUrl"]
print(url == sqs.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "60"})["QueueUrl"], sqs.list_queue_tags(QueueUrl=url)["Tags"])
sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0", "MessageRetentionPeriod": "60"})
sqs.tag_queue(QueueUrl=url, Tags={"c": "d"})
sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
have = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
print(have["QueueArn"], have["VisibilityTimeout"], have["MessageRetentionPeriod"], sqs.list_queue_tags(QueueUrl=url)["Tags"])
print(sqs.send_message(QueueUrl=url, MessageBody="17")["MD5OfMessageBody"])
got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0)["Messages"]
again = sqs.receive_message(QueueUrl=url)["Messages"][0]
print(got[0]["Body"], "Messages" in sqs.receive_message(QueueUrl=url))
sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
print(again["MessageId"] == got[0]["MessageId"],
  sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"])
print(sqs.create_queue(QueueName="o.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"] in sqs.list_queues(QueueNamePrefix="o")["QueueUrls"])
for call, args in ((sqs.create_queue, {"QueueName": "orders", "Attributes": {"VisibilityTimeout": "7"}}), (sqs.create_queue, {"QueueName": "a b"}),
                   (sqs.get_queue_url, {"QueueName": "none"}), (sqs.set_queue_attributes, {"QueueUrl": url, "Attributes": {"Nope": "1"}}),
                   (sqs.set_queue_attributes, {"QueueUrl": url, "Attributes": {"DelaySeconds": "901"}}),
                   (sqs.send_message, {"QueueUrl": url.replace("orders", "o.fifo"), "MessageBody": "x"}), (sqs.delete_queue, {"QueueUrl": url}),
                   (sqs.create_queue, {"QueueName": "orders"})):
    try: call(**args); print("no error")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"], type(e).__name__)
]==])
  test.equal(out, [==[
True {'a': 'b'}
arn:aws:sqs:us-east-1:123456789012:orders 60 60 {'c': 'd'}
70efdf2ec9b086079795c442636b55fb
17 False
True {'ApproximateNumberOfMessages': '0'}
True
QueueAlreadyExists QueueNameExists
InvalidParameterValue ClientError
AWS.SimpleQueueService.NonExistentQueue QueueDoesNotExist
InvalidAttributeName InvalidAttributeName
InvalidAttributeValue InvalidAttributeValue
MissingParameter ClientError
no error
AWS.SimpleQueueService.QueueDeletedRecently QueueDeletedRecently
]==])
  local deleted = c:store("sqs", "us-east-1").deleted
  deleted.orders = deleted.orders - 61
  test.equal(python(c, 'print("orders" in boto3.client("sqs").create_queue(QueueName="orders")["QueueUrl"])'), "True\n")
end

return T
