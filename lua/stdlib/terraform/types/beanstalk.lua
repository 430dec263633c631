--- Elastic Beanstalk. See terraform/types.lua.
local hcl = require "terraform.hcl"
local tags = require "terraform.tags"

local M = {}

M["aws.eb_application"] = {
  type = "aws_elastic_beanstalk_application", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v) return { { "name", v.name }, { "description", v.description }, { "tags", tags(v) } } end,
}

M["aws.eb_version"] = {
  none = "Terraform cannot import application versions; deployments make them, and the environment's version is left to those",
}

--- Settings that name a noun.
local NAMES = { IamInstanceProfile = "aws.instance_profile", ServiceRole = "aws.role" }

--- What the recipe set, in order. A variable whose value was a secret is not in the journal, and so not here.
local function settings(asked, x)
  local list = {}
  for namespace, options in pairs(asked) do
    for name, value in pairs(options) do
      if type(value) ~= "table" and type(value) ~= "userdata" then
        value = math.type(value) == "float" and math.tointeger(value) or value
        local said = NAMES[name] and x:named(NAMES[name], value) or tostring(value)
        list[#list + 1] = { { "namespace", namespace }, { "name", name }, { "value", said } }
      end
    end
  end
  table.sort(list, function(a, b)
    return a[1][2] < b[1][2] or a[1][2] == b[1][2] and a[2][2] < b[2][2]
  end)
  return list
end

M["aws.eb_environment"] = {
  type = "aws_elastic_beanstalk_environment", import = "{environment_id}", named = "name", ignore = { "version_label" },
  gives = { arn = "arn", cname = "cname" },
  note = "The first plan shows the settings as additions, because an import does not bring them: they are what the environment has.",
  body = function(v, x)
    return {
      { "name", v.name }, { "application", x:named("aws.eb_application", v.application) }, { "platform_arn", v.platform },
      { "description", v.description }, { "tier", v.worker and "Worker" or "WebServer" }, { "tags", tags(v) },
      { "setting", hcl.blocks(table.unpack(settings(v.asked.settings or {}, x))) },
    }
  end,
}

return M
