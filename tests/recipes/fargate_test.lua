--- The migration to ECS on Fargate, with names of the app's own: the recipe with one line changed, planned, applied, applied
--- again, judged, destroyed. The cases build on each other, in this order.
local fs = require "fs"
local http = require "http"
local json = require "json"
local labs = dofile "tests/support/rehearsal_lab.lua"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

--- A folder with a container engine: tests/support/engine.py under its name.
local function engines()
  local dir = fs.tmpdir "hkrun-engines-"
  test.defer_file(function() fs.rmtree(dir) end)
  fs.write(dir .. "/podman", ('#!/bin/sh\nexec "%s" "%s" "$@"\n'):format(test.tool "python3", fs.realpath "tests/support/engine.py"), 493)
  return dir
end

local JOBS = [[
- command: echo "a job of $SHOP_NAME, with ${#DATABASE_URL}"
  dyno_size: Standard-2X
  frequency: hourly at :50
- command: node -e 'console.log("another job")'
  frequency: hourly at :20
]]

local started = labs.lazy { app = "examples/shop", orders = 400, jobs = 60,
                          options = { HKRUN_APP = "shop", HKRUN_HEALTH_PATH = "/health",
                                        HKRUN_ENGINE = "podman", HKRUN_SCHEDULER_JOBS = "jobs.yml", HKRUN_QUEUE_AGES = "true" } }
local recipe, applied, engine

local function aws(lab, ...)
  return (lab:foreign { test.tool "aws", "--endpoint-url", lab.env.AWS_ENDPOINT_URL, "--output", "text", ... }.stdout:gsub("%s+$", ""))
end

--- The app has two names, one of them its zone's own. Where load balancers have no port 443 of their own, they stay where they are.
local function give_names(lab)
  if not lab.isolated then return end
  http.post(lab.env.HEROKU_HOST .. "/apps/shop/domains", { json = { hostname = "example.com", sni_endpoint = json.null }, timeout = 300,
    headers = { Accept = "application/vnd.heroku+json; version=3", Authorization = "Bearer " .. lab.env.HEROKU_API_KEY } })
  local zone = aws(lab, "route53", "list-hosted-zones", "--query", "HostedZones[0].Id")
  aws(lab, "route53", "change-resource-record-sets", "--hosted-zone-id", zone, "--change-batch", json.encode { Changes = { { Action = "CREATE",
    ResourceRecordSet = { Name = "example.com", Type = "A", TTL = 3600, ResourceRecords = { { Value = "127.0.0.1" } } } } } })
  lab.env.HKRUN_DOMAIN, lab.env.HKRUN_DNS_SERVER = "all", lab.said.HKRUN_REHEARSAL_DNS
end

local function cloud()
  local lab = started()
  if not engine then
    engine = engines()
    lab.env.PATH = engine .. ":" .. (lab.env.PATH or os.getenv "PATH")
    give_names(lab)
  end
  return lab
end

--- What the DNS says, as dig shows it.
local function dig(lab, name, kind)
  local host, port = lab.said.HKRUN_REHEARSAL_DNS:match "^(.*):(%d+)$"
  local r = lab:foreign { "dig", "@" .. host, "-p", port, "+noall", "+answer", "+time=5", "+tries=3", name, kind }
  return (r.stdout:gsub("[ \t]+", " "):gsub("\n$", ""))
end

--- A page of the app as its customers see it, by curl: what it says, how often and where it led them.
local function page(lab, url)
  local words = { "curl", "-sS", "-L", "--max-time", "30", "-w", "\n%{http_code} %{num_redirects} %{url_effective}" }
  if lab.isolated then
    local address = dig(lab, url:match "//([^/]*)", "A"):match "(%S+)$"
    table.move({ "--cacert", lab.env.SSL_CERT_FILE, "--connect-to", "::" .. address .. ":", url }, 1, 5, #words + 1, words)
  else
    words[#words + 1] = "http://" .. aws(lab, "elbv2", "describe-load-balancers", "--names", "shop", "--query", "LoadBalancers[0].DNSName")
      .. url:match "//[^/]*(.*)$"
  end
  words.env = { PATH = os.getenv "PATH", NO_PROXY = "*" }
  return lab:foreign(words).stdout:match "^(.*)\n(.-)$"
end

--- The recipes, copied, with Fargate as the target.
local function swapped(lab)
  if recipe then return recipe end
  local dir = lab.dir .. "/recipes"
  process.run { "cp", "-r", fs.realpath "recipes", dir }
  recipe = dir .. "/heroku_to_aws.lua"
  local text, n = fs.read(recipe):gsub('require "heroku_to_aws%.deploy"', 'require "heroku_to_aws.fargate"')
  test.equal(n, 1, "lines of the recipe that name the target")
  fs.write(recipe, text)
  fs.write(lab.dir .. "/work/jobs.yml", JOBS, 420)
  return recipe
end

T["without an image it says what is needed, and changes nothing"] = function()
  local lab = cloud()
  local r = lab:hkrun({ "plan", swapped(lab) }, { env = { HKRUN_ENGINE = "none" } })
  test.equal(r.code, 2, r.stdout)
  test.match(r.stderr, "Fargate runs images")
  test.match(r.stderr, "%-%-image")
end

T["plan: shows the services, and changes nothing"] = function()
  local lab = cloud()
  local before = lab:mutating()
  local r = lab:hkrun { "plan", swapped(lab) }
  test.equal(r.code, 0, r.stderr)
  test.equal(lab:mutating(), before)
  for _, what in ipairs { 'ecs_cluster "shop"', 'ecs_service "shop%-web"', 'ecs_service "shop%-worker"', 'ecs_task_definition "shop%-release"',
                          'load_balancer "shop"', 'target_group "shop%-web"', 'listener "shop%-80"', 'log_group "/ecs/shop/web"' } do
    test.match(r.stdout, "%+ aws%." .. what)
  end
  test.match(r.stdout, "web +1 x Standard%-1X +Fargate: 1 x 0%.25 vCPU, 512 MB")
  if lab.isolated then test.match(r.stdout, '%+ aws%.certificate "example%.com".*%+ aws%.listener "shop%-443"') end
  test.truthy(not r.stdout:find "aws%.eb_", "nothing of Elastic Beanstalk")
end

T["apply: the data is equal, the release process ran, web answers through the load balancer and the worker works"] = function()
  local lab = cloud()
  local r = lab:hkrun({ "apply", swapped(lab), "--yes" }, { timeout = 300 })
  if r.code ~= 0 then error(("exit code %d: %s%s"):format(r.code, r.stdout:sub(-1500), r.stderr:sub(-2500)), 0) end
  applied = true
  local totals, led = page(lab, "http://shop.example.com/totals")
  test.match(led, lab.isolated and "^200 1 https://shop%.example%.com:443/totals$" or "^200 0 ")
  test.truthy(json.decode(totals).orders >= 400, totals)
  test.equal(aws(lab, "ecs", "describe-services", "--cluster", "shop", "--services", "shop-web", "shop-worker", "--query",
    "services[].[serviceName,desiredCount,runningCount,deployments[0].rolloutState]"):gsub("\t", " "),
    "shop-web 1 1 COMPLETED\nshop-worker 1 1 COMPLETED")
  test.equal(aws(lab, "elbv2", "describe-target-health", "--target-group-arn", aws(lab, "elbv2", "describe-target-groups", "--names", "shop-web",
    "--query", "TargetGroups[0].TargetGroupArn"), "--query", "TargetHealthDescriptions[].TargetHealth.State"), "healthy")
  local released = aws(lab, "logs", "describe-log-streams", "--log-group-name", "/ecs/shop/release", "--query", "logStreams[].logStreamName")
  test.match(aws(lab, "ecs", "describe-task-definition", "--task-definition", "shop-web", "--query",
    "taskDefinition.containerDefinitions[0].image"), "/shop:v%d+%-%x+$")
  test.match(released, "^shop%-release/shop%-release/%x+$")
  test.match(aws(lab, "logs", "filter-log-events", "--log-group-name", "/ecs/shop/worker", "--query", "events[].message"), "%S")
end

T["the app's names lead to the load balancer, each as it must"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  if not lab.isolated then return end
  local balancer = aws(lab, "elbv2", "describe-load-balancers", "--names", "shop", "--query", "LoadBalancers[0].[DNSName,CanonicalHostedZoneId]")
  local address, zone = balancer:match "^(%S+)%s+(%S+)$"
  test.equal(dig(lab, "shop.example.com", "CNAME"), ("shop.example.com. 3600 IN CNAME %s."):format(address))
  test.equal(dig(lab, "example.com", "A"), ("example.com. 60 IN A %s"):format(address))
  test.equal(aws(lab, "route53", "list-resource-record-sets", "--hosted-zone-id", aws(lab, "route53", "list-hosted-zones", "--query",
    "HostedZones[0].Id"), "--query", "ResourceRecordSets[?AliasTarget].AliasTarget.HostedZoneId"), zone, "the zone that the alias leads to")
  test.match(select(2, page(lab, "https://example.com/totals")), "^200 0 ")
end

T["the jobs run once at each of their times, as tasks with the memory of their dyno, from the cutover on"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  test.equal(aws(lab, "scheduler", "list-schedules", "--group-name", "shop", "--query", "Schedules[].State"), "ENABLED\tENABLED\tENABLED")
  local deadline = task.now() + 200
  local said
  repeat
    said = aws(lab, "logs", "filter-log-events", "--log-group-name", "/ecs/shop/jobs", "--query", "events[].message")
  until said:find "a job" and said:find "another job" or task.now() > deadline
  test.match(said, "a job of Rehearsal & Sons, with %d%d+")
  test.match(said, "another job")
  test.equal(aws(lab, "sqs", "get-queue-attributes", "--queue-url", aws(lab, "sqs", "get-queue-url", "--queue-name", "shop-jobs-not-started"),
    "--attribute-names", "ApproximateNumberOfMessages", "--query", "Attributes.ApproximateNumberOfMessages"), "0")
end

T["how long the oldest jobs wait is a metric, with nobody's help, and has an alarm"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local deadline = task.now() + 200
  local ages
  repeat
    ages = aws(lab, "cloudwatch", "list-metrics", "--namespace", "Hkrun/Queues", "--query", "Metrics[].Dimensions[].Value")
  until ages == "emails\treceipts\treports" or task.now() > deadline
  test.equal(ages, "emails\treceipts\treports")
  test.equal(aws(lab, "cloudwatch", "describe-alarms", "--alarm-name-prefix", "shop-jobs-age", "--query", "MetricAlarms[].AlarmName"),
    "shop-jobs-age-emails\tshop-jobs-age-receipts\tshop-jobs-age-reports")
end

T["alarms and dashboard are those of services and their load balancer; where no task runs any more somebody is told"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local function cloudwatch(...) return aws(lab, "cloudwatch", ...) end
  local names = {}
  for name in cloudwatch("describe-alarms", "--query", "MetricAlarms[].AlarmName"):gmatch "shop%-(%S+)" do
    if name:find "^service" or name:find "^lb" or name:find "^targets" or name:find "^app" then names[#names + 1] = name end
  end
  test.equal(names, { "lb-5xx", "lb-app-5xx", "service-cpu-shop-web", "service-cpu-shop-worker", "service-memory-shop-web",
    "service-memory-shop-worker", "service-tasks-shop-web", "service-tasks-shop-worker", "targets-ill" })
  local drawn = {}
  for _, widget in ipairs(json.decode(cloudwatch("get-dashboard", "--dashboard-name", "shop", "--query", "DashboardBody")).widgets) do
    for _, m in ipairs(widget.properties.metrics or {}) do drawn[#drawn + 1] = type(m[1]) == "string" and m[1] .. " " .. m[2] or nil end
    if widget.type == "log" then test.match(widget.properties.query, "'/ecs/shop/'") end
  end
  drawn = table.concat(drawn, "\n")
  for _, metric in ipairs { "AWS/ECS CPUUtilization", "AWS/ECS MemoryUtilization", "AWS/ApplicationELB UnHealthyHostCount",
                            "AWS/ApplicationELB HTTPCode_Target_5XX_Count", "AWS/RDS CPUUtilization" } do
    test.match(drawn, metric)
  end
  test.truthy(not drawn:find "ElasticBeanstalk", "nothing of Elastic Beanstalk")

  local function scale(n) aws(lab, "ecs", "update-service", "--cluster", "shop", "--service", "shop-worker", "--desired-count", tostring(n)) end
  local function wait_for(state)
    local deadline = task.now() + 200
    local now
    repeat
      now = cloudwatch("describe-alarms", "--alarm-names", "shop-service-tasks-shop-worker", "--query", "MetricAlarms[].StateValue")
    until now == state or task.now() > deadline
    test.equal(now, state)
  end
  wait_for "OK"
  scale(0)
  wait_for "INSUFFICIENT_DATA"
  test.match(cloudwatch("describe-alarm-history", "--alarm-name", "shop-service-tasks-shop-worker", "--query",
    "AlarmHistoryItems[:2].HistorySummary"), "Successfully executed action arn:aws:sns:%S+:shop%-alarms\tAlarm updated from OK to INSUFFICIENT_DATA")
  scale(1)
  wait_for "OK"
end

T["a second apply: no changes, and no mutating call"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local before = lab:mutating()
  local r = lab:hkrun { "apply", swapped(lab), "--yes" }
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "no changes\n$")
  local after = lab:mutating()
  test.equal(table.move(after, #before + 1, #after, 1, {}), {})
end

T["only the load balancer reaches the tasks, and no secret stands in a task definition"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local open = aws(lab, "ec2", "describe-security-groups", "--query",
    "SecurityGroups[?IpPermissions[?IpRanges[?CidrIp=='0.0.0.0/0']]].GroupName")
  test.equal(open, "shop-lb", "groups that everybody may connect to")
  local all = aws(lab, "ecs", "describe-task-definition", "--task-definition", "shop-web", "--output", "json")
  local container = json.decode(all).taskDefinition.containerDefinitions[1]
  local plain, refs = {}, {}
  for _, e in ipairs(container.environment) do plain[e.name] = true end
  for _, e in ipairs(container.secrets) do refs[e.name] = e.valueFrom end
  test.truthy(plain.PORT and not plain.DATABASE_URL and not plain.SESSION_SECRET, "plain variables")
  test.match(refs.DATABASE_URL, "^arn:aws:secretsmanager:.*:secret:shop/config%-%w+:DATABASE_URL::$")
end

T["rollback: no job and no task is on AWS any more, the names lead to Heroku, and the app answers there"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local r = lab:hkrun({ "rollback", swapped(lab), "--yes" }, { timeout = 200 })
  test.equal(r.code, 0, r.stderr)
  test.equal(aws(lab, "scheduler", "list-schedules", "--group-name", "shop", "--query", "Schedules[].State"), "DISABLED\tDISABLED\tDISABLED")
  test.equal(aws(lab, "ecs", "describe-services", "--cluster", "shop", "--services", "shop-web", "shop-worker", "--query",
    "services[].[desiredCount,runningCount]"):gsub("%s", " "), "0 0 0 0")
  if lab.isolated then
    test.match(dig(lab, "shop.example.com", "CNAME"), "^shop%.example%.com%. 3600 IN CNAME .*%.herokudns%.com%.$")
    test.equal(dig(lab, "example.com", "A"), "example.com. 3600 IN A 127.0.0.1")
  end
  local deadline = task.now() + 200
  local answer
  repeat
    local ok, a = pcall(http.get, lab.said.HKRUN_REHEARSAL_APP_URL .. "/totals", { timeout = 20 })
    answer = ok and a.status
    task.sleep(0.2)
  until answer == 200 or task.now() > deadline
  test.equal(answer, 200)
end

T["destroy leaves nothing"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local r = lab:hkrun({ "destroy", swapped(lab), "--yes" }, { timeout = 200 })
  test.equal(r.code, 0, r.stderr)
  test.equal(lab:ask "left", {})
end

return T
