--- Which operations can change something. The model says so for some of them (its trait `readonly`); the names of the
--- others were read one by one, with their documentation, in all services of botocore 1.43. What neither the model nor
--- these lists call a question changes things.
local M = {}

local function set(text)
  local found = {}
  for name in text:gmatch "%S+" do found[name] = true end
  return found
end

--- First words of operations that ask: `DescribeVpcs`, `BatchGetItem`.
local QUESTIONS = { "Describe", "Get", "List", "Head", "Search", "Check", "Lookup", "Simulate", "Validate", "Estimate", "Preview",
                    "Query", "Scan", "Select", "Count", "Calculate", "Is", "Suggest", "Recognize", "Classify", "Compare",
                    "BatchGet", "BatchDescribe", "BatchCheck", "BatchDetect", "BatchRead" }

--- They sound like a question, or the model calls them one, and yet they take a task from a queue, send a message, make an
--- identity, a user or a job.
local CHANGING = set [[
  apigatewayv2.PreviewPortal
  cognito-identity.GetId cognito-identity.GetOpenIdTokenForDeveloperIdentity
  cognito-idp.GetTokensFromRefreshToken cognito-idp.GetUserAttributeVerificationCode
  importexport.GetShippingLabel
  ivs.BatchStartViewerSessionRevocation ivs.StartViewerSessionRevocation
  lexv2-runtime.RecognizeText lexv2-runtime.RecognizeUtterance
  license-manager.CheckInLicense
  redshift.GetClusterCredentials redshift.GetClusterCredentialsWithIAM redshift-serverless.GetCredentials
  sagemaker.GetScalingConfigurationRecommendation
  stepfunctions.GetActivityTask
  tnb.ValidateSolFunctionPackageContent tnb.ValidateSolNetworkPackageContent
  xray.GetSamplingTargets
]]

--- They do not sound like a question and change nothing: they compute, look at a text or an image, run a query that can only
--- read, or hand out credentials that live for a while.
local ASKING = set [[
  amplifyuibuilder.ExportComponents amplifyuibuilder.ExportForms amplifyuibuilder.ExportThemes
  apigatewayv2.ExportApi
  appsync.EvaluateCode appsync.EvaluateMappingTemplate
  backup.ExportBackupPlanTemplate
  bedrock-agent-runtime.Rerank bedrock-agent-runtime.Retrieve
  cloudfront.TestFunction cloudfront.VerifyDnsConfiguration
  cloudtrail.GenerateQuery
  codecatalyst.VerifySession codecommit.EvaluatePullRequestApprovalRules
  comprehend.ContainsPiiEntities comprehend.DetectDominantLanguage comprehend.DetectEntities comprehend.DetectKeyPhrases
  comprehend.DetectPiiEntities comprehend.DetectSentiment comprehend.DetectSyntax comprehend.DetectTargetedSentiment
  comprehend.DetectToxicContent
  comprehendmedical.DetectEntities comprehendmedical.DetectEntitiesV2 comprehendmedical.DetectPHI
  comprehendmedical.InferICD10CM comprehendmedical.InferRxNorm comprehendmedical.InferSNOMEDCT
  ec2.ExportClientVpnClientCertificateRevocationList ec2.ExportClientVpnClientConfiguration
  ec2.ExportVerifiedAccessInstanceClientConfiguration
  eks-auth.AssumeRoleForPodIdentity
  elasticbeanstalk.RetrieveEnvironmentInfo
  events.TestEventPattern
  gamelift.ResolveAlias
  iam.GenerateCredentialReport iam.GenerateOrganizationsAccessReport iam.GenerateServiceLastAccessedDetails
  iot.TestAuthorization
  kendra.Retrieve kendra-ranking.Rescore
  kinesisanalytics.DiscoverInputSchema kinesisanalyticsv2.DiscoverInputSchema
  kms.Decrypt kms.DeriveSharedSecret kms.Encrypt kms.GenerateDataKey kms.GenerateDataKeyPair
  kms.GenerateDataKeyPairWithoutPlaintext kms.GenerateDataKeyWithoutPlaintext kms.GenerateMac kms.GenerateRandom kms.ReEncrypt
  kms.Sign kms.Verify kms.VerifyMac
  lightsail.DownloadDefaultKeyPair
  logs.FilterLogEvents logs.StartLiveTail logs.StartQuery logs.StopQuery logs.TestMetricFilter logs.TestTransformer
  macie2.TestCustomDataIdentifier
  payment-cryptography-data.DecryptData payment-cryptography-data.EncryptData payment-cryptography-data.GenerateMac
  payment-cryptography-data.ReEncryptData payment-cryptography-data.TranslatePinData payment-cryptography-data.VerifyMac
  pinpoint.PhoneNumberValidate
  polly.SynthesizeSpeech
  rds.DownloadDBLogFilePortion
  rekognition.DetectCustomLabels rekognition.DetectFaces rekognition.DetectLabels rekognition.DetectModerationLabels
  rekognition.DetectProtectiveEquipment rekognition.DetectText
  route53.TestDNSAnswer route53domains.ViewBilling
  sagemaker.RenderUiTemplate signin.CreateOAuth2Token sso-oidc.CreateToken
  schemas.ExportSchema
  servicediscovery.DiscoverInstances servicediscovery.DiscoverInstancesRevision
  ses.TestRenderTemplate sesv2.TestRenderEmailTemplate
  sts.AssumeRole sts.AssumeRoleWithSAML sts.AssumeRoleWithWebIdentity sts.AssumeRoot sts.DecodeAuthorizationMessage
  textract.AnalyzeDocument textract.AnalyzeExpense textract.AnalyzeID textract.DetectDocumentText
  translate.TranslateDocument translate.TranslateText
  wellarchitected.ExportLens
  wickr.BatchLookupUserUname
]]

local function begins_with(operation, words)
  for _, word in ipairs(words) do
    if operation:sub(1, #word) == word and not operation:sub(#word + 1, #word + 1):find "%l" then return true end
  end
  return false
end

--- Whether an operation can change something.
---@param service string "ec2"
---@param operation aws.Operation
---@return boolean
function M.is_mutating(service, operation)
  local full = service .. "." .. operation.name
  if CHANGING[full] then return true end
  if operation.readonly or ASKING[full] then return false end
  return not begins_with(operation.name, QUESTIONS)
end

--- What sets, marks or takes away changes nothing more when it is said again.
local SETTING = { "Delete", "Modify", "Put", "Update", "Set", "Remove", "Revoke", "Terminate", "Tag", "Untag", "CreateTags", "AddTags",
                  "Enable", "Disable", "Detach", "Disassociate", "Release", "Cancel", "UploadPart", "CompleteMultipartUpload",
                  "AbortMultipartUpload" }

--- Whether an operation may be sent again when nobody knows if the first request arrived. One that makes something may
--- not: it would make two.
---@param service string
---@param operation aws.Operation
---@return boolean
function M.is_repeatable(service, operation)
  return not M.is_mutating(service, operation) or operation.idempotent == true or begins_with(operation.name, SETTING)
end

return M
