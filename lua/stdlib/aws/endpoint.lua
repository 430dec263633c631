--- Where a service is: a formula, and a table of the services that leave it. Source: botocore's endpoint rule sets,
--- against whose own tests the formula was measured. What the table does not know is refused, not guessed.
local config = require "aws.config"
local errors = require "errors"

local M = {}

---@class aws.Endpoint
---@field url string            scheme and host, without a slash at the end; a custom one may have a path
---@field region string         region of the signature
---@field custom boolean

--- Partitions: how their regions begin, the suffix of hosts, of dual-stack hosts, and where global services sign.
local PARTITIONS = {
  { name = "aws-cn", prefix = "cn-", suffix = "amazonaws.com.cn", dual = "api.amazonwebservices.com.cn", global = "cn-northwest-1" },
  { name = "aws-us-gov", prefix = "us-gov-", suffix = "amazonaws.com", dual = "api.aws", global = "us-gov-west-1" },
  { name = "aws-eusc", prefix = "eusc-", suffix = "amazonaws.eu", dual = "api.amazonwebservices.eu" },
  { name = "aws-iso-b", prefix = "us-isob-", suffix = "sc2s.sgov.gov" },
  { name = "aws-iso-e", prefix = "eu-isoe-", suffix = "cloud.adc-e.uk" },
  { name = "aws-iso-f", prefix = "us-isof-", suffix = "csp.hci.ic.gov" },
  { name = "aws-iso", prefix = "us-iso-", suffix = "c2s.ic.gov" },
  { name = "aws", prefix = "", suffix = "amazonaws.com", dual = "api.aws", global = "us-east-1" },
}

--- Services with one host in a partition: { plain, dual-stack, fips, region of the signature }.
local GLOBAL = {
  iam = {
    aws = { "iam.amazonaws.com", "iam.global.api.aws", "iam-fips.amazonaws.com", "us-east-1" },
    ["aws-us-gov"] = { "iam.us-gov.amazonaws.com", nil, "iam.us-gov.amazonaws.com", "us-gov-west-1" },
    ["aws-cn"] = { "iam.cn-north-1.amazonaws.com.cn", nil, nil, "cn-north-1" },
  },
  route53 = {
    aws = { "route53.amazonaws.com", nil, "route53-fips.amazonaws.com", "us-east-1" },
    ["aws-us-gov"] = { "route53.us-gov.amazonaws.com", nil, "route53.us-gov.amazonaws.com", "us-gov-west-1" },
    ["aws-cn"] = { "route53.amazonaws.com.cn", nil, nil, "cn-northwest-1" },
  },
  budgets = { aws = { "budgets.amazonaws.com", nil, nil, "us-east-1" } },
  ce = { aws = { "ce.us-east-1.amazonaws.com", nil, nil, "us-east-1" },
         ["aws-cn"] = { "ce.cn-northwest-1.amazonaws.com.cn", nil, nil, "cn-northwest-1" } },
}

--- Services that are only in some regions; the first stands for the others.
local ONLY_IN = { pricing = { "us-east-1", "eu-central-1", "ap-south-1", "cn-northwest-1" } }

--- In GovCloud these answer FIPS requests under their plain name.
local GOV_FIPS_PLAIN = {}
for name in ([[sts ec2 ssm rds elasticache elasticbeanstalk dms acm cloudformation service-quotas autoscaling elbv2
               sqs logs sns events cloudwatch]]):gmatch "%S+" do GOV_FIPS_PLAIN[name] = true end

---@param region string
---@return table
function M.partition(region)
  for _, partition in ipairs(PARTITIONS) do
    if region:sub(1, #partition.prefix) == partition.prefix then return partition end
  end
end

local function refuse(service, partition, fips, dual)
  errors.usage("hkrun does not know the %s%sendpoint of %s in the partition %s; set AWS_ENDPOINT_URL or endpoint =",
    fips and "FIPS " or "", dual and "dual-stack " or "", service, partition.name)
end

local function regional_host(model, partition, region, fips, dual)
  local service, prefix = model.service, model.meta.endpoint_prefix
  if dual and not partition.dual then refuse(service, partition, fips, dual) end
  if service == "s3" then
    if fips and partition.name == "aws-cn" then refuse(service, partition, fips, dual) end
    return ("s3%s%s.%s.%s"):format(fips and "-fips" or "", dual and ".dualstack" or "", region, partition.suffix)
  end
  if service == "ecr" and dual then prefix = "ecr" end
  if service == "sts" and region == "aws-global" then return "sts.amazonaws.com" end
  local mark = fips and "-fips" or ""
  if fips and not dual and partition.name == "aws-us-gov" and GOV_FIPS_PLAIN[service] then mark = "" end
  local suffix = dual and partition.dual or partition.suffix
  if dual and service == "secretsmanager" then suffix = partition.suffix end
  return ("%s%s.%s.%s"):format(prefix, mark, region, suffix)
end

local function check_region(region)
  if region ~= "aws-global" and not region:find "^%l%l%l*%-[%l-]+%-%d+$" then
    errors.usage("%q is not the name of an AWS region, such as us-east-1", region)
  end
end

local function signing_region(model, region)
  local global = GLOBAL[model.service]
  if region == "aws-global" then return "us-east-1" end
  local row = global and global[M.partition(region).name]
  if row then return row[4] end
  local only = ONLY_IN[model.service]
  if only then
    for _, name in ipairs(only) do if name == region then return region end end
    return only[1]
  end
  return region
end

--- Finds the endpoint of a service.
---@param model aws.Model
---@param region string
---@param o? { endpoint?: string, profile?: string, fips?: boolean, dual_stack?: boolean }
---@return aws.Endpoint
function M.resolve(model, region, o)
  o = o or {}
  local fips, dual = o.fips, o.dual_stack
  if fips == nil then fips = config.switch("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", o.profile) end
  if dual == nil then dual = config.switch("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint", o.profile) end
  local custom = o.endpoint or config.endpoint(model.meta.service_id, o.profile)
  if custom then
    if fips or dual then errors.usage("a custom endpoint (%s) cannot be a FIPS or a dual-stack one", custom) end
    if not custom:find "^https?://[^/?#%s]+" then errors.usage("the endpoint %q is not an http or https URL", custom) end
    return { url = (custom:gsub("/+$", "")), region = signing_region(model, region), custom = true }
  end
  check_region(region)
  local partition = M.partition(region)
  local global = GLOBAL[model.service]
  if global then
    local row = global[partition.name]
    local host = row and (dual and (not fips and row[2]) or not dual and (fips and row[3] or not fips and row[1]))
    if not host then refuse(model.service, partition, fips, dual) end
    return { url = "https://" .. host, region = row[4], custom = false }
  end
  local signing = signing_region(model, region)
  return { url = "https://" .. regional_host(model, partition, ONLY_IN[model.service] and signing or region, fips, dual),
           region = signing, custom = false }
end

return M
