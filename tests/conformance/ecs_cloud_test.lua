--- ECS on Fargate in the rehearsal: asked by boto3 and the AWS CLI, and by HTTP through its load balancer.
local http = require "http"
local json = require "json"
local lab = dofile "tests/support/vpc_lab.lua"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local SETUP = [==[
ids = json.loads(sys.argv[1])
ecs, elb, ec2, iam, logs = (boto3.client(n) for n in ("ecs", "elbv2", "ec2", "iam", "logs"))
def service(name="web"): return ecs.describe_services(cluster="shop", services=[name])["services"][0]
def rollout(name="web"): return service(name)["deployments"][0]["rolloutState"]
def task(arn): return ecs.describe_tasks(cluster="shop", tasks=[arn])["tasks"][0]
def status(arn): return task(arn)["lastStatus"]
net = {"awsvpcConfiguration": {"subnets": [ids["public"]], "securityGroups": [ids["app"]], "assignPublicIp": "ENABLED"}}
def container(command, **more):
    return {"name": "web", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/shop:v1", "command": ["sh", "-c", command], **more}
def definition(command, family="web", roles=True, **more):
    log = {"logDriver": "awslogs", "options": {"awslogs-group": "/shop", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}}
    roles = {"executionRoleArn": ids["role"]} if roles else {}
    return dict(family=family, networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256", memory="512", **roles,
      containerDefinitions=[container(command, logConfiguration=log, **more)])
def register(*args, **more): return ecs.register_task_definition(**definition(*args, **more))["taskDefinition"]["taskDefinitionArn"]
def lines(): return [e["message"] for e in logs.filter_log_events(logGroupName="/shop")["events"]]
]==]

local function ask(c, ids, code) return lab.python(c, SETUP .. code, { json.encode(ids) }) end

local PREPARE = [==[
trust = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
  "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]})
secret = boto3.client("secretsmanager").create_secret(Name="shop", SecretString=json.dumps({"TOKEN": "marked-4711", "OTHER": "x"}))["ARN"]
role = iam.create_role(RoleName="shop-execution", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
iam.attach_role_policy(RoleName="shop-execution", PolicyArn="arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy")
print(json.dumps({**ids, "role": role, "secret": secret}))
]==]

local function start()
  local c, ids = lab.start(8080)
  ids.role = ""
  return c, json.decode(ask(c, ids, PREPARE))
end

T["a task runs the container's processes once: its secrets by key, its log lines, its exit code"] = function()
  local c, ids = start()
  test.equal(ask(c, ids, [==[
print(code_of(ecs.run_task, cluster="shop", taskDefinition="web"), code_of(ecs.register_task_definition, **definition("true", roles=False)))
print(code_of(ecs.register_task_definition, **{**definition("true"), "memory": "4096"}),
      code_of(ecs.register_task_definition, **{**definition("true"), "networkMode": "bridge"}))
ecs.create_cluster(clusterName="shop", tags=[{"key": "a", "value": "b"}])
assert ecs.create_cluster(clusterName="shop")["cluster"]["status"] == "ACTIVE"
secrets = [{"name": "TOKEN", "valueFrom": ids["secret"] + ":TOKEN::"}]
assert register("echo got ${#TOKEN} on $AWS_REGION; exit 7", secrets=secrets) == "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1"
args = dict(cluster="shop", taskDefinition="web", launchType="FARGATE", networkConfiguration=net)
def why(**more):
    arn = ecs.run_task(**{**args, **more})["tasks"][0]["taskArn"]
    seen = wait_for(lambda: status(arn), "STOPPED")
    t = task(arn)
    return t["stopCode"], t["stoppedReason"].split(":")[0], t["stoppedReason"].split(":")[-1].strip(), t["containers"][0].get("exitCode")
print(why())
logs.create_log_group(logGroupName="/shop")
print(why())
iam.put_role_policy(RoleName="shop-execution", PolicyName="read", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [ids["secret"]]}]}))
private = {"awsvpcConfiguration": {**net["awsvpcConfiguration"], "subnets": [ids["subnets"][0]]}}
print(why(networkConfiguration=private))
print(why())
print(lines())
print(why(overrides={"containerOverrides": [{"name": "web", "command": ["sh", "-c", "echo $MORE"], "environment": [{"name": "MORE", "value": "more"}]}]}))
print(sorted(lines()))
one = ecs.run_task(clientToken="t1", overrides={"containerOverrides": [{"name": "web", "command": ["sleep", "100"]}]}, **args)["tasks"][0]["taskArn"]
assert ecs.run_task(clientToken="t1", **args)["tasks"][0]["taskArn"] == one
seen = wait_for(lambda: status(one), "RUNNING")
assert seen[-2:] == ["PENDING", "RUNNING"] or seen[-1:] == ["RUNNING"], seen
assert task(one)["attachments"][0]["details"][2]["name"] == "privateIPv4Address"
print(code_of(ecs.delete_cluster, cluster="shop"), code_of(ec2.delete_subnet, SubnetId=ids["public"]))
ecs.stop_task(cluster="shop", task=one, reason="enough")
wait_for(lambda: status(one), "STOPPED")
print(task(one)["stopCode"], task(one)["stoppedReason"], ecs.list_tasks(cluster="shop")["taskArns"])
ecs.deregister_task_definition(taskDefinition="web:1")
print(code_of(ecs.run_task, **args), ecs.delete_task_definitions(taskDefinitions=["web:1"])["taskDefinitions"][0]["status"])
ecs.delete_cluster(cluster="shop")
print(ecs.describe_clusters(clusters=["shop"])["clusters"][0]["status"], code_of(ecs.list_tasks, cluster="shop"))
]==]), table.concat({
    "ClusterNotFoundException ClientException", "ClientException ClientException",
    "('TaskFailedToStart', 'ResourceInitializationError', 'exit status 1', None)",
    "('TaskFailedToStart', 'ResourceInitializationError', 'shop-" .. ids.secret:match "[^-]*$" .. "', None)",
    "('TaskFailedToStart', 'ResourceInitializationError', 'There is a connection issue between the task and Amazon ECR. "
      .. "Check your task network configuration.', None)",
    "('EssentialContainerExited', 'Essential container in task exited', 'Essential container in task exited', 7)",
    "['got 11 on us-east-1']",
    "('EssentialContainerExited', 'Essential container in task exited', 'Essential container in task exited', 0)",
    "['got 11 on us-east-1', 'more']",
    "ClusterContainsTasksException DependencyViolation", "UserInitiated enough []", "ClientException DELETE_IN_PROGRESS",
    "INACTIVE ClusterNotFoundException", "" }, "\n"))
end

local WEB = [==[
second = ec2.create_subnet(VpcId=ids["vpc"], CidrBlock="10.77.10.0/24", AvailabilityZone="us-east-1b")["Subnet"]["SubnetId"]
table = [t["RouteTableId"] for t in ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [ids["public"]]}])["RouteTables"]][0]
ec2.associate_route_table(RouteTableId=table, SubnetId=second)
for port, group in ((80, "app"), (8080, "app")):
    ec2.authorize_security_group_ingress(GroupId=ids[group], IpPermissions=[{"IpProtocol": "tcp", "FromPort": port, "ToPort": port,
      "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}])
lb = elb.create_load_balancer(Name="shop", Subnets=[ids["public"], second], SecurityGroups=[ids["app"]])["LoadBalancers"][0]
group = elb.create_target_group(Name="web", Protocol="HTTP", Port=8080, VpcId=ids["vpc"], TargetType="ip", HealthCheckPath="/health")["TargetGroups"][0]["TargetGroupArn"]
elb.modify_target_group_attributes(TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}])
logs.create_log_group(logGroupName="/shop")
ecs.create_cluster(clusterName="shop")
serve = ("python3 -c \"import http.server,os\nclass H(http.server.BaseHTTPRequestHandler):\n"
  " def do_GET(s):\n  s.send_response(200 if s.path=='/health' or '%s'!='sick' else 500);s.end_headers();s.wfile.write(b'%s')\n def log_message(s,*a): pass\n"
  "http.server.ThreadingHTTPServer(('0.0.0.0',int(os.environ['PORT'])),H).serve_forever()\"")
more = dict(portMappings=[{"containerPort": 8080}], environment=[{"name": "PORT", "value": "8080"}])
args = dict(cluster="shop", serviceName="web", desiredCount=2, launchType="FARGATE", networkConfiguration=net,
  taskDefinition=register(serve % ("one", "one"), **more), loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
  deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
assert code_of(ecs.create_service, **args) == "InvalidParameterException"          # no load balancer in front of it
elb.create_listener(LoadBalancerArn=lb["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": group}])
made = ecs.create_service(**args)["service"]
assert made["status"] == "ACTIVE" and made["deployments"][0]["rolloutState"] == "IN_PROGRESS", made
ecs.get_waiter("services_stable").wait(cluster="shop", services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
print(json.dumps({"url": "http://" + lb["DNSName"], "lb": lb["LoadBalancerArn"], "group": group, "second": second, "serve": serve}))
]==]

local function answer(url) return http.get(url, { timeout = 300 }).body end

T["a service rolls to a new definition without a gap, and goes back from one that fails"] = function()
  local c, ids = start()
  local made = json.decode(ask(c, ids, WEB))
  for _, name in ipairs { "lb", "group", "second", "serve" } do ids[name] = made[name] end
  test.equal(answer(made.url .. "/"), "one")
  local seen, watching = {}, true
  local customer = task.spawn(function()
    while watching do
      local ok, a = pcall(http.get, made.url .. "/", { timeout = 300 })
      local what = ok and a.status == 200 and a.body or ok and tostring(a.status) or tostring(a)
      if seen[#seen] ~= what then seen[#seen + 1] = what end
      task.sleep(0.05)
    end
  end)
  local out = ask(c, ids, [==[
more = dict(portMappings=[{"containerPort": 8080}], environment=[{"name": "PORT", "value": "8080"}])
two = register(ids["serve"] % ("two", "two"), **more)
ecs.update_service(cluster="shop", service="web", taskDefinition=two)
assert [d["status"] for d in service()["deployments"]] == ["PRIMARY", "ACTIVE"]
ecs.get_waiter("services_stable").wait(cluster="shop", services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
assert rollout() == "COMPLETED" and service()["taskDefinition"] == two
bad = register("exit 3", **more)
ecs.update_service(cluster="shop", service="web", taskDefinition=bad)
wait_for(lambda: (service()["taskDefinition"].split("/")[1], rollout()), ("web:2", "COMPLETED"), 60)
said = " ".join(e["message"] for e in service()["events"])
print(service()["runningCount"], "circuit" in said or "deployment failed: tasks failed to start." in said, "rolling back to" in said)
print(code_of(ecs.delete_service, cluster="shop", service="web"), code_of(ecs.delete_cluster, cluster="shop"))
]==])
  watching = false
  customer:join()
  test.equal(out, "2 True True\nInvalidParameterException ClusterContainsServicesException\n")
  test.truthy(seen[1] == "one" and seen[#seen] == "two", table.concat(seen, " "))
  for _, what in ipairs(seen) do test.truthy(what == "one" or what == "two", "a customer saw " .. what) end
  local cli = process.run { test.tool "aws", "--endpoint-url", c.url, "--output", "text", "ecs", "describe-services", "--cluster", "shop",
    "--services", "web", "--query", "services[0].[status,desiredCount,runningCount,deployments[0].rolloutState]", env = c:env(), timeout = 300 }
  test.equal(cli.stdout, "ACTIVE\t2\t2\tCOMPLETED\n", cli.stderr)
  ask(c, ids, [==[
ecs.update_service(cluster="shop", service="web", desiredCount=0)
wait_for(lambda: service()["runningCount"], 0)
ecs.delete_service(cluster="shop", service="web")
ecs.get_waiter("services_inactive").wait(cluster="shop", services=["web"], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
ecs.delete_cluster(cluster="shop")
elb.delete_load_balancer(LoadBalancerArn=ids["lb"])
elb.delete_target_group(TargetGroupArn=ids["group"])
wait_for(lambda: code_of(ec2.delete_subnet, SubnetId=ids["second"]), "no error")
wait_for(lambda: code_of(ec2.delete_subnet, SubnetId=ids["public"]), "no error")
]==])
end

return T
