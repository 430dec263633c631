--- Services that need more than their model says. Source: botocore's handlers.py.
local checksum = require "aws.checksum"
local errors = require "errors"
local json = require "json"
local s3 = require "aws.protocol.s3"
local secret = require "secret"
local shape = require "aws.shape"

local M = {}

--- User data travels in base64; a recipe writes it as it is.
local USER_DATA = { ["ec2.RunInstances"] = true, ["autoscaling.CreateLaunchConfiguration"] = true }

local ROUTE53_IDS = { Id = true, HostedZoneId = true, HostedZoneIdMarker = true, DelegationSetId = true }

--- "/hostedzone/Z1" -> "Z1", so that an id can be given back as it came.
local function bare_ids(model, op, args)
  local copy
  for _, member in ipairs(op.input and model.shape(op.input).members or {}) do
    local value = args[member.name]
    if ROUTE53_IDS[member.name] and type(value) == "string" and value:find "/" then
      copy = copy or setmetatable({}, { __index = args })
      copy[member.name] = value:match "[^/]*$"
    end
  end
  if copy then for k, v in pairs(args) do if rawget(copy, k) == nil then copy[k] = v end end end
  return copy or args
end

--- What stands for arguments that are not given.
---@param model aws.Model
---@param args table
---@return table
function M.defaults(model, args)
  return model.service == "glacier" and require("aws.protocol.glacier").arguments(args) or args
end

--- Where a call goes that says so itself: a model of Machine Learning is asked at an endpoint of its own.
---@param model aws.Model
---@param args table
---@return string? url without a path
function M.place(model, args)
  if model.service ~= "machinelearning" or args.PredictEndpoint == nil then return nil end
  return args.PredictEndpoint:match "^https?://[^/?#%s]+" or errors.usage("PredictEndpoint %q is not an http or https URL", args.PredictEndpoint)
end

--- The hash of a body that a service has proved in its own way.
---@param model aws.Model
---@param op aws.Operation
---@param wire aws.WireRequest
---@return string?
function M.hash(model, op, wire)
  return model.service == "glacier" and require("aws.protocol.glacier").add_hashes(op, wire) or nil
end

--- Changes to checked arguments before they are written.
---@param model aws.Model
---@param op aws.Operation
---@param args table
---@return table
function M.arguments(model, op, args)
  args = shape.with_tokens(model, op, args)
  if model.service == "s3" then return s3.arguments(op, args) end
  if model.service == "route53" then return bare_ids(model, op, args) end
  if USER_DATA[model.service .. "." .. op.name] and args.UserData then
    local copy = {}
    for k, v in pairs(args) do copy[k] = v end
    copy.UserData = secret.encode(args.UserData, "base64")
    return copy
  end
  return args
end

--- Headers that a service wants with every request, whatever its model says.
---@param model aws.Model
---@param headers table<string, string|userdata> to add to
function M.headers(model, headers)
  if model.service == "glacier" then headers["x-amz-glacier-version"] = model.meta.api_version end
  if model.service == "apigateway" then headers.Accept = "application/json" end
end

local function unescape(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local POLICIES = { PolicyDocument = true, AssumeRolePolicyDocument = true, Document = true }

--- IAM writes policy documents as URL-encoded JSON; they come back as tables, as in boto3.
local function read_policies(model, name, value)
  local target = model.shape(name)
  if target.type == "struct" then
    for _, member in ipairs(target.members) do
      local inner = value[member.name]
      if POLICIES[member.name] and type(inner) == "string" then
        local decoded = json.decode(unescape(inner))
        value[member.name] = decoded ~= nil and decoded or inner
      elseif type(inner) == "table" then
        read_policies(model, member.shape, inner)
      end
    end
  elseif target.type == "list" then
    for _, item in ipairs(value) do if type(item) == "table" then read_policies(model, target.member.shape, item) end end
  end
end

--- Changes to a result after it was read.
---@param model aws.Model
---@param op aws.Operation
---@param args table
---@param response aws.WireResponse
---@param result table
function M.result(model, op, args, response, result)
  checksum.verify(op, response)
  if model.service == "iam" and op.output then read_policies(model, op.output, result) end
  if model.service == "s3" then
    s3.location(op, response, result)
    s3.decode_keys(op, args, result)
  end
end

return M
