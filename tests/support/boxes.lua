--- The built binary as a child, on small recipes whose cloud is a file: cloud.json in the recipe's folder.
local fs = require "fs"
local json = require "json"
local process = require "process"
local test = require "test"

local M = {}

M.exe = fs.realpath "/proc/self/exe"

local cloud = [[
local recipe, json, fs = require "recipe", require "json", require "fs"
local function load() return fs.exists "cloud.json" and json.decode(fs.read "cloud.json") or { n = 0, things = {} } end
local function save(c) fs.write("cloud.json", json.encode(c)) end
return recipe.kind {
  name = "cloud.box", options = { { "size", "how big", type = "integer" }, { "inside", "another box", type = "table" } },
  outputs = { "id" }, fixed = { "inside" }, summary = { "size", "inside" }, idempotent = true,
  read = function(spec, known)
    for id, t in pairs(load().things) do
      if id == known or not known and t.name == spec.name then return t end
    end
  end,
  create = function(spec, ctx)
    local c = load()
    c.n = c.n + 1
    local id = "box-" .. c.n
    c.things[id] = { id = id, name = spec.name, size = spec.size, inside = spec.inside and spec.inside.id, tags = ctx.tags }
    save(c)
    return id
  end,
  update = function(spec, current, changes)
    local c = load()
    for _, ch in ipairs(changes) do c.things[current.id][ch.field] = ch.new end
    save(c)
  end,
  delete = function(current)
    local c = load()
    c.things[current.id] = nil
    save(c)
  end,
}
]]

M.shop = [[
--- Moves a shop.
local recipe, task, fs = require "recipe", require "task", require "fs"
local box = require "cloud"
local opt = recipe.options {
  { "app", "the app", target = true },
  { "size", "how big", default = 1 },
  { "slow", "sleeps in the copy", type = "boolean", default = false },
  { "token", "of the API", type = "secret" },
}
recipe.stage "network"
local net = box { opt.app .. "-net" }
recipe.stage "stores"
local db = box { opt.app .. "-db", size = opt.size, inside = net }
recipe.stage "cutover"
local freeze <close> = recipe.guard {
  key = "freeze", what = "freeze " .. opt.app,
  facts = function() return { web = 2 } end,
  apply = function() fs.write("frozen", "1") end,
  undo = function() fs.remove "frozen" end,
  holds = function() return fs.exists "frozen" end,
}
freeze:once("copy", function()
  fs.write("copying", "1")
  if opt.slow then task.sleep(60) end
end)
freeze:keep()
recipe.report("Result", { { "database", db.id }, { "token", opt.token } })
]]

--- A new folder with the cloud's module and shop.lua.
function M.folder(recipe)
  local dir = test.tmpdir()
  fs.write(dir .. "/cloud.lua", cloud)
  fs.write(dir .. "/shop.lua", recipe or M.shop)
  return dir
end

function M.env(more)
  local e = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8", HKRUN_SETTLE = "0" }
  local lib = os.getenv "HKRUN_LIB"
  e.HKRUN_LIB = lib and fs.realpath(lib) or nil
  for k, v in pairs(more or {}) do e[k] = v end
  return e
end

--- Runs hkrun in the folder, without a terminal.
function M.hkrun(dir, words, more)
  local o = { M.exe, table.unpack(words) }
  o.cwd, o.env, o.stdin, o.timeout = dir, M.env(more), "", 60
  return process.run(o)
end

--- What there is in the cloud: name -> size.
function M.state(dir)
  local s = {}
  if not fs.exists(dir .. "/cloud.json") then return s end
  for _, t in pairs(json.decode(fs.read(dir .. "/cloud.json")).things) do s[t.name] = t.size or 0 end
  return s
end

return M
