--- Where the rules of these tables come from. Each rule names one of these; `read` is when it was read, `of` the page's own
--- date where it says one. A page that has changed since is a reason to change the rule and the date.
local function devcenter(article) return "https://devcenter.heroku.com/articles/" .. article end

return {
  ["dyno-types"]     = { url = devcenter "dyno-types", read = "2026-06" },
  ["dyno-types-15"]  = { url = devcenter "dyno-types", of = "2015-06-18", read = "2026-11-23" },
  ["dyno-size-14"]   = { url = devcenter "dyno-size", of = "2014-03-10", read = "2026-11-23" },
  ["heroku-cli"]     = { url = "https://github.com/heroku/cli/blob/main/src/commands/ps/type.ts", read = "2026-11-23" },
  ["pg-levels"]      = { url = "https://github.com/heroku/cli (data:pg:create --level)", read = "2026-11-23" },
  ["pg-plans"]       = { url = devcenter "heroku-postgres-plans", of = "2024-11-12", read = "2026-06" },
  ["pg-plans-22"]    = { url = devcenter "heroku-postgres-plans", of = "2022-03-23", read = "2026-11-23" },
  ["pg-technical"]   = { url = devcenter "heroku-postgres-production-tier-technical-characterization", of = "2024-09-06", read = "2026-11-23" },
  ["pg-technical-15"] = { url = devcenter "heroku-postgres-production-tier-technical-characterization", of = "2015-02-23", read = "2026-11-23" },
  ["pg-technical-13"] = { url = devcenter "heroku-postgres-production-tier-technical-characterization", of = "2013-11-15", read = "2026-11-23" },
  ["kvs-technical"]  = { url = devcenter "heroku-redis-technical-characterization", of = "2024-10-11", read = "2026-11-23" },
  ["kvs-plans-22"]   = { url = devcenter "heroku-redis", of = "2022", read = "2026-06" },
  ["kafka-basic"]    = { url = devcenter "multi-tenant-kafka-on-heroku", of = "2024-09-13", read = "2026-11-23" },
  ["kafka"]          = { url = devcenter "kafka-on-heroku", of = "2026-06-08", read = "2026-11-23" },
  ["scheduler"]      = { url = devcenter "scheduler", read = "2026-06" },
  ["connect"]        = { url = devcenter "heroku-connect", read = "2026-06" },
  ["elements"]       = { url = "https://elements.heroku.com/addons", read = "2026-06" },
  ["ec2"]            = { url = "https://aws.amazon.com/ec2/instance-types", read = "2026-06" },
  ["rds"]            = { url = "https://aws.amazon.com/rds/instance-types", read = "2026-06" },
  ["elasticache"]    = { url = "https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/CacheNodes.SupportedTypes.html", read = "2026-06" },
  ["fargate"]        = { url = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html", read = "2026-06" },
}
