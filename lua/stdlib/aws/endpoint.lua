--- Where a service is, and what a request to it is signed for: AWS's own rules (endpoint/rules.lua), given the region, the
--- switches for FIPS and dual-stack, a custom endpoint, and what the rules of some services take from the arguments
--- (the bucket). What the rules refuse is refused, not guessed.
local config = require "aws.config"
local errors = require "errors"
local rules_of = require "aws.endpoint.rules"

local M = {}

---@class aws.Endpoint
---@field url string            scheme and host, without a slash at the end; a custom one may have a path
---@field region string         region of the signature
---@field signing_name? string  name in the signature, where it is not the model's
---@field custom boolean
---@field places_account boolean the rules have put the account id into the host, which the model's host prefix repeats

--- Rules of the many services that have none of their own: what a model from elsewhere is measured by.
local USUAL = "amp"

--- Services that answer in some regions only; the first stands for the others.
local ONLY_IN = { pricing = { "us-east-1", "eu-central-1", "ap-south-1", "cn-northwest-1" } }

local function served_region(service, region)
  local only = ONLY_IN[service]
  for _, name in ipairs(only or {}) do if name == region then return region end end
  return only and only[1] or region
end

local function check_region(region)
  if not (region:find "^aws[%l-]*%-global$" or region:find "^%l%l%l*%-[%l-]+%-%d+$") then
    errors.usage("%q is not the name of an AWS region, such as us-east-1", region)
  end
end

--- What the rules of an operation take from its arguments.
local function from_arguments(parameters, context, args)
  for name, value in pairs(context or {}) do
    if type(value) == "table" then value = args[value.member] end
    parameters[name] = value
  end
end

--- S3 puts the bucket into the host but for custom endpoints, names that are no host label, and where it is asked not to.
local function s3_parameters(parameters, op, args, o)
  local settings = config.profile(o.profile).s3
  local style = type(settings) == "table" and settings.addressing_style or nil
  local bucket = args.Bucket
  if o.custom then parameters.ForcePathStyle = style ~= "virtual" else parameters.ForcePathStyle = style == "path" end
  if op and op.name == "GetBucketLocation" then parameters.ForcePathStyle = true end
  if type(bucket) == "string" and bucket:find "^arn:" then parameters.ForcePathStyle = false end
  parameters.Accelerate, parameters.UseGlobalEndpoint, parameters.DisableMultiRegionAccessPoints = false, false, false
  parameters.UseArnRegion = true
end

local function signing(properties, region, what)
  local names = {}
  for _, scheme in ipairs(properties.authSchemes or {}) do
    if scheme.name == "sigv4" then return scheme.signingRegion or region, scheme.signingName end
    names[#names + 1] = scheme.name
  end
  if names[1] == "sigv4a" then
    errors.usage("%s must be signed with SigV4a, for several regions at once, which hkrun cannot", what)
  elseif names[1] then
    errors.usage("%s must be signed with %s, which hkrun cannot", what, table.concat(names, " or "))
  end
  return region, nil
end

local function prefix_of(model) return model.meta.endpoint_prefix or model.meta.signing_name or model.service end

local function find(model, rules, asked, context, o)
  local region, custom, what = asked.region, asked.custom, asked.what
  local parameters = { Region = region, UseFIPS = asked.fips, UseDualStack = asked.dual, Endpoint = custom, UseGlobalEndpoint = false,
                       UseArnRegion = false }
  from_arguments(parameters, context, o.args or {})
  if model.service == "s3" then s3_parameters(parameters, o.op, o.args or {}, { profile = o.profile, custom = custom }) end
  local url, properties = rules_of.resolve(rules, parameters)
  if not url then errors.usage("%s has no endpoint in %s: %s", what, region, (properties:gsub("%.$", ""))) end
  local in_region, name = signing(properties, region, what)
  if custom and not properties.authSchemes then             -- a proxy wants the signature that AWS wants
    parameters.Endpoint = nil
    local there, theirs = rules_of.resolve(rules, parameters)
    if there then in_region, name = signing(theirs, region, what) end
  end
  return { url = (url:gsub("/+$", "")), region = in_region, signing_name = name, custom = custom ~= nil,
           places_account = context ~= nil and context.RequiresAccountId == true }
end

local known = setmetatable({}, { __mode = "k" })            -- model -> endpoints that were found

--- Finds the endpoint of a service, or of one of its operations.
---@param model aws.Model
---@param region string
---@param o? { endpoint?: string, profile?: string, fips?: boolean, dual_stack?: boolean, op?: aws.Operation, args?: table }
---@return aws.Endpoint
function M.resolve(model, region, o)
  o = o or {}
  local fips, dual = o.fips, o.dual_stack
  if fips == nil then fips = config.switch("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", o.profile) end
  if dual == nil then dual = config.switch("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", o.profile) end
  local meta = model.meta
  local custom = o.endpoint or config.endpoint(meta.service_id or model.service, o.profile)
  local what = ("aws.%s%s"):format(model.service:gsub("-", "_"), o.op and ":" .. o.op.snake or "")
  if custom then
    if fips or dual then errors.usage("a custom endpoint (%s) cannot be a FIPS or a dual-stack one", custom) end
    if not custom:find "^https?://[^/?#%s]+" then errors.usage("the endpoint %q is not an http or https URL", custom) end
    custom = custom:gsub("/+$", "")
  else
    check_region(region)
  end
  local asked = { region = served_region(model.service, region), fips = fips, dual = dual, custom = custom, what = what }
  local prefix = prefix_of(model)
  local rules = rules_of.load(model.service, prefix) or rules_of.load(USUAL, prefix)
  local context = o.op and rules.contexts[o.op.name]
  if context or model.service == "s3" then return find(model, rules, asked, context, o) end
  -- nothing but this counts: it is the same for the next call
  local key = ("%s %s %s %s"):format(asked.region, fips, dual, custom)
  known[model] = known[model] or {}
  known[model][key] = known[model][key] or find(model, rules, asked, nil, o)
  return known[model][key]
end

--- The region that a client without one calls: the partition-wide one, for services that are not in regions (IAM).
---@param model aws.Model
---@return string?
function M.global_region(model)
  local rules = rules_of.load(model.service, prefix_of(model))
  local url = rules and rules_of.resolve(rules, { Region = "aws-global", UseFIPS = false, UseDualStack = false, UseGlobalEndpoint = false })
  return url and not url:find("aws-global", 1, true) and "aws-global" or nil
end

return M
