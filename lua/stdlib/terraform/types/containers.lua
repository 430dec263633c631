--- Containers: images, clusters, services, load balancers, schedules and their queue. See terraform/types.lua.
local aws = require "aws"
local hcl = require "terraform.hcl"
local json = require "json"
local noun = require "aws.common.noun"
local tags = require "terraform.tags"

local M = {}

M["aws.ecr_repository"] = {
  type = "aws_ecr_repository", import = "{name}", named = "name", gives = { arn = "arn", uri = "repository_url" },
  read = function(v)
    local answer = noun.found("LifecyclePolicyNotFoundException", aws.ecr.get_lifecycle_policy, aws.ecr, { repositoryName = v.name })
    return { lifecycle = answer and answer.lifecyclePolicyText }
  end,
  body = function(v, x)
    if v.lifecycle then
      x:part("aws_ecr_lifecycle_policy", "", v.name, { { "repository", x:named("aws.ecr_repository", v.name) },
        { "policy", x:document(v.lifecycle) } })
    end
    return { { "name", v.name }, { "image_tag_mutability", v.immutable and "IMMUTABLE" or "MUTABLE" }, { "tags", tags(v) },
             { "image_scanning_configuration", hcl.blocks { { "scan_on_push", v.scan_on_push } } } }
  end,
}

M["aws.ecs_cluster"] = {
  type = "aws_ecs_cluster", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v)
    return { { "name", v.name }, { "tags", tags(v) },
             { "setting", hcl.blocks { { "name", "containerInsights" }, { "value", v.insights and "enabled" or "disabled" } } } }
  end,
}

--- The variables are those of the journal: what the recipe took from a secret is not in it, and does not get into a file.
local function without_secrets(definitions, asked)
  for _, c in ipairs(definitions) do
    local kept = json.array {}
    for _, e in ipairs(c.environment or {}) do
      local value = (asked.env or {})[e.name]
      if value ~= nil then kept[#kept + 1] = { name = e.name, value = tostring(value) } end
    end
    c.environment = kept
  end
  return definitions
end

M["aws.ecs_task_definition"] = {
  type = "aws_ecs_task_definition", import = "{arn}", gives = { arn = "arn", family_arn = "arn_without_revision" },
  ignore = { "container_definitions" },
  note = "Deployments make new revisions: Terraform leaves its containers alone.",
  read = function(v)
    local d = aws.ecs:describe_task_definition({ taskDefinition = v.arn }).taskDefinition
    return { containers = without_secrets(d.containerDefinitions, v.asked), network = d.networkMode, needs = d.requiresCompatibilities,
             system = d.runtimePlatform and d.runtimePlatform.operatingSystemFamily }
  end,
  body = function(v)
    return {
      { "family", v.name }, { "container_definitions", hcl.json(v.containers) }, { "cpu", tostring(v.cpu) }, { "memory", tostring(v.memory) },
      { "network_mode", v.network }, { "requires_compatibilities", v.needs }, { "execution_role_arn", v.execution_role },
      { "task_role_arn", v.task_role }, { "tags", tags(v) },
      { "runtime_platform", v.architecture and hcl.blocks { { "cpu_architecture", v.architecture },
        { "operating_system_family", v.system or "LINUX" } } or nil },
    }
  end,
}

M["aws.ecs_service"] = {
  type = "aws_ecs_service", import = "{cluster}/{name}", named = "name", gives = { arn = "id" }, ignore = { "task_definition", "desired_count" },
  note = "Deployments set its task definition and its number of tasks: Terraform leaves both alone.",
  body = function(v, x)
    return {
      { "name", v.name }, { "cluster", x:named("aws.ecs_cluster", v.cluster, "arn") }, { "task_definition", v.task_definition },
      { "desired_count", v.desired }, { "launch_type", "FARGATE" }, { "enable_execute_command", v.exec }, { "propagate_tags", "SERVICE" },
      { "health_check_grace_period_seconds", v.target_group and v.grace or nil },
      { "deployment_minimum_healthy_percent", v.least_percent }, { "deployment_maximum_percent", v.most_percent }, { "tags", tags(v) },
      { "network_configuration", hcl.blocks { { "subnets", v.subnets }, { "security_groups", v.groups }, { "assign_public_ip", v.public_ip } } },
      { "load_balancer", v.target_group and hcl.blocks { { "target_group_arn", v.target_group }, { "container_name", v.container },
        { "container_port", v.port } } or nil },
    }
  end,
}

M["aws.load_balancer"] = {
  type = "aws_lb", import = "{arn}", gives = { arn = "arn", dns_name = "dns_name" },
  body = function(v)
    return { { "name", v.name }, { "internal", v.internal }, { "load_balancer_type", "application" }, { "security_groups", v.groups },
             { "subnets", v.subnets }, { "idle_timeout", v.idle_timeout }, { "tags", tags(v) } }
  end,
}

M["aws.target_group"] = {
  type = "aws_lb_target_group", import = "{arn}", gives = { arn = "arn" },
  read = function(v)
    local g = aws.elbv2:describe_target_groups({ TargetGroupArns = { v.arn } }).TargetGroups[1]
    return { protocol = g.Protocol, healthy = g.HealthyThresholdCount, unhealthy = g.UnhealthyThresholdCount, check = g.HealthCheckProtocol }
  end,
  body = function(v)
    return {
      { "name", v.name }, { "port", v.port }, { "protocol", v.protocol }, { "vpc_id", v.vpc }, { "target_type", v.targets },
      { "deregistration_delay", v.drain }, { "tags", tags(v) },
      { "health_check", hcl.blocks { { "protocol", v.check }, { "path", v.health_path }, { "matcher", v.healthy_codes }, { "interval", v.interval },
        { "timeout", v.check_timeout }, { "healthy_threshold", v.healthy }, { "unhealthy_threshold", v.unhealthy } } },
    }
  end,
}

M["aws.listener"] = {
  type = "aws_lb_listener", import = "{arn}", gives = { arn = "arn" },
  read = function(v)
    local l = aws.elbv2:describe_listeners({ ListenerArns = { v.arn } }).Listeners[1]
    return { protocol = l.Protocol, policy = l.SslPolicy, action = l.DefaultActions[1] }
  end,
  body = function(v)
    local r = v.action.RedirectConfig
    return {
      { "load_balancer_arn", v.load_balancer }, { "port", v.port }, { "protocol", v.protocol }, { "ssl_policy", v.policy },
      { "certificate_arn", v.certificate }, { "tags", tags(v) },
      { "default_action", hcl.blocks { { "type", v.action.Type }, { "target_group_arn", v.action.TargetGroupArn },
        { "redirect", r and hcl.blocks { { "port", r.Port }, { "protocol", r.Protocol }, { "status_code", r.StatusCode } } or nil } } },
    }
  end,
}

M["aws.schedule_group"] = {
  type = "aws_scheduler_schedule_group", import = "{name}", named = "name", gives = { arn = "arn" },
  body = function(v) return { { "name", v.name }, { "tags", tags(v) } } end,
}

--- The part of a schedule that starts a task.
local function task_of(t)
  return t and hcl.blocks {
    { "task_definition_arn", t.task_definition }, { "launch_type", "FARGATE" }, { "enable_execute_command", t.exec },
    { "network_configuration", hcl.blocks { { "subnets", t.subnets }, { "security_groups", t.groups }, { "assign_public_ip", t.public_ip } } },
  } or nil
end

M["aws.schedule"] = {
  type = "aws_scheduler_schedule", import = "{group}/{name}", gives = { arn = "arn" },
  read = function(v)
    local s = aws.scheduler:get_schedule { GroupName = v.group, Name = v.name }
    return { flexible = s.FlexibleTimeWindow }
  end,
  body = function(v, x)
    return {
      { "name", v.name }, { "group_name", x:named("aws.schedule_group", v.group) }, { "description", v.description },
      { "schedule_expression", v.expression }, { "schedule_expression_timezone", v.timezone }, { "state", v.enabled and "ENABLED" or "DISABLED" },
      { "flexible_time_window", hcl.blocks { { "mode", v.flexible and v.flexible.Mode or "OFF" },
        { "maximum_window_in_minutes", v.flexible and v.flexible.MaximumWindowInMinutes } } },
      { "target", hcl.blocks { { "arn", v.target }, { "role_arn", v.role }, { "input", v.asked.input and hcl.json(v.asked.input) },
        { "dead_letter_config", v.dead_letter and hcl.blocks { { "arn", v.dead_letter } } or nil },
        { "retry_policy", v.retries and hcl.blocks { { "maximum_retry_attempts", v.retries },
          { "maximum_event_age_in_seconds", v.max_age } } or nil },
        { "ecs_parameters", task_of(v.task) } } },
    }
  end,
}

M["aws.queue"] = {
  type = "aws_sqs_queue", import = "{url}", gives = { arn = "arn", url = "url" },
  body = function(v)
    return { { "name", v.name }, { "message_retention_seconds", v.days * 86400 }, { "visibility_timeout_seconds", v.visibility },
             { "tags", tags(v) } }
  end,
}

return M
