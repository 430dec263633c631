--- Sizes by what was measured, beside those of the plan.
package.path = "recipes/?.lua;" .. package.path
local mapping = require "heroku_to_aws.mapping"
local sizing = require "heroku_to_aws.sizing"
local test = require "test"

local T = test.cases()

local GB = 1 << 30

local databases = {
  -- what was measured, the plan's class, the proposal, a word of the reason
  { { bytes = 3 * GB, connections_used = 40 }, "db.r7g.xlarge", "db.m7g.large", "all of its 3.0 GB fit into the memory, and its 40 connections" },
  { { bytes = 3 * GB }, "db.r7g.xlarge", "db.m7g.large", "look at the load of its processor" },
  { { bytes = 3 * GB }, "db.m7g.large", "db.m7g.large", "fit into the memory" },              -- not to a burstable one
  { { bytes = 100 << 20 }, "db.t4g.medium", "db.t4g.micro", "100 MB" },
  { { bytes = 100 << 20, connections_used = 100 }, "db.t4g.medium", "db.t4g.small", "100 connections" },  -- a micro has 112, of which 4/5 may be used
  { { bytes = 200 * GB }, "db.r7g.xlarge", "db.r7g.xlarge", "do not fit" },
  { { bytes = 200 * GB, cache_hit = 0.93 }, "db.r7g.xlarge", "db.r7g.2xlarge", "only 93.0 %% of the reads" },
  { { bytes = 200 * GB, cache_hit = 0.995 }, "db.r7g.xlarge", "db.r7g.xlarge", "do not fit" },
  { { bytes = 1 * GB, cache_hit = 0.5 }, "db.r7g.xlarge", "db.m7g.large", "fit into" },          -- it has just been started
  { {}, "db.r7g.xlarge", nil, "not known" },
  { { bytes = 1 }, "db.x2g.large", nil, "not among" },
}
for i, c in ipairs(databases) do
  T[("a database is measured, %d"):format(i)] = function()
    local class, reason = sizing.postgres(c[1], c[2])
    test.equal(class, c[3])
    test.match(reason, c[4])
  end
end

local caches = {
  { { bytes = 20 << 20 }, "cache.t4g.micro" }, { { bytes = 192 << 20 }, "cache.t4g.micro" }, { { bytes = (192 << 20) + 1 }, "cache.t4g.small" },
  { { bytes = 4 * GB }, "cache.r7g.large" }, { { bytes = 300 * GB }, nil }, { {}, nil },
}
for i, c in ipairs(caches) do
  T[("a cache is measured, %d: the node holds twice as much"):format(i)] = function()
    test.equal((sizing.cache(c[1])), c[2])
  end
end

T["storage is at least twice the data, and never less than RDS makes"] = function()
  test.equal({ sizing.storage(), sizing.storage(1), sizing.storage(10e9), sizing.storage(10e9 + 1) }, { 20, 20, 20, 21 })
end

local function facts(o)
  local f = { app = { name = "shop" }, addons = {}, config = { names = {}, postgres = {}, redis = {} },
    formation = { { type = "web", quantity = 1, size = "Performance-L", command = "web", memory_used = o.memory_used } },
    postgres = { plan = "heroku-postgresql:premium-4", version = "16", bytes = 3 * GB, connections_used = 40 },
    redis = { plan = "heroku-redis:premium-7", bytes = 100 << 20 } }
  return f
end

T["the plan takes the plan's sizes, shows the measured ones beside them, and takes those where it is told"] = function()
  local plan = mapping.plan(facts { memory_used = 1000 }, {})
  test.equal({ plan.environments[1].instance_type, plan.postgres.class, plan.cache.node_type }, { "m6i.xlarge", "db.r7g.xlarge", "cache.r7g.large" })
  local seen = {}
  for i, row in ipairs(plan.sizes) do seen[i] = ("%s: %s | %s -> %s"):format(row.what, row.like, tostring(row.measured), row.chosen) end
  test.equal(seen, { "shop: m6i.xlarge | t3.small -> m6i.xlarge", "PostgreSQL: db.r7g.xlarge | db.m7g.large -> db.r7g.xlarge",
    "Redis: cache.r7g.large | cache.t4g.micro -> cache.r7g.large" })
  plan = mapping.plan(facts { memory_used = 1000 }, { sizing = "measured" })
  test.equal({ plan.environments[1].instance_type, plan.postgres.class, plan.cache.node_type }, { "t3.small", "db.m7g.large", "cache.t4g.micro" })
  test.equal({ plan.postgres.multi_az, plan.postgres.gigabytes, plan.cache.replicas }, { true, 768, 1 })
end

T["what was chosen by hand stays, and what nobody measured stays the plan's"] = function()
  local plan = mapping.plan(facts {}, { sizing = "measured", db_instance_class = "db.m6i.large", cache_node_type = "cache.m7g.large" })
  test.equal({ plan.environments[1].instance_type, plan.postgres.class, plan.cache.node_type }, { "m6i.xlarge", "db.m6i.large", "cache.m7g.large" })
  test.equal({ plan.sizes[1].measured, plan.sizes[2].measured }, {})
  test.match(plan.sizes[1].reason, "not known")
end

return T
