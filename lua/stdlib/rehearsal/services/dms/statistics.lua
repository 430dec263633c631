--- Statistics of the tables of a task, and loading tables anew.
local common = require "rehearsal.services.dms.common"
local execution = require "rehearsal.services.dms.execution"

local S = {}

local FILTERS = { ["schema-name"] = "SchemaName", ["table-name"] = "TableName", ["table-state"] = "TableState" }

function S.DescribeTableStatistics(cloud, p, ctx)
  local t = common.get(cloud, ctx, "tasks", p.ReplicationTaskArn)
  local page, marker = common.page(cloud, p, common.sorted(t.tables), FILTERS)
  return { ReplicationTaskArn = t.arn, TableStatistics = page, Marker = marker }
end

function S.ReloadTables(cloud, p, ctx)
  local t = common.get(cloud, ctx, "tasks", p.ReplicationTaskArn)
  if t.Status ~= "running" or not t.process or t.reload then
    common.state("Replication Task cannot reload tables, invalid state: %s", t.Status)
  end
  if p.ReloadOption == "validate-only" then common.combination("validate-only needs a task with validation enabled.") end
  if t.MigrationType == "cdc" then common.combination("Tables of a task of the type cdc cannot be reloaded.") end
  local tables = {}
  for i, at in ipairs(p.TablesToReload) do
    if not t.tables[at.SchemaName .. "." .. at.TableName] then
      common.invalid("The table %s.%s is not part of the task.", at.SchemaName, at.TableName)
    end
    tables[i] = { schema = at.SchemaName, table = at.TableName }
  end
  execution.reload(t, tables)
  return { ReplicationTaskArn = t.arn }
end

return S
