--- What the recipe's deploy stage asks of aws.environment.
package.path = "recipes/?.lua;" .. package.path
local aws = require "aws"
local deploy = require "heroku_to_aws.deploy"
local errors = require "errors"
local lab = dofile "tests/support/recipe_lab.lua"
local recipe = require "recipe"
local test = require "test"
local T = test.cases()

T["the environments get the options of the recipe: platform, days of logs, health path of the web process only"] = function()
  local seen, real = {}, aws.environment
  rawset(aws, "environment", function(o)
    seen[o[1]] = o
    return o
  end)
  test.defer(function() rawset(aws, "environment", real) end)
  deploy.environments({ environments = {
    { name = "shop", instance_type = "t3.small", instances = 2, load_balanced = true, processes = { { type = "web" } } },
    { name = "shop-worker", instance_type = "t3.small", instances = 1, processes = { { type = "worker" } } },
  } }, { application = { id = "shop" }, network = "net", group = { id = "sg-1" },
         vars = { plain = { MODE = "live" }, secrets = { URL = "arn" }, hide = { "value" } },
         opt = { health_timeout = 60, deployment_policy = "rolling", beanstalk_platform_arn = "arn:p", log_days = 7, health_path = "/up" } })
  test.equal(seen.shop, { "shop", application = "shop", network = "net", groups = { "sg-1" }, platform = "arn:p", instance_type = "t3.small",
    load_balanced = true, min_instances = 2, max_instances = 2, health_path = "/up", env = { MODE = "live" }, secrets = { URL = "arn" },
    hide = { "value" }, log_days = 7, health_timeout = 60, deployment = "rolling", closed = false })
  local worker = seen["shop-worker"]
  test.equal({ worker.closed, worker.log_days, worker.health_path, worker.deployment }, { true, 7 })
end

local function refuse() errors.raise { kind = "auth", message = "the credentials have expired" } end

--- Goes live once; `o.deploy` and `o.may_have_run` answer for the environment, and `o.fails` after that.
---@return { ok: boolean, has_run: boolean, deployed: string[] } has_run: what was known before
local function go_live(l, o)
  local seen = { deployed = {} }
  local web = { may_have_run = o.may_have_run or function() return false end, deploy = function(_, version)
    seen.deployed[#seen.deployed + 1] = version
    if o.deploy then o.deploy(version) end
  end }
  seen.ok = pcall(l.apply, l, function()
    seen.has_run = deploy.has_run({ web = web }, { versions = { web = "v1" } })
    local live <close> = deploy.live({ web = web }, { versions = { web = "v1" }, parked = "parked" })
    if o.fails and not recipe.planning() then errors.raise { kind = "remote", message = "the smoke test failed" } end
    live:keep()
  end)
  return seen
end

T["an app that AWS refused to start has not run there: what was copied for it may be dropped"] = function()
  local l = lab()
  test.equal(go_live(l, { deploy = function(version) if version == "v1" then refuse() end end }),
    { ok = false, has_run = false, deployed = { "v1", "parked" } })
  test.equal(go_live(l, {}), { ok = true, has_run = false, deployed = { "v1" } })
  test.equal(go_live(l, {}), { ok = true, has_run = true, deployed = {} })
end

T["an app that was started on AWS and stopped again has run there, for ever"] = function()
  local l = lab()
  test.equal(go_live(l, { may_have_run = function() return true end, fails = true }),
    { ok = false, has_run = false, deployed = { "v1", "parked" } })
  test.equal(go_live(l, { deploy = refuse }), { ok = false, has_run = true, deployed = { "v1", "parked" } })
  test.equal(go_live(l, {}).has_run, true)
end

T["whether it has run is asked again where that could not be seen"] = function()
  for _, ran in ipairs { false, true } do
    local l = lab()
    test.equal(go_live(l, { deploy = refuse, may_have_run = refuse }).ok, false)
    test.equal(go_live(l, { may_have_run = function() return ran end }).has_run, ran)
  end
end

T["the environment whose version has the release process is deployed before the others; if that fails they are not"] = function()
  local seen, fails = {}, true
  local function environment(name)
    return { may_have_run = function() return false end, deploy = function(_, version, o)
      seen[#seen + 1] = ("%s %s%s"):format(name, version, o.idle and " idle" or "")
      if version == "v-web" and fails then errors.raise { kind = "remote", message = "the release process failed" } end
    end }
  end
  local code = { versions = { web = "v-web", ["a-worker"] = "v-worker" }, parked = "parked", release_in = "web" }
  local l = lab()
  local function go()
    return pcall(l.apply, l, function()
      local live <close> = deploy.live({ web = environment "web", ["a-worker"] = environment "a-worker" }, code)
      live:keep()
    end)
  end
  test.equal(go(), false)
  table.sort(seen, function(a, b) return (a:find "parked" and "b" or "a") .. a < (b:find "parked" and "b" or "a") .. b end)
  test.equal(seen, { "web v-web", "a-worker parked idle", "web parked idle" })
  seen, fails = {}, false
  test.equal(go(), true)
  test.equal(seen, { "web v-web", "a-worker v-worker" })
end

T["without the journal of its cutover an app is known to run on AWS, whoever deployed what runs there"] = function()
  local l, said = lab(), {}
  local code = { versions = { web = { id = "shop-v41" } }, parked = { id = "shop-parked" } }
  l:apply(function()
    for _, version in ipairs { "shop-v41", "shop-0a1b2c3d4e5f", "shop-parked", "Sample Application", false } do
      said[#said + 1] = deploy.is_forgotten({ web = { version = version or nil } }, code)
    end
  end)
  test.equal({ table.unpack(said, 1, 5) }, { true, true, false, false, false })
end

return T
