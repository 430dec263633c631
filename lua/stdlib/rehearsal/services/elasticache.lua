--- Amazon ElastiCache in the rehearsal: the API is emulated, each replication
--- group is a redis-server of its own in a host of the VPC.
local S = {}
for _, part in ipairs { "groups", "replication_groups", "modify", "snapshots", "catalog", "tags" } do
  for name, fn in pairs(require("rehearsal.services.elasticache." .. part)) do S[name] = fn end
end
return S
