--- AWS IAM in the rehearsal: roles, policies, instance profiles and identity providers.
local json = require "json"
local like = require "rehearsal.wildcard"
local sign = require "sign"
local sorted_keys = require "sorted_keys"
local wire = require "rehearsal.wire"

local S = {}

local function all(cloud, kind)
  local store = cloud:store "iam"
  store[kind] = store[kind] or {}
  return store[kind]
end

local function missing(fmt, ...) wire.fail("NoSuchEntity", 404, fmt, ...) end

local function role_of(cloud, name)
  return all(cloud, "roles")[name] or missing("The role with name %s cannot be found.", name)
end

local function profile_of(cloud, name)
  return all(cloud, "profiles")[name] or missing("Instance Profile %s cannot be found.", name)
end

--- Amazon's managed policies that the rehearsal knows by their ARN.
local MANAGED = {}
for _, name in ipairs {
  "AWSElasticBeanstalkWebTier", "AWSElasticBeanstalkWorkerTier", "AWSElasticBeanstalkMulticontainerDocker", "AmazonEC2ContainerRegistryReadOnly",
  "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore", "CloudWatchAgentServerPolicy",
  "AWSElasticBeanstalkManagedUpdatesCustomerRolePolicy",
  "service-role/AWSElasticBeanstalkEnhancedHealth", "service-role/AmazonDMSVPCManagementRole", "service-role/AmazonDMSCloudWatchLogsRole",
  "service-role/AmazonECSTaskExecutionRolePolicy", "ReadOnlyAccess", "AdministratorAccess", "service-role/AmazonRDSEnhancedMonitoringRole",
} do MANAGED["arn:aws:iam::aws:policy/" .. name] = name:match "[^/]+$" end

local function check_document(text)
  local document = json.decode(text)
  if type(document) ~= "table" or document.Version == nil or document.Statement == nil then
    wire.fail("MalformedPolicyDocument", 400, "This policy contains invalid Json")
  end
  return text
end

local function escaped(text)
  return (text:gsub("[^%w%-%._~]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function shown(role)
  local copy = {}
  for k, v in pairs(role) do copy[k] = v end
  copy.AssumeRolePolicyDocument = escaped(role.AssumeRolePolicyDocument)
  return copy
end

function S.CreateRole(cloud, p)
  if all(cloud, "roles")[p.RoleName] then wire.fail("EntityAlreadyExists", 409, "Role with name %s already exists.", p.RoleName) end
  check_document(p.AssumeRolePolicyDocument)
  local path = p.Path or "/"
  local role = { RoleName = p.RoleName, Path = path, RoleId = "AROA" .. sign.hex(sign.random(8)):upper(), CreateDate = cloud.clock:now(),
                 Arn = cloud:arn("iam", nil, "role" .. path .. p.RoleName), AssumeRolePolicyDocument = p.AssumeRolePolicyDocument,
                 Description = p.Description, MaxSessionDuration = p.MaxSessionDuration or 3600, Tags = p.Tags or {}, attached = {}, inline = {} }
  all(cloud, "roles")[p.RoleName] = role
  return { Role = shown(role) }
end

function S.GetRole(cloud, p) return { Role = shown(role_of(cloud, p.RoleName)) } end

function S.ListRoles(cloud, p)
  local list = {}
  for _, role in pairs(all(cloud, "roles")) do list[#list + 1] = shown(role) end
  table.sort(list, function(a, b) return a.RoleName < b.RoleName end)
  local page, marker = cloud.page(list, p.Marker, p.MaxItems)
  return { Roles = page, IsTruncated = marker ~= nil, Marker = marker }
end

function S.UpdateAssumeRolePolicy(cloud, p)
  role_of(cloud, p.RoleName).AssumeRolePolicyDocument = check_document(p.PolicyDocument)
end

function S.UpdateRole(cloud, p)
  local role = role_of(cloud, p.RoleName)
  role.Description = p.Description or role.Description
  role.MaxSessionDuration = p.MaxSessionDuration or role.MaxSessionDuration
end

function S.DeleteRole(cloud, p)
  local role = role_of(cloud, p.RoleName)
  if #role.attached > 0 then wire.fail("DeleteConflict", 409, "Cannot delete entity, must detach all policies first.") end
  if next(role.inline) then wire.fail("DeleteConflict", 409, "Cannot delete entity, must delete policies first.") end
  for _, profile in pairs(all(cloud, "profiles")) do
    for _, name in ipairs(profile.roles) do
      if name == p.RoleName then wire.fail("DeleteConflict", 409, "Cannot delete entity, must remove roles from instance profile first.") end
    end
  end
  all(cloud, "roles")[p.RoleName] = nil
end

function S.AttachRolePolicy(cloud, p)
  local role = role_of(cloud, p.RoleName)
  if not MANAGED[p.PolicyArn] and not all(cloud, "policies")[p.PolicyArn] then
    missing("Policy %s does not exist or is not attachable.", p.PolicyArn)
  end
  for _, arn in ipairs(role.attached) do if arn == p.PolicyArn then return end end
  table.insert(role.attached, p.PolicyArn)
end

function S.DetachRolePolicy(cloud, p)
  local role = role_of(cloud, p.RoleName)
  for i, arn in ipairs(role.attached) do if arn == p.PolicyArn then table.remove(role.attached, i) return end end
  missing("Policy %s was not found.", p.PolicyArn)
end

function S.ListAttachedRolePolicies(cloud, p)
  local list = {}
  for i, arn in ipairs(role_of(cloud, p.RoleName).attached) do list[i] = { PolicyArn = arn, PolicyName = arn:match "[^/]+$" } end
  local page, marker = cloud.page(list, p.Marker, p.MaxItems)
  return { AttachedPolicies = page, IsTruncated = marker ~= nil, Marker = marker }
end

function S.PutRolePolicy(cloud, p)
  role_of(cloud, p.RoleName).inline[p.PolicyName] = check_document(p.PolicyDocument)
end

function S.GetRolePolicy(cloud, p)
  local document = role_of(cloud, p.RoleName).inline[p.PolicyName]
                   or missing("The role policy with name %s cannot be found.", p.PolicyName)
  return { RoleName = p.RoleName, PolicyName = p.PolicyName, PolicyDocument = escaped(document) }
end

function S.ListRolePolicies(cloud, p)
  return { PolicyNames = sorted_keys(role_of(cloud, p.RoleName).inline), IsTruncated = false }
end

function S.DeleteRolePolicy(cloud, p)
  local role = role_of(cloud, p.RoleName)
  if not role.inline[p.PolicyName] then missing("The role policy with name %s cannot be found.", p.PolicyName) end
  role.inline[p.PolicyName] = nil
end

local function set_tags(entity, tags)
  for _, tag in ipairs(tags) do
    for i = #entity.Tags, 1, -1 do if entity.Tags[i].Key == tag.Key then table.remove(entity.Tags, i) end end
    table.insert(entity.Tags, tag)
  end
end

local function drop_tags(entity, keys)
  for _, key in ipairs(keys) do
    for i = #entity.Tags, 1, -1 do if entity.Tags[i].Key == key then table.remove(entity.Tags, i) end end
  end
end

function S.TagRole(cloud, p) set_tags(role_of(cloud, p.RoleName), p.Tags) end
function S.UntagRole(cloud, p) drop_tags(role_of(cloud, p.RoleName), p.TagKeys) end
function S.ListRoleTags(cloud, p) return { Tags = role_of(cloud, p.RoleName).Tags, IsTruncated = false } end
function S.TagInstanceProfile(cloud, p) set_tags(profile_of(cloud, p.InstanceProfileName), p.Tags) end
function S.UntagInstanceProfile(cloud, p) drop_tags(profile_of(cloud, p.InstanceProfileName), p.TagKeys) end

function S.GetPolicy(cloud, p)
  local name = MANAGED[p.PolicyArn] or all(cloud, "policies")[p.PolicyArn] or missing("Policy %s was not found.", p.PolicyArn)
  return { Policy = { PolicyName = name, Arn = p.PolicyArn, Path = "/", DefaultVersionId = "v1", AttachmentCount = 0, IsAttachable = true } }
end

-- Instance profiles --------------------------------------------------------

local function shown_profile(cloud, profile)
  local copy = {}
  for k, v in pairs(profile) do copy[k] = v end
  copy.Roles = {}
  for i, name in ipairs(profile.roles) do copy.Roles[i] = shown(role_of(cloud, name)) end
  return copy
end

function S.CreateInstanceProfile(cloud, p)
  if all(cloud, "profiles")[p.InstanceProfileName] then
    wire.fail("EntityAlreadyExists", 409, "Instance Profile %s already exists.", p.InstanceProfileName)
  end
  local path = p.Path or "/"
  local profile = { InstanceProfileName = p.InstanceProfileName, Path = path, InstanceProfileId = "AIPA" .. sign.hex(sign.random(8)):upper(),
                    Arn = cloud:arn("iam", nil, "instance-profile" .. path .. p.InstanceProfileName),
                    CreateDate = cloud.clock:now(), roles = {}, Tags = p.Tags or {} }
  all(cloud, "profiles")[p.InstanceProfileName] = profile
  return { InstanceProfile = shown_profile(cloud, profile) }
end

function S.GetInstanceProfile(cloud, p)
  return { InstanceProfile = shown_profile(cloud, profile_of(cloud, p.InstanceProfileName)) }
end

function S.ListInstanceProfiles(cloud)
  local list = {}
  for _, profile in pairs(all(cloud, "profiles")) do list[#list + 1] = shown_profile(cloud, profile) end
  return { InstanceProfiles = list, IsTruncated = false }
end

function S.AddRoleToInstanceProfile(cloud, p)
  local profile = profile_of(cloud, p.InstanceProfileName)
  role_of(cloud, p.RoleName)
  if #profile.roles > 0 then wire.fail("LimitExceeded", 409, "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1") end
  profile.roles[1] = p.RoleName
end

function S.RemoveRoleFromInstanceProfile(cloud, p)
  local profile = profile_of(cloud, p.InstanceProfileName)
  if profile.roles[1] ~= p.RoleName then missing("The role with name %s cannot be found.", p.RoleName) end
  profile.roles = {}
end

function S.DeleteInstanceProfile(cloud, p)
  local profile = profile_of(cloud, p.InstanceProfileName)
  if #profile.roles > 0 then wire.fail("DeleteConflict", 409, "Cannot delete entity, must remove roles from instance profile first.") end
  all(cloud, "profiles")[p.InstanceProfileName] = nil
end

-- Identity providers of OpenID Connect ---------------------------------------

local function provider_of(cloud, arn)
  return all(cloud, "providers")[arn] or missing("OpenIDConnect Provider not found for arn %s", arn)
end

function S.CreateOpenIDConnectProvider(cloud, p)
  local name = p.Url:match "^https://(.+)$" or wire.fail("ValidationError", 400, "Invalid Open ID Connect Provider URL")
  local arn = cloud:arn("iam", nil, "oidc-provider/" .. name)
  if all(cloud, "providers")[arn] then wire.fail("EntityAlreadyExists", 409, "Provider with url %s already exists.", p.Url) end
  all(cloud, "providers")[arn] = { Url = name, ClientIDList = p.ClientIDList or {}, CreateDate = cloud.clock:now(), Tags = p.Tags or {},
                                   ThumbprintList = p.ThumbprintList or { sign.hex(sign.random(20)) } }
  return { OpenIDConnectProviderArn = arn, Tags = p.Tags }
end

function S.GetOpenIDConnectProvider(cloud, p) return provider_of(cloud, p.OpenIDConnectProviderArn) end

function S.ListOpenIDConnectProviders(cloud)
  local list = {}
  for arn in pairs(all(cloud, "providers")) do list[#list + 1] = { Arn = arn } end
  table.sort(list, function(a, b) return a.Arn < b.Arn end)
  return { OpenIDConnectProviderList = list }
end

function S.AddClientIDToOpenIDConnectProvider(cloud, p)
  local ids = provider_of(cloud, p.OpenIDConnectProviderArn).ClientIDList
  for _, id in ipairs(ids) do if id == p.ClientID then return end end
  ids[#ids + 1] = p.ClientID
end

function S.RemoveClientIDFromOpenIDConnectProvider(cloud, p)
  local ids = provider_of(cloud, p.OpenIDConnectProviderArn).ClientIDList
  for i, id in ipairs(ids) do if id == p.ClientID then table.remove(ids, i) return end end
end

function S.DeleteOpenIDConnectProvider(cloud, p)
  provider_of(cloud, p.OpenIDConnectProviderArn)
  all(cloud, "providers")[p.OpenIDConnectProviderArn] = nil
end

local function list_of(v) return type(v) == "table" and v or { v } end

local function statements(document) return document.Statement[1] and document.Statement or { document.Statement } end

--- The inline policies of a role, as documents.
function S._policies(cloud, role_arn)
  local list, role = {}, all(cloud, "roles")[role_arn:match "[^/]+$"]
  for _, text in pairs(role and role.inline or {}) do list[#list + 1] = json.decode(text) end
  return list
end

--- Whether a role's inline policies let it do an action to a resource; conditions are not weighed. Nil without such a role.
function S._may(cloud, role_arn, action, resource)
  local role = all(cloud, "roles")[role_arn:match "[^/]+$"]
  if not role then return nil end
  for _, text in pairs(role.inline) do
    for _, statement in ipairs(statements(json.decode(text))) do
      local acts, on = false, false
      for _, a in ipairs(list_of(statement.Action)) do acts = acts or like(action, a) end
      for _, r in ipairs(list_of(statement.Resource)) do on = on or resource == "*" or like(resource, r) end
      if statement.Effect == "Allow" and acts and on then return true end
    end
  end
  return false
end

--- Whether a service may take a role on.
function S._trusts(cloud, role_arn, service)
  local role = all(cloud, "roles")[role_arn:match "[^/]+$"]
  for _, statement in ipairs(role and statements(json.decode(role.AssumeRolePolicyDocument)) or {}) do
    for _, name in ipairs(list_of((statement.Principal or {}).Service)) do
      if name == service and statement.Effect == "Allow" then return true end
    end
  end
  return false
end

--- The claims that a condition of a trust policy compares, by the name of the provider: "sub" of "issuer:sub".
local function holds(condition, issuer, claims)
  for operator, tests in pairs(condition) do
    for key, wanted in pairs(tests) do
      local value, ok = claims[key:match("^" .. issuer:gsub("%p", "%%%0") .. ":(.*)$") or ""], false
      for _, w in ipairs(list_of(wanted)) do
        ok = ok or value ~= nil and (operator == "StringEquals" and w == value or operator == "StringLike" and like(value, w))
      end
      if not ok then return false end
    end
  end
  return true
end

--- Whether a role may be taken on with a token of these claims: the provider knows its audience, and the trust policy lets its
--- bearer. A statement without a condition on the subject would let every repository of the world.
function S._trusts_token(cloud, role_arn, claims)
  local role = all(cloud, "roles")[role_arn:match "[^/]+$"]
  local issuer = tostring(claims.iss):gsub("^https://", "")
  local arn = cloud:arn("iam", nil, "oidc-provider/" .. issuer)
  local provider, known = all(cloud, "providers")[arn], false
  for _, id in ipairs(provider and provider.ClientIDList or {}) do known = known or id == claims.aud end
  if not (role and known) then return false end
  for _, s in ipairs(statements(json.decode(role.AssumeRolePolicyDocument))) do
    for _, federated in ipairs(list_of((s.Principal or {}).Federated)) do
      if s.Effect == "Allow" and s.Action == "sts:AssumeRoleWithWebIdentity" and federated == arn and holds(s.Condition or {}, issuer, claims) then
        return true
      end
    end
  end
  return false
end

--- The profile of that name, if there is one.
function S._profile(cloud, name) return all(cloud, "profiles")[name] end

--- The roles of a profile of that name or ARN; none where there is no such profile.
local function roles_in(cloud, name)
  local profile = all(cloud, "profiles")[name:match "[^/]+$"]
  return profile and profile.roles or {}
end

--- Whether the role of a profile has one of Amazon's policies.
function S._profile_has(cloud, name, policy)
  for _, role in ipairs(roles_in(cloud, name)) do
    for _, arn in ipairs(role_of(cloud, role).attached) do
      if arn == "arn:aws:iam::aws:policy/" .. policy then return true end
    end
  end
  return false
end

--- Whether the role of a profile has one of Amazon's policies, or may do by its own what that one is for.
function S._profile_may(cloud, name, policy, action)
  if S._profile_has(cloud, name, policy) then return true end
  for _, role in ipairs(roles_in(cloud, name)) do
    if S._may(cloud, role, action, "*") then return true end
  end
  return false
end

--- Whether there is such a profile, with a role in it.
function S._instance_profile(cloud, name) return #roles_in(cloud, name) > 0 end

return S
