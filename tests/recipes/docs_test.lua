--- The documents are true. The tutorial's recipes are written into a folder, its commands run there, their output
--- is compared; docs/modules.md says what the sources say.
local fs = require "fs"
local process = require "process"
local test = require "test"

local T = test.cases()

local SELF = fs.realpath "/proc/self/exe"
local LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")

--- The fenced blocks of a page, in order: { language, text }.
local function blocks(page)
  local list = {}
  for language, body in page:gmatch "\n```(%a+)\n(.-)\n```" do list[#list + 1] = { language = language, text = body } end
  return list
end

--- A console block as { command, expected lines } pairs.
local function session(body)
  local list = {}
  for line in (body .. "\n"):gmatch "(.-)\n" do
    local command = line:match "^%$ (.*)$"
    if command then list[#list + 1] = { command = command, lines = {} }
    else table.insert(list[#list].lines, line) end
  end
  return list
end

--- True when lines fit the expected ones, in which "..." stands for any number of lines.
local function fits(lines, expected, i, j)
  i, j = i or 1, j or 1
  if j > #expected then return i > #lines end
  if expected[j] == "..." then
    for k = i, #lines + 1 do
      if fits(lines, expected, k, j + 1) then return true end
    end
    return false
  end
  return i <= #lines and lines[i] == expected[j] and fits(lines, expected, i + 1, j + 1)
end

local function run(command, dir)
  local r = process.run {
    "sh", "-c", command .. " 2>&1", cwd = dir, timeout = 60,
    env = { PATH = dir .. "/bin:" .. os.getenv "PATH", HOME = dir, LANG = "C.UTF-8", HKRUN_LIB = LIB,
            ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" },
  }
  local lines = {}
  for line in r.stdout:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

T["the tutorial's recipes do what the tutorial shows"] = function()
  local dir = test.tmpdir()
  fs.mkdir_p(dir .. "/bin")
  fs.write(dir .. "/bin/hkrun", "#!/bin/sh\nexec " .. SELF .. ' "$@"\n', 493)
  local recipes, commands = 0, 0
  for _, block in ipairs(blocks(fs.read "docs/recipes.md")) do
    if block.language == "lua" then
      local name = test.truthy(block.text:match "^%-%- ([%w_]+%.lua)\n", "a recipe begins with its file name")
      fs.write(dir .. "/" .. name, block.text:gsub("^[^\n]*\n", "") .. "\n")
      recipes = recipes + 1
    elseif block.language == "console" then
      for _, step in ipairs(session(block.text)) do
        local lines = run(step.command, dir)
        if not fits(lines, step.lines) then test.equal(table.concat(lines, "\n"), table.concat(step.lines, "\n"), step.command) end
        commands = commands + 1
      end
    end
  end
  test.truthy(recipes >= 3 and commands >= 15, "the tutorial has recipes and sessions")
end

T["docs/modules.md is what `make docs` writes"] = function()
  local r = process.run { fs.realpath "/proc/self/exe", "-", stdin = fs.read "tools/modules.lua", timeout = 60,
    env = { PATH = os.getenv "PATH", HKRUN_LIB = os.getenv "HKRUN_LIB", ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.truthy(r.stdout == fs.read "docs/modules.md", "docs/modules.md is up to date (else: make docs)")
end

T["every public function of a module that recipes use says what it does"] = function()
  local page = fs.read "docs/modules.md"
  for _, name in ipairs { "recipe.once(", "recipe.guard(", "task.all(", "pg.open(", "pg.copy", "redis.open(", "heroku.app(", "ssh.open(" } do
    test.truthy(page:find("### `" .. name, 1, true), name .. "...) is described")
  end
end

return T
