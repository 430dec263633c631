--- Amazon Route 53 in the rehearsal: hosted zones and their records, which a real DNS server on loopback answers for.
local S = {}
for _, part in ipairs { "zones", "records", "answers" } do
  for name, fn in pairs(require("rehearsal.services.route53." .. part)) do S[name] = fn end
end
return S
