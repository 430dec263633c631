--- The bundle that Elastic Beanstalk gets: its files, read back by other readers, and the archive as a whole.
package.path = "recipes/?.lua;" .. package.path
local bundle = require "heroku_to_aws.bundle"
local fs = require "fs"
local mapping = require "heroku_to_aws.mapping"
local process = require "process"
local procfile = require "procfile"
local sign = require "sign"
local test = require "test"
local yaml = require "yaml"
local zip = require "zip"

local T = test.cases()

--- The processes of a Procfile's text, with a formation of one dyno each, except as `quantities` says.
local function environments(content, quantities)
  local formation = {}
  for _, p in ipairs(procfile.parse(content)) do
    formation[#formation + 1] = { type = p.type, command = p.command, size = "Standard-1X",
      quantity = (quantities or {})[p.type] or p.type == "release" and 0 or 1 }
  end
  return mapping.environments("app", formation)
end

local function services(environment)
  local doc, err = yaml.decode(bundle.compose(environment.processes))
  test.equal(err, nil)
  return doc.services
end

T["node: web and worker become two services, web on port 80"] = function()
  local s = services(environments("web: node web.js\nworker: node worker.js\nrelease: node migrate.js\n")[1])
  test.equal(s.web.ports, { "80:8080" })
  test.equal(s.web.environment, { PORT = "8080" })
  test.equal(s.web.command, { "/bin/bash", "-c", "node web.js" })
  test.equal(s.worker.command, { "/bin/bash", "-c", "node worker.js" })
  test.equal(s.worker.ports, nil)
  test.equal(s.worker.env_file, { ".env" })
  test.equal(s.release, nil)
end

T["ruby: dollars and quotes reach the shell of the container as they are"] = function()
  local command = [[bundle exec puma -p $PORT -e "${RACK_ENV:-production}" # 'x']]
  local s = services(environments("web: " .. command .. "\n")[1])
  test.equal((s.web.command[3]:gsub("%$%$", "$")), command)
  test.equal(select(2, s.web.command[3]:gsub("%$%$", "")), 2)
end

T["several workers become replicas on several machines, and a clock stays one"] = function()
  local list = environments("web: a\nworker: b\nclock: c\n", { worker = 6 })
  local beside, workers = services(list[1]), services(list[2])
  test.equal({ list[2].instances, workers.worker.deploy }, { 2, { replicas = 3 } })
  test.equal({ beside.worker, beside.clock ~= nil, (beside.clock or {}).deploy }, { nil, true })
end

T["with several web dynos the other processes have a bundle of their own"] = function()
  local list = environments("web: a\nworker: b\nclock: c\n", { web = 2 })
  test.equal(#list, 2)
  local web, others = services(list[1]), services(list[2])
  test.equal({ web.web ~= nil, web.worker, web.clock }, { true })
  test.equal({ others.web, others.worker ~= nil, others.clock ~= nil }, { nil, true, true })
end

T["commands that YAML would take for something else stay text"] = function()
  for _, command in ipairs { "yes", "true", "a: b", "- x", "*", "&a", "@x", "null", "1.5", "%x", "'", "\"", "x # y", "!!str" } do
    local s = services({ processes = { { type = "web", command = command, replicas = 1 } } })
    test.equal(s.web.command[3], command)
  end
end

T["the Dockerfile of a slug starts from its stack; other stacks are refused"] = function()
  test.match(bundle.slug_dockerfile "heroku-24", "^FROM heroku/heroku:24\n")
  test.match(bundle.slug_dockerfile "heroku-22", "\nCOPY .*app/ /app/\n")
  test.equal(test.raises("stack container", bundle.slug_dockerfile, "container").kind, "usage")
end

--- A slug as Heroku makes it: a tar.gz with ./app.
local function slug(dir)
  fs.mkdir_p(dir .. "/s/app/.profile.d")
  fs.write(dir .. "/s/app/web.js", "console.log(1)\n")
  fs.write(dir .. "/s/app/package.json", '{ "dependencies": { "ws": "8" } }')
  fs.write(dir .. "/s/app/run", "#!/bin/sh\n", 493)
  fs.write(dir .. "/s/app/.profile.d/node.sh", "export FROM_PROFILE=yes\n")
  local r = process.run { "tar", "-C", dir .. "/s", "-czf", dir .. "/slug.tgz", "./app", timeout = 120 }
  test.equal(r.code, 0)
  return dir .. "/slug.tgz"
end

local function names(path)
  local found = {}
  for _, e in ipairs(zip.list(path)) do found[e.path] = e end
  return found
end

T["a slug becomes a zip with the app, its modes, and how to run it; twice the same"] = function()
  local dir = test.tmpdir()
  local file = slug(dir)
  local app = { slug = { checksum = "SHA256:" .. sign.sha256_file(file), release = 42 }, stack = "heroku-24" }
  function app.download_slug(_, path)
    fs.write(path, fs.read(file))
    return path
  end
  local e = environments("web: node web.js\n")[1]
  local about = bundle.describe(e, { stack = app.stack, slug = app.slug })
  test.match(about.version, "^v42%-%x+$")
  local path = bundle.build(about, app, { dir = dir .. "/work" }).path
  local found = names(path)
  test.equal(found["app/run"].mode & 73, 73)
  test.equal(found["start"].mode & 73, 73)
  test.truthy(found["app/.profile.d/node.sh"])
  test.truthy(found["docker-compose.yml"])
  test.truthy(found["Dockerfile"])
  local first = sign.sha256_file(path)
  test.equal(bundle.build(about, app, { dir = dir .. "/work" }).surroundings[1][1], "WebSockets (ws in package.json)", "of what is built already")
  fs.remove(path)
  test.equal(sign.sha256_file(bundle.build(about, app, { dir = dir .. "/work" }).path), first)
  local other = environments("web: node other.js\n")[1]
  test.truthy(bundle.describe(other, { stack = app.stack, slug = app.slug }).version ~= about.version)
end

T["the start script runs the command in what .profile.d made of the environment"] = function()
  local dir = test.tmpdir()
  local e = environments("web: a\n")[1]
  local script = bundle.describe(e, { stack = "heroku-24", slug = { id = "x", release = 1 } }).files.start
  fs.mkdir_p(dir .. "/app/.profile.d")
  fs.write(dir .. "/app/.profile.d/a.sh", "export A=one\n")
  fs.write(dir .. "/app/.profile", "export B=two\n")
  fs.write(dir .. "/start", script, 493)
  local r = process.run { dir .. "/start", "/bin/bash", "-c", "echo $A $B $PWD", cwd = dir .. "/app", timeout = 10 }
  test.equal(r.stdout, "one two " .. dir .. "/app\n")
end

T["a source folder keeps its own files, and gets those that it lacks"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/package-lock.json", "{}")
  fs.write(dir .. "/web.js", "x")
  fs.write(dir .. "/.env", "SECRET=1")
  local e = environments("web: node web.js\n")[1]
  local about = bundle.describe(e, { source = dir })
  test.match(about.version, "^source%-")
  test.match(about.files.Dockerfile, "^FROM node:")
  local work = test.tmpdir()
  local found = names(bundle.build(about, {}, { source = dir, dir = work }).path)
  test.truthy(found["web.js"])
  test.equal(found[".env"], nil)
  fs.write(dir .. "/Dockerfile", "FROM mine\n")
  test.equal(bundle.describe(e, { source = dir }).files.Dockerfile, nil)
  fs.write(dir .. "/docker-compose.yml", "services: {}\n")
  test.equal(bundle.describe(e, { source = dir }).files, {})
  test.truthy(bundle.describe(e, { source = dir }).version ~= about.version)
end

T["a source folder of an unknown language is refused"] = function()
  test.equal(test.raises("has no Dockerfile", bundle.describe, environments("web: a\n")[1], { source = test.tmpdir() }).kind, "usage")
end

T["options: what is refused, and why"] = function()
  local checks = require "heroku_to_aws.checks"
  for value, why in pairs { ["0.0.0.0/0"] = "whole internet", ["10.0.0.0/8"] = "too wide", ["1.2.3"] = "not an address range",
    ["300.1.1.1/32"] = "not an address range", ["10.1.2.3/16"] = "bits beyond" } do
    test.match(checks.ssh_range(value), why, value)
  end
  test.equal(checks.ssh_range "203.0.113.7/32", nil)
  test.equal(checks.vpc "10.40.0.0/16", nil)
  test.match(checks.vpc "10.0.0.0/8", "cannot be the range")
  for _, bad in ipairs { "Shop", "a", "shop-", "1shop", "sh--op", ("x"):rep(33) } do test.match(checks.name(bad), "cannot be a name", bad) end
  test.equal(checks.name "shop-2", nil)
  test.match(checks.email "x", "not an e%-mail")
  test.equal(checks.email "a@example.com", nil)
  test.match(checks.path "health", "begins with /")
end

T["what is written into a source folder for GitHub makes no other version of it"] = function()
  local dir = test.tmpdir()
  local function version()
    return bundle.describe({ processes = { { type = "web", command = "node web.js", replicas = 1 } } }, { source = dir }).version
  end
  fs.write(dir .. "/Dockerfile", "FROM node:22\n")
  local before = version()
  fs.mkdir_p(dir .. "/.github/workflows")
  fs.write(dir .. "/.github/workflows/deploy-shop.yml", "on: push\n")
  test.equal(version(), before)
  fs.write(dir .. "/web.js", "1\n")
  test.truthy(version() ~= before, "another version")
end

return T
