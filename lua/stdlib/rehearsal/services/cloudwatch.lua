--- Amazon CloudWatch in the rehearsal: metrics, alarms that look at them, dashboards.
local S = {}
for _, part in ipairs { "metrics", "alarms", "dashboards" } do
  for name, fn in pairs(require("rehearsal.services.cloudwatch." .. part)) do S[name] = fn end
end
return S
