--- The release phase, and an environment that does not become healthy: what stops the cutover, what it says, and that it goes
--- on from there, then with an image of the app in Amazon ECR, and pushes to GitHub after that. The container engine is
--- tests/support/engine.py; what it pushes is what runs. The cases build on each other.
package.path = "recipes/?.lua;" .. package.path
local fs = require "fs"
local github = dofile "tests/support/github_lab.lua"
local http = require "http"
local image = require "heroku_to_aws.image"
local json = require "json"
local labs = dofile "tests/support/rehearsal_lab.lua"
local process = require "process"
local test = require "test"
local T = test.cases()

local RELEASE = [[
echo "release of $SHOP_NAME, password $(printf %s "$DATABASE_URL" | sed 's/.*:\(.*\)@.*/\1/' | wc -c | tr -d ' ') long"
psql -q -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "CREATE TABLE IF NOT EXISTS released (at timestamptz)" \
  -c "INSERT INTO released VALUES (now())" || exit 4
if [ "$MODE" = broken ]; then
  echo "cannot reach postgres://owner:hunter2@db.example.com/shop" >&2
  echo 'migrate: column "total" is missing' >&2
  exit 3
fi
]]

--- A folder of programs: these are the engine of this test.
local function programs(names)
  local dir = fs.tmpdir "hkrun-engines-"
  test.defer_file(function() fs.rmtree(dir) end)
  local engine = fs.realpath "tests/support/engine.py"
  for _, name in ipairs(names) do
    fs.write(fs.join(dir, name), ('#!/bin/sh\nexec "%s" "%s" "$@"\n'):format(test.tool "python3", engine), 493)
  end
  return dir
end

--- tests/support/tiny_app with a release process, and with a web process that fails when it is told so.
local function app_folder()
  local dir = fs.tmpdir "hkrun-release-"
  test.defer_file(function() fs.rmtree(dir) end)
  fs.chmod(dir, 493)
  for _, name in ipairs { "package.json", "package-lock.json", "worker.js", "rehearsal.yml" } do
    fs.write(fs.join(dir, name), fs.read("tests/support/tiny_app/" .. name), 420)
  end
  local web = (fs.read "tests/support/tiny_app/web.js"):gsub("known %? 200 : 404", "process.env.MODE === 'ill' && !process.env.DYNO ? 500 : %0")
  fs.write(dir .. "/web.js", web, 420)
  fs.write(dir .. "/release.sh", RELEASE, 420)
  fs.write(dir .. "/Procfile", "release: sh release.sh\nweb: echo \"mode $MODE\"; exec node web.js\nworker: node worker.js\n", 420)
  local manifest = fs.read(dir .. "/rehearsal.yml"):gsub("config:\n", '%0  MODE: broken\n  SHOP_NAME: "A & B\'s \\"shop\\""\n')
  fs.write(dir .. "/rehearsal.yml", manifest, 420)
  return dir
end

local cloud = labs.lazy { app = app_folder(), options = { HKRUN_APP = "tiny", HKRUN_HEALTH_PATH = "/health", HKRUN_HEALTH_TIMEOUT = "3" } }

local function set_mode(mode)
  local lab = cloud()
  local r = lab:hkrun { "-e", ("require('http').request{ method = 'PATCH', url = os.getenv 'HEROKU_HOST' .. '/apps/tiny/config-vars', "
    .. "headers = { Accept = 'application/vnd.heroku+json; version=3', Authorization = 'Bearer ' .. os.getenv 'HEROKU_API_KEY' }, "
    .. "json = { MODE = %q } }"):format(mode) }
  test.equal(r.code, 0, r.stderr)
end

local function machines()
  local r = cloud():hkrun { "-e", "local ids = {} for i, m in ipairs(eb.machines 'tiny') do ids[i] = m.id end return ids" }
  return json.decode(r.stdout) or r.stderr
end

local function apply(...)
  return cloud():hkrun({ "apply", labs.recipe, "--yes", ... }, { timeout = 280 })
end

--- What Heroku's app answers, and what runs there.
local function on_heroku()
  local answer = http.get(cloud().said.HKRUN_REHEARSAL_APP_URL .. "/health", { timeout = 120 })
  local r = cloud():hkrun { "-e", "local n = {} for _, p in ipairs(heroku.app('tiny').formation) do n[p.type] = p.quantity end return n" }
  return { answer.status, json.decode(r.stdout) or r.stderr }
end

--- How often the release process wrote into a database.
local function releases(url)
  local r = process.run { "psql", "-X", "-A", "-t", "-c", "SELECT count(*) FROM released", url, timeout = 120 }
  return tonumber(r.stdout) or r.stderr
end

T["a release process that fails stops the cutover: its last lines are said, Heroku goes on, nothing of the version ran"] = function()
  local r = apply()
  test.equal(r.code, 1, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stderr, "Failed to deploy application")
  test.match(r.stderr, '\n    release of A & B\'s "shop", password %d+ long\n')
  test.match(r.stderr, '\n    migrate: column "total" is missing\n')
  test.match(r.stderr, "postgres://owner:%(secret%)@db%.example%.com")
  test.match(r.stderr, "nothing of this version has run; apply again tries again once its command works")
  test.equal(on_heroku(), { 200, { web = 1, worker = 1, release = 0 } })
  test.equal(cloud():ask "apps"[1].url and #cloud():ask "apps", 1)
end

T["an environment that does not become healthy stops it too: causes, events and last lines are said"] = function()
  set_mode "ill"
  local r = apply()
  test.equal(r.code, 1, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stderr, "requests to the path /health are failing with HTTP 500")
  test.match(r.stderr, "\n    [^\n]*mode ill\n")
  test.equal(on_heroku(), { 200, { web = 1, worker = 1, release = 0 } })
end

T["once both are mended apply goes on: the release ran once on the data that was copied, before the app, from its image in ECR"] = function()
  local lab = cloud()
  set_mode "well"
  lab.env.PATH = programs { "podman" } .. ":" .. lab.env.PATH
  lab.env.HKRUN_DEPLOYMENT_POLICY = "immutable"
  local before = machines()
  local r = apply("--overwrite", "--engine", "podman", "--health-timeout", "120")      -- what ran on AWS may have written there
  test.equal(r.code, 0, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stdout, "release phase +sh release%.sh, once, before anything else ran")
  test.equal(releases(lab:ask "apps"[1].env.DATABASE_URL), releases(lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL) + 1)
  test.equal(http.get(lab:ask "apps"[1].url .. "/health", { timeout = 120 }):json(), { ok = true, database = true })
  test.equal(http.get(lab.said.HKRUN_REHEARSAL_APP_URL, { timeout = 120 }).status, 503)
  local after = machines()
  test.equal({ #before, #after, before[1] ~= after[1] }, { 1, 1, true }, "the machine is another one: its policy is immutable")
  test.match(lab:hkrun({ "-e", "return eb.events 'tiny'" }).stdout, "Deployment succeeded%. Terminating old instances")
end

T["the image is what runs: pushed once, scanned, its tag for ever; the engine had the password from no argument and keeps none"] = function()
  local lab = cloud()
  local calls = fs.read(lab.env.TMPDIR .. "/engine.log")
  test.match(calls, "\nlogin %-%-username AWS %-%-password%-stdin %-%-tls%-verify=false 127%.0%.0%.1:%d+\n")
  test.match(calls, "\npush [^\n]*127%.0%.0%.1:%d+/tiny:v%d+%-%x+\n")
  for _, name in ipairs(fs.list(lab.env.TMPDIR)) do test.truthy(not name:find "^hkrun%-login", name) end
  local found = lab:foreign { test.tool "python3", "-c", [[
import boto3, io, zipfile
ecr, eb, s3 = (boto3.client(n) for n in ("ecr", "elasticbeanstalk", "s3"))
r = ecr.describe_repositories()["repositories"][0]
i = ecr.describe_images(repositoryName="tiny")["imageDetails"]
label = eb.describe_environments(EnvironmentNames=["tiny"])["Environments"][0]["VersionLabel"]
b = eb.describe_application_versions(VersionLabels=[label])["ApplicationVersions"][0]["SourceBundle"]
z = zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=b["S3Bucket"], Key=b["S3Key"])["Body"].read()))
reference = r["repositoryUri"] + ":" + i[0]["imageTags"][0]
print(r["imageTagMutability"], r["imageScanningConfiguration"]["scanOnPush"], len(i), sorted(z.namelist()),
      z.read("docker-compose.yml").decode().count("image: " + reference), reference in z.read(".ebextensions/hkrun-release.sh").decode())
]] }.stdout
  test.equal(found, "IMMUTABLE True 1 ['.ebextensions/hkrun-release.config', '.ebextensions/hkrun-release.sh', 'docker-compose.yml'] 2 True\n")
end

T["an engine that does not work is passed over, and refused where it is named"] = function()
  local dir, path = programs { "buildah" }, os.getenv "PATH"
  fs.write(dir .. "/docker", "#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n", 493)
  local code = [[package.path = "recipes/?.lua;" .. package.path
    local image = require "heroku_to_aws.image"
    print((image.engine() or {}).name, image.engine "none", pcall(image.engine, "docker"))]]
  local r = process.run { fs.realpath "/proc/self/exe", "-e", code, env = { PATH = dir .. ":" .. path, HOME = "/tmp", TMPDIR = test.tmpdir(),
    HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }, timeout = 60 }
  test.match(r.stdout, "^buildah%s+nil%s+false%s+%-%-engine: docker cannot be used: Cannot connect to the Docker daemon")
  test.equal(image.engine "none", nil)
end

-- Pushes to GitHub ----------------------------------------------------------------------------------------------------------

local repository, runner

--- The app's repository, with what hkrun writes for it.
local function with_workflows(...)
  local lab = cloud()
  local r = apply("--engine", "podman", "--github", "tea/tiny", "--workflows", repository .. "/.github/workflows", ...)
  test.equal(r.code, 0, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  return r, lab
end

local function push()
  return github.push { lab = cloud(), repository = "tea/tiny", ref = "refs/heads/main", dir = repository, programs = runner,
                       workflow = ".github/workflows/deploy-tiny.yml" }
end

local function web() return http.get(cloud():ask "apps"[1].url .. "/health", { timeout = 120 }) end

T["--github: the workflow and its files are written, and what they need is made; a second apply changes nothing"] = function()
  repository, runner = fs.tmpdir "hkrun-repository-", github.programs "required_reviewers"
  test.defer_file(function() fs.rmtree(repository) end)
  for _, name in ipairs { "package.json", "worker.js", "web.js" } do
    fs.write(fs.join(repository, name), fs.read("tests/support/tiny_app/" .. name), 420)
  end
  fs.write(repository .. "/release.sh", RELEASE, 420)
  fs.write(repository .. "/Dockerfile", "FROM node:22-bookworm\nWORKDIR /app\nCOPY . .\n", 420)
  local r, lab = with_workflows()
  test.match(r.stdout, "production +tiny on each push to main of tea/tiny")
  test.match(fs.read(repository .. "/.github/deploy/tiny/docker-compose.yml"), "image: IMAGE_OF_THE_APP")
  local before = lab:mutating()
  test.match(with_workflows().stdout, "no changes")
  test.equal(lab:mutating(), before)
end

T["a push builds the image, releases it, and has every environment run it; with GitHub's token alone"] = function()
  fs.write(repository .. "/web.js", (fs.read(repository .. "/web.js"):gsub("database", "pushed", 1)), 420)
  local n = releases(cloud():ask "apps"[1].env.DATABASE_URL)
  local done = push()
  test.equal({ done.ok, done.job }, { true, "deploy-tiny" }, done.log)
  test.match(done.log, "tiny runs tiny%-%x%x%x%x%x%x%x%x%x%x%x%x\n$")
  test.equal(releases(cloud():ask "apps"[1].env.DATABASE_URL), n + 1)
  test.match(web().body, "pushed")
end

T["a push whose release phase fails fails, says why, and what ran before goes on"] = function()
  fs.write(repository .. "/release.sh", "echo nothing to migrate >&2\nexit 3\n", 420)
  local done = push()
  test.equal(done.ok, false)
  test.match(done.log, "::error::tiny did not take tiny%-%x+: it runs tiny%-%x+")
  test.match(done.log, "ERROR\t")
  test.equal(web().status, 200)
end

return T
