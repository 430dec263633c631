--- What becomes what. Edit this: it is data.
---
--- Sources, read in June 2026: devcenter.heroku.com/articles/dyno-types, .../heroku-postgres-plans,
--- .../heroku-redis plans at elements.heroku.com/addons/heroku-redis; aws.amazon.com/ec2/instance-types,
--- .../rds/instance-types; docs.aws.amazon.com/AmazonElastiCache/latest/dg/ParameterGroups.Engine.html (maxmemory).
local M = {}

--- Memory of one dyno, in megabytes.
M.dynos = {
  ["eco"] = 512, ["basic"] = 512, ["hobby"] = 512, ["free"] = 512, ["standard-1x"] = 512, ["standard-2x"] = 1024,
  ["performance-m"] = 2560, ["performance-l"] = 14336, ["performance-l-ram"] = 30720, ["performance-xl"] = 63488,
  ["performance-2xl"] = 129024, ["private-s"] = 1024, ["private-m"] = 2560, ["private-l"] = 14336,
  ["private-l-ram"] = 30720, ["private-xl"] = 63488, ["private-2xl"] = 129024, ["shield-s"] = 1024,
  ["shield-m"] = 2560, ["shield-l"] = 14336, ["shield-l-ram"] = 30720, ["shield-xl"] = 63488, ["shield-2xl"] = 129024,
}

--- x86-64 machines for the app's containers, the smallest first: slugs hold x86-64 programs. Megabytes.
M.instances = {
  { type = "t3.small", memory = 2048 }, { type = "t3.medium", memory = 4096 }, { type = "t3.large", memory = 8192 },
  { type = "m6i.xlarge", memory = 16384 }, { type = "m6i.2xlarge", memory = 32768 }, { type = "m6i.4xlarge", memory = 65536 },
  { type = "m6i.8xlarge", memory = 131072 }, { type = "m6i.16xlarge", memory = 262144 },
}

--- Sizes of a Fargate task: cpu units (1024 are one vCPU) and megabytes, the smallest first. Of the memories that Fargate
--- offers for a cpu (docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html, June 2026), those that
--- hold a dyno.
M.fargate = {
  { cpu = 256, memory = 512 }, { cpu = 512, memory = 1024 }, { cpu = 1024, memory = 3072 }, { cpu = 2048, memory = 14336 },
  { cpu = 4096, memory = 30720 }, { cpu = 16384, memory = 65536 }, { cpu = 16384, memory = 122880 },
}

--- What the system and the container engine take of a machine, in megabytes.
M.instance_overhead = 600

--- Heroku Postgres plans by level: RDS class of about the same memory, and the plan's storage in gigabytes (20 at least).
M.postgres = {
  ["mini"] = { class = "db.t4g.micro", gigabytes = 20 }, ["basic"] = { class = "db.t4g.micro", gigabytes = 20 },
  ["hobby-dev"] = { class = "db.t4g.micro", gigabytes = 20 }, ["hobby-basic"] = { class = "db.t4g.micro", gigabytes = 20 },
  ["essential-0"] = { class = "db.t4g.micro", gigabytes = 20 }, ["essential-1"] = { class = "db.t4g.micro", gigabytes = 20 },
  ["essential-2"] = { class = "db.t4g.small", gigabytes = 32 },
  ["0"] = { class = "db.t4g.medium", gigabytes = 64 }, ["2"] = { class = "db.m7g.large", gigabytes = 256 },
  ["3"] = { class = "db.m7g.xlarge", gigabytes = 512 }, ["4"] = { class = "db.r7g.xlarge", gigabytes = 768 },
  ["5"] = { class = "db.r7g.2xlarge", gigabytes = 1024 }, ["6"] = { class = "db.r7g.4xlarge", gigabytes = 1536 },
  ["7"] = { class = "db.r7g.8xlarge", gigabytes = 2048 }, ["8"] = { class = "db.r7g.16xlarge", gigabytes = 3072 },
  ["9"] = { class = "db.r6i.24xlarge", gigabytes = 4096 },
}

--- Tiers of Heroku Postgres ("premium-2" is tier premium, level 2), and whether they have a standby.
M.postgres_tiers = { standard = false, premium = true, private = true, shield = true }

--- Heroku Key-Value Store plans by level: ElastiCache node whose usable memory (three quarters) holds the plan's.
M.cache = {
  ["mini"] = "cache.t4g.micro", ["hobby-dev"] = "cache.t4g.micro",
  ["0"] = "cache.t4g.micro", ["1"] = "cache.t4g.micro", ["2"] = "cache.t4g.micro", ["3"] = "cache.t4g.small",
  ["5"] = "cache.t4g.small", ["7"] = "cache.r7g.large", ["9"] = "cache.r7g.xlarge", ["10"] = "cache.r7g.2xlarge",
  ["12"] = "cache.r7g.4xlarge", ["14"] = "cache.r7g.8xlarge",
}

--- Tiers of Heroku Key-Value Store, and the replicas that stand behind them.
M.cache_tiers = { premium = 1, private = 1, shield = 1 }

--- Config vars by name; the first pattern that fits decides, and what fits none is plain. "noise" is Heroku's own and stays
--- behind; a "secret" goes to Secrets Manager, whatever it holds; "plain" ones become environment properties, which whoever may
--- look at the environment sees. A URL with a password in it is a secret under any name, and what an add-on owns too.
M.config = {
  { "^HEROKU_", "noise", "Heroku's own" }, { "^DYNO$", "noise", "the name of a dyno" }, { "^DYNO_RAM$", "noise", "the memory of a dyno" },
  { "^PORT$", "noise", "the port is said by Elastic Beanstalk" }, { "^PATH$", "noise", "leads to Heroku's folders" },
  { "^LD_LIBRARY_PATH$", "noise", "leads to Heroku's folders" }, { "^GEM_PATH$", "noise", "leads to Heroku's folders" },
  { "^STACK$", "noise", "the name of Heroku's stack" }, { "^BUILDPACK_URL$", "noise", "for Heroku's build" },
  { "^MAINTENANCE_PAGE_URL$", "noise", "for Heroku's router" }, { "^ERROR_PAGE_URL$", "noise", "for Heroku's router" },
  { "^NPM_CONFIG_PRODUCTION$", "noise", "for Heroku's build" }, { "^YARN_PRODUCTION$", "noise", "for Heroku's build" },
  { "PUBLIC_KEY$", "plain" }, { "PUBLISHABLE", "plain" }, { "^NEXT_PUBLIC_", "plain" }, { "^REACT_APP_", "plain" }, { "^VITE_", "plain" },
  { "SECRET", "secret" }, { "PASSW", "secret" }, { "PASSPHRASE", "secret" }, { "PWD$", "secret" }, { "TOKEN", "secret" },
  { "CREDENTIAL", "secret" }, { "PRIVATE", "secret" }, { "SALT$", "secret" }, { "PEPPER$", "secret" }, { "CERT", "secret" }, { "PEM$", "secret" },
  { "KEY$", "secret" }, { "KEYS$", "secret" }, { "KEY_BASE$", "secret" }, { "_KEY_", "secret" }, { "APIKEY", "secret" }, { "AUTH$", "secret" },
  { "SIGNATURE", "secret" }, { "WEBHOOK", "secret" }, { "_DSN$", "secret" }, { "LICENSE", "secret" }, { "ENCRYPT", "secret" },
}

--- Bytes of all plain environment properties together, as NAME=value: Elastic Beanstalk takes no more (developer guide,
--- "Environment properties").
M.properties_limit = 4096

--- Heroku's regions, and where the app's users expect it: only used to say so when another region was chosen.
M.regions = {
  us = "us-east-1", eu = "eu-west-1", virginia = "us-east-1", oregon = "us-west-2", dublin = "eu-west-1",
  frankfurt = "eu-central-1", london = "eu-west-2", sydney = "ap-southeast-2", tokyo = "ap-northeast-1",
  singapore = "ap-southeast-1", mumbai = "ap-south-1", montreal = "ca-central-1",
}

--- Add-ons. `becomes` = "moved": this recipe makes its successor; "carried": the vendor's service goes on working with
--- the same config vars for as long as the add-on lives; "deferred": somebody must see to it.
M.addons = {
  ["heroku-postgresql"] = { becomes = "moved", note = "Amazon RDS for PostgreSQL" },
  ["heroku-redis"] = { becomes = "moved", note = "Amazon ElastiCache (Valkey)" },
  ["papertrail"] = { becomes = "moved", note = "Amazon CloudWatch Logs; the old log lines stay with Papertrail" },
  ["logentries"] = { becomes = "moved", note = "Amazon CloudWatch Logs; the old log lines stay where they are" },
  ["coralogix"] = { becomes = "moved", note = "Amazon CloudWatch Logs; the old log lines stay where they are" },
  ["sendgrid"] = { becomes = "carried", note = "mail: open an account of your own, or Amazon SES, before the add-on is removed" },
  ["mailgun"] = { becomes = "carried", note = "mail: open an account of your own, or Amazon SES, before the add-on is removed" },
  ["postmark"] = { becomes = "carried", note = "mail: open an account of your own before the add-on is removed" },
  ["newrelic"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["scout"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["sentry"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["rollbar"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["bugsnag"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["cloudinary"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["algoliasearch"] = { becomes = "carried", note = "open an account of your own before the add-on is removed" },
  ["memcachier"] = { becomes = "carried", note = "a cache far away is slow: consider ElastiCache for Memcached" },
  ["bonsai"] = { becomes = "carried", note = "consider Amazon OpenSearch Service" },
  ["cloudamqp"] = { becomes = "carried", note = "consider Amazon MQ; messages in it are not moved" },
  ["scheduler"] = { becomes = "deferred", loud = true,
    note = "Heroku Scheduler has no API: its jobs are only on its dashboard. Write them into a file and give --scheduler-jobs FILE, "
      .. "and they become schedules of Amazon EventBridge Scheduler (docs/targets.md)" },
  ["advanced-scheduler"] = { becomes = "deferred", loud = true, note = "make its jobs anew, in Amazon EventBridge Scheduler" },
  ["cron-to-go"] = { becomes = "deferred", loud = true, note = "its jobs start Heroku dynos: make them anew, in Amazon EventBridge Scheduler" },
  ["heroku-kafka"] = { becomes = "deferred", loud = true, note = "Kafka is not moved by this recipe: see Amazon MSK" },
  ["heroku-connect"] = { becomes = "deferred", loud = true, note = "it writes to Heroku Postgres only: see Amazon AppFlow for Salesforce" },
}

--- The hosted zones of Elastic Beanstalk's names, for aliases at the top of a domain: AWS General Reference, "Elastic
--- Beanstalk endpoints and quotas", 2026.
M.beanstalk_zones = {
  ["us-east-1"] = "Z117KPS5GTRQ2G", ["us-east-2"] = "Z14LCN19Q5QHIC", ["us-west-1"] = "Z1LQECGX5PH1X", ["us-west-2"] = "Z38NKT9BP95V3O",
  ["ca-central-1"] = "ZJFCZL7SSZB5I", ["sa-east-1"] = "Z10X7K2B4QSOFV", ["eu-west-1"] = "Z2NYPWQ7DFZAZH", ["eu-west-2"] = "Z1GKAAAUGATPF1",
  ["eu-west-3"] = "Z5WN6GAYWG5OB", ["eu-central-1"] = "Z1FRNW7UH4DEZJ", ["eu-north-1"] = "Z23GO28BZ5AETM", ["ap-south-1"] = "Z18NTBI3Y7N9TZ",
  ["ap-southeast-1"] = "Z16FZ9L249IFLT", ["ap-southeast-2"] = "Z2PCDNR3VC2G1N", ["ap-northeast-1"] = "Z1R25G3KIG2GBW",
  ["ap-northeast-2"] = "Z3JE5OI70TWKCP",
}

--- What a cutover takes beside the data, in seconds, and speeds where there is too little data to measure any. stop: Heroku
--- gives a dyno 30 s to end by itself (devcenter.heroku.com/articles/dyno-shutdown-behavior). start: a deployment to one
--- machine until it is healthy, as Beanstalk usually needs. copy: bytes a second; keys: keys a second.
M.window = { stop = 40, start = 150, copy = 10e6, keys = 5000 }

return M
