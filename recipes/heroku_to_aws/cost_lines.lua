--- The lines of AWS's bill for a plan: what the recipe makes, and what is easily forgotten, named also where it costs nothing.
local fargate_sizes = require "heroku_to_aws.tables".fargate
local mapping = require "heroku_to_aws.mapping"
local prices = require "heroku_to_aws.prices"
local thresholds = require "heroku_to_aws.thresholds"

local DISK = 8                          -- gigabytes of a machine's own disk: the images of Amazon Linux 2023
local FREE_OUT = 100                    -- gigabytes a month that may leave for the internet for nothing
local H = prices.hours

--- The counterparts: arm64 for the app's machines; x86-64 for stores.
local ARM = { t3 = "t4g", m6i = "m7g" }
local X86 = { ["db.t4g"] = "db.t3", ["db.m7g"] = "db.m6i", ["db.r7g"] = "db.r6i", ["cache.t4g"] = "cache.t3", ["cache.m7g"] = "cache.m5",
              ["cache.r7g"] = "cache.r5" }

local function swapped(type, map)
  local family, size = type:match "^(.+)%.([^.]+)$"
  return map[family] and map[family] .. "." .. size or type
end

--- Cents of so many units at a price in millionths of a dollar; nil while the price is unknown.
local function cents(price, quantity)
  return price and math.tointeger((price * quantity + 5000) // 10000)
end

local function words(micro) return micro and ("$%.4g"):format(micro / 1e6) or "an unknown price" end

--- The alarms that watch.lua makes.
local function alarms_of(plan, fargate)
  local balanced, count = 0, 0
  for _, e in ipairs(plan.environments) do if e.load_balanced then balanced = balanced + 1 end end
  local times = { db = plan.postgres and 1 or 0, cache = plan.cache and 1 + plan.cache.replicas or 0, environment = #plan.environments,
                  machines = #plan.environments, balancer = balanced }
  if fargate then
    local services = 0
    for _, e in ipairs(plan.environments) do services = services + #e.processes end
    times.environment, times.machines, times.service = 0, 0, services
  end
  for _, alarm in ipairs(thresholds) do count = count + (times[alarm.of] or 0) end
  return count
end

--- The smallest task that holds a dyno, as fargate.lua chooses it; nil: there is none.
local function task_size(process)
  for _, size in ipairs(fargate_sizes) do
    if size.memory >= (mapping.memory(process.size) or math.huge) then return size end
  end
end

--- The machines of the app, or its tasks; gives how many have a public address of their own.
local function app(plan, o, price, line)
  local addresses, balancers = 0, 0
  for _, e in ipairs(plan.environments) do
    if o.fargate then
      for _, p in ipairs(e.processes) do
        local count, size = e.instances * p.replicas, task_size(p)
        local kind = o.graviton and "arm-" or ""
        local cpu, memory = price("fargate", kind .. "vcpu"), price("fargate", kind .. "gigabyte")
        local each = size and cpu and memory and cpu * size.cpu // 1024 + memory * size.memory // 1024 or nil
        line("tasks of " .. p.type, size and ("%d x %g vCPU, %g GB"):format(count, size.cpu / 1024, size.memory / 1024) or p.size,
          cents(each, count * H), not size and "Fargate has no task of that size" or nil)
        addresses = addresses + count
      end
    else
      local type = o.graviton and swapped(e.instance_type, ARM) or e.instance_type
      line("machines of " .. e.name, ("%d x %s"):format(e.instances, type), cents(price("ec2", type), e.instances * H),
        o.graviton and "needs images for arm64" or nil)
      line("disks of " .. e.name, ("%d x %d GB gp3"):format(e.instances, DISK), cents(price("ebs", "gp3"), e.instances * DISK))
      addresses = addresses + e.instances
    end
    if e.load_balanced then balancers = balancers + 1 end
  end
  local web = plan.environments[1].processes[1].type == "web"
  if o.fargate then balancers = web and 1 or 0 end
  if balancers == 0 then line("load balancer", "none", 0, "one machine takes the requests itself; several, or --domain, need one")
  else
    line("load balancer", ("%d, by the hour"):format(balancers), cents(price("alb", "hour"), balancers * H))
    line("load balancer, use", ("%d LCU on average"):format(balancers), cents(price("alb", "lcu"), balancers * H),
      "an LCU is 25 new connections a second, or 1 GB an hour: most small apps stay below")
  end
  return addresses + balancers * (o.zones or 2)
end

local function stores(plan, o, price, line)
  local db, cache = plan.postgres, plan.cache
  if db then
    local class = o.x86_stores and swapped(db.class, X86) or db.class
    local standby = db.multi_az
    if o.multi_az ~= nil then standby = o.multi_az end
    local times = standby and 2 or 1
    line("PostgreSQL", ("%s%s"):format(class, standby and ", Multi-AZ" or ""), cents(price("rds", class), times * H))
    line("PostgreSQL, storage", ("%d GB gp3%s"):format(db.gigabytes, standby and ", twice" or ""), cents(price("rds", "gp3"), times * db.gigabytes))
    line("PostgreSQL, backups", "as much as the storage", 0,
      ("free up to the size of the storage; beyond that, and for a final snapshot, %s a GB and month"):format(words(price("rds", "backup"))))
  end
  if cache then
    local node = o.x86_stores and swapped(cache.node_type, X86) or cache.node_type
    line("Redis (Valkey)", ("%d x %s"):format(1 + cache.replicas, node), cents(price("elasticache", node), (1 + cache.replicas) * H))
  end
end

local function network(o, price, line, addresses)
  if o.nat then
    local zones = o.zones or 2
    line("NAT gateway", ("%d, one in each zone"):format(zones), cents(price("nat", "hour"), zones * H),
      ("and %s a GB that passes"):format(words(price("nat", "gigabyte"))))
    addresses = addresses + zones
  else
    line("NAT gateway", "none", 0, "the machines have public addresses, and the stores need no way out")
  end
  line("public IPv4 addresses", tostring(addresses), cents(price("ipv4", "address"), addresses * H))
  local gigabytes = o.traffic_gigabytes
  line("data transfer out", gigabytes and ("%d GB"):format(gigabytes) or "not known",
    gigabytes and cents(price("transfer", "out"), math.max(0, gigabytes - FREE_OUT)),
    ("%d GB a month are free, a GB more costs %s%s"):format(FREE_OUT, words(price("transfer", "out")),
      gigabytes and "" or ": recipes/audit.lua counts them with --traffic-gigabytes"))
end

local function rest(plan, o, price, line)
  local secrets = 1 + (plan.postgres and 1 or 0) + (plan.cache and 1 or 0)
  line("Secrets Manager", ("%d secrets"):format(secrets), cents(price("secretsmanager", "secret"), secrets))
  local alarms = o.create_alarm ~= false and alarms_of(plan, o.fargate) or 0
  line("CloudWatch, alarms", ("%d"):format(alarms), alarms == 0 and 0 or cents(price("cloudwatch", "alarm"), alarms))
  if not o.fargate then
    line("CloudWatch, metrics", ("%d of the app"):format(#plan.environments), cents(price("cloudwatch", "metric"), #plan.environments))
  end
  line("CloudWatch, dashboard", o.create_alarm ~= false and "1" or "none", 0, "the first three of an account are free")
  local gigabytes = o.log_gigabytes
  line("CloudWatch, logs", gigabytes and ("%d GB"):format(gigabytes) or "not known", gigabytes and cents(price("cloudwatch", "logs"), gigabytes),
    gigabytes and "" or ("%s a GB that the app prints: recipes/audit.lua counts it with --log-gigabytes"):format(words(price("cloudwatch", "logs"))))
  if o.activate_bastion ~= false then
    line("bastion, also when idle", "1 x t3.micro", cents(price("ec2", "t3.micro"), H), "--activate-bastion=false takes it away")
    line("bastion, disk", ("%d GB gp3"):format(DISK), cents(price("ebs", "gp3"), DISK))
  else
    line("bastion", "none", 0)
  end
  if o.data == "dms" then
    local hour = price("dms", "dms.t3.medium")
    line("DMS instance", "1 x dms.t3.medium", cents(hour, H), "only while the move is prepared: it is deleted after the cutover")
  else
    line("DMS instance", "none", 0, "hkrun copies the data itself")
  end
  if o.domain and #o.domain > 0 then
    line("Route 53", "1 zone", cents(price("route53", "zone"), 1), "where the zone is there; the certificate is free")
  end
  line("images and bundles", "by the GB", nil, ("ECR and S3 keep each version: %s a GB and month in ECR"):format(words(price("ecr", "gigabyte"))))
end

--- Lines of the bill.
---@param plan table of mapping.plan
---@param o table options of cost.of
---@param price fun(service: string, name: string): integer?
---@return CostLine[]
return function(plan, o, price)
  local lines = {}
  local function line(what, how, amount, note) lines[#lines + 1] = { what = what, how = how, cents = amount, note = note } end
  local addresses = app(plan, o, price, line)
  stores(plan, o, price, line)
  if o.activate_bastion ~= false then addresses = addresses + 1 end
  network(o, price, line, addresses)
  rest(plan, o, price, line)
  return lines
end
