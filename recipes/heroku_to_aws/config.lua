--- The app's environment on AWS: all config vars in one secret, of which the environment takes each by its key.
local text = require "text"

local M = {}

--- The values that go into the secret.
---@param app HerokuApp
---@param plan table
---@param new { db: table?, cache: table? } the new stores
---@return table<string, any> values secrets; those of the stores are unknown until these exist
function M.values(app, plan, new)
  local values = {}
  for name, value in pairs(app.config) do
    local class = plan.config[name]
    if class == "database" then values[name] = new.db.url
    elseif class == "cache" then values[name] = new.cache.url
    elseif class == "carried" then values[name] = value end
  end
  return values
end

--- What the environment refers to: NAME = the secret's ARN with the key.
---@param plan table
---@param arn any
---@return table<string, any>
function M.references(plan, arn)
  local refs = {}
  for name, class in pairs(plan.config) do
    if class ~= "dropped" then refs[name] = text("%s:%s", arn, name) end
  end
  return refs
end

return M
