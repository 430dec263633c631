--- Heroku Key-Value Store. `levels`: what a plan has (memory in megabytes, connections), and the smallest ElastiCache node
--- that lets data fill as much. A plan's name is "mini", or a tier and a level ("premium-7").
local M = {}

M.levels = {
  ["mini"]      = { node = "cache.t4g.micro", memory = 25, connections = 20, source = "kvs-technical" },
  ["hobby-dev"] = { node = "cache.t4g.micro", memory = 25, connections = 20, source = "kvs-plans-22" },
  ["0"]  = { node = "cache.t4g.micro", memory = 50, connections = 40, source = "kvs-technical" },
  ["1"]  = { node = "cache.t4g.micro", memory = 100, connections = 80, source = "kvs-technical" },
  ["2"]  = { node = "cache.t4g.micro", memory = 250, connections = 200, source = "kvs-technical" },
  ["3"]  = { node = "cache.t4g.small", memory = 500, connections = 400, source = "kvs-technical" },
  ["4"]  = { node = "cache.t4g.small", memory = 750, connections = 700, source = "kvs-technical" },
  ["5"]  = { node = "cache.t4g.small", memory = 1024, connections = 1000, source = "kvs-technical" },
  ["7"]  = { node = "cache.r7g.large", memory = 7168, connections = 10000, source = "kvs-technical" },
  ["9"]  = { node = "cache.r7g.xlarge", memory = 10240, connections = 25000, source = "kvs-technical" },
  ["10"] = { node = "cache.r7g.2xlarge", memory = 25600, connections = 40000, source = "kvs-technical" },
  ["12"] = { node = "cache.r7g.4xlarge", memory = 51200, connections = 65000, source = "kvs-technical" },
  ["14"] = { node = "cache.r7g.8xlarge", memory = 102400, connections = 65000, source = "kvs-technical" },
}

--- The tiers, and the replicas that stand behind them.
M.tiers = {
  premium = { replicas = 1, source = "kvs-technical" },
  private = { replicas = 1, source = "kvs-technical" },
  shield  = { replicas = 1, source = "kvs-technical" },
}

return M
