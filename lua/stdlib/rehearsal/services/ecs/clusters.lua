--- Clusters, and the tags of everything in ECS.
local C = require "rehearsal.services.ecs.common"
local managed = require "rehearsal.managed"
local wire = require "rehearsal.wire"

local S = {}

local function running(cluster)
  local up, pending = 0, 0
  for _, task in pairs(cluster.tasks) do
    if task.lastStatus == "RUNNING" then up = up + 1
    elseif task.lastStatus == "PROVISIONING" or task.lastStatus == "PENDING" then pending = pending + 1 end
  end
  return up, pending
end

local function active_services(cluster)
  local n = 0
  for _, service in pairs(cluster.services) do if service.status == "ACTIVE" then n = n + 1 end end
  return n
end

local function described(cluster, with_tags)
  local up, pending = running(cluster)
  return { clusterArn = cluster.clusterArn, clusterName = cluster.clusterName, status = cluster.status, registeredContainerInstancesCount = 0,
    runningTasksCount = up, pendingTasksCount = pending, activeServicesCount = active_services(cluster), statistics = {},
    tags = with_tags and cluster.tags or {}, settings = cluster.settings, capacityProviders = {}, defaultCapacityProviderStrategy = {} }
end

--- A cluster of that name that there is already is the answer.
function S.CreateCluster(cloud, p, ctx)
  local name = p.clusterName or "default"
  if #name > 255 or not name:find "^[%w_%-]+$" then C.invalid("Invalid cluster name.") end
  local all = C.clusters(cloud, ctx)
  local cluster = all[name]
  if not cluster or cluster.status == "INACTIVE" then
    cluster = { clusterName = name, clusterArn = C.arn(cloud, ctx, "cluster/%s", name), status = "ACTIVE", services = {}, tasks = {},
      tags = C.tags(p.tags), settings = p.settings or { { name = "containerInsights", value = "disabled" } } }
    all[name] = cluster
  end
  return { cluster = described(cluster, true) }
end

function S.DescribeClusters(cloud, p, ctx)
  local found, failures = {}, {}
  for _, name in ipairs(p.clusters and #p.clusters > 0 and p.clusters or { "default" }) do
    local cluster = C.clusters(cloud, ctx)[C.short(name)]
    if cluster then found[#found + 1] = described(cluster, C.wants_tags(p))
    else failures[#failures + 1] = { arn = C.arn(cloud, ctx, "cluster/%s", C.short(name)), reason = "MISSING" } end
  end
  return { clusters = found, failures = failures }
end

function S.ListClusters(cloud, p, ctx)
  local arns = {}
  for _, cluster in ipairs(managed.sorted(C.clusters(cloud, ctx))) do
    if cluster.status == "ACTIVE" then arns[#arns + 1] = cluster.clusterArn end
  end
  local page, token = C.page(cloud, p, arns)
  return { clusterArns = page, nextToken = token }
end

function S.UpdateClusterSettings(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  cluster.settings = p.settings
  return { cluster = described(cluster) }
end

function S.DeleteCluster(cloud, p, ctx)
  local cluster = C.cluster(cloud, ctx, p.cluster)
  for _, service in pairs(cluster.services) do
    if service.status ~= "INACTIVE" then
      wire.fail("ClusterContainsServicesException", 400, "The Cluster cannot be deleted while Services are active.")
    end
  end
  for _, task in pairs(cluster.tasks) do
    if task.lastStatus ~= "STOPPED" then
      wire.fail("ClusterContainsTasksException", 400, "The Cluster cannot be deleted while Tasks are active.")
    end
  end
  cluster.status = "INACTIVE"
  local answer = described(cluster)
  cloud:after(3600, function()
    if C.clusters(cloud, ctx)[cluster.clusterName] == cluster then C.clusters(cloud, ctx)[cluster.clusterName] = nil end
  end)
  return { cluster = answer }
end

-- Tags ---------------------------------------------------------------------

local function tagged(cloud, ctx, arn)
  local kind, rest = arn:match "^arn:aws:ecs:[^:]*:%d+:([%a%-]+)/(.+)$"
  local found
  if kind == "cluster" then found = C.clusters(cloud, ctx)[rest]
  elseif kind == "task-definition" then
    local family, revision = rest:match "^(.+):(%d+)$"
    found = family and (C.families(cloud, ctx)[family] or {})[math.tointeger(tonumber(revision))]
  elseif kind == "service" or kind == "task" then
    local cluster, name = rest:match "^([^/]+)/(.+)$"
    local where = cluster and C.clusters(cloud, ctx)[cluster]
    found = where and where[kind .. "s"][name]
  end
  return found or C.invalid("The specified resource is not found. Specify a valid resource ARN and try again.")
end

function S.ListTagsForResource(cloud, p, ctx) return { tags = tagged(cloud, ctx, p.resourceArn).tags } end
function S.TagResource(cloud, p, ctx) C.add_tags(tagged(cloud, ctx, p.resourceArn).tags, p.tags) end
function S.UntagResource(cloud, p, ctx) C.remove_tags(tagged(cloud, ctx, p.resourceArn).tags, p.tagKeys) end

return S
