--- The places where credentials may be, in botocore's order. Each is a name and find(o, profile), which gives credentials,
--- or nil and why there are none; it raises when something is set up there and does not work.
local config = require "aws.config"
local errors = require "errors"

local M = {}

--- A place whose module is loaded when it is asked.
local function place(name, module, method)
  return { name, function(o, profile)
    local find = require("aws.credentials." .. module)
    if method then find = find[method] end
    return find(o, profile)
  end }
end

--- What a profile can have, beside a role: also what a source_profile is looked through for.
M.of_profile = {
  place("web identity", "web_identity"),
  place("IAM Identity Center", "sso"),
  place("shared credentials file", "keys", "from_credentials_file"),
  place("login session", "login"),
  place("credential_process", "process"),
  place("config file", "keys", "from_config_file"),
}

local environment, role = place("environment", "environment"), place("assumed role", "role", "find")

--- The places for what was asked: a profile that is asked for puts the environment out of the chain, and one that does not
--- exist is told once instead of at each place.
---@param o { profile?: string }
---@param profile string
---@return table[]
function M.list(o, profile)
  local list = { environment }
  if o.profile then list[1] = { "environment", function() return nil, "not used, because a profile was asked for" end } end
  if config.merged(profile) then
    list[2] = role
    table.move(M.of_profile, 1, #M.of_profile, 3, list)
  else
    list[2] = M.of_profile[1]
    list[3] = { "shared files", function()
      local _, chosen = config.profile_name(o.profile)
      local why = ("no profile %s in %s or %s"):format(profile, config.paths())
      if chosen then errors.usage("there is %s", why) end
      return nil, why
    end }
  end
  list[#list + 1] = place("container", "container")
  list[#list + 1] = place("instance metadata", "metadata")
  return list
end

return M
