--- Moves one Redis, such as Heroku Key-Value Store, to Valkey on ElastiCache, and leaves the app where it is. Makes a private
--- network, the cache and a bastion, copies every key with its expiry through the bastion, and compares both sides key by
--- key. Stop whatever writes to the source first: jobs that run meanwhile are not in both.
---
---     HKRUN_FROM="$(heroku config:get REDIS_URL -a shop)" \
---       hkrun recipes/examples/move_redis.lua --name shop --ssh-from 203.0.113.7/32
---
--- It ends with
---
---     Equal on both sides
---       keys  1204
---     New cache
---       address  master.shop.c0ffee.use1.cache.amazonaws.com
---       URL      arn:aws:secretsmanager:us-east-1:123456789012:secret:shop-redis-url-Ab12Cd
local recipe, aws, redis = require "recipe", require "aws", require "redis"

local opt = recipe.options {
  { "name", "what to call all of it", target = true },
  { "from", "URL of the Redis to move", type = "secret", required = true },
  { "insecure", "the source's certificate is its own, as Heroku's are", default = false },
  { "ssh_from", "who may reach the bastion: your own address, as 203.0.113.7/32", required = true },
  { "region", "AWS region", default = "us-east-1", use = function(v) aws.use { region = v } end },
  { "node_type", "size of the cache", default = "cache.t4g.micro" },
  { "final_snapshot", "destroy keeps a snapshot of the cache", default = true },
  { "bastion_user", "who to log in as on the bastion", default = "ec2-user" },
}

recipe.stage "network"
local net = aws.network { opt.name, cidr = "10.40.0.0/16", zones = 2 }
local bastion = aws.bastion { opt.name, network = net, ssh_from = opt.ssh_from, user = opt.bastion_user }

recipe.stage "cache"
local cache = aws.cache { opt.name, network = net, allow = { bastion.group }, node_type = opt.node_type,
                          final_snapshot = opt.final_snapshot }
local url = aws.secret { opt.name .. "-redis-url", value = cache.url, description = "URL of the cache " .. opt.name }

recipe.stage "copy"
local keys = recipe.once("copy and compare", function()
  local session <close> = bastion:open()
  local from, to = { url = opt.from, insecure = opt.insecure }, { url = cache.url, via = session }
  redis.copy { from = from, to = to, restart = true }
  return redis.same({ from, to }).keys
end)
recipe.report("Equal on both sides", { { "keys", keys } })
recipe.report("New cache", { { "address", cache.endpoint }, { "URL", url.arn } })
