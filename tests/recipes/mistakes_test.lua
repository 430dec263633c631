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
    { 2, "hkrun: r.lua:3: there is no option regoin; did you mean region?\n" })
  test.equal(said({ ["r.lua"] = HEAD .. "recipe.stage(opt.region or \"x\")\n" }, { "plan", "r.lua" }), { 0, "" }, "one that is not given is nil")
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
