--- The built binary as a child, on small recipes whose cloud is a file.
local fs = require "fs"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local boxes = dofile "tests/support/boxes.lua"
local exe, folder, env, hkrun, state = boxes.exe, boxes.folder, boxes.env, boxes.hkrun, boxes.state

T["plan, apply, apply, change, status, log, destroy"] = function()
  local dir = folder()
  local r = hkrun(dir, { "plan", "shop.lua", "--app", "eu" })
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.equal(r.stdout, 'network\n  + cloud.box "eu-net"\nstores\n  + cloud.box "eu-db"  size 1, inside (known after apply)\n' ..
    "cutover\n  > run freeze eu\n  > run copy\nPlan: 2 to create, 2 to run.\n\nResult\n  database  (known after apply)\n  token\n")
  test.equal(fs.list(dir), { "cloud.lua", "shop.lua" }, "plan writes nothing")
  r = hkrun(dir, { "shop.lua", "--app", "eu", "--yes" })
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "database  box%-2")
  test.match(r.stdout, "Done: 2 created, 2 run")
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 })
  r = hkrun(dir, { "apply", "shop.lua", "--app", "eu" })
  test.equal({ r.code, r.stdout }, { 0, "\nResult\n  database  box-2\n  token\nno changes\n" })
  r = hkrun(dir, { "apply", "shop.lua", "--app", "eu", "--size", "4", "--yes" })
  test.match(r.stdout, '~ cloud.box "eu%-db"  size: 1 %-> 4\nPlan: 1 to change')
  test.equal(state(dir)["eu-db"], 4)
  r = hkrun(dir, { "status", "shop.lua" })
  test.match(r.stdout, "shop %(eu%)\nlast apply of .*: done")
  test.match(r.stdout, 'cloud.box "eu%-db"  box%-2')
  test.match(r.stdout, "destroy would delete 2")
  r = hkrun(dir, { "log", "shop.lua" })
  test.match(r.stdout, "created cloud.box:eu%-net as box%-1")
  r = hkrun(dir, { "destroy", "shop.lua", "--app", "eu" })
  test.equal(r.code, 1)
  test.match(r.stderr, "nobody can be asked")
  r = hkrun(dir, { "destroy", "shop.lua", "--app", "eu", "--yes" })
  test.match(r.stdout, "destroy: nothing left\n$")
  test.equal(state(dir), {})
end

T["the plan as JSON"] = function()
  local dir = folder()
  local p = json.decode(hkrun(dir, { "plan", "shop.lua", "--app", "eu", "--json" }).stdout)
  test.equal(p.summary, { create = 2, adopt = 0, change = 0, replace = 0, delete = 0, run = 2 })
  test.equal(p.entries[2].properties, { size = 1, inside = "(known after apply)" })
  test.equal(p.kinds["cloud.box"], { in_place = { "size" }, replaces = { "inside" } })
end

T["bad input is one line and exit code 2, and nothing is written"] = function()
  local dir = folder()
  fs.write(dir .. "/syntax.lua", "local = 1")
  fs.write(dir .. "/need.lua", 'local recipe = require "recipe"\nrecipe.need(false, "the Procfile is wrong in line 3")')
  for _, case in ipairs {
    { { "shop.lua", "--app", "x", "--siez", "3" }, "unknown option %-%-siez %(did you mean %-%-size%?%)" },
    { { "shop.lua", "--app", "x", "--size", "big" }, "%-%-size: big is not a whole number" },
    { { "plan", "shop.lua" }, "%-%-app is needed" },
    { { "plan", "shop.lua", "--app", "x", "--token", "abc" }, "%-%-token is a secret" },
    { { "plan", "nothere.lua" }, "there is no recipe nothere.lua" },
    { { "plan", "./shp.lua" }, "there is no recipe %./shp%.lua %(did you mean %./shop%.lua%?%)" },
    { { "plan", "nofolder/shop.lua" }, "there is no recipe nofolder/shop%.lua" },
    { { "plan", "syntax.lua" }, "syntax.lua:1: [^\n]*\n  1 | local = 1", lines = 2 },
    { { "apply", "need.lua", "--yes" }, "the Procfile is wrong in line 3" },
    { { "plan" }, "hkrun plan needs a recipe" },
    { { "shop.lua", "--app", "x", "--until", "storse", "--yes" }, "no stage storse %(did you mean stores%?%)" },
    { { "plann", "shop.lua" }, "no command plann %(did you mean plan%?%)" },
    { { "README.md" }, "no command README.md; `hkrun %-%-help` lists them, and a recipe is a .lua file" },
  } do
    local r = hkrun(dir, case[1])
    local what = table.concat(case[1], " ")
    test.equal(r.code, 2, what)
    test.match(r.stderr, "^hkrun: .*" .. case[2], what)
    test.equal(select(2, r.stderr:gsub("\n", "")), case.lines or 1, what .. ": lines")
    test.truthy(not fs.exists(dir .. "/cloud.json"), what)
  end
end

T["without a terminal and without --yes nothing is changed"] = function()
  local dir = folder()
  local r = hkrun(dir, { "shop.lua", "--app", "eu" })
  test.equal(r.code, 1)
  test.match(r.stderr, "there is no terminal; use %-%-yes")
  test.equal(state(dir), {})
end

T["options come from the environment and from hkrun.yml, and --help lists them"] = function()
  local dir = folder()
  local r = hkrun(dir, { "plan", "shop.lua" }, { HKRUN_APP = "env", HKRUN_SIZE = "9" })
  test.match(r.stdout, 'cloud.box "env%-db"  size 9')
  fs.write(dir .. "/hkrun.yml", "app: file\nsize: 5\n")
  test.match(hkrun(dir, { "plan", "shop.lua" }).stdout, 'cloud.box "file%-db"  size 5')
  r = hkrun(dir, { "shop.lua", "--help" })
  test.match(r.stdout, "^Moves a shop.\n")
  test.match(r.stdout, "%-%-size INTEGER +how big %(default 1%)")
end

T["--help of a command says how it is called, and does nothing else"] = function()
  local dir = folder()
  test.equal(hkrun(dir, { "apply", "shop.lua", "--app", "eu", "--yes" }).code, 0)
  local before = state(dir)
  test.truthy(next(before), "something that could be deleted")
  for _, command in ipairs { "apply", "plan", "destroy", "prune", "status", "log" } do
    for _, words in ipairs { { command, "--help" }, { command, "shop.lua", "--app", "eu", "--yes", "-h" } } do
      local r = hkrun(dir, words)
      test.equal({ r.code, r.stderr }, { 0, "" }, table.concat(words, " "))
      test.match(r.stdout, words[2] == "--help" and "^usage: hkrun " .. command or "usage: hkrun")
    end
  end
  test.equal(state(dir), before)
  for words, usage in pairs { ["eval --help"] = "hkrun %-e CODE", ["repl --help"] = "hkrun %[repl%]", ["help destroy"] = "hkrun destroy" } do
    local first, second = words:match "(%S+) (%S+)"
    local r = hkrun(dir, { first, second })
    test.equal({ r.code, r.stderr }, { 0, "" }, words)
    test.match(r.stdout, "^usage: " .. usage)
  end
end

local function wait_for(path)
  for _ = 1, 6000 do
    if fs.exists(path) then return end
    task.sleep(0.02)
  end
  error("waited in vain for " .. path)
end

local function start(dir, words)
  local o = { exe, table.unpack(words) }
  o.cwd, o.env, o.stdout, o.stderr = dir, env(), dir .. "/out", dir .. "/out"
  return process.start(o)
end

local function signal(p, name) process.run { "sh", "-c", ("kill -%s %d"):format(name, p.pid) } end

T["Ctrl-C undoes the guard, exits 130, and apply goes on from there"] = function()
  local dir = folder()
  local p = start(dir, { "shop.lua", "--app", "eu", "--slow", "--yes" })
  wait_for(dir .. "/copying")
  test.truthy(fs.exists(dir .. "/frozen"))
  signal(p, "INT")
  test.equal(p:wait(120), 130)
  test.truthy(not fs.exists(dir .. "/frozen"), "the guard is undone")
  test.match(fs.read(dir .. "/out"), "apply again goes on from here")
  local r = hkrun(dir, { "shop.lua", "--app", "eu", "--yes" })
  test.equal(r.code, 0, r.stderr)
  test.truthy(fs.exists(dir .. "/frozen"))
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 })
end

T["a second run is refused while one is at work; after kill -9 the next one takes over"] = function()
  local dir = folder()
  local p = start(dir, { "shop.lua", "--app", "eu", "--slow", "--yes" })
  wait_for(dir .. "/copying")
  local r = hkrun(dir, { "shop.lua", "--app", "eu", "--yes" })
  test.equal(r.code, 1)
  test.match(r.stderr, "another run has it: process " .. p.pid .. " of ")
  test.equal(hkrun(dir, { "status", "shop.lua" }).code, 0, "status may look")
  signal(p, "KILL")
  p:wait(120)
  local status = hkrun(dir, { "status", "shop.lua" }).stdout
  test.match(status, "freeze eu  still in force: apply again finishes or undoes it")
  test.match(status, "left to do: apply again\n  run copy  %(cutover%)\ndestroy would delete 2")
  r = hkrun(dir, { "shop.lua", "--app", "eu", "--yes" })
  test.equal(r.code, 0, r.stderr)
  test.match(r.stderr, "the last run %(process " .. p.pid .. "%) ended without a word")
  test.equal(state(dir), { ["eu-net"] = 0, ["eu-db"] = 1 })
end

T["a failure is one sentence and exit code 1; a traceback comes with -v"] = function()
  local dir = folder [[
local recipe, errors = require "recipe", require "errors"
recipe.once("copy", function() errors.raise { op = "copy orders", kind = "remote", message = "the disk is full" } end)
]]
  local r = hkrun(dir, { "shop.lua", "--yes" })
  test.equal(r.code, 1)
  test.match(r.stderr, "hkrun: shop.lua:2: cannot copy orders: the disk is full\n$")
  test.truthy(not r.stderr:find "traceback")
  test.match(hkrun(dir, { "shop.lua", "--yes", "-v" }).stderr, "stack traceback")
end

T["a mistake in the recipe names its line, and the traceback leads there"] = function()
  local dir = folder 'local recipe = require "recipe"\nlocal function f() return nil + 1 end\nrecipe.once("x", function() end)\nlocal _ = f() + 1\n'
  local r = hkrun(dir, { "plan", "shop.lua" })
  test.equal(r.code, 1)
  test.match(r.stderr, "^hkrun: shop.lua:2: attempt to perform arithmetic on a nil value\n")
  test.match(r.stderr, "shop.lua:4: in")
end

T["a secret is in no output and no file"] = function()
  local dir = folder()
  local r = hkrun(dir, { "shop.lua", "--app", "eu", "--yes", "-v" }, { HKRUN_TOKEN = "marked-7f3a" })
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "token     %(secret%)")
  local all = r.stdout .. r.stderr
  for _, f in ipairs(fs.list(dir .. "/.hkrun")) do all = all .. fs.read(dir .. "/.hkrun/" .. f) end
  test.truthy(not all:find("marked-7f3a", 1, true))
end

T["-e evaluates and prints; the REPL does the same for lines"] = function()
  local dir = test.tmpdir()
  test.equal(hkrun(dir, { "-e", "1 + 1, { a = { 1, 'x' } }" }).stdout, '2\n{\n  "a": [\n    1,\n    "x"\n  ]\n}\n')
  test.equal(hkrun(dir, { "-e", "secret.new 'geheim'" }).stdout, "(secret)\n")
  test.equal(hkrun(dir, { "-e", "x = 3 return x" }).stdout, "3\n")
  test.equal(hkrun(dir, { "-e", "1 +" }).code, 2)
  local r = process.run { exe, "repl", cwd = dir, env = env(), timeout = 300,
    stdin = "a = 2\na + 1\nfunction f(x)\n  return x * 2\nend\nf(a)\nnil + 1\njson.encode { a }\n" }
  test.match(r.stdout, '^3\n4\n[^\n]*arithmetic on a nil value[^\n]*\n%[2%]\n$')
end

T["what goes wrong in a recipe names the recipe's line, also inside task.all, a once and a module of its own"] = function()
  local dir = test.tmpdir()
  fs.write(dir .. "/part.lua", 'local M = {}\nfunction M.make()\n  require("aws").topic { "a", tgas = {} }\nend\nreturn M\n')
  local head = 'local recipe, task, aws = require "recipe", require "task", require "aws"\nlocal opt = recipe.options { { "n", "n", default = 1 } }\n'
  local function says(body, ...)
    fs.write(dir .. "/r.lua", head .. body)
    local r = process.run { cwd = dir, timeout = 120, env = { PATH = os.getenv "PATH", HOME = dir, ASAN_OPTIONS = os.getenv "ASAN_OPTIONS",
      HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB"), AWS_EC2_METADATA_DISABLED = "true" }, exe, "r.lua", "--yes", ... }
    return r.stderr:gsub("^.-(hkrun: )", "%1"):match "[^\n]*"
  end
  test.equal(says 'aws.topic { "a", tgas = {} }', 'hkrun: r.lua:3: aws.topic "a" has no option tgas (did you mean tags?)')
  test.equal(says 'require("part").make()', 'hkrun: part.lua:3: aws.topic "a" has no option tgas (did you mean tags?)')
  test.equal(says 'task.all {\n  a = function() return aws.topic { "a", tgas = {} } end }',
    'hkrun: r.lua:4: aws.topic "a" has no option tgas (did you mean tags?)')
  test.match(says 'recipe.once("x", function()\n  local list = nil\n  return #list\nend)', "^hkrun: r%.lua:5: attempt to get length")
  test.match(says 'recipe.once("x", function()\n  require("fs").read "none"\nend)', "^hkrun: r%.lua:4: cannot read none: ")
  test.match(says 'recipe.once("x", function()\n  recipe.need(false, "not so")\nend)', "^hkrun: not so$")
  test.match(says("", "--m", "1"), "^hkrun: unknown option %-%-m")
end

return T
