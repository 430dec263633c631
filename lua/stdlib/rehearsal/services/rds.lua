--- Amazon RDS in the rehearsal: the API is emulated, each PostgreSQL instance
--- is a cluster of its own in a host of the VPC.
local S = {}
for _, part in ipairs { "groups", "instances", "modify", "snapshots", "catalog", "tags" } do
  for name, fn in pairs(require("rehearsal.services.rds." .. part)) do S[name] = fn end
end
return S
