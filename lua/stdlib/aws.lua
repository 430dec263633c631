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

--- Forgets what `aws.use` set, the clients and their credentials: another account may stand in the environment now.
function M.forget()
  defaults, clients = {}, {}
  require("aws.credentials").forget()
end

--- The region and the profile that `aws.use` set.
---@return { region?: string, profile?: string }
function M.used() return { region = defaults.region, profile = defaults.profile } end

--- Makes a client with settings of its own. `model` is for a service that hkrun does not have, or has of an older
--- version: the path of a service-2.json[.gz] of botocore, the table that one decodes to, or what load_model returned.
---@param o { service?: string, model?: string|table, region?: string, profile?: string, endpoint?: string, credentials?: table }
---@return aws.Client
function M.client(o)
  local with = {}
  for k, v in pairs(o) do with[k] = v end
  with.region, with.profile = o.region or defaults.region, o.profile or defaults.profile
  return client.new(with)
end

--- Reads a service's model from an installed AWS CLI or botocore; `aws.NAME` is a client of it from here on, also where
--- hkrun has a model of that name. The paginators-1.json and waiters-2.json beside it are read too.
---
---     aws.load_model "/usr/lib/python3/dist-packages/botocore/data/rds/2014-10-31/service-2.json.gz"
---     aws.rds:describe_db_instances()
---
---@param path string a service-2.json, or service-2.json.gz
---@return aws.Model model its `service` is the NAME, with - for _; also for aws.client{ model = }. Raises kind "invalid" for
--- a file that is no model
function M.load_model(path)
  if type(path) ~= "string" then errors.usage "aws.load_model needs the path of a service-2.json" end
  local loaded = model.open(path)
  model.add(loaded)
  clients[(loaded.service:gsub("-", "_"))] = nil
  return loaded
end

M.on_call, M.before_call = client.on_call, client.before_call

--- Modules beside the nouns that only the client needs.
local INNER = {}
for name in ([[arguments checksum client config credentials cross_region endpoint failure model mutating pace paginate path quirks
               reader request retries send sensitive shape signing timestamp transfer wait]]):gmatch "%S+" do INNER[name] = true end

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
  local word = tostring(name)
  local service = word:gsub("_", "-")
  if not word:find "-" and model.has(service) then
    clients[name] = M.client { service = service }
    return clients[name]
  end
  local names = M.names()
  for _, noun in ipairs(names.nouns) do
    if noun == name then
      local module = require("aws." .. name)
      rawset(M, name, module)
      return module
    end
  end
  local known = table.move(names.services, 1, #names.services, #names.nouns + 1, names.nouns)
  errors.usage("aws has no service and no noun %s%s", word, options.suggestion((word:gsub("-", "_")), known))
end })

return M
