--- An IAM role that an AWS service takes on, or who has a token of an identity provider: what it may do stands in managed
--- policies and in inline documents. Both lists are whole: what is not in them is taken away.
local aws = require "aws"
local diff = require "recipe.diff"
local errors = require "errors"
local json = require "json"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "NoSuchEntity"

--- Amazon's policies may be given without their "arn:aws:iam::aws:policy/".
local function arn(policy)
  return policy:find "^arn:" and policy or "arn:aws:iam::aws:policy/" .. policy
end

local function arns(policies)
  local list = {}
  for i, p in ipairs(policies) do list[i] = arn(p) end
  return list
end

--- The document that lets a service take the role on.
local function trust(service, external_id)
  return {
    Version = "2012-10-17",
    Statement = { {
      Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = service },
      Condition = external_id and { StringEquals = { ["sts:ExternalId"] = external_id } } or nil,
    } },
  }
end

--- The document that lets those take it on who have such a token: for this audience, of one of these subjects.
local function web_trust(o)
  local arn = type(o.provider) == "table" and not recipe.is_unknown(o.provider) and o.provider.arn or o.provider
  if recipe.is_unknown(arn) then return arn end
  local issuer = arn:match ":oidc%-provider/(.*)$" or errors.usage("aws.role: %s is not the ARN of an OpenID Connect provider", tostring(arn))
  return {
    Version = "2012-10-17",
    Statement = { {
      Effect = "Allow", Action = "sts:AssumeRoleWithWebIdentity", Principal = { Federated = arn },
      Condition = { StringEquals = { [issuer .. ":aud"] = o.audience, [issuer .. ":sub"] = o.subjects } },
    } },
  }
end

local function trust_text(spec)
  if (spec.service == nil) == (spec.web_identity == nil) then
    errors.usage("aws.role %q: give service, or web_identity: who takes it on", spec.name)
  end
  return json.encode(spec.web_identity and web_trust(spec.web_identity) or trust(spec.service, spec.external_id), { sort = true })
end

--- A document with what IAM takes for the same written the same: a list of one is that one, an empty Sid is none.
local function plain(v)
  if type(v) ~= "table" or recipe.is_unknown(v) then return v end
  if #v == 1 and next(v, 1) == nil then return plain(v[1]) end
  local r = {}
  for k, x in pairs(v) do
    if not (k == "Sid" and x == "") then r[k] = plain(x) end
  end
  return r
end

local function same_document(want, have) return diff.same(plain(want), plain(have)) end

--- The trust has one statement for the service: whatever else someone wrote into the document is a difference.
local function same_service(want, have, spec, current)
  local external_id = spec.external_id and current.external_id
  if same_document(trust(want, external_id), current.trust) then return true end
  if same_document(trust(have, external_id), current.trust) then return false end
  return false, current.trust, want
end

local function same_web_identity(want, _, _, current)
  local document = web_trust(want)
  if same_document(document, current.trust) then return true end
  return false, current.trust, document
end

local function same_inline(want, have)
  local _, old, new = diff.given(want, have, same_document)
  old, new = old or {}, new or {}
  for name, document in pairs(have) do
    if want[name] == nil then old[name] = document end
  end
  if next(old) == nil and next(new) == nil then return true end
  return false, old, new
end

local function set_inline(name, want, have)
  for policy, document in pairs(want) do
    if not same_document(document, have[policy]) then
      aws.iam:put_role_policy { RoleName = name, PolicyName = policy, PolicyDocument = json.encode(document, { sort = true }) }
    end
  end
  for policy in pairs(have) do
    if not want[policy] then
      noun.found(GONE, aws.iam.delete_role_policy, aws.iam, { RoleName = name, PolicyName = policy })
    end
  end
end

local function set_policies(name, want, have)
  want = arns(want)
  for _, p in ipairs(noun.minus(want, have)) do aws.iam:attach_role_policy { RoleName = name, PolicyArn = p } end
  for _, p in ipairs(noun.minus(have, want)) do         -- gone already: nobody heard the answer to the first call
    noun.found(GONE, aws.iam.detach_role_policy, aws.iam, { RoleName = name, PolicyArn = p })
  end
end

return recipe.kind {
  name = "aws.role",
  options = {
    { "service", "who takes it on: ec2.amazonaws.com", type = "string" },
    { "web_identity", "or who has a token: { provider = of aws.oidc_provider, audience = whom it is for, subjects = { whose it is } }",
      type = "table" },
    { "external_id", "what that service must say, if anything", type = "string" },
    { "policies", "managed policies: names of Amazon's, or ARNs", type = "list", default = {} },
    { "inline", "policy documents by name: { [\"read-secret\"] = { Version = ..., Statement = ... } }", type = "table", default = {} },
    { "description", "what it is for", type = "string" },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "service", "web_identity", "policies" }, idempotent = true,               -- a name is taken once in an account
  compare = {
    tags = "given", service = same_service, web_identity = same_web_identity, inline = same_inline,
    policies = function(want, have) return diff.comparer "set"(arns(want), have) end,
  },

  read = noun.reader(GONE, function(spec)
    local role, policies, inline = aws.iam:get_role({ RoleName = spec.name }).Role, {}, {}
    for p in aws.iam:each("list_attached_role_policies", { RoleName = spec.name }) do policies[#policies + 1] = p.PolicyArn end
    for name in aws.iam:each("list_role_policies", { RoleName = spec.name }) do
      local answer = noun.found(GONE, aws.iam.get_role_policy, aws.iam, { RoleName = spec.name, PolicyName = name })
      if not answer then aws.iam:get_role { RoleName = spec.name } end     -- only the policy is gone, or the role with it
      inline[name] = answer and answer.PolicyDocument
    end
    local statement = role.AssumeRolePolicyDocument.Statement[1] or {}
    return {
      id = role.RoleName, arn = role.Arn, policies = policies, inline = inline, tags = noun.tag_map(role.Tags),
      description = role.Description, trust = role.AssumeRolePolicyDocument,
      service = statement.Principal and plain(statement.Principal.Service),
      external_id = statement.Condition and statement.Condition.StringEquals and plain(statement.Condition.StringEquals["sts:ExternalId"]),
    }
  end),

  create = function(spec, ctx)
    aws.iam:create_role {
      RoleName = spec.name, AssumeRolePolicyDocument = trust_text(spec), Description = spec.description, Tags = noun.tags(spec, ctx),
    }
    set_policies(spec.name, spec.policies, {})
    set_inline(spec.name, spec.inline, {})
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.service or changes.external_id or changes.web_identity then
      aws.iam:update_assume_role_policy { RoleName = current.id, PolicyDocument = trust_text(spec) }
    end
    if changes.description then aws.iam:update_role { RoleName = current.id, Description = spec.description } end
    if changes.policies then set_policies(current.id, spec.policies, current.policies) end
    if changes.inline then set_inline(current.id, spec.inline, current.inline) end
    if changes.tags then aws.iam:tag_role { RoleName = current.id, Tags = noun.tag_list(spec.tags) } end
  end,

  delete = function(current)
    noun.delete(GONE, function()
      set_policies(current.id, {}, current.policies)
      set_inline(current.id, {}, current.inline)
      aws.iam:delete_role { RoleName = current.id }
    end)
  end,
}
