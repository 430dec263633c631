--- CloudWatch in the rehearsal, judged by boto3 and the AWS CLI.
local fs = require "fs"
local lab = dofile "tests/support/vpc_lab.lua"
local process = require "process"
local cloud = require "rehearsal.cloud"
local task = require "task"
local test = require "test"
local T = test.cases()

local function cli(c, words)
  local r = process.run { test.tool "aws", "--output", "json", env = c:env(), timeout = 300, table.unpack(words) }
  return r.stdout .. r.stderr
end

T["a metric filter makes points of lines of JSON, and of no others"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud"), servers = false }
  test.equal(lab.python(c, [==[
logs, cw = boto3.client("logs"), boto3.client("cloudwatch")
logs.create_log_group(logGroupName="/jobs")
logs.create_log_stream(logGroupName="/jobs", logStreamName="s")
make = {"metricNamespace": "Shop", "metricName": "Age", "metricValue": "$.Age", "dimensions": {"Queue": "$.Queue"}, "unit": "Seconds"}
args = dict(logGroupName="/jobs", filterName="age", filterPattern="{ $.Age = * }", metricTransformations=[make])
print(code_of(logs.put_metric_filter, **{**args, "metricTransformations": [{**make, "defaultValue": 0}]}),
      code_of(logs.put_metric_filter, **{**args, "logGroupName": "/none"}), code_of(logs.put_metric_filter, **args))
print([f["filterName"] for f in logs.describe_metric_filters(logGroupName="/jobs")["metricFilters"]],
      logs.describe_log_groups()["logGroups"][0]["metricFilterCount"])
now = int(time.time() * 1000)
def put(*lines): logs.put_log_events(logGroupName="/jobs", logStreamName="s", logEvents=[{"timestamp": now, "message": l} for l in lines])
put('{"Queue": "mail", "Age": 3.5}', '{"Queue": "mail", "Age": 8}', 'Age 99', '{"Old": 99}', '[{"Age": 99}]', '{"Queue": "pdf", "Age": "x"}')
end = __import__("datetime").datetime(2100, 1, 1)
found = cw.get_metric_statistics(Namespace="Shop", MetricName="Age", Dimensions=[{"Name": "Queue", "Value": "mail"}], StartTime=0, EndTime=end,
  Period=86400, Statistics=["Sum", "SampleCount"])["Datapoints"]
print(len(cw.list_metrics(Namespace="Shop")["Metrics"]), [(d["Sum"], d["SampleCount"], d["Unit"]) for d in found])
logs.delete_metric_filter(logGroupName="/jobs", filterName="age")
put('{"Queue": "other", "Age": 1}')
print(len(cw.list_metrics(Namespace="Shop")["Metrics"]), code_of(logs.delete_metric_filter, logGroupName="/jobs", filterName="age"))
]==]), "InvalidParameterException ResourceNotFoundException no error\n['age'] 1\n1 [(11.5, 2.0, 'Seconds')]\n1 ResourceNotFoundException\n")
end

T["boto3 and the AWS CLI keep dashboards, and a wrong body is refused with its faults"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud"), servers = false }
  local out = lab.python(c, [==[
cw = boto3.client("cloudwatch")
body = {"widgets": [{"type": "metric", "x": 0, "y": 0, "width": 12, "height": 6, "properties": {"region": "us-east-1",
  "metrics": [["AWS/RDS", "CPUUtilization", "DBInstanceIdentifier", "shop", {"stat": "Maximum"}], [{"expression": "m1*2", "id": "e1"}]]}},
  {"type": "text", "properties": {"markdown": "# shop"}}]}
print(cw.put_dashboard(DashboardName="shop", DashboardBody=json.dumps(body))["DashboardValidationMessages"])
cw.put_dashboard(DashboardName="other", DashboardBody='{"widgets": []}')
got = cw.get_dashboard(DashboardName="shop")
print(json.loads(got["DashboardBody"]) == body, got["DashboardArn"])
print([d["DashboardName"] for d in cw.list_dashboards()["DashboardEntries"]],
      cw.list_dashboards(DashboardNamePrefix="sh")["DashboardEntries"][0]["Size"] == len(json.dumps(body)))
cw.tag_resource(ResourceARN=got["DashboardArn"], Tags=[{"Key": "team", "Value": "shop"}])
print(cw.list_tags_for_resource(ResourceARN=got["DashboardArn"])["Tags"])
for wrong in ("{", "[]", '{"widgets": [{"type": "chart"}, {"type": "metric", "width": 25, "properties": {"metrics": [["AWS/RDS"]]}}, {"type": "text"}]}'):
    try: cw.put_dashboard(DashboardName="shop", DashboardBody=wrong); print("taken")
    except botocore.exceptions.ClientError as e: print(e.response["Error"]["Code"], e.response["Error"]["Message"].replace("\n", " "))
print(code_of(cw.put_dashboard, DashboardName="a b", DashboardBody='{"widgets": []}'))
print(code_of(cw.delete_dashboards, DashboardNames=["shop", "none"]), len(cw.list_dashboards()["DashboardEntries"]))
cw.delete_dashboards(DashboardNames=["shop"])
print(code_of(cw.get_dashboard, DashboardName="shop"))
]==])
  local lines = {}
  for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  test.equal(table.move(lines, 1, 4, 1, {}), { "[]", "True arn:aws:cloudwatch::123456789012:dashboard/shop", "['other', 'shop'] True",
    "[{'Key': 'team', 'Value': 'shop'}]" })
  test.match(lines[5], "^InvalidParameterInput .*1 validation errors.*must be a valid JSON object")
  test.match(lines[6], "^InvalidParameterInput .*required property 'widgets'")
  test.match(lines[7], "^InvalidParameterInput .*5 validation errors.*\"/widgets/0/type\".*\"/widgets/1/width\".*\"/widgets/2\"")
  test.equal(table.move(lines, 8, 10, 1, {}), { "InvalidParameterValue", "ResourceNotFound 2", "ResourceNotFound" })
  test.match(cli(c, { "cloudwatch", "list-dashboards" }), '"DashboardName": "other"')
  test.match(cli(c, { "cloudwatch", "get-dashboard", "--dashboard-name", "gone" }), "ResourceNotFound.*does not exist")
end

T["metrics are kept by their dimensions, and answered by period and statistic"] = function()
  local c <close> = cloud.start { dir = fs.join(test.tmpdir(), "cloud"), servers = false, scale = 1 }
  test.equal(lab.python(c, [==[
import datetime
cw = boto3.client("cloudwatch")
base = (int(time.time()) // 300 - 2) * 300
def at(s): return datetime.datetime.fromtimestamp(base + s, datetime.timezone.utc)
web, worker = [{"Name": "Process", "Value": "web"}], [{"Name": "Process", "Value": "worker"}]
cw.put_metric_data(Namespace="Shop", MetricData=[
  {"MetricName": "Jobs", "Dimensions": web, "Timestamp": at(10), "Value": 4, "Unit": "Count"},
  {"MetricName": "Jobs", "Dimensions": web, "Timestamp": at(70), "Values": [10, 2], "Counts": [1, 3], "Unit": "Count"},
  {"MetricName": "Jobs", "Dimensions": worker, "Timestamp": at(10), "Value": 1000},
  {"MetricName": "Jobs", "Timestamp": at(20), "StatisticValues": {"SampleCount": 4, "Sum": 8, "Minimum": 1, "Maximum": 3}}])
def ask(dims, stats): return [{s: p[s] for s in stats} for p in cw.get_metric_statistics(Namespace="Shop", MetricName="Jobs", Dimensions=dims,
  StartTime=at(0), EndTime=at(300), Period=60, Statistics=stats)["Datapoints"]]
print(ask(web, ["Sum", "Maximum"]), ask([], ["Average", "SampleCount"]))
r = cw.get_metric_data(StartTime=at(0), EndTime=at(300), ScanBy="TimestampAscending", MetricDataQueries=[{"Id": "a", "MetricStat": {
  "Metric": {"Namespace": "Shop", "MetricName": "Jobs", "Dimensions": web}, "Period": 300, "Stat": "p50"}}])["MetricDataResults"][0]
print(r["Values"], r["Timestamps"] == [at(0)])
print([m["Dimensions"] for m in cw.list_metrics(Namespace="Shop", Dimensions=[{"Name": "Process"}])["Metrics"]] == [web, worker])
print(code_of(cw.put_metric_data, Namespace="AWS/RDS", MetricData=[]), code_of(cw.put_metric_data, Namespace="Shop", MetricData=[{"MetricName": "x"}]))
]==]), table.concat({ "[{'Sum': 4.0, 'Maximum': 4.0}, {'Sum': 16.0, 'Maximum': 10.0}] [{'Average': 2.0, 'SampleCount': 4.0}]", "[2.0] True", "True",
    "InvalidParameterValue MissingParameter", "" }, "\n"))
end

T["an alarm goes off when its metric says so, tells those who confirmed, and is over again"] = function()
  local dir = test.tmpdir()
  local c <close> = cloud.start { dir = fs.join(dir, "cloud"), servers = false, scale = 240 }
  lab.python(c, [==[
sns = boto3.client("sns")
topic = sns.create_topic(Name="alarms")["TopicArn"]
for who in ("ops@example.com", "silent@example.com"): sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=who)
]==])
  local function mails(pattern)
    local list = {}
    for _, name in ipairs(fs.list(fs.join(dir, "cloud/mail"))) do
      local text = name:find "%.eml$" and fs.read(fs.join(dir, "cloud/mail", name))       -- else one that is being written
      if text and text:find(pattern) then list[#list + 1] = text end
    end
    return list
  end
  for _, mail in ipairs(mails "To: ops@") do
    local topic, token = mail:match "TopicArn=([^&]+)&Token=(%x+)"
    cli(c, { "sns", "confirm-subscription", "--topic-arn", topic, "--token", token })
  end
  lab.python(c, [==[
cw, sqs, topic = boto3.client("cloudwatch"), boto3.client("sqs"), boto3.client("sns").list_topics()["Topics"][0]["TopicArn"]
sqs.create_queue(QueueName="orders")
sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="orders")["QueueUrl"], MessageBody="17")
cw.put_metric_alarm(AlarmName="age", Namespace="AWS/SQS", MetricName="ApproximateAgeOfOldestMessage", Statistic="Maximum", Period=60,
  EvaluationPeriods=2, Threshold=120.0, ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic], OKActions=[topic],
  Dimensions=[{"Name": "QueueName", "Value": "orders"}])
]==])
  local function wait_for(pattern)
    for _ = 1, 2400 do
      local found = mails(pattern)
      if #found > 0 then return found end
      task.sleep(0.05)
    end
    error("no mail like " .. pattern)
  end
  local alarm = wait_for 'Subject: ALARM: "age" in us%-east%-1'
  test.match(alarm[1], "To: ops@example.com\n")
  test.match(alarm[1], "2 out of the last 2 datapoints.*were greater than the threshold %(120%.0%)")
  lab.python(c, 'sqs = boto3.client("sqs"); sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName="orders")["QueueUrl"])')
  wait_for 'Subject: OK: "age".*"OldStateValue": "ALARM"'
  test.equal(#mails "To: silent@", 1, "mails to who did not confirm: the question")
  local history = cli(c, { "cloudwatch", "describe-alarm-history", "--alarm-name", "age", "--history-item-type", "StateUpdate" })
  test.match(history, "Alarm updated from ALARM to OK.*Alarm updated from [%u_]+ to ALARM")
end

return T
