--- AWS Database Migration Service in the rehearsal: the API is emulated; a task is a process in the replication instance's
--- host that copies the rows between two real PostgreSQL databases, and then streams the changes.
local S = {}
for _, part in ipairs { "subnet_groups", "instances", "catalog", "endpoints", "certificates", "connections", "tasks", "statistics",
                        "assessments", "tags" } do
  for name, fn in pairs(require("rehearsal.services.dms." .. part)) do S[name] = fn end
end
return S
