--- What AWS has, the smallest first. Memory in megabytes.
local M = {}

--- x86-64 machines for the app's containers: slugs hold x86-64 programs, so Graviton (arm64) is only a question of cost.lua,
--- for who builds an image for it.
M.instances = {
  { type = "t3.small", memory = 2048, vcpu = 2, source = "ec2" }, { type = "t3.medium", memory = 4096, vcpu = 2, source = "ec2" },
  { type = "t3.large", memory = 8192, vcpu = 2, source = "ec2" }, { type = "m6i.xlarge", memory = 16384, vcpu = 4, source = "ec2" },
  { type = "m6i.2xlarge", memory = 32768, vcpu = 8, source = "ec2" }, { type = "m6i.4xlarge", memory = 65536, vcpu = 16, source = "ec2" },
  { type = "m6i.8xlarge", memory = 131072, vcpu = 32, source = "ec2" }, { type = "m6i.16xlarge", memory = 262144, vcpu = 64, source = "ec2" },
}

--- What the system and the container engine take of a machine, in megabytes.
M.instance_overhead = 600

--- Sizes of a Fargate task: cpu units (1024 are one vCPU) and megabytes. Of the memories that Fargate offers for a cpu,
--- those that hold a dyno.
M.fargate = {
  { cpu = 256, memory = 512, source = "fargate" }, { cpu = 512, memory = 1024, source = "fargate" },
  { cpu = 1024, memory = 3072, source = "fargate" }, { cpu = 1024, memory = 8192, source = "fargate" },
  { cpu = 2048, memory = 14336, source = "fargate" }, { cpu = 2048, memory = 16384, source = "fargate" },
  { cpu = 4096, memory = 30720, source = "fargate" }, { cpu = 8192, memory = 32768, source = "fargate" },
  { cpu = 16384, memory = 65536, source = "fargate" }, { cpu = 16384, memory = 122880, source = "fargate" },
}

--- RDS classes that run PostgreSQL; stores may be Graviton (t4g, m7g, r7g), whatever the app is. `burstable`: its processor is
--- whole only for a while.
M.databases = {
  { class = "db.t4g.micro", memory = 1024, vcpu = 2, burstable = true, source = "rds" },
  { class = "db.t4g.small", memory = 2048, vcpu = 2, burstable = true, source = "rds" },
  { class = "db.t4g.medium", memory = 4096, vcpu = 2, burstable = true, source = "rds" },
  { class = "db.m7g.large", memory = 8192, vcpu = 2, source = "rds" },
  { class = "db.m7g.xlarge", memory = 16384, vcpu = 4, source = "rds" },
  { class = "db.r7g.xlarge", memory = 32768, vcpu = 4, source = "rds" },
  { class = "db.r7g.2xlarge", memory = 65536, vcpu = 8, source = "rds" },
  { class = "db.r7g.4xlarge", memory = 131072, vcpu = 16, source = "rds" },
  { class = "db.r7g.8xlarge", memory = 262144, vcpu = 32, source = "rds" },
  { class = "db.r7g.16xlarge", memory = 524288, vcpu = 64, source = "rds" },
  { class = "db.r6i.24xlarge", memory = 786432, vcpu = 96, source = "rds" },
  { class = "db.r6i.32xlarge", memory = 1048576, vcpu = 128, source = "rds" },
}

--- ElastiCache nodes. A quarter of the memory is left to the system and to snapshots (reserved-memory-percent).
M.nodes = {
  { type = "cache.t4g.micro", memory = 512, source = "elasticache" }, { type = "cache.t4g.small", memory = 1403, source = "elasticache" },
  { type = "cache.t4g.medium", memory = 3164, source = "elasticache" }, { type = "cache.m7g.large", memory = 6533, source = "elasticache" },
  { type = "cache.r7g.large", memory = 13384, source = "elasticache" }, { type = "cache.r7g.xlarge", memory = 26952, source = "elasticache" },
  { type = "cache.r7g.2xlarge", memory = 54088, source = "elasticache" }, { type = "cache.r7g.4xlarge", memory = 108349, source = "elasticache" },
  { type = "cache.r7g.8xlarge", memory = 214579, source = "elasticache" }, { type = "cache.r7g.16xlarge", memory = 429240, source = "elasticache" },
}

--- The share of a node's memory that data may fill.
M.node_share = 0.75

return M
