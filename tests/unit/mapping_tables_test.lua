--- The tables of the mapping: every name that Heroku documents has a rule, and every rule a source.
package.path = "recipes/?.lua;" .. package.path
local catalog = require "rehearsal.heroku.catalog"
local mapping = require "heroku_to_aws.mapping"
local tables = require "heroku_to_aws.tables"
local test = require "test"

local T = test.cases()

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

T["every rule names a source that has an address and a date"] = function()
  local of = { dynos = tables.dynos, levels = tables.postgres.levels, tiers = tables.postgres.tiers, nodes = tables.cache.levels,
    replicas = tables.cache.tiers, kafka = tables.kafka, addons = tables.addons, instances = tables.instances, fargate = tables.fargate,
    databases = tables.databases, caches = tables.nodes }
  for what, rules in pairs(of) do
    for name, rule in pairs(rules) do
      local source = tables.sources[rule.source]
      test.truthy(source, ("%s %s: %s"):format(what, name, tostring(rule.source)))
      test.match(source.url, "^https://")
      test.match(source.read, "^20%d%d%-%d%d")
    end
  end
end

T["every dyno size of Heroku's documentation and command line has a rule, in any case of letters"] = function()
  local sizes = words [[eco basic standard-1x standard-2x performance-m performance-l performance-l-ram performance-xl performance-2xl
    private-s private-m private-l private-l-ram private-xl private-2xl shield-s shield-m shield-l shield-l-ram shield-xl shield-2xl
    Private-Memory-L Private-Memory-XL Private-Memory-2XL Shield-Memory-L Shield-Memory-XL Shield-Memory-2XL
    dyno-1c-0.5gb dyno-2c-1gb dyno-1c-4gb dyno-2c-8gb dyno-4c-16gb dyno-8c-32gb dyno-16c-64gb dyno-2c-4gb dyno-4c-8gb dyno-8c-16gb
    dyno-16c-32gb dyno-32c-64gb dyno-1c-8gb dyno-2c-16gb dyno-4c-32gb dyno-8c-64gb dyno-16c-128gb Free Hobby 1X 2X PX Performance]]
  for _, row in ipairs(catalog.dyno_sizes) do sizes[#sizes + 1] = row[1] end
  for _, size in ipairs(sizes) do
    local memory = mapping.memory(size)
    test.truthy(memory and memory >= 512, size)
    local gigabytes = size:match "c%-([%d.]+)gb$"
    if gigabytes then test.equal(memory, math.tointeger(tonumber(gigabytes) * 1024), size) end
    test.match(mapping.instance(memory), "^[tm]%d", size)
  end
  test.equal(mapping.memory "dyno-3c-1gb", nil)
end

T["every plan of Heroku Postgres has a class that holds its memory, and a standby where its tier has one"] = function()
  local memory = {}
  for _, row in ipairs(tables.databases) do memory[row.class] = row.memory end
  local plans = words "mini basic hobby-dev hobby-basic essential-0 essential-1 essential-2 crane kappa ronin fugu ika zilla baku mecha ryu"
  for _, tier in ipairs(words "standard premium private shield") do
    for _, level in ipairs(words "0 2 3 4 5 6 7 8 9 10") do plans[#plans + 1] = tier .. "-" .. level end
    for _, level in ipairs(tier == "standard" and {} or words "l-6 xl-6 l-9 xl-9") do plans[#plans + 1] = tier .. "-" .. level end
  end
  for _, tier in ipairs(words "standard premium") do
    for _, level in ipairs(words "yanari tengu ika baku mecha ryu") do plans[#plans + 1] = tier .. "-" .. level end
  end
  for _, n in ipairs(words "4 8 16 32 64 128 256 384 512 768") do plans[#plans + 1] = n .. "G-Performance" end
  for name in pairs(catalog.plans) do plans[#plans + 1] = name:match "^heroku%-postgresql:(.+)$" end
  for _, name in ipairs(plans) do
    local found = mapping.postgres("heroku-postgresql:" .. name)
    test.truthy(memory[found.class], name .. ": " .. tostring(found.class))
    test.truthy(found.gigabytes >= 20, name)
    local level = tables.postgres.levels[name:lower()] or tables.postgres.levels[name:match "^%a+%-(.+)$"]
    test.truthy(memory[found.class] >= (level.memory or 0), name)
    test.truthy(found.gigabytes >= (level.gigabytes or 0), name)
    test.equal(found.multi_az, name:find "^premium" ~= nil or name:find "^private" ~= nil or name:find "^shield" ~= nil, name)
  end
  for _, name in ipairs { "standard-1", "premium-11", "gold-0", "standard-l" } do
    test.equal(test.raises("%-%-db%-instance%-class", mapping.postgres, "heroku-postgresql:" .. name).kind, "usage")
  end
end

T["every plan of Heroku Key-Value Store has a node that lets data fill as much"] = function()
  local memory = {}
  for _, row in ipairs(tables.nodes) do memory[row.type] = row.memory end
  local plans = words [[mini hobby-dev premium-0 premium-1 premium-2 premium-3 premium-4 premium-5 premium-7 premium-9 premium-10
    premium-12 premium-14]]
  for _, tier in ipairs(words "private shield") do
    for _, level in ipairs(words "7 9 10 12 14") do plans[#plans + 1] = tier .. "-" .. level end
  end
  for name in pairs(catalog.plans) do plans[#plans + 1] = name:match "^heroku%-redis:(.+)$" end
  for _, name in ipairs(plans) do
    local found = mapping.cache("heroku-redis:" .. name)
    local level = tables.cache.levels[name] or tables.cache.levels[name:match "%-(%d+)$"]
    test.truthy(memory[found.node_type] * tables.node_share >= level.memory, name)
    test.equal(found.replicas, (name == "mini" or name == "hobby-dev") and 0 or 1, name)
  end
end

T["plans of Kafka are deferred, each with what to look at instead and the reason"] = function()
  for _, plan in ipairs(words [[basic-0 basic-1 basic-2 standard-0 standard-1 standard-2 extended-0 extended-1 extended-2
    private-standard-0 private-extended-2 shield-standard-1 shield-extended-0]]) do
    local addon = mapping.addons({ { service = "heroku-kafka", plan = "heroku-kafka:" .. plan, name = "k" } })[1]
    test.equal({ addon.becomes, addon.loud }, { "deferred", true }, plan)
    test.match(addon.note, "^Amazon MSK.*offsets")
  end
  test.match(mapping.addons({ { service = "heroku-kafka", plan = "heroku-kafka:new", name = "k" } })[1].note, "Amazon MSK")
end

T["at least forty add-ons have a rule, which says what becomes of them and why"] = function()
  local count = 0
  for name, rule in pairs(tables.addons) do
    count = count + 1
    test.truthy(({ moved = 1, carried = 1, deferred = 1 })[rule.becomes], name)
    test.truthy(#rule.note > 15, name)
  end
  test.truthy(count >= 40, count)
end

T["machines, classes, nodes and tasks stand in order, and each class and node that a rule names is there"] = function()
  for _, list in ipairs { tables.instances, tables.databases, tables.nodes } do
    for i = 2, #list do test.truthy(list[i].memory > list[i - 1].memory, i) end
  end
  for i = 2, #tables.fargate do
    local a, b = tables.fargate[i - 1], tables.fargate[i]
    test.truthy(b.cpu >= a.cpu and b.memory > a.memory, i)
  end
end

return T
