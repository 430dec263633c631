--- Machines, keys, roles, buckets and secrets. See terraform/types.lua.
local hcl = require "terraform.hcl"
local sorted_keys = require "sorted_keys"
local tags = require "terraform.tags"

local M = {}

M["aws.key_pair"] = {
  type = "aws_key_pair", import = "{name}", named = "key_name", gives = { id = "key_pair_id" }, ignore = { "public_key" },
  body = function(v) return { { "key_name", v.name }, { "public_key", v.public_key }, { "tags", tags(v) } } end,
}

M["aws.instance"] = {
  type = "aws_instance", import = "{id}", ignore = { "ami", "user_data", "user_data_base64" },
  gives = { id = "id", private_address = "private_ip", address = "public_ip" },
  body = function(v, x)
    return {
      { "ami", v.image }, { "instance_type", v.type }, { "subnet_id", v.subnet }, { "vpc_security_group_ids", v.groups },
      { "key_name", v.key and x:named("aws.key_pair", v.key) }, { "iam_instance_profile", v.profile and x:named("aws.instance_profile", v.profile) },
      { "associate_public_ip_address", v.address ~= nil }, { "tags", tags(v) },
      { "metadata_options", v.imdsv2 and hcl.blocks { { "http_tokens", "required" } } or nil },
    }
  end,
}

M["aws.role"] = {
  type = "aws_iam_role", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v, x)
    for _, arn in ipairs(v.policies) do
      x:part("aws_iam_role_policy_attachment", arn:match "[^/]*$", v.name .. "/" .. arn,
        { { "role", x:named("aws.role", v.name) }, { "policy_arn", arn } })
    end
    for _, name in ipairs(sorted_keys(v.inline)) do
      x:part("aws_iam_role_policy", name, v.name .. ":" .. name,
        { { "name", name }, { "role", x:named("aws.role", v.name) }, { "policy", hcl.json(v.inline[name]) } })
    end
    return { { "name", v.name }, { "description", v.description }, { "assume_role_policy", hcl.json(v.trust) }, { "tags", tags(v) } }
  end,
}

M["aws.instance_profile"] = {
  type = "aws_iam_instance_profile", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v, x) return { { "name", v.name }, { "role", v.role and x:named("aws.role", v.role) }, { "tags", tags(v) } } end,
}

M["aws.bucket"] = {
  type = "aws_s3_bucket", import = "{name}", named = "bucket", gives = { arn = "arn" },
  body = function(v, x)
    local bucket = x:named("aws.bucket", v.name)
    if v.private then
      x:part("aws_s3_bucket_public_access_block", "", v.name, { { "bucket", bucket }, { "block_public_acls", true }, { "block_public_policy", true },
        { "ignore_public_acls", true }, { "restrict_public_buckets", true } })
    end
    if v.encrypted then
      x:part("aws_s3_bucket_server_side_encryption_configuration", "", v.name, { { "bucket", bucket },
        { "rule", hcl.blocks { { "apply_server_side_encryption_by_default", hcl.blocks { { "sse_algorithm", "AES256" } } } } } })
    end
    if v.versions then
      x:part("aws_s3_bucket_versioning", "", v.name, { { "bucket", bucket },
        { "versioning_configuration", hcl.blocks { { "status", "Enabled" } } } })
    end
    return { { "bucket", v.name }, { "tags", tags(v) } }
  end,
}

M["aws.object"] = {
  type = "aws_s3_object", import = "{bucket}/{name}", ignore = "all", gives = {},
  note = "Its bytes are not in these files: Terraform knows of it and leaves it alone.",
  body = function(v, x) return { { "bucket", x:named("aws.bucket", v.bucket) }, { "key", v.name } } end,
}

M["aws.secret"] = {
  type = "aws_secretsmanager_secret", import = "{arn}", gives = { arn = "arn" },
  note = "Its value is not in these files and not in Terraform's state.",
  body = function(v) return { { "name", v.name }, { "description", v.description }, { "tags", tags(v) } } end,
}

M["aws.parameter"] = {
  type = "aws_ssm_parameter", import = "{name}", ignore = { "value" }, gives = { arn = "arn" }, named = "name",
  note = "Its value is not in these files; Terraform keeps it in its state, and does not change it.",
  body = function(v)
    return { { "name", v.name }, { "description", v.description }, { "type", "SecureString" }, { "value", "set elsewhere" }, { "tags", tags(v) } }
  end,
}

M["aws.oidc_provider"] = {
  type = "aws_iam_openid_connect_provider", import = "{arn}", gives = { arn = "arn" },
  body = function(v) return { { "url", "https://" .. v.name }, { "client_id_list", v.audiences } } end,
}

return M
