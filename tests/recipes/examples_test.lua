--- The examples are complete: each says what it does, shows what it prints, and has a test beside it that runs it
--- (`hkrun test recipes/examples`, which `make check` does).
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

local folder, exe = fs.realpath "recipes/examples", fs.realpath "/proc/self/exe"

local function names()
  local list = {}
  for _, file in ipairs(fs.list(folder)) do
    local name = file:match "^(.*)%.lua$"
    if name and not name:find "_test$" then list[#list + 1] = name end
  end
  return list
end

T["there are nine, and the page of the folder names each"] = function()
  local page = fs.read(folder .. "/README.md")
  test.equal(#names(), 9)
  for _, name in ipairs(names()) do test.truthy(page:find(("[%s.lua](%s.lua)"):format(name, name), 1, true), name) end
end

T["each has a test that applies it twice"] = function()
  for _, name in ipairs(names()) do
    local source = fs.read(("%s/%s_test.lua"):format(folder, name))
    test.match(source, 'test%.apply%("' .. name .. '%.lua"[^\n]*%.changes, 0%)')
  end
end

T["--help says what it does, how it is called and what it prints"] = function()
  local lib = os.getenv "HKRUN_LIB"
  for _, name in ipairs(names()) do
    local r = process.run { exe, "recipes/examples/" .. name .. ".lua", "--help", timeout = 120,
      env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), HKRUN_LIB = lib and fs.realpath(lib), ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" } }
    test.equal({ r.code, r.stderr }, { 0, "" }, name)
    test.match(r.stdout, "^%u[^\n]+\n", name)
    test.match(r.stdout, "hkrun [%w ]*recipes/examples/" .. name .. "%.lua", name)
    test.match(r.stdout, "\nIt %l+s? ?%l*\n\n    %u", name .. ": what it prints")
    test.match(r.stdout, "\nusage: hkrun recipes/examples/" .. name .. "%.lua .*\n  %-%-%l", name)
  end
end

return T
