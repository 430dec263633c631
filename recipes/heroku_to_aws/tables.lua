--- What becomes of what. Edit these: they are data, a rule a line, each with the source that it is from (tables/sources.lua).
--- See docs/mapping.md.
local machines = require "heroku_to_aws.tables.machines"

local M = {
  sources = require "heroku_to_aws.tables.sources", dynos = require "heroku_to_aws.tables.dynos",
  postgres = require "heroku_to_aws.tables.postgres", cache = require "heroku_to_aws.tables.cache",
  kafka = require "heroku_to_aws.tables.kafka", addons = require "heroku_to_aws.tables.addons",
  config = require "heroku_to_aws.tables.config",
  instances = machines.instances, instance_overhead = machines.instance_overhead, fargate = machines.fargate,
  databases = machines.databases, nodes = machines.nodes, node_share = machines.node_share,
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
