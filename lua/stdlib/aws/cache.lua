--- Valkey on ElastiCache: TLS and a token, and let in only by the security groups that are given. Nothing is evicted,
--- because what a queue forgets is lost.
---
---     local cache = aws.cache { "shop", network = net, allow = { app.id, bastion.group } }
---     cache.url (a secret: rediss://...), cache.endpoint, cache.port
local aws = require "aws"
local errors = require "errors"
local noun = require "aws.common.noun"
local recipe = require "recipe"
local secret = require "secret"
local task = require "task"
local text = require "text"

local declared = {
  { "name", "its name: letters, digits and -", type = "string", required = true },
  { "network", "of aws.network", type = "table", required = true },
  { "allow", "security groups, or their ids, that may connect", type = "list", default = {} },
  { "engine", "valkey or redis", type = "string", default = "valkey" },
  { "version", "of the engine", type = "string", default = "8.0" },
  { "node_type", "size of its nodes", type = "string", default = "cache.t4g.micro" },
  { "replicas", "copies beside the primary", type = "integer", default = 0 },
  { "parameters", "settings by name", type = "table", default = {} },
  { "evicting", "true: it holds no queue, and its maxmemory-policy may let keys go", type = "boolean", default = false },
  { "final_snapshot", "when it is deleted, ElastiCache keeps a snapshot of it", type = "boolean", default = true },
  { "tags", "tags of all its parts", type = "table" },
  { "keep", "never delete or replace it", type = "boolean" },
  { "timeout", "seconds that each wait may take; else as long as ElastiCache usually needs", type = "number" },
}

--- The ids of its nodes, under which CloudWatch has their metrics. Those that a plan has yet to make get the names that
--- ElastiCache gives: NAME-001, NAME-002, ...
local function nodes_of(cache, name, replicas)
  local nodes = cache.nodes
  if not recipe.is_unknown(nodes) and #nodes == replicas + 1 then return nodes end
  nodes = {}
  for i = 1, replicas + 1 do nodes[i] = ("%s-%03d"):format(name:lower(), i) end
  return nodes
end

--- Makes or finds a cache.
---@param o table
---@return { id: string, name: string, nodes: string[], endpoint: string, port: integer, url: Secret, secret_arn: string, group: string }
return function(o)
  o = noun.options(o, declared, "aws.cache")
  local name, tags, keep, rules = o.name .. "-cache", o.tags, o.keep, {}
  for _, group in ipairs(o.allow) do rules[#rules + 1] = { port = 6379, from = noun.id(group), why = "Valkey" } end
  local parameters = { ["maxmemory-policy"] = "noeviction" }
  for k, v in pairs(o.parameters) do parameters[k] = v end
  local policy = parameters["maxmemory-policy"]
  if policy ~= "noeviction" and not o.evicting then
    errors.usage("aws.cache %q: with the maxmemory-policy %s a full server forgets keys, jobs of queues among them; leave it at noeviction, "
      .. "or say evicting = true when no queue is in it", o.name, policy)
  end
  local family = o.engine .. (o.version:match "^%d+" or "")

  local parts = task.all {
    token = function()
      return aws.secret { name .. "-token", generate = function() return secret.random(64) end,
                          description = "token of the cache " .. o.name, tags = tags, keep = keep }
    end,
    subnets = function()
      return aws.cache_subnet_group { name, subnets = o.network.private, tags = tags, keep = keep }
    end,
    parameters = function()
      return aws.cache_parameter_group { name .. "-" .. family, family = family, parameters = parameters, tags = tags, keep = keep }
    end,
    group = function()
      return aws.security_group { name, vpc = o.network.id, description = "the cache", rules = rules, tags = tags, keep = keep }
    end,
  }
  local cache = aws.replication_group {
    o.name, engine = o.engine, version = o.version, node_type = o.node_type, replicas = o.replicas, subnet_group = parts.subnets.name,
    parameter_group = parts.parameters.name, groups = { parts.group.id }, auth_token = parts.token.value,
    description = "cache of " .. o.name, final_snapshot = o.final_snapshot, tags = tags, keep = keep,
    timeout = o.timeout,
  }
  local endpoint = cache.endpoint or recipe.unknown(("aws.cache %q.endpoint"):format(o.name))  -- planned while it is being made
  return {
    id = cache.id, name = o.name, endpoint = endpoint, port = cache.port, group = parts.group.id, arn = cache.arn,
    replicas = o.replicas, nodes = nodes_of(cache, o.name, o.replicas), secret_arn = parts.token.arn,
    url = recipe.is_unknown(endpoint) and endpoint or text("rediss://:%s@%s:%d", parts.token.value, endpoint, cache.port),
  }
end
