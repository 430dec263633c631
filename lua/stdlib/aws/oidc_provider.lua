--- An identity provider of OpenID Connect: whose tokens IAM believes, so that a role can be taken on with one instead of keys.
--- An account has one for each URL: one that is there is used, and left there.
---
---     local github = aws.oidc_provider { "token.actions.githubusercontent.com", audiences = { "sts.amazonaws.com" } }
---     aws.role { "deploy", web_identity = { provider = github, audience = "sts.amazonaws.com", subjects = { "repo:o/r:ref:refs/heads/main" } } }
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "NoSuchEntity"

--- The audiences of the spec are there; others may be, for others' roles.
local function has_all(want, have)
  local missing = noun.minus(want, have)
  if #missing == 0 then return true end
  return false, have, want
end

--- The ARN of the provider of a URL, which is the end of it.
local function find(name)
  for _, p in ipairs(aws.iam:list_open_id_connect_providers({}).OpenIDConnectProviderList) do
    if p.Arn:match ":oidc%-provider/(.*)$" == name then return p.Arn end
  end
end

return recipe.kind {
  name = "aws.oidc_provider",
  options = {
    { "audiences", "whom its tokens may be for (client ids)", type = "list", required = true },
  },
  outputs = { "arn" }, summary = { "audiences" }, compare = { audiences = has_all },
  tagless = true, idempotent = true,                         -- one for each URL; it may serve others, who tag it as they like

  read = noun.reader(GONE, function(spec)
    local arn = find(spec.name)
    if not arn then return nil end
    return { id = arn, arn = arn, audiences = aws.iam:get_open_id_connect_provider({ OpenIDConnectProviderArn = arn }).ClientIDList }
  end),

  create = function(spec)                                    -- without a thumbprint: IAM gets it, and needs it of few authorities
    return aws.iam:create_open_id_connect_provider({ Url = "https://" .. spec.name, ClientIDList = spec.audiences }).OpenIDConnectProviderArn
  end,

  update = function(spec, current)
    for _, audience in ipairs(noun.minus(spec.audiences, current.audiences)) do
      aws.iam:add_client_id_to_open_id_connect_provider { OpenIDConnectProviderArn = current.id, ClientID = audience }
    end
  end,

  delete = function(current)
    noun.delete(GONE, function() aws.iam:delete_open_id_connect_provider { OpenIDConnectProviderArn = current.id } end)
  end,
}
