--- What a session of a role may do. Who made the cloud may do everything, as may all that run in it; a session that was taken on
--- with a token of an identity provider only what the role's inline policies allow. Conditions are not weighed.
--- Names of actions: docs.aws.amazon.com/service-authorization, where they differ from the operations'.
local wire = require "rehearsal.wire"

local M = {}

local ACTIONS = {
  s3 = { HeadObject = "GetObject", HeadBucket = "ListBucket", ListObjects = "ListBucket", ListObjectsV2 = "ListBucket",
         CreateMultipartUpload = "PutObject", UploadPart = "PutObject", CompleteMultipartUpload = "PutObject" },
}

--- Whom an operation needs no permission for.
local FREE = { ["sts:GetCallerIdentity"] = true }

--- The ARN of what an operation is about; "*" where the rehearsal does not look so closely.
local RESOURCES = {}

function RESOURCES.s3(_, _, p)
  return p.Bucket and ("arn:aws:s3:::%s%s"):format(p.Bucket, p.Key and "/" .. p.Key or "") or "*"
end

function RESOURCES.elasticbeanstalk(cloud, ctx, p)
  local function arn(kind, name)
    return ("arn:aws:elasticbeanstalk:%s:%s:%s/%s/%s"):format(ctx.region, cloud.account, kind, p.ApplicationName or "*", name)
  end
  if p.EnvironmentName then return arn("environment", p.EnvironmentName) end
  return p.VersionLabel and p.ApplicationName and arn("applicationversion", p.VersionLabel) or "*"
end

function RESOURCES.ecr(cloud, ctx, p)
  return p.repositoryName and ("arn:aws:ecr:%s:%s:repository/%s"):format(ctx.region, cloud.account, p.repositoryName) or "*"
end

function RESOURCES.ecs(cloud, ctx, p)
  return p.service and ("arn:aws:ecs:%s:%s:service/%s/%s"):format(ctx.region, cloud.account, p.cluster or "*", p.service:match "[^/]+$") or "*"
end

--- AWS's word for a refusal, by the protocol of the service.
local CODES = { ec2 = "UnauthorizedOperation", query = "AccessDenied", ["rest-xml"] = "AccessDenied" }

--- Raises AWS's refusal unless the session may do it.
---@param cloud Cloud
---@param ctx table of the call: service, operation, region, session
---@param params table
---@param protocol string of the service
function M.check(cloud, ctx, params, protocol)
  local session = ctx.session
  local action = ("%s:%s"):format(ctx.service, (ACTIONS[ctx.service] or {})[ctx.operation] or ctx.operation)
  if not session or FREE[action] then return end
  local resource = RESOURCES[ctx.service] and RESOURCES[ctx.service](cloud, ctx, params) or "*"
  if not cloud:service "iam"._may(cloud, session.role, action, resource) then
    wire.fail(CODES[protocol] or "AccessDeniedException", 403,
      "User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", session.arn, action,
      resource, action)
  end
end

return M
