--- The files that a source folder gets: their golden texts, and where the language is here, the app that runs from them.
--- After a wanted change write the golden files anew: HKRUN_GOLDEN=write ./hkrun test tests/recipes/dockerfile_test.lua
package.path = "recipes/?.lua;" .. package.path
local app_plane = require "rehearsal.planes.app"
local bundle = require "heroku_to_aws.bundle"
local dockerfile = require "heroku_to_aws.dockerfile"
local fs = require "fs"
local http = require "http"
local reader = require "rehearsal.services.elasticbeanstalk.bundle"
local task = require "task"
local test = require "test"
local zip = require "zip"
local T = test.cases()

local GOLDEN = "tests/recipes/golden/"

local function folder(files)
  local dir = test.tmpdir()
  for name, text in pairs(files) do
    fs.mkdir_p(fs.join(dir, name):match "^(.*)/")
    fs.write(fs.join(dir, name), text, 420)
  end
  return dir
end

local function golden(name, got)
  if os.getenv "HKRUN_GOLDEN" == "write" then
    fs.mkdir_p(GOLDEN)
    fs.write(GOLDEN .. name, got, 420)
  end
  test.equal(got, fs.read(GOLDEN .. name))
end

local function buildpacks(...)
  local list = {}
  for i, name in ipairs { ... } do list[i] = { ordinal = i - 1, buildpack = { name = name } } end
  return list
end

local apps = {
  node = { ["package.json"] = '{"engines":{"node":">=20 <23"},"scripts":{"heroku-postbuild":"vite build","build":"no"}}',
           ["package-lock.json"] = "{}",
           Aptfile = "# for images\nlibvips42\n\nghostscript # pdf\n:repo:deb http://example.com stable main\nhttps://example.com/x.deb\n" },
  yarn = { ["package.json"] = '{"scripts":{"build":"x","heroku-prebuild":"p","heroku-cleanup":"c"}}', ["yarn.lock"] = "" },
  pnpm = { ["package.json"] = "{}", ["pnpm-lock.yaml"] = "" },
  ruby = { Gemfile = "source 'https://rubygems.org'\nruby '3.2.4'\n", ["Gemfile.lock"] = "GEM\n  specs:\n    rack (3.1.8)\n", Aptfile = "libpq5\n" },
  rails = { Gemfile = "", ["Gemfile.lock"] = "GEM\n  specs:\n    rails (7.1.3)\n    sprockets-rails (3.4)\n\nRUBY VERSION\n   ruby 3.3.1p55\n",
            ["package.json"] = '{"scripts":{"build":"esbuild"}}', ["package-lock.json"] = "{}" },
  python = { ["requirements.txt"] = "gunicorn==22\n", [".python-version"] = "3.12\n", ["bin/post_compile"] = "true\n" },
  django = { ["poetry.lock"] = 'name = "django"\n', ["manage.py"] = "", ["runtime.txt"] = "python-3.11.9\n", ["pyproject.toml"] = "" },
  uv = { ["uv.lock"] = "", ["pyproject.toml"] = "" },
  go = { ["go.mod"] = "module example.com/shop\n\ngo 1.22\n// +heroku install ./cmd/web ./cmd/worker\n", ["cmd/web/main.go"] = "package main" },
  php = { ["composer.json"] = '{"require":{"php":"^8.2","ext-pdo_pgsql":"*","ext-redis":"*"}}', ["public/index.php"] = "<?php" },
  java = { ["pom.xml"] = "<project/>", ["system.properties"] = "java.runtime.version=17\n", mvnw = "#!/bin/sh\n" },
  gradle = { ["build.gradle"] = "plugins { id 'org.springframework.boot' version '3.2' }\n", gradlew = "#!/bin/sh\n" },
}
for name, files in pairs(apps) do
  T["the Dockerfile of an app of the kind " .. name] = function() golden(name .. ".Dockerfile", dockerfile.of(folder(files))) end
end

T["buildpacks decide which language runs, and which only builds: the last one runs"] = function()
  local dir = folder { ["package.json"] = '{"scripts":{"build":"vite build"}}', ["requirements.txt"] = "flask\n", ["index.php"] = "" }
  golden("node-python.Dockerfile", dockerfile.of(dir, buildpacks("heroku-community/apt", "heroku/nodejs", "heroku/python")))
  test.equal(dockerfile.languages(dir, buildpacks "heroku/php"), { "php" })
  test.equal(dockerfile.languages(dir), { "node" }, "in Heroku's order, without buildpacks")
  test.equal(test.raises("no file that tells a language", dockerfile.of, folder { ["main.c"] = "" }).kind, "usage")
end

local PROCESSES = { { type = "web", command = 'node web.js -p $PORT --name "a b"', replicas = 1 },
                    { type = "clock", command = "node clock.js", replicas = 1 }, { type = "worker", command = "node worker.js", replicas = 3 } }

T["docker-compose.yml, and the release process's files, from a slug and from a source folder"] = function()
  local slug = bundle.describe({ processes = PROCESSES, release = "node migrate.js --to \"it's\"" },
    { stack = "heroku-24", slug = { id = "x", release = 7 } })
  golden("slug.docker-compose.yml", slug.files["docker-compose.yml"])
  golden("slug.Dockerfile", slug.files.Dockerfile)
  golden("slug.start", slug.files.start)
  golden("release.config", slug.files[".ebextensions/hkrun-release.config"])
  golden("slug.release.sh", slug.files[".ebextensions/hkrun-release.sh"])
  local source = bundle.describe({ processes = PROCESSES, release = "bin/rails db:migrate" }, { source = folder(apps.node) })
  golden("source.docker-compose.yml", source.files["docker-compose.yml"])
  golden("source.release.sh", source.files[".ebextensions/hkrun-release.sh"])
end

T["for a platform of Node.js: a Procfile with a line for each process, and the app's own build and release as commands"] = function()
  local made = bundle.describe({ processes = PROCESSES, release = "node migrate.js" }, { source = folder(apps.node), platform = "node" }).files
  golden("node.Procfile", made.Procfile)
  golden("node.build.config", made[".ebextensions/hkrun-build.config"])
  golden("node.release.sh", made[".ebextensions/hkrun-release.sh"])
  test.equal({ made.Dockerfile, made["docker-compose.yml"] }, {})
end

T["with an image in a registry the bundle has no app in it, and names the image in place of a build"] = function()
  local about = bundle.describe_image { stack = "heroku-24", slug = { id = "x", release = 7 } }
  local b = bundle.describe({ processes = PROCESSES, release = "node migrate.js" }, { stack = "heroku-24", slug = { id = "x", release = 7 },
    image = about, region = "eu-west-1" })
  local path = bundle.build(b, nil, { dir = test.tmpdir(), reference = "1.dkr.ecr.eu-west-1.amazonaws.com/shop:v7-1" }).path
  local dir = test.tmpdir()
  zip.unpack(path, dir)
  golden("image.docker-compose.yml", fs.read(dir .. "/docker-compose.yml"))
  golden("image.release.sh", fs.read(dir .. "/.ebextensions/hkrun-release.sh"))
  test.equal({ fs.exists(dir .. "/app"), fs.exists(dir .. "/Dockerfile") }, { false, false })
end

--- Runs the bundle of a source folder as the rehearsal does, and asks its web process.
local function answer_of(files, command, platform)
  local e = { processes = { { type = "web", command = command, replicas = 1 } } }
  local source, work = folder(files), test.tmpdir()
  local dir, notes = work .. "/current", {}
  zip.unpack(bundle.build(bundle.describe(e, { source = source, platform = platform }), {},
    { source = source, dir = work .. "/made", platform = platform }).path, dir)
  local services = reader.read { dir = dir, root = work .. "/images", env = { GREETING = "hello" }, path = os.getenv "PATH",
    has_roots = app_plane.has_roots(), is_node = platform == "node", note = function(fmt, ...) notes[#notes + 1] = fmt:format(...) end }
  fs.chmod(work, 493)
  local port = fs.free_port()
  services[1].env.PORT = tostring(port)
  local app <close> = app_plane.start { services = services, folders = { work } }
  local deadline = task.now() + 30
  while true do
    local ok, answer = pcall(http.get, ("http://127.0.0.1:%d/"):format(port), { timeout = 5 })
    if ok then return answer.body, table.concat(notes, "\n") end
    if task.now() > deadline then error(tostring(answer) .. "\n" .. table.concat(app.lines, "\n"), 0) end
    task.sleep(0.05)
  end
end

T["an app of Node.js runs from its generated files, and what heroku-postbuild made is there"] = function()
  local body, notes = answer_of({
    ["package.json"] = [[{"scripts":{"heroku-postbuild":"node -e \"require('fs').writeFileSync('built', 'built')\""}}]],
    ["package-lock.json"] = '{"name":"a","lockfileVersion":3,"packages":{"":{"name":"a"}}}',
    ["web.js"] = [[require('http').createServer((q, r) => r.end(process.env.GREETING + ' ' + require('fs').readFileSync('built') + ' ' +
      process.cwd().split('/').pop() + ' ' + process.env.NODE_ENV)).listen(process.env.PORT)]] }, "exec node web.js")
  test.equal(body, "hello built app production")
  test.match(notes, "npm run heroku%-postbuild")
end

T["an app of Node.js runs from its Procfile on a platform without containers"] = function()
  test.equal((answer_of({ ["package.json"] = "{}", ["web.js"] = "require('http').createServer((q, r) => r.end(process.env.GREETING))"
    .. ".listen(process.env.PORT)" }, "exec node web.js", "node")), "hello")
end

T["apps of Python and of Ruby run from theirs"] = function()
  test.equal((answer_of({ ["requirements.txt"] = "", ["web.py"] = [[
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write((os.environ["GREETING"] + " " + os.environ["PYTHONUNBUFFERED"]).encode())
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
]] }, "exec python3 web.py")), "hello 1")
  test.equal((answer_of({ Gemfile = "", ["Gemfile.lock"] = "", ["vendor/bundle/keep"] = "", ["web.rb"] = [[
require "socket"
server = TCPServer.new("127.0.0.1", ENV["PORT"])
while client = server.accept
  client.gets
  body = "#{ENV["GREETING"]} #{ENV["RACK_ENV"]}"
  client.write "HTTP/1.1 200 OK\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n#{body}"
  client.close
end
]] }, "exec ruby web.rb")), "hello production")
end

return T
