--- GitHub Actions, as far as the workflows that hkrun writes use it: jobs one after the other, each in a clone of the repository,
--- their steps by bash as a runner starts it. What the two actions do is done here: a clone, and a token of GitHub's for the role
--- that the workflow names, which the AWS CLI takes on itself. No key of the cloud is in a job's environment.
local fs = require "fs"
local json = require "json"
local process = require "process"
local sign = require "sign"
local test = require "test"
local yaml = require "yaml"

local M = {}

local function url64(text) return (sign.base64(text):gsub("+", "-"):gsub("/", "_"):gsub("=", "")) end

--- A token as GitHub makes it for a job; nobody has signed it.
---@param o { repository: string, ref: string }
---@param job { environment: string? }
function M.token(o, job)
  local subject = job.environment and "environment:" .. job.environment or "ref:" .. o.ref
  local claims = { iss = "https://token.actions.githubusercontent.com", aud = "sts.amazonaws.com", exp = os.time() * 2,
                   sub = ("repo:%s:%s"):format(o.repository, subject) }
  return ("%s.%s.x"):format(url64(json.encode { alg = "RS256" }), url64(json.encode(claims)))
end

local function git(dir, ...)
  local r = process.run { timeout = 120, env = { PATH = os.getenv "PATH", HOME = "/nonexistent" },
                          "git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-C", dir, ... }
  test.equal(r.code, 0, table.concat({ "git", ... }, " ") .. ": " .. r.stdout .. r.stderr)
  return (r.stdout:gsub("%s+$", ""))
end

--- Commits all that a folder holds.
---@return string sha
function M.commit(dir)
  if not fs.exists(dir .. "/.git") then git(dir, "init", "-q", "-b", "main") end
  git(dir, "add", "-A")
  git(dir, "commit", "-q", "--allow-empty", "-m", "work")
  return git(dir, "rev-parse", "HEAD")
end

local folder, python                    -- of the AWS CLI's server, once it serves

--- Starts the server of tests/support/aws_cli.py, which all pushes of the file share.
local function serve_cli()
  folder, python = fs.tmpdir "hkrun-cli-", test.tool "python3"
  local server = process.start { python, "tests/support/aws_cli.py", "--serve", folder .. "/socket", stdout = folder .. "/ready",
                                 stderr = folder .. "/errors", env = { PATH = os.getenv "PATH", HOME = "/nonexistent" } }
  test.defer_file(function() server:stop() fs.rmtree(folder) end)
  while fs.read(folder .. "/ready") == "" do
    local code = server:wait(0.05)
    if code then error(("the AWS CLI's server ended with %d: %s"):format(code, fs.read(folder .. "/errors")), 0) end
  end
end

--- A folder with the programs of a runner: the AWS CLI, docker (tests/support/engine.py), and gh, which tells the rules of an
--- environment.
---@param rules string what gh prints
function M.programs(rules)
  if not folder then serve_cli() end
  local dir = fs.tmpdir "hkrun-runner-"
  test.defer_file(function() fs.rmtree(dir) end)
  local function program(name, body) fs.write(fs.join(dir, name), "#!/bin/sh\n" .. body .. "\n", 493) end
  program("aws", ('exec "%s" -S -E "%s" "%s/socket" "$@"'):format(python, fs.realpath "tests/support/aws_cli.py", folder))
  program("docker", ('exec "%s" "%s" "$@"'):format(python, fs.realpath "tests/support/engine.py"))
  program("gh", ("echo '%s'"):format(rules))
  return dir
end

--- The jobs that a job needs.
function M.needs(job) return type(job.needs) == "table" and job.needs or { job.needs } end

local function ordered(jobs)
  local list, done = {}, {}
  local function is_ready(job)
    for _, name in ipairs(M.needs(job)) do if not done[name] then return false end end
    return true
  end
  repeat
    local before = #list
    for name, job in pairs(jobs) do
      if not done[name] and is_ready(job) then
        list[#list + 1], done[name] = { name = name, job = job }, true
      end
    end
  until #list == before
  return list
end

--- A text with its expressions filled in; what a step or a job before it has said is found by the name that it has there.
local function filled(text, env, said)
  return (tostring(text):gsub("%${{ *([%w_.-]+) *}}", function(name)
    return env[name:match "^env%.(.*)$"] or said and said[name] or name == "github.token" and "t" or ""
  end))
end

--- What the steps of a job have written to GITHUB_OUTPUT, and what the job makes of it for those that need it.
local function read_outputs(path, step, said)
  for name, value in (fs.exists(path) and fs.read(path) or ""):gmatch "([%w_]+)=([^\n]*)\n" do
    said[("steps.%s.outputs.%s"):format(step.id, name)] = value
  end
  fs.write(path, "")
end

--- Pushes: runs a workflow, until a job fails.
---@param o { lab: RehearsalLab, repository: string, ref: string, dir: string, workflow: string, programs: string, env: table? } dir: the
--- repository; workflow: its file there
---@return { ok: boolean, job: string, log: string, builds: integer } result of the last job that ran; builds: images that were built
function M.push(o)
  local sha = M.commit(o.dir)
  local workflow = assert(yaml.decode(fs.read(fs.join(o.dir, o.workflow))))
  local work = fs.tmpdir "hkrun-job-"
  test.defer_file(function() fs.rmtree(work) end)
  local result, said = nil, {}
  for i, j in ipairs(ordered(workflow.jobs)) do
    local clone, env, log = ("%s/%d"):format(work, i), {}, {}
    for name, value in pairs(workflow.env or {}) do env[name] = tostring(value) end
    for name, value in pairs { GITHUB_SHA = sha, GITHUB_REPOSITORY = o.repository, GITHUB_REF = o.ref, HOME = work, TMPDIR = work, LANG = "C.UTF-8",
        GITHUB_OUTPUT = work .. "/output",
        PATH = o.programs .. ":" .. os.getenv "PATH", AWS_ENDPOINT_URL = o.lab.env.AWS_ENDPOINT_URL, AWS_EC2_METADATA_DISABLED = "true",
        REGISTRY_AUTH_FILE = work .. "/registry.json", POLL_SECONDS = "0.2", SETTLE_SECONDS = "4", WAIT_SECONDS = "250" } do env[name] = value end
    for name, value in pairs(o.env or {}) do env[name] = value end
    local ok = true
    for _, step in ipairs(j.job.steps) do
      local action = step.uses and step.uses:match "^([^@]+)@%x+$"
      if action == "actions/checkout" then
        git(o.dir, "clone", "-q", o.dir, clone)
      elseif action == "aws-actions/configure-aws-credentials" then
        fs.write(work .. "/token", M.token(o, j.job))
        env.AWS_ROLE_ARN, env.AWS_WEB_IDENTITY_TOKEN_FILE = filled(step.with["role-to-assume"], env), work .. "/token"
        env.AWS_REGION, env.AWS_ROLE_SESSION_NAME = filled(step.with["aws-region"], env), "GitHubActions"
        env.AWS_DEFAULT_REGION = env.AWS_REGION
      else
        local file, all = work .. "/step.sh", {}
        fs.write(file, filled(step.run, env, said))
        for name, value in pairs(env) do all[name] = value end
        for name, value in pairs(step.env or {}) do all[name] = filled(value, env, said) end
        local r = process.run { "bash", "--noprofile", "--norc", "-eo", "pipefail", file, env = all, cwd = fs.exists(clone) and clone or work,
                                timeout = 600 }
        log[#log + 1] = r.stdout .. r.stderr
        ok = r.code == 0
        read_outputs(work .. "/output", step, said)
      end
      if not ok then break end
    end
    result = { ok = ok, job = j.name, log = table.concat(log) }
    if not ok then break end
    for name, value in pairs(j.job.outputs or {}) do said[("needs.%s.outputs.%s"):format(j.name, name)] = filled(value, env, said) end
  end
  local calls = fs.exists(work .. "/engine.log") and fs.read(work .. "/engine.log") or ""
  result.builds = select(2, ("\n" .. calls):gsub("\nbuild ", ""))
  return result
end

return M
