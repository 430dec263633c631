--- A key pair: the public half of an ssh key, under a name that instances are started with.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

--- "ssh-ed25519 AAAA... comment" without the comment, which AWS changes.
local function bare(line) return line and line:match "^%S+%s+%S+" or line end

return recipe.kind {
  name = "aws.key_pair",
  options = {
    { "public_key", "the public key's line: ssh-ed25519 AAAA...", type = "string", required = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "fingerprint" }, fixed = { "public_key" }, summary = {}, idempotent = true,    -- a name is taken once in a region
  compare = { tags = "given", public_key = function(want, have) return bare(want) == bare(have) end },

  read = function(spec, known)
    local by = known and { Name = "key-pair-id", Values = { known } } or { Name = "key-name", Values = { spec.name } }
    local pair = aws.ec2:describe_key_pairs({ Filters = { by }, IncludePublicKey = true }).KeyPairs[1]
    return pair and {
      id = pair.KeyPairId, name = pair.KeyName, public_key = pair.PublicKey, fingerprint = pair.KeyFingerprint, tags = noun.tag_map(pair.Tags),
    }
  end,

  create = function(spec, ctx)
    return aws.ec2:import_key_pair({
      KeyName = spec.name, PublicKeyMaterial = spec.public_key, TagSpecifications = noun.ec2_tags("key-pair", spec, ctx),
    }).KeyPairId
  end,

  update = function(spec, current)
    aws.ec2:create_tags { Resources = { current.id }, Tags = noun.tag_list(spec.tags) }
  end,

  delete = function(current)
    noun.delete("InvalidKeyPair.NotFound", function() aws.ec2:delete_key_pair { KeyName = current.name } end)
  end,
}
