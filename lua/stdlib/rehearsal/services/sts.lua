--- AWS STS in the rehearsal.
local S = {}

function S.GetCallerIdentity(cloud)
  return { UserId = "AIDA" .. cloud.access_key:sub(5), Account = cloud.account, Arn = cloud:arn("iam", nil, "user/rehearsal") }
end

return S
