--- The ARNs of what a run made, by the resource types of the Service Authorization Reference. Only what AWS does not make up
--- itself can stand in a policy for the next run too: names do, ids of EC2 do not.
local M = {}

--- By kind: resource type and ARN, where {name} is the noun's name, {/name} the same with one slash before it, {R} the region
--- and {A} the account. What AWS adds to a name is a "?" for each character, or "*".
local KINDS = {
  ["aws.role"] = { { "iam:role", "arn:aws:iam::{A}:role/{name}" } },
  ["aws.instance_profile"] = { { "iam:instance-profile", "arn:aws:iam::{A}:instance-profile/{name}" } },
  ["aws.oidc_provider"] = { { "iam:oidc-provider", "arn:aws:iam::{A}:oidc-provider/{name}" } },
  ["aws.bucket"] = { { "s3:bucket", "arn:aws:s3:::{name}" }, { "s3:object", "arn:aws:s3:::{name}/*" } },
  ["aws.secret"] = { { "secretsmanager:Secret", "arn:aws:secretsmanager:{R}:{A}:secret:{name}-??????" } },
  ["aws.parameter"] = { { "ssm:parameter", "arn:aws:ssm:{R}:{A}:parameter{/name}" } },
  ["aws.db_subnet_group"] = { { "rds:subgrp", "arn:aws:rds:{R}:{A}:subgrp:{name}" } },
  ["aws.db_parameter_group"] = { { "rds:pg", "arn:aws:rds:{R}:{A}:pg:{name}" } },
  ["aws.db_instance"] = { { "rds:db", "arn:aws:rds:{R}:{A}:db:{name}" }, { "rds:og", "arn:aws:rds:{R}:{A}:og:default:*" },
                          { "rds:snapshot", "arn:aws:rds:{R}:{A}:snapshot:{name}-final-*" } },
  ["aws.cache_subnet_group"] = { { "elasticache:subnetgroup", "arn:aws:elasticache:{R}:{A}:subnetgroup:{name}" } },
  ["aws.cache_parameter_group"] = { { "elasticache:parametergroup", "arn:aws:elasticache:{R}:{A}:parametergroup:{name}" } },
  ["aws.replication_group"] = {
    { "elasticache:replicationgroup", "arn:aws:elasticache:{R}:{A}:replicationgroup:{name}" },
    { "elasticache:cluster", "arn:aws:elasticache:{R}:{A}:cluster:{name}-*" },
    { "elasticache:snapshot", "arn:aws:elasticache:{R}:{A}:snapshot:{name}-final-*" },
  },
  ["aws.eb_application"] = { { "elasticbeanstalk:application", "arn:aws:elasticbeanstalk:{R}:{A}:application/{name}" },
                             { "elasticbeanstalk:applicationversion", "arn:aws:elasticbeanstalk:{R}:{A}:applicationversion/{name}/*" } },
  ["aws.eb_environment"] = { { "elasticbeanstalk:environment", "arn:aws:elasticbeanstalk:{R}:{A}:environment/*/{name}" },
                             { "logs:log-group", "arn:aws:logs:{R}:{A}:log-group:/aws/elasticbeanstalk/{name}/*" } },
  ["aws.log_group"] = { { "logs:log-group", "arn:aws:logs:{R}:{A}:log-group:{name}" },
                        { "logs:log-group", "arn:aws:logs:{R}:{A}:log-group:{name}:*" },
                        { "logs:log-stream", "arn:aws:logs:{R}:{A}:log-group:{name}:log-stream:*" } },
  ["aws.topic"] = { { "sns:topic", "arn:aws:sns:{R}:{A}:{name}" } },
  ["aws.alarm"] = { { "cloudwatch:alarm", "arn:aws:cloudwatch:{R}:{A}:alarm:{name}" } },
  ["aws.dashboard"] = { { "cloudwatch:dashboard", "arn:aws:cloudwatch::{A}:dashboard/{name}" } },
  ["aws.ecr_repository"] = { { "ecr:repository", "arn:aws:ecr:{R}:{A}:repository/{name}" } },
  ["aws.ecs_cluster"] = { { "ecs:cluster", "arn:aws:ecs:{R}:{A}:cluster/{name}" }, { "ecs:task", "arn:aws:ecs:{R}:{A}:task/{name}/*" },
                          { "ecs:service", "arn:aws:ecs:{R}:{A}:service/{name}/*" } },
  ["aws.ecs_task_definition"] = { { "ecs:task-definition", "arn:aws:ecs:{R}:{A}:task-definition/{name}:*" } },
  ["aws.load_balancer"] = {
    { "elasticloadbalancing:loadbalancer", "arn:aws:elasticloadbalancing:{R}:{A}:loadbalancer/app/{name}/*" },
    { "elasticloadbalancing:loadbalancer/app/", "arn:aws:elasticloadbalancing:{R}:{A}:loadbalancer/app/{name}/*" },
    { "elasticloadbalancing:listener/app", "arn:aws:elasticloadbalancing:{R}:{A}:listener/app/{name}/*/*" },
  },
  ["aws.target_group"] = { { "elasticloadbalancing:targetgroup", "arn:aws:elasticloadbalancing:{R}:{A}:targetgroup/{name}/*" } },
  ["aws.schedule_group"] = { { "scheduler:schedule-group", "arn:aws:scheduler:{R}:{A}:schedule-group/{name}" },
                             { "scheduler:schedule", "arn:aws:scheduler:{R}:{A}:schedule/{name}/*" } },
  ["aws.queue"] = { { "sqs:queue", "arn:aws:sqs:{R}:{A}:{name}" } },
  ["aws.certificate"] = { { "acm:certificate", "arn:aws:acm:{R}:{A}:certificate/*" }, { "route53:hostedzone", "arn:aws:route53:::hostedzone/*" } },
  ["aws.dns_record"] = { { "route53:hostedzone", "arn:aws:route53:::hostedzone/*" } },
  ["aws.dms_subnet_group"] = { { "dms:ReplicationSubnetGroup", "arn:aws:dms:{R}:{A}:subgrp:{name}" } },
  ["aws.dms_instance"] = { { "dms:ReplicationInstance", "arn:aws:dms:{R}:{A}:rep:*" } },
  ["aws.dms_endpoint"] = { { "dms:Endpoint", "arn:aws:dms:{R}:{A}:endpoint:*" } },
  ["aws.dms_certificate"] = { { "dms:Certificate", "arn:aws:dms:{R}:{A}:cert:*" } },
  ["aws.dms_task"] = { { "dms:ReplicationTask", "arn:aws:dms:{R}:{A}:task:*" } },
}

--- What is a part of another, or gets its id from EC2.
for name in ([[vpc subnet internet_gateway route_table security_group key_pair instance object subscription eb_version
               listener schedule ecs_service]]):gmatch "%S+" do
  KINDS["aws." .. name] = {}
end

M.kinds = KINDS

--- What everybody needs who needs anything of that type.
local ALWAYS = {
  ["ssm:parameter"] = { "arn:aws:ssm:{R}::parameter/aws/service/*" },                    -- where Amazon publishes its images
}

--- Where the run was: the first ARN in the journal says the account and the region; else any.
---@param names { id: string? }[] as recipe.memory has them
---@return { A: string, R: string }
function M.place(names)
  local at = { A = "*", R = "*" }
  for _, n in ipairs(names) do
    local region, account = tostring(n.id):match "^arn:aws:[%w%-]+:([%w%-]*):(%d+):"
    if account then at.A = account end
    if region and region ~= "" then at.R = region end
  end
  return at
end

local function filled(arn, values)
  arn = arn:gsub("{/name}", (values.name:gsub("^/*", "/")))
  return (arn:gsub("{(%w+)}", values))
end

--- The ARNs that a run's things have.
---@param names { kind: string, name: string }[]
---@param at { A: string, R: string }
---@return table<string, string[]> by type: "iam:role"
function M.of(names, at)
  local by_type, seen = {}, {}
  local function add(type, arn)
    by_type[type] = by_type[type] or {}
    if seen[type .. arn] then return end
    seen[type .. arn] = true
    table.insert(by_type[type], arn)
  end
  for type, arns in pairs(ALWAYS) do
    for _, arn in ipairs(arns) do add(type, filled(arn, { name = "", A = at.A, R = at.R })) end
  end
  for _, n in ipairs(names) do
    for _, entry in ipairs(KINDS[n.kind] or {}) do add(entry[1], filled(entry[2], { name = n.name, A = at.A, R = at.R })) end
  end
  return by_type
end

return M
