--- Two runs of one recipe at once: one holds the journal, the other refuses and says who and since when; when the holder is
--- killed, the next takes over. Real processes, a journal in a folder of its own.
local fs = require "fs"
local process = require "process"
local task = require "task"

local RECIPE = [[
local recipe, fs, task = require "recipe", require "fs", require "task"
recipe.once("work", function()
  if fs.exists "hurry" then return end
  fs.append("holders", require("process").pid() .. "\n")
  task.sleep(60)
end)
]]

local M = {}

local exe = fs.realpath "/proc/self/exe"
local env = { PATH = os.getenv "PATH", HOME = "/nonexistent", LANG = "C.UTF-8",
              HKRUN_LIB = os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB") }

local function apply(dir, out)
  return process.start { exe, "apply", "r.lua", "--yes", env = env, cwd = dir, stdout = out, stderr = out }
end

local function ended(p, out, what)
  local code = p:wait(60)
  if not code then error(what .. " did not end:\n" .. fs.read(out), 0) end
  return code, fs.read(out)
end

local function expect(ok, what, said)
  if not ok then error(what .. ":\n" .. tostring(said), 0) end
end

--- One round; raises what was not as it must be.
---@param dir string empty
function M.round(dir)
  fs.write(dir .. "/r.lua", RECIPE)
  local first <close> = apply(dir, dir .. "/1")
  local second <close> = apply(dir, dir .. "/2")
  local deadline = task.now() + 60
  while not (fs.exists(dir .. "/holders") and not (first:is_running() and second:is_running())) do
    expect(task.now() < deadline and (first:is_running() or second:is_running()), "one must hold it", fs.read(dir .. "/1") .. fs.read(dir .. "/2"))
    task.sleep(0.002)
  end
  local holder, other, out = first, second, dir .. "/2"
  if not first:is_running() then holder, other, out = second, first, dir .. "/1" end
  local code, said = ended(other, out, "the second run")
  expect(code == 1, "the second run refuses, exit code " .. code, said)
  expect(said:find(("another run has it: process %d of %%S+ on %%S+, since %%d%%d%%d%%d%%-%%d%%d%%-%%d%%dT%%d%%d:%%d%%d:%%d%%dZ"):format(holder.pid)),
    "it says who holds it and since when", said)
  expect(fs.read(dir .. "/holders") == holder.pid .. "\n", "one run works", fs.read(dir .. "/holders"))
  holder:kill "KILL"
  holder:wait(60)
  fs.write(dir .. "/hurry", "")
  local third <close> = apply(dir, dir .. "/3")
  code, said = ended(third, dir .. "/3", "the third run")
  expect(code == 0 and said:find(("the last run %%(process %d%%) ended without a word"):format(holder.pid)), "the next run takes over", said)
  expect(said:find "work, again: it was interrupted", "it goes on where the killed one was", said)
end

--- So many rounds, each in a folder of its own.
function M.rounds(n)
  for i = 1, n do
    local dir = fs.tmpdir "hkrun-two-"
    local ok, e = pcall(M.round, dir)
    fs.rmtree(dir)
    if not ok then error(("round %d: %s"):format(i, tostring(e)), 0) end
  end
end

return M
