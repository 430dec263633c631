--- Elastic Load Balancing in the rehearsal: application load balancers that
--- really forward HTTP to targets that they find healthy.
local S = {}
for _, part in ipairs { "balancers", "groups", "listeners", "tags" } do
  for name, fn in pairs(require("rehearsal.services.elbv2." .. part)) do S[name] = fn end
end
return S
