--- Which IAM actions a call of AWS needs, where that is not simply the call's own name.
---
--- Source: the Service Authorization Reference (docs.aws.amazon.com/service-authorization), the S3 User Guide ("Required
--- permissions for Amazon S3 API operations") and, of what is needed beside the call's own action, the API reference of the
--- operation; 2026-11. That each action exists is judged by tests/unit/policy_test.lua.
local M = {}

--- The prefix of a service's actions, where it is not the service's name.
M.prefixes = {
  elbv2 = "elasticloadbalancing", elb = "elasticloadbalancing", opensearch = "es", sesv2 = "ses", stepfunctions = "states",
  efs = "elasticfilesystem", emr = "elasticmapreduce", apigatewayv2 = "apigateway", ["service-quotas"] = "servicequotas", amp = "aps",
}

--- Calls whose action has another name; "" for those that need none.
M.names = {
  ["s3.ListBuckets"] = "s3:ListAllMyBuckets", ["s3.HeadBucket"] = "s3:ListBucket", ["s3.ListObjects"] = "s3:ListBucket",
  ["s3.ListObjectsV2"] = "s3:ListBucket", ["s3.ListObjectVersions"] = "s3:ListBucketVersions", ["s3.HeadObject"] = "s3:GetObject",
  ["s3.CreateMultipartUpload"] = "s3:PutObject", ["s3.UploadPart"] = "s3:PutObject", ["s3.CompleteMultipartUpload"] = "s3:PutObject",
  ["s3.UploadPartCopy"] = "s3:PutObject s3:GetObject", ["s3.CopyObject"] = "s3:PutObject s3:GetObject",
  ["s3.ListParts"] = "s3:ListMultipartUploadParts", ["s3.ListMultipartUploads"] = "s3:ListBucketMultipartUploads",
  ["s3.DeleteObjects"] = "s3:DeleteObject s3:DeleteObjectVersion", ["s3.DeleteObject"] = "s3:DeleteObject s3:DeleteObjectVersion",
  ["s3.GetBucketEncryption"] = "s3:GetEncryptionConfiguration", ["s3.PutBucketEncryption"] = "s3:PutEncryptionConfiguration",
  ["s3.DeleteBucketEncryption"] = "s3:PutEncryptionConfiguration", ["s3.GetPublicAccessBlock"] = "s3:GetBucketPublicAccessBlock",
  ["s3.PutPublicAccessBlock"] = "s3:PutBucketPublicAccessBlock", ["s3.DeletePublicAccessBlock"] = "s3:PutBucketPublicAccessBlock",
  ["s3.DeleteBucketTagging"] = "s3:PutBucketTagging", ["s3.GetBucketLifecycleConfiguration"] = "s3:GetLifecycleConfiguration",
  ["s3.PutBucketLifecycleConfiguration"] = "s3:PutLifecycleConfiguration", ["s3.DeleteBucketLifecycle"] = "s3:PutLifecycleConfiguration",
  ["s3.GetObjectAttributes"] = "s3:GetObject s3:GetObjectAttributes",
  ["sts.GetCallerIdentity"] = "",                            -- everybody may ask who he is
  ["s3.DeleteBucketCors"] = "s3:PutBucketCORS", ["s3.GetBucketCors"] = "s3:GetBucketCORS", ["s3.PutBucketCors"] = "s3:PutBucketCORS",
  ["s3.DeleteBucketOwnershipControls"] = "s3:PutBucketOwnershipControls",
}

--- What a call needs beside: to tag what it makes in the same call, to hand a role to a service, and in S3 to be told that
--- an object is not there: who may not list the bucket is refused instead.
M.more = {
  ["s3.CreateBucket"] = "s3:TagResource", ["s3.GetObject"] = "s3:ListBucket", ["s3.HeadObject"] = "s3:ListBucket",
  ["ec2.CreateVpc"] = "ec2:CreateTags", ["ec2.CreateSubnet"] = "ec2:CreateTags", ["ec2.CreateInternetGateway"] = "ec2:CreateTags",
  ["ec2.CreateRouteTable"] = "ec2:CreateTags", ["ec2.CreateSecurityGroup"] = "ec2:CreateTags", ["ec2.ImportKeyPair"] = "ec2:CreateTags",
  ["ec2.RunInstances"] = "ec2:CreateTags iam:PassRole", ["ec2.AssociateIamInstanceProfile"] = "iam:PassRole",
  ["ec2.ReplaceIamInstanceProfileAssociation"] = "iam:PassRole ec2:AssociateIamInstanceProfile",
  ["iam.CreateRole"] = "iam:TagRole", ["iam.CreateInstanceProfile"] = "iam:TagInstanceProfile", ["iam.AddRoleToInstanceProfile"] = "iam:PassRole",
  ["iam.CreateOpenIDConnectProvider"] = "iam:TagOpenIDConnectProvider",
  ["rds.CreateDBInstance"] = "rds:AddTagsToResource iam:CreateServiceLinkedRole", ["rds.CreateDBSubnetGroup"] = "rds:AddTagsToResource",
  ["rds.CreateDBParameterGroup"] = "rds:AddTagsToResource", ["rds.DeleteDBInstance"] = "rds:CreateDBSnapshot rds:AddTagsToResource",
  ["elasticache.CreateReplicationGroup"] = "elasticache:AddTagsToResource iam:CreateServiceLinkedRole ec2:CreateNetworkInterface"
    .. " ec2:DeleteNetworkInterface ec2:DescribeNetworkInterfaces ec2:DescribeSubnets ec2:DescribeVpcs",
  ["elasticache.CreateCacheSubnetGroup"] = "elasticache:AddTagsToResource",
  ["elasticache.CreateCacheParameterGroup"] = "elasticache:AddTagsToResource",
  ["elasticache.DeleteReplicationGroup"] = "elasticache:CreateSnapshot",
  ["elasticbeanstalk.CreateApplication"] = "elasticbeanstalk:AddTags", ["elasticbeanstalk.CreateApplicationVersion"] = "elasticbeanstalk:AddTags",
  ["elasticbeanstalk.CreateEnvironment"] = "elasticbeanstalk:AddTags iam:PassRole iam:CreateServiceLinkedRole",
  ["elasticbeanstalk.UpdateEnvironment"] = "iam:PassRole",
  ["elasticbeanstalk.UpdateTagsForResource"] = "elasticbeanstalk:AddTags elasticbeanstalk:RemoveTags",
  ["elbv2.CreateLoadBalancer"] = "elasticloadbalancing:AddTags iam:CreateServiceLinkedRole",
  ["elbv2.CreateListener"] = "elasticloadbalancing:AddTags",
  ["elbv2.CreateTargetGroup"] = "elasticloadbalancing:AddTags",
  ["ecs.CreateCluster"] = "ecs:TagResource iam:CreateServiceLinkedRole", ["ecs.CreateService"] = "ecs:TagResource",
  ["ecs.RegisterTaskDefinition"] = "ecs:TagResource iam:PassRole", ["ecs.RunTask"] = "ecs:TagResource iam:PassRole",
  ["ecr.CreateRepository"] = "ecr:TagResource", ["logs.CreateLogGroup"] = "logs:TagResource", ["sns.CreateTopic"] = "sns:TagResource",
  ["sqs.CreateQueue"] = "sqs:TagQueue", ["cloudwatch.PutMetricAlarm"] = "cloudwatch:TagResource", ["ssm.PutParameter"] = "ssm:AddTagsToResource",
  ["secretsmanager.CreateSecret"] = "secretsmanager:TagResource", ["acm.RequestCertificate"] = "acm:AddTagsToCertificate",
  ["scheduler.CreateSchedule"] = "iam:PassRole", ["scheduler.UpdateSchedule"] = "iam:PassRole",
  ["scheduler.CreateScheduleGroup"] = "scheduler:TagResource",
  ["dms.CreateReplicationInstance"] = "dms:AddTagsToResource", ["dms.CreateReplicationSubnetGroup"] = "dms:AddTagsToResource",
  ["dms.CreateEndpoint"] = "dms:AddTagsToResource iam:PassRole", ["dms.ModifyEndpoint"] = "iam:PassRole",
  ["dms.CreateReplicationTask"] = "dms:AddTagsToResource", ["dms.ImportCertificate"] = "dms:AddTagsToResource",
  ["dms.StartReplicationTaskAssessmentRun"] = "iam:PassRole",
}

--- What a service does with the rights of whoever asks it, beyond what a policy of calls can say.
M.warnings = {
  elasticbeanstalk = "Elastic Beanstalk makes its machines, groups and load balancers with the rights of whoever asks: attach Amazon's policy"
    .. " AdministratorAccess-AWSElasticBeanstalk beside this one",
}

local function words(text, list)
  for word in (text or ""):gmatch "%S+" do list[#list + 1] = word end
  return list
end

--- The actions of a call itself.
---@param call string "s3.HeadBucket"
---@return string[] actions "s3:ListBucket"
function M.own(call)
  local service, operation = call:match "^([^.]+)%.(.+)$"
  return words(M.names[call] or ("%s:%s"):format(M.prefixes[service] or service, operation), {})
end

--- The actions that a call needs, with those beside its own.
---@param call string
---@return string[] actions
function M.actions(call) return words(M.more[call], M.own(call)) end

return M
