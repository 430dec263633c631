local aws = require "aws"
local eb = require "eb"
local fs = require "fs"
local http = require "http"
local test = require "test"
local zip = require "zip"
local T = test.cases()

local COMPOSE = "services: { web: { build: ., ports: ['80:8080'] } }\n"
local DOCKERFILE = "FROM python:3.13-slim\nCOPY page /app/index.html\nWORKDIR /app\nCMD [\"python3\", \"-m\", \"http.server\", \"8080\"]\n"

--- Two environments behind load balancers, and versions whose page is their name; "bad" cannot be built.
local function ground()
  local net = aws.network { "shop", cidr = "10.9.0.0/16", zones = 2 }
  local app, bucket = aws.eb_application { "shop" }, aws.bucket { "shop-bundles" }
  for _, label in ipairs { "v1", "v2", "bad" } do
    local files = { { path = "docker-compose.yml", data = COMPOSE }, { path = "Dockerfile", data = DOCKERFILE }, { path = "page", data = label } }
    if label == "bad" then files[2].data = DOCKERFILE:gsub("COPY page", "COPY nothing") end
    local object = aws.object { label .. ".zip", bucket = bucket.id, bytes = zip.pack(files), type = "application/zip" }
    aws.eb_version { label, application = app.id, bucket = bucket.id, key = object.name }
  end
  require "task".map({ "shop-blue", "shop-green" }, function(name)
    aws.environment { name, application = app, network = net, load_balanced = true, idle_timeout = 30 }
  end)
end

local function page(name) return http.get(eb.status(name).url, { timeout = 120 }).body end

T["a version goes live by a swap, one that cannot be built does not, and what eb tells is told"] = function()
  local _ <close> = test.cloud { servers = true }
  test.defer(http.close_idle)
  test.apply(ground)
  eb.deploy("shop-blue", "v1")
  local address = eb.status "shop-blue".cname
  local done = test.apply("blue_green.lua", { live = "shop-blue", idle = "shop-green", version = "v2" })
  test.equal(done.reports.Live[2][2], "v2")
  test.equal({ eb.status "shop-green".cname, page "shop-green", page "shop-blue" }, { address, "v2", "v1" })
  test.equal(test.apply("blue_green.lua", { live = "shop-blue", idle = "shop-green", version = "v2" }).changes, 0)

  test.raises("deploy bad to shop%-blue", test.apply, "blue_green.lua", { live = "shop-green", idle = "shop-blue", version = "bad" })
  test.equal({ eb.status "shop-green".cname, page "shop-green" }, { address, "v2" }, "what serves goes on serving")
  eb.deploy("shop-blue", "v1")
  eb.swap("shop-green", "shop-blue")                     -- the earlier version is back where everybody asks
  test.equal({ eb.status "shop-blue".cname, page "shop-blue" }, { address, "v1" })

  local blue = eb.status "shop-blue"
  test.equal({ blue.status, blue.health, blue.version, eb.open "shop-blue" }, { "Ready", "Green", "v1", "http://" .. address })
  local health = eb.health "shop-blue"
  test.equal({ health.status, health.color, #health.instances }, { "Ok", "Green", 1 })
  local newest = eb.events("shop-blue", { count = 3 })
  test.equal(#newest, 3)
  test.truthy(newest[1].EventDate <= newest[3].EventDate, "the newest last")
  aws.elasticbeanstalk:restart_app_server { EnvironmentName = "shop-blue" }
  local told = {}
  eb.follow("shop-blue", function(line) told[#told + 1] = line end)
  test.match(table.concat(told, "\n"), "INFO   Environment update completed successfully")
  test.match(eb.logs "shop-blue", "============= i%-%x+ ==============\n.*GET / HTTP")
  local folder = eb.bundle("shop-blue", fs.join(test.tmpdir(), "logs"))[1]
  test.truthy(#fs.list(fs.join(folder, "var", "log")) > 0, "files in the bundle")
  test.equal(eb.versions "shop-blue"[1].ApplicationName, "shop")
  local machine = eb.machines "shop-blue"[1]
  test.match(machine.address, "^%d+%.%d+%.%d+%.%d+$")
  test.raises("none of that name", eb.status, "other")
  test.raises("has no machine i%-0", eb.ssh, "shop-blue", { via = {}, machine = "i-0" })
  local lb = aws.elbv2:describe_load_balancers().LoadBalancers[1].LoadBalancerArn
  for _, a in ipairs(aws.elbv2:describe_load_balancer_attributes({ LoadBalancerArn = lb }).Attributes) do
    if a.Key == "idle_timeout.timeout_seconds" then test.equal(a.Value, "30", "as long as Heroku's router waits") end
  end
end

return T
