--- The mapping's rules: what runs on Heroku, and what it becomes.
package.path = "recipes/?.lua;" .. package.path
local audit = require "heroku_to_aws.audit"
local fs = require "fs"
local mapping = require "heroku_to_aws.mapping"
local scheduler = require "heroku_to_aws.scheduler"
local test = require "test"

local T = test.cases()

local postgres = {
  { "heroku-postgresql:essential-0", nil, nil, "db.t4g.micro", 20, false },
  { "heroku-postgresql:standard-0", nil, nil, "db.t4g.medium", 64, false },
  { "heroku-postgresql:premium-0", nil, nil, "db.t4g.medium", 64, true },
  { "heroku-postgresql:standard-0", 60e9, nil, "db.t4g.medium", 120, false },
  { "heroku-postgresql:private-4", nil, nil, "db.r7g.xlarge", 768, true },
  { "heroku-postgresql:standard-2", nil, "db.m6i.large", "db.m6i.large", 256, false },
  { "heroku-postgresql:new-9000", nil, "db.m6i.large", "db.m6i.large", 20, false },
}
for i, c in ipairs(postgres) do
  T[("a Heroku Postgres plan becomes an RDS instance, %d: %s"):format(i, c[1])] = function()
    test.equal(mapping.postgres(c[1], c[2], c[3]), { class = c[4], gigabytes = c[5], multi_az = c[6] })
  end
end

local cache = {
  { "heroku-redis:mini", nil, "cache.t4g.micro", 0 },
  { "heroku-redis:premium-0", nil, "cache.t4g.micro", 1 },
  { "heroku-redis:premium-7", nil, "cache.r7g.large", 1 },
  { "heroku-redis:private-14", nil, "cache.r7g.8xlarge", 1 },
  { "heroku-redis:premium-0", "cache.m7g.large", "cache.m7g.large", 1 },
}
for i, c in ipairs(cache) do
  T[("a Heroku Redis plan becomes a Valkey group, %d: %s"):format(i, c[1])] = function()
    test.equal(mapping.cache(c[1], c[2]), { node_type = c[3], replicas = c[4] })
  end
end

T["how many dynos ran goes through the tag that keeps it; what a tag cannot hold is left out"] = function()
  local formation = { { type = "clock", quantity = 0 }, { type = "web", quantity = 2 }, { type = "worker_a-1", quantity = 10 } }
  test.equal(mapping.dynos(formation), "web=2 worker_a-1=10")
  test.equal(mapping.quantities "web=2 worker_a-1=10", { web = 2, ["worker_a-1"] = 10 })
  test.equal(mapping.dynos { { type = ("w"):rep(255), quantity = 1 } }, nil)
end

T["a plan that no table knows is refused and the option that helps is named"] = function()
  test.equal(test.raises("new%-9000 .* %-%-db%-instance%-class", mapping.postgres, "heroku-postgresql:new-9000").kind, "usage")
  test.raises("huge %-?.*%-%-cache%-node%-type", mapping.cache, "heroku-redis:huge ")
  test.raises("no machine .* 999999 MB", mapping.instance, 999999)
  test.raises("dyno size Giant", mapping.environments, "a", { { type = "web", quantity = 1, size = "Giant" } })
end

local function dyno(type, quantity, size) return { type = type, quantity = quantity, size = size or "Standard-1X", command = type .. " it" } end
local function shape(list)
  local parts = {}
  for i, e in ipairs(list) do
    local names = {}
    for j, p in ipairs(e.processes) do names[j] = p.type .. "*" .. p.replicas end
    parts[i] = ("%s %s x%d%s: %s"):format(e.name, e.instance_type, e.instances, e.load_balanced and " balanced" or e.worker and " workers" or "",
      table.concat(names, " "))
  end
  return table.concat(parts, "; ")
end
local formations = {
  { { dyno("web", 1) }, "a t3.small x1: web*1" },
  { { dyno("worker", 1), dyno("web", 1) }, "a t3.small x1: web*1 worker*1" },
  { { dyno("web", 1), dyno("worker", 4) }, "a t3.small x1: web*1; a-worker t3.small x2 workers: worker*2" },
  { { dyno("web", 3), dyno("worker", 2), dyno("clock", 1) },
    "a t3.small x3 balanced: web*1; a-once t3.small x1: clock*1; a-worker t3.small x2 workers: worker*1" },
  { { dyno("web", 2), dyno("worker", 1), dyno("clock", 1) }, "a t3.small x2 balanced: web*1; a-worker t3.small x1: clock*1 worker*1" },
  { { dyno("web", 1), dyno("clock", 1), dyno("image_worker", 9) },
    "a t3.small x1: web*1 clock*1; a-image-worker t3.medium x3 workers: image_worker*3" },
  { { dyno("worker", 5) }, "a-worker t3.small x5 workers: worker*1" },
  { { dyno("worker", 2), dyno("clock", 1) }, "a-once t3.small x1: clock*1; a-worker t3.small x2 workers: worker*1" },
  { { dyno("web", 2) }, "a t3.small x2 balanced: web*1" },
  { { dyno("web", 0), dyno("worker", 1) }, "a t3.small x1: worker*1" },
  { { dyno("web", 1), dyno("worker", 0), dyno("release", 0) }, "a t3.small x1: web*1" },
  { { dyno("web", 1, "Performance-L") }, "a m6i.xlarge x1: web*1" },
}
for i, c in ipairs(formations) do
  T[("a formation becomes environments, %d"):format(i)] = function() test.equal(shape(mapping.environments("a", c[1])), c[2]) end
end

T["a process of several dynos never stands on a single machine, and has as many dynos as before; what runs once runs once"] = function()
  for quantity = 1, 60 do
    local seen = {}
    for _, e in ipairs(mapping.environments("a", { dyno("web", 1), dyno("worker", quantity), dyno("clock", 1) })) do
      for _, p in ipairs(e.processes) do
        seen[p.type] = (seen[p.type] or 0) + e.instances * p.replicas
        if p.type == "worker" and quantity > 1 then test.truthy(e.instances > 1, quantity) end
        if p.type == "clock" then test.equal(e.instances, 1, quantity) end
      end
    end
    test.equal(seen, { web = 1, worker = quantity, clock = 1 })
  end
end

T["each environment has a name of its own that Elastic Beanstalk takes: 40 letters, digits and dashes at most, none at the end"] = function()
  local long = "a-name-of-thirty-letters-in-all"
  for _, c in ipairs {
    { "shop", { dyno("my-worker", 2), dyno("my_worker", 2), dyno("web", 1) }, { "shop", "shop-my-worker", "shop-my-worker-2" } },
    { "shop", { dyno("clock", 1), dyno("once", 2), dyno("worker", 2) }, { "shop-once-2", "shop-once", "shop-worker" } },
    { "shop", { dyno("Mail", 2), dyno("mail", 2) }, { "shop-Mail", "shop-mail-2" } },
    { "shop", { dyno("mail_", 2) }, { "shop-mail" } },
    { long, { dyno("mailer-fast", 2), dyno("mailer-fair", 2), dyno("web", 1) }, { long, long .. "-mailer-f", long .. "-mailer-2" } },
  } do
    local names = {}
    for i, e in ipairs(mapping.environments(c[1], c[2])) do
      names[i] = e.name
      test.truthy(#e.name <= 40 and e.name:find "^%w[%w-]*%w$", e.name)
    end
    test.equal(names, c[3])
  end
end

T["the environment of Scheduler's jobs has a name of its own, too"] = function()
  local file = test.tmpdir() .. "/jobs.yml"
  fs.write(file, "- command: rake x\n  dyno_size: Standard-1X\n  frequency: every 10 minutes\n")
  local plan = { name = "shop", environments = mapping.environments("shop", { dyno("jobs", 2), dyno("web", 2) }), addons = {} }
  scheduler.read(file, plan, {}, { formation = {} })
  test.equal({ plan.environments[2].name, plan.environments[3].name, plan.jobs_in }, { "shop-jobs", "shop-jobs-2", "shop-jobs-2" })
end

T["an app whose name cannot stand in the names of what is made is refused, and the option that helps is named"] = function()
  for _, name in ipairs { "abc", "a--b", "a-name-ends-" } do
    test.raises("%-%-environment%-name", audit.read, { name = name, generation = "cedar" }, {})
  end
end

T["an app without a dyno is refused"] = function()
  test.raises("runs no dyno", mapping.environments, "a", { dyno("web", 0), dyno("worker", 0) })
end

T["known add-ons have a successor, unknown ones are deferred with a reason"] = function()
  local list = mapping.addons {
    { service = "heroku-postgresql", plan = "p", name = "pg-1", store = true }, { service = "papertrail", plan = "p", name = "pt" },
    { service = "sendgrid", plan = "p", name = "sg" }, { service = "scheduler", plan = "p", name = "s" },
    { service = "never-heard-of", plan = "p", name = "n" }, { service = "heroku-postgresql", plan = "p", name = "pg-2", store = false },
  }
  local got = {}
  for i, a in ipairs(list) do got[i] = a.becomes test.truthy(#a.note > 10) end
  test.equal(got, { "moved", "moved", "carried", "deferred", "deferred", "deferred" })
  test.equal({ list[4].loud, list[5].loud, list[6].loud }, { true, false, true })
end

--- What becomes of the vars whose names are given, as words.
local function config(names, more)
  local facts = { names = names, postgres = {}, redis = {} }
  for k, v in pairs(more or {}) do facts[k] = v end
  return mapping.config(facts)
end

T["config vars: every alias of a store's URL is replaced, Heroku's own are left behind"] = function()
  test.equal(config({ "DATABASE_URL", "HEROKU_POSTGRESQL_PINK_URL", "REDIS_URL", "HEROKU_APP_ID", "DYNO", "PORT", "HEROKUISH" },
    { postgres = { DATABASE_URL = true, HEROKU_POSTGRESQL_PINK_URL = true }, redis = { REDIS_URL = true } }), {
    DATABASE_URL = "database", HEROKU_POSTGRESQL_PINK_URL = "database", REDIS_URL = "cache", HEROKU_APP_ID = "noise", DYNO = "noise",
    PORT = "noise", HEROKUISH = "plain",
  })
end

T["config vars: what sounds like a secret is one, whatever its case; public keys and settings are plain"] = function()
  local class = config { "SECRET_KEY_BASE", "session_secret", "GITHUB_TOKEN", "DB_PASSWORD", "AWS_ACCESS_KEY_ID", "PRIVATE_PEM", "SENTRY_DSN",
    "STRIPE_PUBLISHABLE_KEY", "VAPID_PUBLIC_KEY", "RAILS_ENV", "WEB_CONCURRENCY", "LANG", "MONKEY_MODE" }
  local secrets, plain = {}, {}
  for name, c in pairs(class) do table.insert(c == "secret" and secrets or c == "plain" and plain or error(c), name) end
  table.sort(secrets)
  table.sort(plain)
  test.equal(secrets, { "AWS_ACCESS_KEY_ID", "DB_PASSWORD", "GITHUB_TOKEN", "PRIVATE_PEM", "SECRET_KEY_BASE", "SENTRY_DSN", "session_secret" })
  test.equal(plain, { "LANG", "MONKEY_MODE", "RAILS_ENV", "STRIPE_PUBLISHABLE_KEY", "VAPID_PUBLIC_KEY", "WEB_CONCURRENCY" })
end

T["config vars: one of an add-on, a URL with a password, and one that points at Heroku say why"] = function()
  local class, notes = config({ "CLOUDAMQP_URL", "MONGO", "PGHOST" }, { addons = { CLOUDAMQP_URL = "cloudamqp" }, passwords = { MONGO = true },
    stale = { PGHOST = "it is the host of the store on Heroku" } })
  test.equal(class, { CLOUDAMQP_URL = "addon", MONGO = "secret", PGHOST = "plain" })
  test.equal(notes, { CLOUDAMQP_URL = "it belongs to the add-on cloudamqp, and holds for as long as that lives",
    MONGO = "its value is a URL with a password", PGHOST = "it is the host of the store on Heroku" })
end

T["config vars: plain ones of 4,096 bytes in all are properties; one byte more, and the last of them stands with the secrets"] = function()
  local sizes = { AAA = 2000, BBB = 4096 - 2004 - 4 - 6, CC = 3 }    -- "AAA=" and so on count too
  local class, notes = config({ "AAA", "BBB", "CC" }, { sizes = sizes })
  test.equal({ class, notes }, { { AAA = "plain", BBB = "plain", CC = "plain" }, {} })
  sizes.CC = 4
  class, notes = config({ "AAA", "BBB", "CC" }, { sizes = sizes })
  test.equal(class, { AAA = "plain", BBB = "plain", CC = "secret" })
  test.match(notes.CC, "may have 4096 bytes")
end

return T
