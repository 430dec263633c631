--- docs/modules.md says what the sources say.
local fs = require "fs"
local process = require "process"
local test = require "test"

local T = test.cases()

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
