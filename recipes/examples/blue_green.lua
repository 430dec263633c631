--- Puts a version live without a moment's pause: it is deployed to the environment that nobody asks, tested there, and then
--- the two environments exchange their addresses. `hkrun rollback` exchanges them again: the earlier version serves.
---
---     hkrun recipes/examples/blue_green.lua --live shop-blue --idle shop-green --version v42
---
--- It ends with
---
---     Live
---       environment  version  address
---       shop-green   v42      shop.us-east-1.elasticbeanstalk.com
---       shop-blue    v41      shop-idle.us-east-1.elasticbeanstalk.com
local recipe, aws, eb, http = require "recipe", require "aws", require "eb", require "http"
local errors, task = require "errors", require "task"

local opt = recipe.options {
  { "live", "environment that serves now", target = true },
  { "idle", "environment that nobody asks", target = true },
  { "version", "label of the version to put live", target = true },
  { "path", "path that answers 200 when the app is well", default = "/" },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
}

--- The app answers at an address, within a minute.
local function answers(cname)
  local deadline = task.now() + 60
  while true do
    local ok, answer = pcall(http.get, "http://" .. cname .. opt.path, { timeout = 20 })
    if ok and answer:ok() then return { status = answer.status } end
    if task.now() > deadline then
      errors.raise { kind = "remote", op = "test " .. cname .. opt.path,
        message = ok and "it answers with status " .. answer.status or tostring(answer) }
    end
    task.sleep(1)
  end
end

recipe.stage "look"
local live, idle = eb.status(opt.live), eb.status(opt.idle)
recipe.need(live.application == idle.application, "%s and %s are of two applications", opt.live, opt.idle)

recipe.stage "deploy"
recipe.once(("deploy %s to %s"):format(opt.version, opt.idle), function() eb.deploy(opt.idle, opt.version) end)
recipe.once(("test %s"):format(opt.idle), function() return answers(eb.status(opt.idle).cname) end)

recipe.stage "swap"
local swapped <close> = recipe.guard {
  key = "swap", what = ("exchange the addresses of %s and %s"):format(opt.live, opt.idle),
  facts = function() return { cname = eb.status(opt.live).cname } end,
  apply = function(facts) if eb.status(opt.live).cname == facts.cname then eb.swap(opt.live, opt.idle) end end,
  undo  = function(facts) if eb.status(opt.live).cname ~= facts.cname then eb.swap(opt.live, opt.idle) end end,
}
recipe.once("test the address that everybody asks", function() return answers(swapped.facts.cname) end)
swapped:keep()

recipe.stage "report"
if not recipe.planning() then
  local rows = { { "environment", "version", "address" } }
  for _, name in ipairs { opt.idle, opt.live } do
    local now = eb.status(name)
    rows[#rows + 1] = { name, now.version, now.cname }
  end
  recipe.report("Live", rows, { head = true })
end
