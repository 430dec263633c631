--- A recipe that only builds a bundle, killed before and after each of its effects on the disk, and applied again. The
--- whole migration makes 1,700 such effects, most of them while it unpacks the app; here a small app makes the same kinds.
local crash = dofile "tests/support/crash_lab.lua"
local fs = require "fs"
local process = require "process"
local zip = require "zip"

local RECIPE = [[
local recipe, bundle = require "recipe", require "heroku_to_aws.bundle"
local environment = { name = "web", processes = { { type = "web", command = "node web.js" } } }
local b = bundle.describe(environment, { source = "app" })
recipe.once("build", function() return bundle.build(b, nil, { source = "app", dir = ".hkrun/bundles" }) end)
]]

local M = {}

local exe = fs.realpath "/proc/self/exe"
local recipes = fs.realpath "recipes"

local function run(dir, point)
  local env = { PATH = os.getenv "PATH", HOME = dir, LANG = "C.UTF-8", HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }
  for name, value in pairs(point and crash.preloaded(point) or {}) do env[name] = value end
  return process.run { exe, "apply", "bundle_only.lua", "--yes", env = env, cwd = dir, timeout = 60 }
end

--- The files of the bundle, and their bytes.
local function bundle_of(dir)
  local found, out = {}, dir .. "/unpacked"
  for _, name in ipairs(fs.list(dir .. "/.hkrun/bundles")) do
    if name:find "%.zip$" then
      zip.unpack(dir .. "/.hkrun/bundles/" .. name, out)
      for _, entry in ipairs(zip.list(dir .. "/.hkrun/bundles/" .. name)) do
        if entry.type ~= "dir" and not entry.path:find "/$" then found[entry.path] = fs.read(out .. "/" .. entry.path) end
      end
    end
  end
  return found
end

local function in_folder(fn)
  local dir = fs.tmpdir "hkrun-disk-"
  fs.write(dir .. "/bundle_only.lua", RECIPE)
  fs.symlink(recipes .. "/heroku_to_aws", dir .. "/heroku_to_aws")
  for i = 1, 6 do
    fs.mkdir_p(("%s/app/lib%d"):format(dir, i))
    fs.write(("%s/app/lib%d/part.js"):format(dir, i), ("// part %d\n"):format(i):rep(1000))
  end
  fs.write(dir .. "/app/package-lock.json", "{}\n")
  fs.write(dir .. "/app/web.js", "require('./lib1/part')\n")
  local r = table.pack(pcall(fn, dir))
  fs.rmtree(dir)
  if not r[1] then error(r[2], 0) end
  return table.unpack(r, 2, r.n)
end

local function differs(a, b)
  for name, bytes in pairs(a) do if b[name] ~= bytes then return name end end
  for name in pairs(b) do if a[name] == nil then return name end end
end

--- Tries every step-th kill; raises at the first that leaves something else than an undisturbed run.
---@param step integer
---@return integer kills
function M.try(step)
  local effects, wanted = in_folder(function(dir)
    local r = run(dir, { log = dir .. "/effects" })
    if r.code ~= 0 then error("the undisturbed run failed: " .. r.stderr, 0) end
    return crash.count_lines(dir .. "/effects"), bundle_of(dir)
  end)
  if not wanted["lib6/part.js"] then error("the bundle lacks the app", 0) end
  local points = crash.points({}, effects, {})
  for i = 1, #points, step do
    in_folder(function(dir)
      local first, again = run(dir, points[i]), run(dir)
      local wrong = first.code ~= 137 and "no kill, but exit code " .. first.code or again.code ~= 0 and again.stderr
                    or differs(bundle_of(dir), wanted)
      if wrong then error(("%s: %s"):format(crash.name(points[i]), wrong), 0) end
    end)
  end
  return (#points - 1) // step + 1
end

return M
