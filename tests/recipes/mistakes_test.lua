--- What people do wrong in a recipe and on the command line, and what hkrun says: what was tried, on what, why it failed, what
--- to do, and where in their own file; nothing of hkrun's inside.
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"
local lib = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")

--- What hkrun says in a folder with these files.
local function said(files, words, more)
  local dir = test.tmpdir()
  for name, text in pairs(files) do fs.write(dir .. "/" .. name, text) end
  local env = { PATH = os.getenv "PATH", HOME = dir, LANG = "C.UTF-8", HKRUN_LIB = lib }
  for name, v in pairs(more or {}) do env[name] = v end
  local command = { exe, cwd = dir, env = env, timeout = 100 }
  table.move(words, 1, #words, 2, command)
  local r = process.run(command)
  return { r.code, r.stderr }, r
end

local HEAD = 'local recipe = require "recipe"\nlocal opt = recipe.options { { "region", "where" }, { "zones", "how many", default = 2 } }\n'

T["an option that is not declared is named, with the line and the nearest one"] = function()
  test.equal(said({ ["r.lua"] = HEAD .. "recipe.stage(opt.regoin or \"x\")\n" }, { "plan", "r.lua" }),
    { 2, 'hkrun: r.lua:3: there is no option regoin; did you mean region?\n  3 | recipe.stage(opt.regoin or "x")\n' })
  test.equal(said({ ["r.lua"] = HEAD .. "recipe.stage(opt.region or \"x\")\n" }, { "plan", "r.lua" }), { 0, "" }, "one that is not given is nil")
end

--- A recipe's third line, what is said of it, and the exit code.
local MISTAKES = {
  { 'local x = require "recip"', [[there is no module recip; did you mean recipe?]], 2 },
  { 'local x = require "helpr"', [[there is no module helpr; did you mean helper?]], 2 },
  { 'local x = require "no.such.thing"', [[there is no module no.such.thing, neither among hkrun's nor beside the recipe]], 2 },
  { "local x = recipee.done", [[there is no variable recipee; did you mean recipe?]], 1 },
  { "count = 1", [[count is not declared: local count = ... makes it a variable of this file]], 1 },
  { "local x = = 1", [[unexpected symbol near '=']], 2 },
  { 'local x = opt.region.nme', [[attempt to index a nil value (field 'region')]], 1 },
  { 'recipe.stag "a"', [[attempt to call a nil value (field 'stag'); did you mean recipe.stage?]], 1 },
  { 'local x = recipe.report.x.y', [[attempt to index a function value (field 'report')]], 1 },
  { 'error "what I say myself"', [[what I say myself]], 1 },
  { 'error { code = 1 }', [[error was called with a table]], 1 },
}

T["a mistake in a recipe is one sentence with its line, the line itself, and the nearest name; nothing of hkrun's inside"] = function()
  for _, m in ipairs(MISTAKES) do
    test.equal(said({ ["r.lua"] = HEAD .. m[1] .. "\n", ["helper.lua"] = "return {}\n" }, { "plan", "r.lua" }),
      { m[3], ("hkrun: r.lua:3: %s\n  3 | %s\n"):format(m[2], m[1]) }, m[1])
  end
end

T["a mistake in a function of one's own says by which lines it was reached; with -v there is all"] = function()
  local files = { ["part.lua"] = "local M = {}\nfunction M.name(t)\n  local name = t.inner.name\n  return name\nend\nreturn M\n",
    ["r.lua"] = HEAD .. 'local part = require "part"\nlocal function outer()\n  local name = part.name {}\n  return name\nend\nlocal x = outer()\n' }
  local sentence = "hkrun: part.lua:3: attempt to index a nil value (field 'inner')\n  3 |   local name = t.inner.name\n" ..
    "  called from r.lua:5: in outer\n  called from r.lua:8: in the main chunk\n"
  test.equal(said(files, { "plan", "r.lua" }), { 1, sentence })
  local more = said(files, { "plan", "r.lua", "-v" })[2]
  test.equal(more:sub(1, #sentence), sentence)
  test.truthy(more:find("stdlib/recipe/load.lua", 1, true), "-v: hkrun's frames too")
  files["part.lua"] = "local M = {}\nfunction M.name( return 1 end\nreturn M\n"
  test.equal(said(files, { "plan", "r.lua" }), { 2, "hkrun: part.lua:2: <name> or '...' expected near 'return'\n" ..
    "  2 | function M.name( return 1 end\n  called from r.lua:3: in the main chunk\n" })
end

T["so it is in a part of task.all, in a once that is applied, and of a recursion without end"] = function()
  local head = HEAD .. 'local task = require "task"\n'
  test.equal(said({ ["r.lua"] = head .. 'task.all { a = function()\n  recipe.stag "b"\nend }\n' }, { "plan", "r.lua" })[2],
    "hkrun: r.lua:5: attempt to call a nil value (field 'stag'); did you mean recipe.stage?\n  5 |   recipe.stag \"b\"\n")
  local once = said({ ["r.lua"] = head .. 'recipe.once("a", function()\n  local t = { inner = 1 }\n  return t.iner.x\nend)\n' }, { "r.lua", "--yes" })
  test.truthy(once[2]:find("hkrun: r.lua:6: attempt to index a nil value (field 'iner'); did you mean t.inner?\n" ..
    "  6 |   return t.iner.x\n", 1, true), once[2])
  test.equal(once[1], 1)
  local deep = said({ ["r.lua"] = head .. "local function f(n) return 1 + f(n + 1) end\nlocal x = f(1)\n" }, { "plan", "r.lua" })[2]
  test.match(deep, "^hkrun: r%.lua:4: stack overflow")
  test.truthy(select(2, deep:gsub("\n", "")) < 20, deep)
end

T["so it is on the command line and in the console: one typed line has no number"] = function()
  test.equal(said({}, { "-e", "recip.x" }), { 1, "hkrun: there is no variable recip; did you mean recipe?\n" })
  test.equal(said({}, { "-e", 'require "recip"' }), { 2, "hkrun: there is no module recip; did you mean recipe?\n" })
  test.equal(said({}, { "-e", "x = = 1" }), { 2, "hkrun: unexpected symbol near '='\n" })
  test.equal(said({}, { "-e", "local t = { inner = 1 }\nreturn t.iner.x" }),
    { 1, "hkrun: code:2: attempt to index a nil value (field 'iner'); did you mean t.inner?\n  2 | return t.iner.x\n" })
  local dir = test.tmpdir()
  local r = process.run { exe, "repl", cwd = dir, env = { PATH = os.getenv "PATH", HOME = dir, HKRUN_LIB = lib }, timeout = 60,
    stdin = "recip.x\nx = = 1\nfunction f(t)\n  return t.a.b\nend\nfunction g(t)\n  return 1\nend\nf {}\nlocal n = 1 + nil\n" }
  test.equal(r.stdout, "there is no variable recip; did you mean recipe?\nunexpected symbol near '='\n" ..
    "repl:2: attempt to index a nil value (field 'a')\n  2 |   return t.a.b\nattempt to perform arithmetic on a nil value\n")
end

T["--help lists every command once, under headings, and what it is"] = function()
  local _, r = said({}, { "--help" })
  test.equal(r.code, 0)
  for _, file in ipairs(fs.list "lua/stdlib/command") do
    local name = file:match "^(.*)%.lua$"
    test.equal(select(2, r.stdout:gsub("\n  " .. name .. " +%S", "")), 1, name)
  end
  test.truthy(r.stdout:find("run a recipe\n  plan ", 1, true), "what is needed first comes first")
  test.equal(said({}, { "help", "plan" })[1], 0)
end

return T
