--- An instance profile: hands a role to the instances that are started with it.
local aws = require "aws"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local function add(name, role)
  noun.settled("NoSuchEntity", 30, function()                -- IAM takes seconds to know a new role everywhere
    aws.iam:add_role_to_instance_profile { InstanceProfileName = name, RoleName = noun.id(role) }
  end)
end

local function remove(name, role)
  noun.found("NoSuchEntity", function()
    aws.iam:remove_role_from_instance_profile { InstanceProfileName = name, RoleName = role }
  end)
end

return recipe.kind {
  name = "aws.instance_profile",
  options = {
    { "role", "the role or its name", type = "any", required = true },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "role" }, compare = { tags = "given" }, idempotent = true,

  read = function(spec)
    local name = { InstanceProfileName = spec.name }
    local answer = noun.found("NoSuchEntity", aws.iam.get_instance_profile, aws.iam, name)
    local profile = answer and answer.InstanceProfile
    return profile and {
      id = profile.InstanceProfileName, arn = profile.Arn, role = profile.Roles[1] and profile.Roles[1].RoleName,
      tags = noun.tag_map(profile.Tags),
    }
  end,

  create = function(spec, ctx)
    aws.iam:create_instance_profile { InstanceProfileName = spec.name, Tags = noun.tags(spec, ctx) }
    add(spec.name, spec.role)
    return spec.name
  end,

  update = function(spec, current, changes)
    if changes.role then
      if current.role then remove(current.id, current.role) end
      add(current.id, spec.role)
    end
    if changes.tags then
      aws.iam:tag_instance_profile { InstanceProfileName = current.id, Tags = noun.tag_list(spec.tags) }
    end
  end,

  delete = function(current)
    if current.role then remove(current.id, current.role) end
    noun.delete("NoSuchEntity", function() aws.iam:delete_instance_profile { InstanceProfileName = current.id } end)
  end,
}
