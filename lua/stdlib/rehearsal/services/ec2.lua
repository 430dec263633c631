--- Amazon EC2 in the rehearsal: VPCs, security groups and instances.
local S = {}
for _, part in ipairs { "network", "routes", "security", "keys", "instances", "attributes", "volumes", "interfaces", "common" } do
  for name, fn in pairs(require("rehearsal.services.ec2." .. part)) do S[name] = fn end
end
return S
