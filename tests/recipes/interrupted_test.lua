--- The cutover, interrupted by Ctrl-C: the app on Heroku is not left half frozen. Kills are crash_test.lua's.
local http = require "http"
local labs = dofile "tests/support/rehearsal_lab.lua"
local process = require "process"
local fs = require "fs"
local task = require "task"
local test = require "test"
local T = test.cases()

local cloud = labs.lazy { app = "examples/shop", orders = 1000, jobs = 100,
                          options = { HKRUN_APP = "shop", HKRUN_HEALTH_PATH = "/health", HKRUN_SMOKE_PATH = "/totals" } }

--- Starts an apply and sends the signal when its output has the mark; returns its exit code and what it printed.
local function interrupted(lab, mark, signal)
  local p <close> = process.start { fs.realpath "/proc/self/exe", "apply", labs.recipe, "--yes", env = lab.env, cwd = lab.dir .. "/work",
                                    stdout = "pipe", stderr = lab.dir .. "/stderr" }
  local seen, lines = false, {}
  for line in function() return p:read_line() end do
    lines[#lines + 1] = line
    if not seen and line:find(mark, 1, true) and line:find "^%s+> " then
      seen = true
      task.sleep(0.05)
      p:kill(signal)
    end
  end
  local code = p:wait(120)
  local text = table.concat(lines, "\n")
  if not seen then error(("it never came to %s, exit code %s:\n%s\n%s"):format(mark, code, text, fs.read(lab.dir .. "/stderr")), 2) end
  return code, text
end

local function quantities(lab)
  local answer = http.get(lab.env.HEROKU_HOST .. "/apps/shop/formation", { headers = {
    Accept = "application/vnd.heroku+json; version=3", Authorization = "Bearer " .. lab.env.HEROKU_API_KEY } })
  local found = {}
  for _, row in ipairs(answer:json()) do found[row.type] = row.quantity end
  return found
end

T["Ctrl-C during the cutover: exit 130, the app on Heroku runs and answers again"] = function()
  local lab = cloud()
  local before = quantities(lab)
  test.truthy(before.web > 0, "it runs before")
  local r = lab:hkrun { "apply", labs.recipe, "--yes", "--until", "cutover" }
  test.equal(r.code, 0, r.stderr)
  for _, mark in ipairs { "copy postgres", "verify" } do
    local code = interrupted(lab, mark, "INT")
    test.equal(code, 130, mark)
    test.equal(quantities(lab), before, mark)
    local answer
    for _ = 1, 100 do                                        -- its dynos start
      answer = http.get(lab.said.HKRUN_REHEARSAL_APP_URL .. "/health", { timeout = 120 })
      if answer.status == 200 then break end
      task.sleep(0.1)
    end
    test.equal(answer.status, 200, mark)
  end
end

return T
