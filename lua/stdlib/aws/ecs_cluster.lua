--- An ECS cluster: a name under which tasks and services run. On Fargate there are no machines in it, and it costs nothing.
local aws = require "aws"
local ecs = require "aws.common.ecs"
local noun = require "aws.common.noun"
local recipe = require "recipe"

local GONE = "ClusterNotFoundException"

local function settings(spec) return { { name = "containerInsights", value = spec.insights and "enabled" or "disabled" } } end

return recipe.kind {
  name = "aws.ecs_cluster",
  options = {
    { "insights", "CloudWatch Container Insights: metrics of each task, at their price", type = "boolean", default = false },
    { "tags", "tags beside hkrun's", type = "table" },
  },
  outputs = { "arn" }, summary = { "insights" }, compare = { tags = "given" }, idempotent = true,      -- CreateCluster answers with what is there

  read = noun.reader(GONE, function(spec)
    local c = aws.ecs:describe_clusters({ clusters = { spec.name }, include = { "TAGS", "SETTINGS" } }).clusters[1]
    if not c or c.status == "INACTIVE" then return nil end
    local insights = false
    for _, s in ipairs(c.settings or {}) do insights = insights or s.name == "containerInsights" and s.value ~= "disabled" end
    return { id = c.clusterName, arn = c.clusterArn, insights = insights, tags = ecs.tag_map(c.tags), deleting = c.status == "DEPROVISIONING" or nil }
  end),

  create = function(spec, ctx)
    return aws.ecs:create_cluster({ clusterName = spec.name, settings = settings(spec), tags = ecs.tags(spec, ctx) }).cluster.clusterName
  end,

  update = function(spec, current, changes)
    if changes.insights then aws.ecs:update_cluster_settings { cluster = current.id, settings = settings(spec) } end
    if changes.tags then aws.ecs:tag_resource { resourceArn = current.arn, tags = ecs.tag_list(spec.tags) } end
  end,

  --- Tasks that belong to no service, such as jobs, end with it.
  delete = function(current)
    noun.found(GONE, function()
      for task in aws.ecs:each("list_tasks", { cluster = current.id, desiredStatus = "RUNNING" }) do
        aws.ecs:stop_task { cluster = current.id, task = task, reason = "its cluster is deleted" }
      end
    end)
    noun.delete(GONE, function() aws.ecs:delete_cluster { cluster = current.id } end)
  end,
}
