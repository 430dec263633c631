--- Which values of a response are secrets. The models mark most of them; these tables, reviewed by hand against the
--- models of botocore 1.43, correct them where the mark hides what everyone may see or misses a credential.
local M = {}

--- Shapes marked sensitive that hold no secret: names of keys, addresses, descriptions, tokens of a page.
local PLAIN = {
  ["s3.SSEKMSKeyId"] = true, ["s3.SSEKMSEncryptionContext"] = true, ["s3.IpAddress"] = true,
  ["ssm.MaintenanceWindowDescription"] = true, ["ssm.OwnerInformation"] = true, ["ssm.IPAddress"] = true,
  ["ec2.PublicIpAddressList"] = true,
  ["ecs.EnvironmentVariables"] = true,                       -- of a variable only the value is one, which a rule says
}

--- The names in ECS's pairs that are no variable of a container: of a network interface, and of a cluster's statistics.
local ECS_NAMES = {}
for name in ([[subnetId networkInterfaceId macAddress privateDnsName privateIPv4Address publicIPv4Address ipv6Address volumeId
               runningEC2TasksCount runningFargateTasksCount pendingEC2TasksCount pendingFargateTasksCount activeEC2ServiceCount
               activeFargateServiceCount drainingEC2ServiceCount drainingFargateServiceCount]]):gmatch "%S+" do ECS_NAMES[name] = true end

--- Members that are secret only beside certain values, or that the model forgot.
local RULES = {
  ["ssm.Parameter.Value"] = function(values) return values.Type == nil or values.Type == "SecureString" end,
  ["ssm.ParameterHistory.Value"] = function(values) return values.Type == nil or values.Type == "SecureString" end,
  ["ecs.KeyValuePair.value"] = function(values) return not ECS_NAMES[values.name] end,
  ["elasticbeanstalk.ConfigurationOptionSetting.Value"] = function(values)
    return values.Namespace == nil or values.Namespace == "aws:elasticbeanstalk:application:environment"
  end,
}

--- Credentials that the models do not mark, or only by a mark on the whole answer. Found so: of the answers of all 424
--- services, each string, blob or map without a mark whose name has Password, Secret, Token, PrivateKey, Credential, ApiKey,
--- AuthKey or the like, some 400 after tokens of pages, ARNs and names were set aside, was read with its documentation. Here
--- is what opens something by itself. Left out are tokens of a request, a version or a task, keys that are encrypted or
--- public, and URLs that are signed to be followed.
for line in ([[
  amplifybackend.BackendAuthAppleProviderConfig PrivateKey
  amplifybackend.BackendAuthSocialProviderConfig ClientSecret
  athena.CreatePresignedNotebookUrlResponse AuthToken
  athena.GetSessionEndpointResponse AuthToken
  cloudhsmv2.Cluster PreCoPassword
  codeartifact.GetAuthorizationTokenResult authorizationToken
  codebuild.SSMSession tokenValue
  codebuild.Webhook secret
  codepipeline.WebhookAuthConfiguration SecretToken
  cognito-identity.Credentials SessionToken
  connect.GetFederationTokenResponse SignInUrl
  connect.ParticipantTokenCredentials ParticipantToken
  connect.StartChatContactResponse ParticipantToken
  connect.StartWebRTCContactResponse ParticipantToken
  connectparticipant.ConnectionCredentials ConnectionToken
  dataexchange.ApiGatewayApiAsset ApiKey
  dataexchange.ImportAssetFromApiGatewayApiResponseDetails ApiKey
  datazone.AuthorizationCodeProperties authorizationCode
  datazone.GetEnvironmentCredentialsOutput secretAccessKey sessionToken
  directconnect.BGPPeer authKey
  directconnect.VirtualInterface authKey customerRouterConfig
  docdb.PendingModifiedValues MasterUserPassword
  ecr.AuthorizationData authorizationToken
  ecr-public.AuthorizationData authorizationToken
  eks.License token
  elbv2.AuthenticateOidcActionConfig ClientSecret
  emr.KerberosAttributes KdcAdminPassword CrossRealmTrustPrincipalPassword ADDomainJoinPassword
  firehose.SplunkDestinationDescription HECToken
  gamelift.GetComputeAuthTokenOutput AuthToken
  gamelift.PlayerConnectionDetail PlayerGatewayToken
  glue.SourceControlDetails AuthToken
  grafana.WorkspaceDescription grafanaToken
  grafana.WorkspaceSummary grafanaToken
  invoicing.ProcurementPortalPreference ProcurementPortalSharedSecret
  invoicing.TestEnvPreference ProcurementPortalSharedSecret
  iot.SalesforceAction token
  iotwireless.OtaaV1_0_x AppKey GenAppKey
  iotwireless.OtaaV1_1 AppKey NwkKey
  iotwireless.SessionKeysAbpV1_0_x NwkSKey AppSKey
  iotwireless.SessionKeysAbpV1_1 FNwkSIntKey SNwkSIntKey NwkSEncKey AppSKey
  kinesis-video-signaling.IceServer Password
  lakeformation.AssumeDecoratedRoleWithSAMLResponse SecretAccessKey SessionToken
  lakeformation.GetTemporaryGluePartitionCredentialsResponse SecretAccessKey SessionToken
  lakeformation.GetTemporaryGlueTableCredentialsResponse SecretAccessKey SessionToken
  lakeformation.TemporaryCredentials SecretAccessKey SessionToken
  license-manager.CreateTokenResponse Token
  license-manager.GetAccessTokenResponse AccessToken
  lightsail.AccessKey secretAccessKey
  lightsail.ContainerServiceRegistryLogin password
  lightsail.CreateKeyPairResult privateKeyBase64
  lightsail.DownloadDefaultKeyPairResult privateKeyBase64
  lightsail.InstanceAccessDetails password privateKey
  lightsail.PendingModifiedRelationalDatabaseValues masterUserPassword
  managedblockchain.Accessor BillingToken
  managedblockchain.CreateAccessorOutput BillingToken
  marketplace-agreement.AgreementEntitlement registrationToken
  medialive.HlsAkamaiSettings Token
  neptune.PendingModifiedValues MasterUserPassword
  pinpoint.BaiduChannelResponse Credential
  pinpoint.GCMChannelResponse Credential
  quicksight.AssetBundleImportJobDataSourceCredentialPair Password
  redshift-serverless.GetIdentityCenterAuthTokenResponse token
  sagemaker.StartSessionResponse TokenValue
  securityhub.AwsEc2VpnConnectionOptionsTunnelOptionsDetails PreSharedKey
  securityhub.AwsOpenSearchServiceDomainMasterUserOptionsDetails MasterUserPassword
  securityhub.AwsRdsDbPendingModifiedValues MasterUserPassword
  securityhub.AwsRedshiftClusterPendingModifiedValues MasterUserPassword
  signin.CreateOAuth2TokenResponseBody idToken
  ssm.ResumeSessionResponse TokenValue
  ssm.StartSessionResponse TokenValue
  sts.Credentials SessionToken
  wickr.OidcTokenInfo accessToken idToken refreshToken
  workmail.AssumeImpersonationRoleResponse Token
]]):gmatch "[^\n]+" do
  local shape, members = line:match "^%s*(%S+) (.*)$"
  for member in members:gmatch "%S+" do RULES[shape .. "." .. member] = true end
end

--- The members that are decided here, by SERVICE.SHAPE.MEMBER.
M.reviewed = RULES

--- Names of members that are never secret, whatever their shape.
local NAMES = { nextToken = true, NextToken = true }

--- Whether the values under a member are secrets. A rule may look at the members beside it, so a reader calls this
--- after it has read those.
---@param service string
---@param shape aws.Shape the struct
---@param member aws.Member
---@param values table the members that were read
---@return boolean
function M.hides(service, shape, member, values)
  local rule = RULES[service .. "." .. shape.name .. "." .. member.name]
  if rule ~= nil then return rule == true or rule(values) end
  return M.is_marked(service, member)
end

--- Whether the model marks what a member holds as sensitive, rightly.
---@param service string
---@param member aws.Member
---@return boolean
function M.is_marked(service, member)
  return member.sensitive == true and not PLAIN[service .. "." .. member.shape] and not NAMES[member.name]
end

--- Whether a member must be read after its neighbours.
---@param service string
---@param shape aws.Shape
---@param member aws.Member
function M.is_late(service, shape, member)
  return type(RULES[service .. "." .. shape.name .. "." .. member.name]) == "function"
end

local rules_of = setmetatable({}, { __mode = "k" })

--- What holds for each member of a struct: true, false, or the rule that looks at the members beside it.
---@param service string
---@param shape aws.Shape
---@return table<string, boolean|fun(values: table): boolean>
function M.rules(service, shape)
  local rules = rules_of[shape]
  if not rules then
    rules = {}
    for _, member in ipairs(shape.members) do
      rules[member.name] = M.is_late(service, shape, member) and RULES[service .. "." .. shape.name .. "." .. member.name]
        or M.hides(service, shape, member, {})
    end
    rules_of[shape] = rules
  end
  return rules
end

return M
