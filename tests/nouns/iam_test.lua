--- Roles and instance profiles, request by request (see tests/support/noun_lab.lua).
local lab = dofile "tests/support/noun_lab.lua"
local T = require("test").cases()

local function trust(service, id)
  return { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = service },
    Condition = id and { StringEquals = { ["sts:ExternalId"] = id } } or nil } } }
end

local TRUST = '{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"%s"}}],"Version":"2012-10-17"}'
local WEB, SSM = "arn:aws:iam::aws:policy/AWSElasticBeanstalkWebTier", "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
local READ = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = "arn:x" } } }
local READ_JSON = '{"Statement":[{"Action":"secretsmanager:GetSecretValue","Effect":"Allow","Resource":"arn:x"}],"Version":"2012-10-17"}'

local function role(document, policies, inline)
  local attached, names = {}, {}
  for i, arn in ipairs(policies) do attached[i] = { PolicyArn = arn, PolicyName = arn:match "[^/]+$" } end
  for name in pairs(inline) do names[#names + 1] = name end
  return {
    ["iam GetRole"] = { Role = { RoleName = "shop", Arn = "arn:aws:iam::1:role/shop", AssumeRolePolicyDocument = document,
                                 Tags = lab.tag_list("role", "shop") } },
    ["iam ListAttachedRolePolicies"] = { AttachedPolicies = attached, IsTruncated = false },
    ["iam ListRolePolicies"] = { PolicyNames = names, IsTruncated = false },
    ["iam GetRolePolicy"] = function(args) return { PolicyDocument = inline[args.PolicyName] } end,
  }
end

local READ_TOO_MUCH = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "*", Resource = "*" } } }

local ROLE_GONE = { ["iam ListAttachedRolePolicies"] = "NoSuchEntity", ["iam ListRolePolicies"] = "NoSuchEntity",
                    ["iam GetRolePolicy"] = "NoSuchEntity" }

lab.case(T, {
  noun = "role", want = { "shop", service = "ec2.amazonaws.com", policies = { "AWSElasticBeanstalkWebTier", SSM }, inline = { read = READ } },
  absent = { ["iam GetRole"] = lab.refusal("NoSuchEntity", 404) },
  there = role(trust "ec2.amazonaws.com", { SSM, WEB }, { read = READ }),
  looks = {
    { "iam GetRole", { RoleName = "shop" } }, { "iam ListAttachedRolePolicies", { RoleName = "shop" } },
    { "iam ListRolePolicies", { RoleName = "shop" } }, { "iam GetRolePolicy", { RoleName = "shop", PolicyName = "read" } },
  },
  gone = ROLE_GONE,
  create = {
    { "iam CreateRole", { RoleName = "shop", AssumeRolePolicyDocument = TRUST:format "ec2.amazonaws.com", Tags = lab.tag_list("role", "shop") } },
    { "iam AttachRolePolicy", { RoleName = "shop", PolicyArn = WEB } },
    { "iam AttachRolePolicy", { RoleName = "shop", PolicyArn = SSM } },
    { "iam PutRolePolicy", { RoleName = "shop", PolicyName = "read", PolicyDocument = READ_JSON } },
  },
  change = {
    { "another service takes it on", want = { service = "elasticbeanstalk.amazonaws.com" }, calls = {
      { "iam UpdateAssumeRolePolicy", { RoleName = "shop", PolicyDocument = TRUST:format "elasticbeanstalk.amazonaws.com" } } } },
    { "the service must say an external id", want = { external_id = "eb" }, calls = { { "iam UpdateAssumeRolePolicy", { RoleName = "shop",
      PolicyDocument = '{"Statement":[{"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"eb"}},'
        .. '"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"}}],"Version":"2012-10-17"}' } } } },
    { "a managed policy that is missing is attached, one too many is detached", want = { policies = { SSM, "ReadOnlyAccess" } }, calls = {
      { "iam AttachRolePolicy", { RoleName = "shop", PolicyArn = "arn:aws:iam::aws:policy/ReadOnlyAccess" } },
      { "iam DetachRolePolicy", { RoleName = "shop", PolicyArn = WEB } } } },
    { "an inline policy that someone widened is put back, and one that someone added is deleted",
      there = role(trust "ec2.amazonaws.com", { SSM, WEB }, { read = READ_TOO_MUCH, more = READ_TOO_MUCH }), calls = {
        { "iam PutRolePolicy", { RoleName = "shop", PolicyName = "read", PolicyDocument = READ_JSON } },
        { "iam DeleteRolePolicy", { RoleName = "shop", PolicyName = "more" } } } },
    { "an inline policy that is listed and not there is put, for the role itself is there",
      there = { ["iam GetRolePolicy"] = lab.refusal("NoSuchEntity", 404) },
      calls = { { "iam PutRolePolicy", { RoleName = "shop", PolicyName = "read", PolicyDocument = READ_JSON } } } },
    { "a tag is added", want = { tags = { team = "shop" } },
      calls = { { "iam TagRole", { RoleName = "shop", Tags = { { Key = "team", Value = "shop" } } } } } },
  },
  delete = {
    { "iam DetachRolePolicy", { RoleName = "shop", PolicyArn = SSM } },
    { "iam DetachRolePolicy", { RoleName = "shop", PolicyArn = WEB } },
    { "iam DeleteRolePolicy", { RoleName = "shop", PolicyName = "read" } },
    { "iam DeleteRole", { RoleName = "shop" } },
  },
})

lab.case(T, {
  noun = "role", title = "with an external id", want = { "shop", service = "elasticbeanstalk.amazonaws.com", external_id = "eb" },
  absent = { ["iam GetRole"] = lab.refusal("NoSuchEntity", 404) },
  there = role(trust("elasticbeanstalk.amazonaws.com", "eb"), {}, {}),
  gone = ROLE_GONE,
  create = { { "iam CreateRole", { RoleName = "shop", Tags = lab.tag_list("role", "shop"), AssumeRolePolicyDocument =
    '{"Statement":[{"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"eb"}},'
      .. '"Effect":"Allow","Principal":{"Service":"elasticbeanstalk.amazonaws.com"}}],"Version":"2012-10-17"}' } } },
  delete = { { "iam DeleteRole", { RoleName = "shop" } } },
})

local function profile(roles)
  return { InstanceProfile = { InstanceProfileName = "shop", Arn = "arn:p", Roles = roles, Tags = lab.tag_list("instance_profile", "shop") } }
end

lab.case(T, {
  noun = "instance_profile", want = { "shop", role = "shop" },
  absent = { ["iam GetInstanceProfile"] = lab.refusal("NoSuchEntity", 404) },
  there = { ["iam GetInstanceProfile"] = profile { { RoleName = "shop" } } },
  looks = { { "iam GetInstanceProfile", { InstanceProfileName = "shop" } } },
  create = {
    { "iam CreateInstanceProfile", { InstanceProfileName = "shop", Tags = lab.tag_list("instance_profile", "shop") } },
    { "iam AddRoleToInstanceProfile", { InstanceProfileName = "shop", RoleName = "shop" } },
  },
  change = {
    { "it hands out another role", want = { role = "other" }, calls = {
      { "iam RemoveRoleFromInstanceProfile", { InstanceProfileName = "shop", RoleName = "shop" } },
      { "iam AddRoleToInstanceProfile", { InstanceProfileName = "shop", RoleName = "other" } } } },
    { "one that a run left without a role gets it", there = { ["iam GetInstanceProfile"] = profile {} }, calls = {
      { "iam AddRoleToInstanceProfile", { InstanceProfileName = "shop", RoleName = "shop" } } } },
    { "a tag is added", want = { tags = { team = "shop" } },
      calls = { { "iam TagInstanceProfile", { InstanceProfileName = "shop", Tags = { { Key = "team", Value = "shop" } } } } } },
  },
  delete = {
    { "iam RemoveRoleFromInstanceProfile", { InstanceProfileName = "shop", RoleName = "shop" } },
    { "iam DeleteInstanceProfile", { InstanceProfileName = "shop" } },
  },
})

local PROVIDER = "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com"
local TOKEN_TRUST = '{"Statement":[{"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":'
  .. '{"token.actions.githubusercontent.com:aud":"sts.amazonaws.com","token.actions.githubusercontent.com:sub":["%s"]}},'
  .. '"Effect":"Allow","Principal":{"Federated":"' .. PROVIDER .. '"}}],"Version":"2012-10-17"}'
local MAIN, DEV = "repo:o/r:ref:refs/heads/main", "repo:o/r:ref:refs/heads/dev"

local function token_trust(subject, operator)
  return { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = "sts:AssumeRoleWithWebIdentity", Principal = { Federated = PROVIDER },
    Condition = { [operator or "StringEquals"] = { ["token.actions.githubusercontent.com:aud"] = "sts.amazonaws.com",
                                                   ["token.actions.githubusercontent.com:sub"] = subject } } } } }
end

local function web_identity(subject) return { provider = PROVIDER, audience = "sts.amazonaws.com", subjects = { subject } } end

lab.case(T, {
  noun = "role", title = "of a token's bearer", want = { "shop", web_identity = web_identity(MAIN) },
  absent = { ["iam GetRole"] = lab.refusal("NoSuchEntity", 404) },
  there = role(token_trust(MAIN), {}, {}),
  gone = ROLE_GONE,
  create = { { "iam CreateRole", { RoleName = "shop", Tags = lab.tag_list("role", "shop"), AssumeRolePolicyDocument = TOKEN_TRUST:format(MAIN) } } },
  change = {
    { "another branch may take it on", want = { web_identity = web_identity(DEV) }, calls = {
      { "iam UpdateAssumeRolePolicy", { RoleName = "shop", PolicyDocument = TOKEN_TRUST:format(DEV) } } } },
    { "a trust that someone widened to any repository is put back", there = role(token_trust("repo:*", "StringLike"), {}, {}), calls = {
      { "iam UpdateAssumeRolePolicy", { RoleName = "shop", PolicyDocument = TOKEN_TRUST:format(MAIN) } } } },
  },
  delete = { { "iam DeleteRole", { RoleName = "shop" } } },
})

local function providers(...)
  return { ["iam ListOpenIDConnectProviders"] = { OpenIDConnectProviderList = { { Arn = "arn:aws:iam::1:oidc-provider/other.example" },
                                                                                  { Arn = PROVIDER } } },
           ["iam GetOpenIDConnectProvider"] = { Url = "token.actions.githubusercontent.com", ClientIDList = { ... } } }
end

lab.case(T, {
  noun = "oidc_provider", want = { "token.actions.githubusercontent.com", audiences = { "sts.amazonaws.com" } },
  absent = { ["iam ListOpenIDConnectProviders"] = { OpenIDConnectProviderList = {} } },
  there = providers("sts.amazonaws.com", "of-somebody-else"),
  looks = { { "iam ListOpenIDConnectProviders", {} }, { "iam GetOpenIDConnectProvider", { OpenIDConnectProviderArn = PROVIDER } } },
  gone = { ["iam GetOpenIDConnectProvider"] = "NoSuchEntity" },
  create = { { "iam CreateOpenIDConnectProvider", { Url = "https://token.actions.githubusercontent.com", ClientIDList = { "sts.amazonaws.com" } },
               { OpenIDConnectProviderArn = PROVIDER } } },
  change = { { "an audience that is missing is added, others stay", there = providers "of-somebody-else", calls = {
    { "iam AddClientIDToOpenIDConnectProvider", { OpenIDConnectProviderArn = PROVIDER, ClientID = "sts.amazonaws.com" } } } } },
  delete = { { "iam DeleteOpenIDConnectProvider", { OpenIDConnectProviderArn = PROVIDER } } },
})

return T
