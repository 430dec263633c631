--- The migration, on a small rehearsal of the sample app: planned, applied, applied again, judged by programs that none
--- of us wrote, destroyed. The cases build on each other, in this order. After a wanted change of the plan write its
--- golden file anew: HKRUN_GOLDEN=write ./hkrun test tests/recipes/rehearsal_test.lua --only=golden
local eb_judge = dofile "tests/support/eb_judge.lua"
local fs = require "fs"
local http = require "http"
local json = require "json"
local judges = dofile "tests/conformance/judges.lua"
local labs = dofile "tests/support/rehearsal_lab.lua"
local page_judge = dofile "tests/support/page_judge.lua"
local task = require "task"
local terraform = dofile "tests/support/terraform_judge.lua"
local test = require "test"
local T = test.cases()

local GOLDEN = "tests/recipes/plan.golden"
local CONFIG = { "DATABASE_URL", "REDIS_URL", "SESSION_SECRET", "STRIPE_SECRET_KEY", "SENDGRID_PASSWORD", "PAPERTRAIL_API_TOKEN" }

local cloud = labs.lazy { app = "examples/shop", orders = 2000, jobs = 200,
                          options = { HKRUN_APP = "shop", HKRUN_HEALTH_PATH = "/health",
                                      HKRUN_SCHEDULER_JOBS = fs.realpath "examples/shop" .. "/scheduler.yml", HKRUN_QUEUE_AGES = "true" } }
local judge, applied

local function judged()
  if not applied then error("there is nothing to judge: apply failed", 2) end
  judge = judge or judges(cloud(), "shop")
  return judge
end

--- Ids, digests and account numbers as words: what differs from run to run.
local function masked(text)
  text = text:gsub("v%d+%-%x%x%x%x%x%x%x%x%x%x%x%x", "VERSION"):gsub("%f[%w]%d%d%d%d%d%d%d%d%d%d%d%d%f[%W]", "ACCOUNT")
  return (text:gsub("%-0%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x", "-ID"))
end

--- The stages, the marks and the names of a plan.
local function outline(text)
  local lines = {}
  for line in masked(text):gmatch "[^\n]+" do
    local mark, what = line:match "^%s+([-+~/<=>?]+) (.*)$"
    if mark then lines[#lines + 1] = ("  %s %s"):format(mark, (what:gsub("  .*$", "")))
    elseif line:find "^Plan:" then lines[#lines + 1] = line break
    elseif line:find "^%S" then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n") .. "\n"
end

local plan

T["plan: exits 0, and makes no mutating call and no file"] = function()
  local lab = cloud()
  local r = lab:hkrun { "plan", labs.recipe }
  test.equal(r.code, 0, r.stderr)
  plan = r.stdout
  test.equal(lab:mutating(), {})
  test.equal({ lab.files(lab.dir .. "/work"), lab.files(lab.dir .. "/tmp") }, { {}, {} })
  test.equal(lab:ask "left", {})
end

T["plan: the stages, marks and names are those of the golden file"] = function()
  test.truthy(plan, "a plan")
  local got = outline(plan)
  if os.getenv "HKRUN_GOLDEN" == "write" then fs.write(GOLDEN, got, 420) end
  test.equal(got, fs.read(GOLDEN))
end

T["plan: shows key properties, (known after apply), and counts what it lists"] = function()
  test.truthy(plan, "a plan")
  test.match(plan, 'aws%.vpc "shop"  cidr 10%.40%.0%.0/16')
  test.match(plan, "known after apply")
  test.truthy(not plan:find "{}" and not plan:find " \n", "empty lists and blanks at the ends of lines are not shown")
  local _, creates = plan:gsub("\n%s+%+ ", "")
  local _, runs = plan:gsub("\n%s+> ", "")
  test.match(plan, ("\nPlan: %d to create, %d to run%%.\n"):format(creates, runs))
  for _, kind in ipairs { "vpc", "subnet", "internet_gateway", "route_table", "security_group", "key_pair", "instance", "role", "instance_profile",
                          "bucket", "object", "secret", "db_subnet_group", "db_parameter_group", "db_instance", "cache_subnet_group",
                          "cache_parameter_group", "replication_group", "eb_application", "eb_version", "eb_environment", "topic",
                          "subscription", "alarm" } do
    test.match(plan, ("%%+ aws%%.%s \""):format(kind))
  end
end

T["without a terminal and without --yes apply changes nothing"] = function()
  local lab = cloud()
  local r = lab:hkrun { "apply", labs.recipe }
  test.equal(r.code, 1, r.stderr)
  test.match(r.stderr, "%-%-yes")
  test.equal(lab:mutating(), {})
end

T["apply --yes: exits 0; the write pause and the equal sums are in its report"] = function()
  local lab = cloud()
  local r = lab:hkrun({ "apply", labs.recipe, "--yes" }, { timeout = 300 })
  if r.code ~= 0 then error(("exit code %d: %s%s"):format(r.code, r.stdout:sub(-1500), r.stderr:sub(-1500)), 0) end
  applied = true
  test.match(r.stdout, "Done: %d+ created")
  test.match(r.stdout, "write pause")
  test.match(r.stdout, "orders")
  test.match(r.stdout, "ops@example.com +not confirmed +no alarm reaches it before someone follows the link")
  for name in pairs { papertrail = 1, sendgrid = 1, scheduler = 1 } do test.match(r.stdout, name) end
end

T["Heroku Scheduler's jobs are on from the cutover on, and each runs once at its times, in a container of its own"] = function()
  test.truthy(applied, "an apply that worked")
  local function aws(...) return judged():aws(...) end
  test.equal(aws("scheduler", "list-schedules", "--group-name", "shop", "--query", "Schedules[].State"),
    "ENABLED\tENABLED\tENABLED")
  local deadline = task.now() + 200
  local said
  repeat
    said = aws("logs", "filter-log-events", "--log-group-name", "/shop/jobs", "--query", "events[].message")
  until said:find "open" or task.now() > deadline
  test.match(said, "Rehearsal & Sons is open")
  local commands = aws("ssm", "list-commands", "--query", "Commands[?Status=='Success'].TargetCount")
  test.match(commands, "^1")
  test.truthy(not commands:find "[^1%s]", "each on one machine: " .. commands)
end

T["how long the oldest jobs wait is a metric, with nobody's help"] = function()
  test.truthy(applied, "an apply that worked")
  local function aws(...) return judged():aws(...) end
  local deadline = task.now() + 200
  local ages
  repeat
    ages = aws("cloudwatch", "list-metrics", "--namespace", "Hkrun/Queues", "--query", "Metrics[].Dimensions[].Value")
  until ages == "emails\treceipts\treports" or task.now() > deadline
  test.equal(ages, "emails\treceipts\treports")
end

T["a second apply: no changes, and no mutating call"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local before = lab:mutating()
  local r = lab:hkrun { "apply", labs.recipe, "--yes" }
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "%f[^\n\0]no changes\n$")
  local after = lab:mutating()
  test.equal(table.move(after, #before + 1, #after, 1, {}), {})
end

T["plan after apply: no changes"] = function()
  test.truthy(applied, "an apply that worked")
  local r = cloud():hkrun { "plan", labs.recipe }
  test.match(r.stdout, "Plan: no changes%.")
  test.equal(r.code, 0)
end

T["the calls are side by side: apply took little more than its critical path, in simulated time"] = function()
  test.truthy(applied, "an apply that worked")
  local t = json.decode(cloud():hkrun({ "status", labs.recipe, "--timeline", "--json" }).stdout)
  local on_path = {}
  for _, b in ipairs(t.path) do on_path[b.key] = true end
  for _, key in ipairs { "look", "once:reach the new stores", "guard:serve from AWS" } do
    test.truthy(on_path[key], key .. " on the critical path")
  end
  local bars, slow = {}, { "aws.db_instance:shop", "aws.replication_group:shop", "aws.instance:shop-bastion", "aws.eb_version:shop-parked" }
  for _, b in ipairs(t.bars) do bars[b.key] = b end
  for _, one in ipairs(slow) do
    test.truthy(bars[one].start < bars["aws.db_instance:shop"].stop, one .. " beside the database")
  end
  test.truthy(bars["aws.alarm:shop-db-cpu"].start < bars["aws.eb_environment:shop"].stop, "alarms beside the environment")
  -- both are simulated, and so is the time that this machine needs: the clock's scale falls out of the ratio
  test.truthy(t.seconds <= t.path_seconds * 1.1, ("%.2f times the critical path"):format(t.seconds / t.path_seconds))
  test.match(cloud():hkrun({ "status", labs.recipe, "--timeline" }).stdout, "\ncritical path\n.*start the app on AWS .* %% of the run's ")
end

T["status and log tell what was done and what can be undone"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local r = lab:hkrun { "status", labs.recipe }
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "last apply of .*: done")
  test.match(r.stdout, 'aws%.db_instance "shop"')
  test.match(r.stdout, "/copy postgres  done")
  test.match(r.stdout, "freeze the Heroku app shop.*kept")
  test.match(r.stdout, "destroy would delete %d+")
  local s = json.decode(lab:hkrun({ "status", labs.recipe, "--json" }).stdout)
  test.equal(json.encode(s.left), "[]")
  r = lab:hkrun { "log", labs.recipe }
  test.equal(r.code, 0, r.stderr)
  for _, what in ipairs { "created aws%.vpc:shop as vpc%-", "stage cutover", "ran [^\n]*copy postgres", "done\n" } do test.match(r.stdout, what) end
end

T["export terraform writes what was made, and Terraform's own code takes it; what others wrote in the folder stays"] = function()
  local lab = cloud()
  judged()
  local function export(...) return lab:hkrun { "export", "terraform", labs.recipe, ... } end
  local before, dir = #lab:mutating(), lab.dir .. "/work/terraform"
  local r = export()
  test.equal(r.code, 0, r.stderr)
  test.equal(#lab:mutating(), before, "calls that could change something")
  local said = terraform.check(dir)
  local things, count = json.decode(lab:hkrun({ "status", labs.recipe, "--json" }).stdout).resources, 0
  local _, without = r.stdout:gsub("\nnot exported: ", "")
  for _ in pairs(said.resources) do count = count + 1 end
  test.truthy(count >= #things - without, "a resource for each thing that has one")
  test.match(r.stdout, ("^%d resources in terraform: .*network%%.tf.*stores%%.tf"):format(count))
  test.match(r.stdout, "not exported: aws.eb_version shop%-v%d+")

  r = export()
  test.equal(r.code, 0, r.stderr)                            -- its own files it writes again
  fs.append(dir .. "/network.tf", "# by hand\n")
  fs.write(dir .. "/own.tf", "# ours\n")
  r = export()
  test.equal(r.code, 2)
  test.match(r.stderr, "network%.tf in terraform: not as an export wrote it; take another folder with %-%-out, or overwrite with %-%-force")
  test.match(fs.read(dir .. "/network.tf"), "# by hand\n$")
  r = export "--force"
  test.equal(r.code, 0, r.stderr)
  test.truthy(not fs.read(dir .. "/network.tf"):find "by hand" and fs.exists(dir .. "/own.tf"), "only what was named is overwritten")
  fs.rmtree(dir)
end

T["policy prints what the run called for, reads too, limited to what it made"] = function()
  local lab = cloud()
  judged()
  local r = lab:hkrun { "policy", labs.recipe, "--out", "policies" }
  test.equal(r.code, 0, r.stderr)
  local on = {}
  for _, name in ipairs(fs.list(lab.dir .. "/work/policies")) do
    local text = fs.read(lab.dir .. "/work/policies/" .. name)
    test.truthy(#text:gsub("%s", "") <= 6144, "more than a policy can have")
    for _, s in ipairs(json.decode(text).Statement) do
      for _, action in ipairs(s.Action) do on[action] = s.Resource end
    end
  end
  fs.rmtree(lab.dir .. "/work/policies")
  test.equal(on["rds:DescribeDBInstances"], "*")
  test.match(json.encode(on["secretsmanager:GetSecretValue"]), "secret:shop/config%-%?%?%?%?%?%?")
  test.match(json.encode(on["iam:PassRole"]), "role/shop%-eb%-machine")
  test.match(json.encode(on["rds:CreateDBInstance"]), "arn:aws:rds:us%-east%-1:%d+:db:shop")
  test.match(r.stderr, "AdministratorAccess%-AWSElasticBeanstalk")
  local shown = lab:hkrun({ "policy", labs.recipe }).stdout
  test.match(shown, '^{\n.*"Version": "2012%-10%-17"')
end

T["the report in a browser: both drawings, the proof, and bars as long as the journal's times"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local seen = page_judge({ lab.dir .. "/work/.hkrun/heroku_to_aws.shop%2Eus-east-1.html" })[1]
  local t = json.decode(lab:hkrun({ "status", labs.recipe, "--timeline", "--json" }).stdout)
  local bars = seen.at["1440 light"].bars
  test.equal(#bars, #t.bars)
  for i, b in ipairs(t.bars) do
    local left, width = (b.start - t.start) / t.seconds, math.max(0.004, (b.stop - b.start) / t.seconds)
    test.equal(bars[i].took, ("PT%.3fS"):format(b.stop - b.start), b.title)
    test.truthy(math.abs(bars[i].left - math.min(left, 0.996)) < 0.003 and math.abs(bars[i].width - width) < 0.003, "the bar of " .. b.title)
  end
  local md = fs.read(lab.dir .. "/work/.hkrun/heroku_to_aws.shop%2Eus-east-1.md")
  for _, words in ipairs { "| compared | %d[%d,]* rows of %d+ tables, [%d,]+ keys", "### Before: on Heroku\n\n```mermaid\nflowchart TB",
                           "### After: on AWS\n", '%["web, worker, shop: %d x t3', "`hkrun rollback [^`]* --app shop`: goes back" } do
    test.match(md, words)
  end
end

T["boto3 sees the network, and who may come in where"] = function()
  judged():check_network()
  judged():check_groups()
end

T["boto3 sees a private, encrypted database and cache"] = function()
  judged():check_database()
  judged():check_cache()
end

T["boto3 sees a green environment whose secrets come from the secret, and the rest is plain"] = function()
  judged():check_environment(CONFIG, { SHOP_NAME = "Rehearsal & Sons", WORKER_RATE = "20", NODE_ENV = "production" })
end
T["boto3 sees alarms, their topic and subscriber, log groups, and a closed bucket"] = function()
  judged():check_watching()
  judged():check_buckets()
end

T["status says that nobody is told of an alarm before the address is confirmed, and no more when it is"] = function()
  local lab = cloud()
  test.match(lab:hkrun({ "status", labs.recipe }).stdout,
    "\nwaits for you: ops@example%.com gets no messages until it confirms .*aws%.confirmations%(\"arn:aws:sns:[^\"]+\"%):resend%(")
  judged():confirm "ops@example.com"
  test.truthy(not lab:hkrun({ "status", labs.recipe }).stdout:find "waits for you")
end

T["the AWS CLI says the same"] = function() judged():check_cli() end
T["the EB CLI says of the environment what eb says"] = function()
  judged()
  eb_judge.check(cloud(), "shop")
end
T["eb.tail tells the lines that the AWS CLI says, each once, those of a new log group too, until Ctrl-C"] = function()
  local j = judged()
  eb_judge.check_tail(cloud(), "shop", function(...) return j:aws(...) end)
end
T["OpenSSH logs in at the bastion with its key, its host key verified"] = function() judged():check_ssh() end
T["psql through ssh -L, verify-full, counts the same orders as on Heroku"] = function()
  judged():check_psql "SELECT count(*) FROM orders"
end
T["node-postgres, as apps on Heroku set it up, takes the new DATABASE_URL"] = function()
  local lab = cloud()
  local source = lab:foreign { "psql", "-X", "-A", "-t", "-d", lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, "-c", "SELECT count(*) FROM orders" }
  judged():check_driver(math.tointeger(tonumber(source.stdout)))
end
T["redis-cli --tls through ssh -L sees the keys"] = function() judged():check_redis_cli() end
T["from outside the private addresses do not answer"] = function() judged():check_private() end

T["the app answers at its new address, and Heroku's is in maintenance"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local app = lab:ask "apps"[1]
  local totals = http.get(app.url:gsub("/$", "") .. "/totals", { timeout = 120 }):json()
  local source = lab:foreign { "psql", "-X", "-A", "-t", "-d", lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, "-c", "SELECT count(*) FROM orders" }
  test.equal(totals.orders, math.tointeger(tonumber(source.stdout)))
  test.equal(http.get(lab.said.HKRUN_REHEARSAL_APP_URL, { timeout = 120 }).status, 503)
end

T["when the app answers with errors, an alarm is mailed, and later that it is over"] = function() judged():check_alarm() end

T["--activate-bastion=false takes the bastion away and nothing else; a second time nothing"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local function names(...)
    local list = json.decode(lab:foreign { test.tool "aws", "--output", "json", "ec2", ... }.stdout)
    table.sort(list)
    return table.concat(list, " ")
  end
  local function groups() return names("describe-security-groups", "--query", "SecurityGroups[].GroupName") end
  local before = groups()
  local r = lab:hkrun { "apply", labs.recipe, "--yes", "--activate-bastion=false" }
  test.equal(r.code, 0, r.stdout .. r.stderr)
  test.match(r.stdout .. r.stderr, "the bastion shop%-bastion is switched off: it is taken away, and nothing else")
  test.equal(groups(), (before:gsub("shop%-bastion ", "")))
  test.equal(names("describe-key-pairs", "--query", "KeyPairs[].KeyName"), "")
  test.equal(names("describe-instances", "--filters", "Name=instance-state-name,Values=running", "--query",
    "Reservations[].Instances[].Tags[?Key=='Name'].Value[]"), "shop")
  r = lab:hkrun { "apply", labs.recipe, "--yes", "--activate-bastion=false" }
  test.match(r.stdout, "%f[^\n\0]no changes\n$")
end

T["switched on again, the bastion is there as before: psql goes through it, and a second time nothing is to do"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local example, out = fs.join(fs.realpath "recipes", "examples/psql.lua"), lab.dir .. "/orders"
  local words = { "apply", example, "--yes", "--name", "shop", "--user", lab.env.HKRUN_BASTION_USER or "ec2-user", "--output", out, "--command",
                  "SELECT 'orders ' || count(*) FROM orders" }
  local r = lab:hkrun(words)
  test.match(r.stderr, "no machine called shop%-bastion runs in us%-east%-1")
  r = lab:hkrun { "apply", labs.recipe, "--yes" }
  test.equal(r.code, 0, r.stdout .. r.stderr)
  test.truthy(not r.stdout:find "\n  > ", "nothing of the cutover is done again")
  r = lab:hkrun(words)
  test.equal(r.code, 0, r.stdout .. r.stderr)
  test.match(fs.read(out), "orders %d+")
  r = lab:hkrun { "apply", labs.recipe, "--yes" }
  test.match(r.stdout, "%f[^\n\0]no changes\n$")
end

T["destroy --yes leaves nothing on AWS, and Heroku as it was"] = function()
  local lab = cloud()
  test.truthy(applied, "an apply that worked")
  local orders = { "psql", "-X", "-A", "-t", "-d", lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL, "-c", "SELECT count(*) FROM orders" }
  local before = lab:foreign(table.move(orders, 1, #orders, 1, {})).stdout
  local mark = #lab:ask "calls"
  local r = lab:hkrun({ "destroy", labs.recipe, "--yes" }, { timeout = 240 })
  test.equal(r.code, 0, r.stdout .. r.stderr)
  test.equal(lab:ask "left", {})
  for _, what in ipairs { "final snapshot [^\n]* database shop", "final snapshot [^\n]* cache shop", "bucket elasticbeanstalk%-us%-east%-1%-%d+" } do
    test.match(r.stdout, what .. "[^\n]* stays; ")
  end
  local slow, first = { DeleteDBInstance = true, DeleteReplicationGroup = true, TerminateEnvironment = true }, nil
  local calls, asked = lab:ask "calls", 0
  for i = mark + 1, #calls do                                -- all three are asked for before what any of them stood on may go
    local op = calls[i].operation
    if slow[op] and calls[i].status == 200 then asked, slow[op] = asked + 1, nil end
    if not first and (op == "DeleteApplication" or op == "DeleteDBSubnetGroup" or op == "DeleteCacheSubnetGroup") then first = asked end
  end
  test.equal(first, 3, "slow deletions under way when the first of them is over")
  test.match(r.stdout, "the final snapshot shop%-final%-%w+ of the database shop stays")
  local name = r.stdout:match "the final snapshot (%S+) of the database"
  local cache = r.stdout:match "the final snapshot (%S+) of the cache"
  local rds = lab:hkrun { "-e", "return aws.rds:describe_db_snapshots({ DBSnapshotIdentifier = '" .. name .. "' }).DBSnapshots[1].Status" }
  local elasticache = lab:hkrun { "-e",
    "return aws.elasticache:describe_snapshots({ SnapshotName = '" .. cache .. "' }).Snapshots[1].SnapshotStatus" }
  test.match(rds.stdout, "available")
  test.match(elasticache.stdout, "available")
  test.equal(lab:foreign(orders).stdout, before, "orders on Heroku")
  r = lab:hkrun { "status", labs.recipe }
  test.match(r.stdout, "nothing to destroy")
end

return T
