--- The documents are true. The files of a page are written into a folder, its commands run there, their output is compared
--- (HKRUN_GOLDEN=write puts what they print now into the page); docs/modules.md says what the sources say.
local cloud = require "rehearsal.cloud"
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

local function run(command, dir, env)
  env.PATH, env.HOME, env.HKRUN_LIB, env.ASAN_OPTIONS = dir .. "/bin:" .. os.getenv "PATH", dir, LIB, os.getenv "ASAN_OPTIONS"
  local r = process.run { "sh", "-c", command .. " 2>&1", cwd = dir, timeout = 300, env = env }
  local lines = {}
  for line in r.stdout:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- Does what a page says: writes its files, runs its sessions. With HKRUN_GOLDEN=write what is printed now takes the
--- place of what the page shows, where they differ.
---@return integer files
---@return integer commands
local function follow(path, env)
  local dir, page = test.tmpdir(), fs.read(path)
  fs.mkdir_p(dir .. "/bin")
  fs.write(dir .. "/bin/hkrun", "#!/bin/sh\nexec " .. SELF .. ' "$@"\n', 493)
  local files, commands = 0, 0
  for _, block in ipairs(blocks(page)) do
    if block.language == "lua" then
      local name = test.truthy(block.text:match "^%-%- ([%w_]+%.lua)\n", "a file begins with its name")
      fs.write(dir .. "/" .. name, block.text:gsub("^[^\n]*\n", "") .. "\n")
      files = files + 1
    elseif block.language == "console" then
      local shown = {}
      for _, step in ipairs(session(block.text)) do
        local lines = run(step.command, dir, env)
        local is_so = fits(lines, step.lines)
        if not is_so and os.getenv "HKRUN_GOLDEN" ~= "write" then
          test.equal(table.concat(lines, "\n"), table.concat(step.lines, "\n"), step.command)
        end
        shown[#shown + 1] = "$ " .. step.command
        table.move(is_so and step.lines or lines, 1, #(is_so and step.lines or lines), #shown + 1, shown)
        commands = commands + 1
      end
      local from, to = page:find("```console\n" .. block.text .. "\n```", 1, true)
      page = page:sub(1, from - 1) .. "```console\n" .. table.concat(shown, "\n") .. "\n```" .. page:sub(to + 1)
    end
  end
  if page ~= fs.read(path) then fs.write(path, page) end
  return files, commands
end

T["the tutorial's files and sessions do, in a rehearsal cloud, what the tutorial shows"] = function()
  local running <close> = cloud.start { dir = test.tmpdir(), scale = 600 }
  local files, commands = follow("docs/recipes.md", running:env())
  test.truthy(files >= 5 and commands >= 20, "the tutorial has files and sessions")
end

T["the reference's recipes do what it shows, without a cloud"] = function()
  local files, commands = follow("docs/recipe-reference.md", { LANG = "C.UTF-8" })
  test.truthy(files >= 3 and commands >= 15, "the reference has recipes and sessions")
end

T["the programs of the page on PostgreSQL do on a server what it shows"] = function()
  local postgres = require "rehearsal.planes.postgres"
  local plane <close> = postgres.start { dir = test.tmpdir() .. "/pg", database = "shop" }
  local files, commands = follow("docs/postgres.md", { LANG = "C.UTF-8", DATABASE_URL = plane.url })
  test.truthy(files >= 4 and commands >= 6, "the page has programs and sessions")
end

T["the programs of the page on Redis do on a server what it shows"] = function()
  local redis = require "rehearsal.planes.redis"
  local plane <close> = redis.start { dir = test.tmpdir() }
  local files, commands = follow("docs/redis-connections.md", { LANG = "C.UTF-8", REDIS_URL = plane.url })
  test.truthy(files >= 3 and commands >= 3, "the page has programs and sessions")
end

T["the programs of the page on moving Redis do on two servers what it shows"] = function()
  local redis = require "rehearsal.planes.redis"
  local from <close> = redis.start { dir = test.tmpdir() }
  local to <close> = redis.start { dir = test.tmpdir() }
  local files, commands = follow("docs/redis.md", { LANG = "C.UTF-8", REDIS_URL = from.url, TARGET_URL = to.url })
  test.truthy(files >= 4 and commands >= 11, "the page has programs and sessions")
end

T["docs/modules.md is what `make docs` writes"] = function()
  local r = process.run { fs.realpath "/proc/self/exe", "-", stdin = fs.read "tools/modules.lua", timeout = 300,
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
