--- Which operations can change something. An operation changes things unless its name begins like a question; the
--- exceptions were read one by one from the services that hkrun ships (botocore 1.43).
local M = {}

local QUESTIONS = { "Describe", "Get", "List", "Head", "Search", "Check", "Lookup", "Simulate", "Validate", "Estimate",
                    "BatchGet", "BatchDescribe", "BatchCheck", "Preview" }

local function set(text)
  local found = {}
  for name in text:gmatch "%S+" do found[name] = true end
  return found
end

--- They begin otherwise and change nothing: they compute, or hand out credentials that live for a while.
local HARMLESS = set [[
  ec2.ExportClientVpnClientCertificateRevocationList ec2.ExportClientVpnClientConfiguration
  elasticbeanstalk.RetrieveEnvironmentInfo
  events.TestEventPattern
  iam.GenerateServiceLastAccessedDetails iam.GenerateCredentialReport
  kms.Decrypt kms.Encrypt kms.Verify kms.VerifyMac kms.Sign kms.GenerateMac kms.GenerateRandom kms.GenerateDataKey
  kms.GenerateDataKeyPair kms.GenerateDataKeyWithoutPlaintext kms.GenerateDataKeyPairWithoutPlaintext kms.DeriveSharedSecret
  logs.FilterLogEvents logs.StartQuery logs.StopQuery logs.TestMetricFilter logs.TestTransformer logs.StartLiveTail
  rds.DownloadDBLogFilePortion
  route53.TestDNSAnswer
  s3.SelectObjectContent
  sts.AssumeRole sts.AssumeRoleWithSAML sts.AssumeRoleWithWebIdentity sts.AssumeRoot sts.DecodeAuthorizationMessage
]]

---@param service string "ec2"
---@param operation string "CreateVpc"
---@return boolean
function M.is_mutating(service, operation)
  local full = service .. "." .. operation
  if HARMLESS[full] then return false end
  for _, word in ipairs(QUESTIONS) do
    if operation:sub(1, #word) == word and not operation:sub(#word + 1, #word + 1):find "%l" then return false end
  end
  return true
end

--- What sets, marks or takes away changes nothing more when it is said again.
local SETTING = { "Delete", "Modify", "Put", "Update", "Set", "Remove", "Revoke", "Terminate", "Tag", "Untag", "CreateTags", "AddTags",
                  "Enable", "Disable", "Detach", "Disassociate", "Release", "Cancel", "UploadPart", "CompleteMultipartUpload",
                  "AbortMultipartUpload" }

--- Whether an operation may be sent again when nobody knows if the first request arrived. One that makes something may
--- not: it would make two.
---@param service string
---@param operation string
---@return boolean
function M.is_repeatable(service, operation)
  if not M.is_mutating(service, operation) then return true end
  for _, word in ipairs(SETTING) do
    if operation:sub(1, #word) == word and not operation:sub(#word + 1, #word + 1):find "%l" then return true end
  end
  return false
end

return M
