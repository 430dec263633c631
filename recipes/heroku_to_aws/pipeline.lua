--- Deployments from GitHub, in place of `git push heroku`: a workflow of GitHub Actions, and a role that it takes on with GitHub's
--- own token, so that no key is kept there. Heroku's pipeline becomes stages: what is pushed goes to the first, and from there the
--- same image or source to the next when a person agrees.
--- Sources: docs.github.com/actions, "Configuring OpenID Connect in Amazon Web Services", "OpenID Connect reference" (the
--- subjects of tokens), "Managing environments for deployment"; docs/deploy.md says what is left to do.
local aws = require "aws"
local beanstalk = require "heroku_to_aws.pipeline_beanstalk"
local bundle = require "heroku_to_aws.bundle"
local fargate = require "heroku_to_aws.pipeline_fargate"
local files = require "heroku_to_aws.pipeline_files"
local fs = require "fs"
local json = require "json"
local log = require "log"
local policy = require "heroku_to_aws.pipeline_policy"
local recipe = require "recipe"
local sign = require "sign"

local M = {}

local ISSUER, AUDIENCE = "token.actions.githubusercontent.com", "sts.amazonaws.com"
local FOLDER = ".github/deploy"         -- in the repository, beside .github/workflows

--- Heroku's stages, in the order of promotion; review apps come and go, and none is kept.
local ORDER = { "development", "staging", "production" }

--- Whether it is a repository as GitHub's tokens name it: OWNER/REPOSITORY, or OWNER@ID/REPOSITORY@ID.
function M.repository(v)
  local owner, name = v:match "^([^/]+)/([^/]+)$"
  if not owner or not owner:find "^[%w_-]+@?%d*$" or not name:find "^[%w._-]+@?%d*$" or name:find "%.git$" or name:find "^%.%.?$" then
    return "it is not OWNER/REPOSITORY (OWNER@ID/REPOSITORY@ID for a repository of after 15 July 2026: docs/deploy.md)"
  end
end

--- Whether it can be a branch that workflows are triggered by.
function M.branch(v)
  if not v:find "^[%w._/-]+$" or v:find "^[/-]" then return "it is not the name of a branch" end
end

--- What knows where the app runs.
local function target_of(o)
  return o.environments[o.plan.environments[1].name].services and fargate or beanstalk
end

--- The stages of the app's pipeline that are on AWS, this app's own among them, in the order of promotion.
---@param o table of make
---@return table[] stages { stage, app, protected, and what `place` of the target tells }
function M.stages(o)
  local target, by_stage, list, own = target_of(o), {}, {}, false
  for _, s in ipairs(o.app.couplings and o.app.stages or {}) do
    by_stage[s.stage] = by_stage[s.stage] or {}
    table.insert(by_stage[s.stage], s.name == o.app.name and o.plan.name or s.name)
  end
  for _, stage in ipairs(ORDER) do
    table.sort(by_stage[stage] or {})
    for _, app in ipairs(by_stage[stage] or {}) do
      own = own or app == o.plan.name
      list[#list + 1] = { stage = stage, app = app }
    end
  end
  if not own then list = { { stage = "production", app = o.plan.name } } end
  local kept = {}
  for _, s in ipairs(list) do
    local place = target.place(s.app, o)
    if place then
      for k, v in pairs(place) do s[k] = v end
      s.protected, kept[#kept + 1] = #kept > 0, s
    end
  end
  return kept
end

--- The roles: one for what is pushed to the branch, which builds and deploys the first stage, and one for each stage after it.
local function roles(stages, repository, o)
  local partition = aws.sts:get_caller_identity().Arn:match "^arn:([^:]+):"
  local github = aws.oidc_provider { ISSUER, audiences = { AUDIENCE }, keep = true }      -- it may serve others, and costs nothing
  local where, of_stage = { partition = partition, account = o.account, region = aws.sts.region }, {}
  for _, s in ipairs(stages) do
    of_stage[s.stage] = (of_stage[s.stage] or 0) + 1
    local number = of_stage[s.stage] > 1 and of_stage[s.stage] or ""
    local name = o.plan.name .. "-github" .. (s.protected and ("-%s%s"):format(s.stage, number) or "")        -- a role's name has 64 characters
    local subject = s.protected and "environment:" .. s.stage or "ref:refs/heads/" .. o.opt.github_branch
    s.role = ("arn:%s:iam::%s:role/%s"):format(partition, o.account, name)
    aws.role { name, description = ("what GitHub Actions of %s may do for %s"):format(o.opt.github, s.app),
      web_identity = { provider = github, audience = AUDIENCE, subjects = { ("repo:%s:%s"):format(o.opt.github, subject) } },
      inline = { deploy = target_of(o).policy(s, where), push = not s.protected and repository and policy.push(repository.arn) or nil } }
  end
end

local function workflow_name(o) return o.app.pipeline and o.app.pipeline.name or o.plan.name end

--- The files by their path in the repository. With an image the Dockerfile is one of them where the repository has none.
local function texts(stages, repository, o)
  local of = { source = o.opt.source, buildpacks = o.opt.source and o.app.buildpacks, platform = o.plan.platform.kind, region = aws.ecr.region,
               repository = true, image = repository ~= nil }
  local target = target_of(o)
  local list = { [FOLDER .. "/deploy.sh"] = target.script }
  for name, content in pairs(target.files(o.plan, of)) do list[FOLDER .. "/" .. name] = content end
  if repository and o.opt.source then
    for name, content in pairs(bundle.describe_image({ source = of.source, buildpacks = of.buildpacks }).files) do
      list[FOLDER .. "/" .. name] = content
    end
  end
  for _, s in ipairs(stages) do s.variables = target.variables(s) end
  list[(".github/workflows/deploy-%s.yml"):format(workflow_name(o))] = files.workflow {
    app = o.plan.name, branch = o.opt.github_branch, region = aws.ecr.region, folder = FOLDER,
    repository = repository and repository.uri, stages = stages }
  return list
end

--- Where a file goes: workflows where the user says, what they use beside them.
local function place(path, o)
  local given = o.opt.workflows
  if given then
    local name = path:match "^%.github/workflows/(.*)$"
    return name and fs.join(given, name) or fs.join(given:match "^(.*)/[^/]+/*$" or ".", path:match "^%.github/(.*)$")
  end
  return fs.join(o.opt.source or fs.join(".hkrun/github", o.plan.name), path)
end

local RECORD = FOLDER .. "/written-by-hkrun.json"

--- Writes the files. What hkrun wrote and nobody has changed since is written anew; of a file that somebody changed the new one
--- stands beside it.
---@return string[] paths those that are new
local function write(list, o)
  local record_path, paths, new = place(RECORD, o), {}, {}
  local record = fs.exists(record_path) and json.decode(fs.read(record_path)) or {}
  for path in pairs(list) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do
    local at, content = place(path, o), list[path]
    local there = fs.exists(at) and fs.read(at)
    if there and there ~= content and sign.sha256(there) ~= record[path] then
      log.warn("%s is not as hkrun wrote it, and stays: the new one is %s.new", at, at)
      at = at .. ".new"
    else
      record[path] = sign.sha256(content)
    end
    if there ~= content then
      fs.mkdir_p(at:match "^(.*)/")
      fs.write(at, content, path:find "%.sh$" and 493 or 420)
      new[#new + 1] = at
    end
  end
  fs.write(record_path, json.encode(record, { pretty = true }) .. "\n", 420)
  return new
end

--- Makes what the repository needs on AWS, and writes what it needs itself.
---@param o { app: HerokuApp, plan: table, opt: table, account: string, code: table, environments: table<string, any> } code: of
--- deploy.code; environments: of deploy.environments
function M.make(o)
  if not o.opt.github then return end
  local repository = target_of(o).has_image(o) and (o.code.repository or aws.ecr_repository { o.plan.name }) or nil
  local stages = M.stages(o)
  roles(stages, repository, o)
  local workflow = place((".github/workflows/deploy-%s.yml"):format(workflow_name(o)), o)
  local rows = { { "workflow", workflow } }
  for _, s in ipairs(stages) do
    rows[#rows + 1] = { s.stage, ("%s %s"):format(s.app, s.protected and ("after %s, when a reviewer of GitHub's environment %s agrees")
      :format(stages[1].stage, s.stage) or ("on each push to %s of %s"):format(o.opt.github_branch, o.opt.github)) }
  end
  if not recipe.planning() then
    for _, path in ipairs(write(texts(stages, repository, o), o)) do log.info("  wrote %s", path) end
    rows[#rows + 1] = { "left for you", "commit .github and push it; docs/deploy.md, \"Deploying from GitHub\"" }
  end
  recipe.report("Deployments from GitHub", rows)
end

return M
