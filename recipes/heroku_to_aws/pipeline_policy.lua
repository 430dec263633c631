--- What a deployment from GitHub may do, and no more. Elastic Beanstalk does its part in the caller's name: what AWS allows its own
--- managed updates for that (AWSElasticBeanstalkManagedUpdatesCustomerRolePolicy of February 2026) stands here, narrowed to the
--- environments. Actions and resources: docs.aws.amazon.com/service-authorization/latest/reference.
local text = require "text"

local M = {}

local function allow(sid, actions, resources, condition)
  return { Sid = sid, Effect = "Allow", Action = actions, Resource = resources, Condition = condition }
end

--- What the workflow itself calls.
local function own(o, arn)
  local list = {
    allow("Bundles", { "s3:GetObject", "s3:PutObject" }, ("arn:%s:s3:::%s/*"):format(o.partition, o.bucket)),
    allow("Versions", { "elasticbeanstalk:CreateApplicationVersion", "elasticbeanstalk:DescribeApplicationVersions" },
      { arn("elasticbeanstalk", "application/" .. o.application), arn("elasticbeanstalk", ("applicationversion/%s/*"):format(o.application)) }),
  }
  local deploys = { arn("elasticbeanstalk", "application/" .. o.application),
                    arn("elasticbeanstalk", ("applicationversion/%s/*"):format(o.application)) }
  for _, e in ipairs(o.environments) do
    deploys[#deploys + 1] = arn("elasticbeanstalk", ("environment/%s/%s"):format(o.application, e.name))
  end
  list[#list + 1] = allow("Deploy", { "elasticbeanstalk:UpdateEnvironment", "elasticbeanstalk:DescribeEnvironments",
    "elasticbeanstalk:DescribeEvents" }, deploys)
  return list
end

--- What Elastic Beanstalk does for it in its name.
local function beanstalks(o, arn)
  local stacks, groups, logs, roles = {}, {}, {}, {}
  for i, e in ipairs(o.environments) do
    stacks[i] = text("%s/awseb-%s-stack/*", arn("cloudformation", "stack"), e.id)
    groups[#groups + 1] = text("%s:*:autoScalingGroupName/awseb-%s-*", arn("autoscaling", "autoScalingGroup"), e.id)
    groups[#groups + 1] = text("%s:*:launchConfigurationName/awseb-%s-*", arn("autoscaling", "launchConfiguration"), e.id)
    logs[i] = arn("logs", ("log-group:/aws/elasticbeanstalk/%s/*"):format(e.name))
    for _, role in ipairs { "-eb-service", "-eb-machine" } do
      roles[#roles + 1] = ("arn:%s:iam::%s:role/%s%s"):format(o.partition, o.account, e.name, role)
    end
  end
  local store = ("arn:%s:s3:::elasticbeanstalk-%s-%s"):format(o.partition, o.region, o.account)
  return {
    allow("Look", { "autoscaling:Describe*", "ec2:Describe*", "elasticloadbalancing:Describe*", "logs:DescribeLogGroups" }, "*"),
    allow("Stacks", { "cloudformation:Describe*", "cloudformation:GetTemplate", "cloudformation:List*", "cloudformation:UpdateStack",
      "cloudformation:CancelUpdateStack" }, stacks),
    allow("Machines", { "autoscaling:AttachInstances", "autoscaling:CreateAutoScalingGroup", "autoscaling:CreateLaunchConfiguration",
      "autoscaling:CreateOrUpdateTags", "autoscaling:DeleteAutoScalingGroup", "autoscaling:DeleteLaunchConfiguration",
      "autoscaling:DetachInstances", "autoscaling:PutNotificationConfiguration", "autoscaling:PutScalingPolicy", "autoscaling:DeletePolicy",
      "autoscaling:ResumeProcesses", "autoscaling:SetDesiredCapacity", "autoscaling:SuspendProcesses",
      "autoscaling:TerminateInstanceInAutoScalingGroup", "autoscaling:UpdateAutoScalingGroup" }, groups),
    allow("LaunchTemplates", { "ec2:CreateLaunchTemplate", "ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplate",
      "ec2:DeleteLaunchTemplateVersions" }, "*"),
    allow("RunMachines", "ec2:RunInstances", "*", { ArnLike = { ["ec2:LaunchTemplate"] = arn("ec2", "launch-template/*") } }),
    allow("TagMachines", "ec2:CreateTags", "*", { StringEquals = { ["ec2:CreateAction"] = { "CreateLaunchTemplate", "RunInstances" } } }),
    allow("EndMachines", "ec2:TerminateInstances", arn("ec2", "instance/*"),
      { StringLike = { ["ec2:ResourceTag/aws:cloudformation:stack-id"] = stacks } }),
    allow("Targets", { "elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets" },
      arn("elasticloadbalancing", "targetgroup/awseb-*")),
    allow("Queues", { "sqs:GetQueueAttributes", "sqs:GetQueueUrl" }, arn("sqs", "awseb-*")),     -- of the worker tier
    allow("Store", { "s3:DeleteObject", "s3:GetObject", "s3:GetObjectAcl", "s3:PutObject", "s3:PutObjectAcl" }, store .. "/*"),
    allow("StoreItself", { "s3:GetBucketLocation", "s3:GetBucketPolicy", "s3:ListBucket" }, store),
    allow("Logs", { "logs:CreateLogGroup", "logs:PutRetentionPolicy" }, logs),
    allow("Roles", "iam:PassRole", roles),
  }
end

--- What the role of a stage may do whose app runs on Elastic Beanstalk.
---@param o { partition: string, region: string, account: string, application: string, environments: { name: string, id: any }[],
--- bucket: string } ids of environments are Elastic Beanstalk's
---@return table document
function M.beanstalk(o)
  local function arn(service, rest) return ("arn:%s:%s:%s:%s:%s"):format(o.partition, service, o.region, o.account, rest) end
  local list, more = own(o, arn), beanstalks(o, arn)
  return { Version = "2012-10-17", Statement = table.move(more, 1, #more, #list + 1, list) }
end

--- What the role of a stage may do whose app runs on Fargate. Who may register a revision of the app's task definitions gets what
--- the app may: its secrets are named there. Task definitions can only be described all or none.
---@param o { partition: string, region: string, account: string, cluster: string, services: string[], release: string?, jobs: string[] }
--- services: their names, and their task definitions'; release, jobs: task definitions, by family
---@return table document
function M.fargate(o)
  local function arn(service, rest) return ("arn:%s:%s:%s:%s:%s"):format(o.partition, service, o.region, o.account, rest) end
  local function role(name) return ("arn:%s:iam::%s:role/%s-%s"):format(o.partition, o.account, o.cluster, name) end
  local services, families = {}, {}
  for i, name in ipairs(o.services) do services[i] = arn("ecs", ("service/%s/%s"):format(o.cluster, name)) end
  for _, names in ipairs { o.services, { o.release }, o.jobs } do
    for _, name in ipairs(names) do families[#families + 1] = arn("ecs", ("task-definition/%s:*"):format(name)) end
  end
  local inside = { ArnEquals = { ["ecs:cluster"] = arn("ecs", "cluster/" .. o.cluster) } }
  local list = {
    allow("Services", { "ecs:DescribeServices", "ecs:UpdateService" }, services),
    allow("Revisions", "ecs:RegisterTaskDefinition", families),
    allow("TagRevisions", "ecs:TagResource", families, { StringEquals = { ["ecs:CreateAction"] = "RegisterTaskDefinition" } }),
    allow("Look", "ecs:DescribeTaskDefinition", "*"),
    allow("Tasks", "ecs:DescribeTasks", arn("ecs", ("task/%s/*"):format(o.cluster))),
    allow("ListTasks", "ecs:ListTasks", "*", inside),
    allow("Roles", "iam:PassRole", { role "ecs-execution", role "ecs-task" },
      { StringEquals = { ["iam:PassedToService"] = "ecs-tasks.amazonaws.com" } }),
  }
  if o.release then
    list[#list + 1] = allow("Release", "ecs:RunTask", arn("ecs", ("task-definition/%s:*"):format(o.release)), inside)
  end
  return { Version = "2012-10-17", Statement = list }
end

--- What pushing an image takes.
---@param repository any its ARN
---@return table document
function M.push(repository)
  return { Version = "2012-10-17", Statement = {
    allow("Registry", "ecr:GetAuthorizationToken", "*"),
    allow("Push", { "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart" }, repository),
  } }
end

return M
