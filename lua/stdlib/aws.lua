--- AWS: every operation of the services that hkrun has models of, and the nouns of the recipes.
---
---     for vpc in aws.ec2:each("describe_vpcs", { Filters = { { Name = "is-default", Values = { "false" } } } }) do
---       print(vpc.VpcId, vpc.CidrBlock)
---     end
---     aws.rds:wait("db_instance_available", { DBInstanceIdentifier = "shop" })
---
--- `aws.ec2` is a client of the service in the recipe's region; arguments and results have AWS's names, operations
--- boto3's. A call returns the result and { request_id, status, headers }. Times are seconds since 1970; what AWS
--- marks as sensitive comes back as a secret, and a secret may stand wherever a string does.
local client = require "aws.client"
local model = require "aws.model"
local options = require "options"
local errors = require "errors"

local M = {}

local defaults, clients = {}, {}

local declared = {
  { "region", "region of the clients aws.NAME", type = "string" },
  { "profile", "profile of the shared files", type = "string" },
}

--- Sets the region and the profile of `aws.NAME` from here on.
---@param o { region?: string, profile?: string }
function M.use(o)
  o = options.check(o, declared, "aws.use")
  defaults = { region = o.region or defaults.region, profile = o.profile or defaults.profile }
  clients = {}
end

--- The region and the profile that `aws.use` set.
---@return { region?: string, profile?: string }
function M.used() return { region = defaults.region, profile = defaults.profile } end

--- Makes a client with settings of its own.
---@param o { service: string, region?: string, profile?: string, endpoint?: string, credentials?: table }
---@return aws.Client
function M.client(o)
  local with = {}
  for k, v in pairs(o) do with[k] = v end
  with.region, with.profile = o.region or defaults.region, o.profile or defaults.profile
  return client.new(with)
end

M.on_call, M.before_call = client.on_call, client.before_call

--- Modules beside the nouns that only the client needs.
local INNER = {}
for name in ([[arguments checksum client config credentials endpoint failure model mutating pace paginate path quirks request
               retries send sensitive shape signing timestamp transfer wait]]):gmatch "%S+" do INNER[name] = true end

local function nouns()
  local names = {}
  for _, file in ipairs(require("host.resource").list "stdlib/aws/") do
    local name = file:match "^stdlib/aws/([%w_]+)%.lua$"
    if name and not INNER[name] then names[#names + 1] = name end
  end
  return names
end

--- What `aws.NAME` can be.
---@return { services: string[], nouns: string[] }
function M.names()
  local services = model.services()
  for i, name in ipairs(services) do services[i] = name:gsub("-", "_") end
  return { services = services, nouns = nouns() }
end

setmetatable(M, { __index = function(_, name)
  if clients[name] then return clients[name] end
  local services = model.services()
  for i, service in ipairs(services) do
    services[i] = service:gsub("-", "_")
    if services[i] == name then
      clients[name] = M.client { service = service }
      return clients[name]
    end
  end
  local known = nouns()
  for _, noun in ipairs(known) do
    if noun == name then
      local module = require("aws." .. name)
      rawset(M, name, module)
      return module
    end
  end
  table.move(services, 1, #services, #known + 1, known)
  errors.usage("aws has no service and no noun %s%s", tostring(name), options.suggestion(tostring(name), known))
end })

return M
