--- AWS Elastic Beanstalk in the rehearsal: applications, versions and
--- environments whose processes are real.
local S = {}
for _, part in ipairs { "applications", "platforms", "configuration", "environments", "health", "info" } do
  for name, fn in pairs(require("rehearsal.services.elasticbeanstalk." .. part)) do S[name] = fn end
end
return S
