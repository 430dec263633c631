--- Heroku Postgres. `levels`: what a plan has (memory in megabytes, gigabytes of storage, connections), and the RDS class of
--- about the same memory. A plan's name is a level ("essential-0"), or a tier and a level ("premium-2", "standard-yanari").
local M = {}

M.levels = {
  -- Essential, which have no tier, and the names that they had before
  ["essential-0"] = { class = "db.t4g.micro", gigabytes = 1, connections = 20, source = "pg-plans" },
  ["essential-1"] = { class = "db.t4g.micro", gigabytes = 10, connections = 20, source = "pg-plans" },
  ["essential-2"] = { class = "db.t4g.small", gigabytes = 32, connections = 40, source = "pg-plans" },
  ["mini"]        = { class = "db.t4g.micro", gigabytes = 1, connections = 20, source = "pg-plans-22" },
  ["basic"]       = { class = "db.t4g.micro", gigabytes = 10, connections = 20, source = "pg-plans-22" },
  ["hobby-dev"]   = { class = "db.t4g.micro", gigabytes = 1, connections = 20, source = "pg-plans-22" },
  ["hobby-basic"] = { class = "db.t4g.micro", gigabytes = 10, connections = 20, source = "pg-plans-22" },
  -- Standard, Premium, Private, Shield
  ["0"]    = { class = "db.t4g.medium", memory = 4096, vcpu = 2, gigabytes = 64, connections = 120, source = "pg-technical" },
  ["2"]    = { class = "db.m7g.large", memory = 8192, vcpu = 2, gigabytes = 256, connections = 400, source = "pg-technical" },
  ["3"]    = { class = "db.m7g.xlarge", memory = 15616, vcpu = 2, gigabytes = 512, connections = 500, source = "pg-technical" },
  ["4"]    = { class = "db.r7g.xlarge", memory = 31232, vcpu = 4, gigabytes = 768, connections = 500, source = "pg-technical" },
  ["5"]    = { class = "db.r7g.2xlarge", memory = 62464, vcpu = 8, gigabytes = 1024, connections = 500, source = "pg-technical" },
  ["6"]    = { class = "db.r7g.4xlarge", memory = 124928, vcpu = 16, gigabytes = 1536, connections = 500, source = "pg-technical" },
  ["l-6"]  = { class = "db.r7g.4xlarge", memory = 124928, vcpu = 16, gigabytes = 2048, connections = 500, source = "pg-technical" },
  ["xl-6"] = { class = "db.r7g.4xlarge", memory = 124928, vcpu = 16, gigabytes = 3072, connections = 500, source = "pg-technical" },
  ["7"]    = { class = "db.r7g.8xlarge", memory = 249856, vcpu = 32, gigabytes = 2048, connections = 500, source = "pg-technical" },
  ["8"]    = { class = "db.r7g.16xlarge", memory = 499712, vcpu = 64, gigabytes = 3072, connections = 500, source = "pg-technical" },
  ["9"]    = { class = "db.r6i.24xlarge", memory = 786432, vcpu = 96, gigabytes = 4096, connections = 500, source = "pg-technical" },
  ["l-9"]  = { class = "db.r6i.24xlarge", memory = 786432, vcpu = 96, gigabytes = 5120, connections = 500, source = "pg-technical" },
  ["xl-9"] = { class = "db.r6i.24xlarge", memory = 786432, vcpu = 96, gigabytes = 6144, connections = 500, source = "pg-technical" },
  ["10"]   = { class = "db.r6i.32xlarge", memory = 1048576, vcpu = 128, source = "pg-technical" },  -- its storage was not to be read
  -- Advanced: the level says the memory; its storage grows by itself
  ["4g-performance"]   = { class = "db.t4g.medium", memory = 4096, source = "pg-levels" },
  ["8g-performance"]   = { class = "db.m7g.large", memory = 8192, source = "pg-levels" },
  ["16g-performance"]  = { class = "db.m7g.xlarge", memory = 16384, source = "pg-levels" },
  ["32g-performance"]  = { class = "db.r7g.xlarge", memory = 32768, source = "pg-levels" },
  ["64g-performance"]  = { class = "db.r7g.2xlarge", memory = 65536, source = "pg-levels" },
  ["128g-performance"] = { class = "db.r7g.4xlarge", memory = 131072, source = "pg-levels" },
  ["256g-performance"] = { class = "db.r7g.8xlarge", memory = 262144, source = "pg-levels" },
  ["384g-performance"] = { class = "db.r7g.16xlarge", memory = 393216, source = "pg-levels" },
  ["512g-performance"] = { class = "db.r7g.16xlarge", memory = 524288, source = "pg-levels" },
  ["768g-performance"] = { class = "db.r6i.24xlarge", memory = 786432, source = "pg-levels" },
  -- 2013, with and without a tier
  ["yanari"] = { class = "db.t4g.micro", memory = 400, vcpu = 2, gigabytes = 64, connections = 60, source = "pg-technical-13" },
  ["tengu"]  = { class = "db.t4g.small", memory = 1741, vcpu = 2, gigabytes = 256, connections = 200, source = "pg-technical-13" },
  ["ika"]    = { class = "db.m7g.large", memory = 7680, vcpu = 2, gigabytes = 512, connections = 400, source = "pg-technical-13" },
  ["baku"]   = { class = "db.r7g.2xlarge", memory = 35021, vcpu = 4, gigabytes = 1024, connections = 500, source = "pg-technical-13" },
  ["mecha"]  = { class = "db.r7g.4xlarge", memory = 70042, vcpu = 8, gigabytes = 1024, connections = 500, source = "pg-technical-13" },
  ["ryu"]    = { class = "db.r7g.8xlarge", memory = 249856, vcpu = 32, gigabytes = 1024, connections = 500, source = "pg-technical-13" },
  ["crane"]  = { class = "db.t4g.micro", memory = 400, vcpu = 2, source = "pg-technical-13" },
  ["kappa"]  = { class = "db.t4g.micro", memory = 800, vcpu = 2, source = "pg-technical-13" },
  ["ronin"]  = { class = "db.t4g.small", memory = 1741, vcpu = 1, source = "pg-technical-13" },
  ["fugu"]   = { class = "db.t4g.medium", memory = 3840, vcpu = 1, source = "pg-technical-13" },
  ["zilla"]  = { class = "db.r7g.xlarge", memory = 17510, vcpu = 2, source = "pg-technical-13" },
}

--- The tiers, and whether a standby stands behind them.
M.tiers = {
  standard   = { standby = false, source = "pg-plans" },
  premium    = { standby = true, source = "pg-plans" },
  private    = { standby = true, source = "pg-plans" },
  shield     = { standby = true, source = "pg-plans" },
  enterprise = { standby = true, source = "pg-technical-15" },
}

--- The least that RDS makes, in gigabytes.
M.least = 20

return M
