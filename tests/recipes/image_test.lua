--- The code as an image in Amazon ECR, where a container engine is there to build it. The engine is tests/support/engine.py;
--- what it pushes is what runs.
package.path = "recipes/?.lua;" .. package.path
local fs = require "fs"
local http = require "http"
local image = require "heroku_to_aws.image"
local labs = dofile "tests/support/rehearsal_lab.lua"
local process = require "process"
local test = require "test"
local T = test.cases()

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

local function app_folder()
  local dir = fs.tmpdir "hkrun-image-"
  test.defer_file(function() fs.rmtree(dir) end)
  fs.chmod(dir, 493)
  for _, name in ipairs(fs.list "tests/support/tiny_app") do fs.write(fs.join(dir, name), fs.read("tests/support/tiny_app/" .. name), 420) end
  fs.write(dir .. "/Procfile", "release: echo released >&2\nweb: node web.js\nworker: node worker.js\n", 420)
  return dir
end

local cloud = labs.lazy { app = app_folder(), options = { HKRUN_APP = "tiny", HKRUN_HEALTH_PATH = "/health", HKRUN_CREATE_ALARM = "false" } }

T["with an engine the image is built, pushed to ECR and run; the password is in no argument, and nothing is left of it"] = function()
  local lab = cloud()
  lab.env.PATH = programs { "podman" } .. ":" .. lab.env.PATH
  local r = lab:hkrun({ "apply", labs.recipe, "--yes", "--engine", "podman" }, { timeout = 280 })
  test.equal(r.code, 0, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stdout, 'aws.ecr_repository "tiny"')
  local calls = fs.read(lab.env.TMPDIR .. "/engine.log")
  test.match(calls, "\nlogin %-%-username AWS %-%-password%-stdin %-%-tls%-verify=false 127%.0%.0%.1:%d+\n")
  test.match(calls, "\npush [^\n]*127%.0%.0%.1:%d+/tiny:v%d+%-%x+\n")
  for _, name in ipairs(fs.list(lab.env.TMPDIR)) do test.truthy(not name:find "^hkrun%-login", name) end
  test.equal(http.get(lab:ask "apps"[1].url .. "/health", { timeout = 20 }):json(), { ok = true, database = true })
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
  r = lab:hkrun { "apply", labs.recipe, "--yes", "--engine", "podman" }
  test.match(r.stdout, "no changes\n$")
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

return T
