--- Procfile, app.json and heroku.yml: what is read, and what is refused at which place.
local fs = require "fs"
local procfile = require "procfile"
local test = require "test"

local T = test.cases()

local function line_of(list)
  local parts = {}
  for i, e in ipairs(list) do parts[i] = ("%s=%s@%d"):format(e.type, e.command, e.line) end
  return table.concat(parts, "; ")
end

local good = {
  { "web: node web.js\nworker: node worker.js\n", "web=node web.js@1; worker=node worker.js@2" },
  { "web: node web.js", "web=node web.js@1" },                                         -- no line end
  { "web: a\r\nworker: b -c\r\n", "web=a@1; worker=b -c@2" },                          -- Windows
  { "web: a\rworker: b\r", "web=a@1; worker=b@2" },                                    -- old Mac
  { "\xef\xbb\xbfweb: a\n", "web=a@1" },                                               -- byte order mark
  { "# comment\n\n  \t\nweb: a\n  # another: one\nurgent_worker-2: b\n", "web=a@4; urgent_worker-2=b@6" },
  { "web: echo 'a: b' # not a comment of ours\n", "web=echo 'a: b' # not a comment of ours@1" },
  { "  web  :   bundle exec puma -p $PORT   \t\n", "web=bundle exec puma -p $PORT@1" },
  { "web:node web.js\n", "web=node web.js@1" },
  { "web: a\nrelease: rake db:migrate\n", "web=a@1; release=rake db:migrate@2" },
  { "web: echo h\xc3\xa9\n", "web=echo h\xc3\xa9@1" },
}

for i, case in ipairs(good) do
  T[("a good Procfile is read, %d"):format(i)] = function()
    test.equal(line_of(procfile.parse(case[1])), case[2])
  end
end

local bad = {
  { "", "Procfile:1:1: it declares no process" },
  { "\n# nothing\n", "Procfile:1:1: it declares no process" },
  { "web: a\nworker b\n", "Procfile:2:7: a colon is missing after \"worker\"" },
  { "web: a\n: b\n", "Procfile:2:1: a process type is missing" },
  { "web: a\n  wörker: b\n", "Procfile:2:4: the process type" },
  { "web.1: a\n", "Procfile:1:4: the process type \"web.1\" may have" },
  { "web:\n", "Procfile:1:5: the process type \"web\" has no command" },
  { "web: a\nworker: b\nweb: c\n", "Procfile:3:1: the process type \"web\" stands in line 1 already" },
  { "web: a\n<<<<<<< HEAD\n", "Procfile:2:8: a colon is missing" },
  { "web: a\nworker: \xff\n", "Procfile:2:9: it is not UTF%-8" },
  { "\xff\xfew\0e\0b\0", "Procfile:1:1: it is UTF%-16" },
  { "web: a\0b\n", "Procfile:1:7: it holds a zero byte" },
  { ("x"):rep(64) .. ": a\n", "Procfile:1:1: the process type .* longer than 63" },
}

for i, case in ipairs(bad) do
  T[("a bad Procfile is refused with its place, %d"):format(i)] = function()
    local e = test.raises(case[2], procfile.parse, case[1])
    test.equal(e.kind, "usage")
  end
end

T["the release command stands by itself, the others by type"] = function()
  local list = procfile.parse "web: a\nrelease: b\n"
  test.equal(list.release, "b")
  test.equal(list.by_type, { web = "a", release = "b" })
end

T["an app.json is read in both forms of its add-ons and variables"] = function()
  local m = procfile.app_json [[{ "name": "shop", "addons": ["papertrail", { "plan": "heroku-postgresql:mini", "as": "DATABASE" }],
    "env": { "A": "1", "B": { "required": false, "description": "x" } }, "formation": { "web": { "quantity": 2, "size": "basic" } },
    "scripts": { "postdeploy": "rake seed" }, "stack": null, "new_member": 1 }]]
  test.equal(m.addons[1].plan, "papertrail")
  test.equal(m.addons[2].as, "DATABASE")
  test.equal(m.env.A.value, "1")
  test.equal(m.formation.web.quantity, 2)
  test.equal(m.stack, nil)
end

local bad_json = {
  { "{\n  \"name\": \"a\",\n}", "app.json:3:%d+: " },
  { "[1]", "app.json:1:1: it must hold one object" },
  { "{\n \"name\": 1 }", "app.json:2:3: name must be a text" },
  { "{\n \"formation\": {\n  \"web\": { \"quantity\": -1 } } }", "app.json:3:13: formation.web.quantity must be a whole number" },
  { "{ \"addons\": [\n {} ] }", "app.json:1:4: addons%[1%] needs a plan" },
  { "{ \"env\": { \"A\": 5 } }", "app.json:1:13: env.A must be a map" },
  { "{ \"env\": { \"A\": { \"generator\": \"x\" } } }", "env.A.generator can only be secret" },
  { "{ \"buildpacks\": [{}] }", "buildpacks%[1%] needs a url" },
}

for i, case in ipairs(bad_json) do
  T[("a bad app.json is refused with its place, %d"):format(i)] = function()
    test.equal(test.raises(case[2], procfile.app_json, case[1]).kind, "usage")
  end
end

T["a heroku.yml is read"] = function()
  local m = procfile.heroku_yml [[
setup:
  addons:
    - plan: heroku-postgresql
      as: DATABASE
build:
  docker:
    web: Dockerfile
    worker: { dockerfile: worker/Dockerfile, target: run }
  config:
    RAILS_ENV: production
release:
  image: worker
  command:
    - ./deploy.sh
    - --now
run:
  web: bundle exec puma -C config/puma.rb
  worker:
    command: [python, myworker.py]
    image: worker
  clock:
    command: clock
    image: worker
]]
  test.equal(m.build.docker.worker.target, "run")
  test.equal(m.release.command, "./deploy.sh --now")
  test.equal(m.run.web, { command = "bundle exec puma -C config/puma.rb" })
  test.equal(m.run.worker, { command = "python myworker.py", image = "worker" })
end

local bad_yml = {
  { "build:\n  docker:\n web: x\n", "heroku.yml:%d+:%d+: " },
  { "- a\n", "heroku.yml:1:1: it must hold sections" },
  { "build: {}\nrunn:\n  web: a\n", "heroku.yml:2:1: runn is unknown" },
  { "run:\n  web:\n    comand: a\n", "heroku.yml:3:5: run.web.comand is unknown" },
  { "build: { docker: { web: Dockerfile } }\nrun:\n  worker:\n    command: a\n    image: wrong\n",
    "heroku.yml:5:5: run.worker.image names \"wrong\"" },
  { "release:\n  image: web\n", "heroku.yml:1:1: release needs a command" },
  { "setup:\n  addons:\n    - as: X\n", "setup.addons%[1%] needs a plan" },
}

for i, case in ipairs(bad_yml) do
  T[("a bad heroku.yml is refused with its place, %d"):format(i)] = function()
    test.equal(test.raises(case[2], procfile.heroku_yml, case[1]).kind, "usage")
  end
end

T["a folder's files are read, and errors name the path"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/Procfile", "web: a\n")
  fs.write(dir .. "/app.json", "{}")
  local found = procfile.read(dir)
  test.equal(found.procfile.by_type.web, "a")
  test.equal(found.app_json.addons, {})
  test.equal(found.heroku_yml, nil)
  fs.write(dir .. "/Procfile", "web: a\nb\n")
  test.raises(dir:gsub("%p", "%%%0") .. "/Procfile:2:2: a colon is missing", procfile.read, dir)
end

return T
