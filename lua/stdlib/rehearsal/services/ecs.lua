--- Amazon ECS on Fargate in the rehearsal: task definitions, and tasks and
--- services whose processes are real.
local S = {}
for _, part in ipairs { "clusters", "definitions", "tasks", "services" } do
  for name, fn in pairs(require("rehearsal.services.ecs." .. part)) do S[name] = fn end
end
return S
