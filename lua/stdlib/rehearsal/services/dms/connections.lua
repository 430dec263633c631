--- Connections between replication instances and endpoints: tested from the instance's host, and the schemas seen there.
local common = require "rehearsal.services.dms.common"
local instances = require "rehearsal.services.dms.instances"
local runner = require "rehearsal.services.dms.runner"

local S = {}

local function connections(cloud, ctx) return common.all(cloud, ctx, "connections") end
local function key(instance_arn, endpoint_arn) return instance_arn .. " " .. endpoint_arn end

--- Whether the last test succeeded.
function S._is_tested(cloud, ctx, instance_arn, endpoint_arn)
  local found = connections(cloud, ctx)[key(instance_arn, endpoint_arn)]
  return found ~= nil and found.Status == "successful"
end

--- Asks an endpoint something in a worker.
---@return table? result, string? message
local function ask(cloud, ctx, instance, endpoint, mode)
  local side, why = runner.side(cloud, ctx, instance, endpoint)
  if not side then return nil, why end
  if not cloud.servers then return {} end
  local result, message = runner.ask(instance, { mode = mode }, { [endpoint.EndpointType] = side })
  if not result then return nil, runner.said(message) end
  return result
end

function S.TestConnection(cloud, p, ctx)
  local instance = instances._available(cloud, ctx, p.ReplicationInstanceArn)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  local id = key(instance.arn, endpoint.arn)
  local old = connections(cloud, ctx)[id]
  if old and old.Status == "testing" then common.state("Connection test is already in progress for the endpoint %s.", endpoint.arn) end
  local connection = { ReplicationInstanceArn = instance.arn, EndpointArn = endpoint.arn, Status = "testing",
    EndpointIdentifier = endpoint.EndpointIdentifier, ReplicationInstanceIdentifier = instance.ReplicationInstanceIdentifier }
  connections(cloud, ctx)[id] = connection
  cloud:after(10, function()
    local ok, result, message = pcall(ask, cloud, ctx, instance, endpoint, "test")
    if not ok then
      runner.report(result)
      result, message = nil, tostring(result)
    end
    connection.Status, connection.LastFailureMessage = result and "successful" or "failed", message
  end)
  return { Connection = connection }
end

local FILTERS = { ["endpoint-arn"] = "EndpointArn", ["replication-instance-arn"] = "ReplicationInstanceArn" }

function S.DescribeConnections(cloud, p, ctx)
  local page, marker = common.page(cloud, p, common.sorted(connections(cloud, ctx)), FILTERS, "Connections")
  return { Connections = page, Marker = marker }
end

function S.DeleteConnection(cloud, p, ctx)
  local id = key(p.ReplicationInstanceArn, p.EndpointArn)
  local connection = connections(cloud, ctx)[id] or common.missing("Connection not found.")
  if connection.Status == "testing" then common.state("The connection is being tested and cannot be deleted.") end
  connection.Status = "deleting"
  cloud:after(5, function() connections(cloud, ctx)[id] = nil end)
  return { Connection = connection }
end

-- Schemas --------------------------------------------------------------------

function S.RefreshSchemas(cloud, p, ctx)
  local instance = instances._available(cloud, ctx, p.ReplicationInstanceArn)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  local status = { EndpointArn = endpoint.arn, ReplicationInstanceArn = instance.arn, Status = "refreshing" }
  endpoint.refresh = status
  cloud:after(10, function()
    local result, message = ask(cloud, ctx, instance, endpoint, "schemas")
    status.Status, status.LastFailureMessage, status.LastRefreshDate = result and "successful" or "failed", message, cloud.clock:now()
    endpoint.schemas = result and result.schemas or endpoint.schemas
  end)
  return { RefreshSchemasStatus = status }
end

function S.DescribeRefreshSchemasStatus(cloud, p, ctx)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  return { RefreshSchemasStatus = endpoint.refresh or common.missing("The schemas of the endpoint %s were never refreshed.", endpoint.arn) }
end

function S.DescribeSchemas(cloud, p, ctx)
  local endpoint = common.get(cloud, ctx, "endpoints", p.EndpointArn)
  if not endpoint.schemas then common.state("The schemas of the endpoint %s were not refreshed.", endpoint.arn) end
  local page, marker = common.page(cloud, p, endpoint.schemas, {})
  return { Schemas = page, Marker = marker }
end

return S
