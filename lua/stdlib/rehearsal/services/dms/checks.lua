--- The individual premigration assessments of a PostgreSQL source: for which tasks each is meant. worker/assess.lua does them.
--- docs.aws.amazon.com/dms/latest/userguide/CHAP_Tasks.AssessmentReport.PG.html
local M = {}

--- Every migration type; types with a full load; types with changes.
local ALL, LOAD, CDC = "all", "full-load", "cdc"

local CHECKS = {
  { "postgres-check-dbversion", ALL }, { "postgres-check-similar-table-name", ALL },
  { "postgres-check-limited-lob-size", ALL }, { "postgres-check-target-privileges", ALL }, { "postgres-check-pk-validity", ALL },
  { "postgres-check-postgis-data-type", ALL },
  { "postgres-check-table-with-array", LOAD }, { "postgres-check-session-replication-role", LOAD },
  { "postgres-check-target-secondary-indexes", LOAD }, { "postgres-check-select-object-privileges", LOAD },
  { "postgres-check-pk", CDC }, { "postgres-check-pk-lob", CDC }, { "postgres-check-wallevel", CDC }, { "postgres-check-maxwalsenders", CDC },
  { "postgres-check-walsenderstimeout", CDC }, { "postgres-check-maxslot-wal-keep-size", CDC },
  { "postgres-check-replication-slots-count", CDC }, { "postgres-check-for-logical-decoding-work-mem", CDC },
  { "postgres-check-longrunningtxn", CDC }, { "postgres-check-preparedtxn", CDC }, { "postgres-check-pglogical", CDC },
  { "postgres-check-ddl-event-trigger", CDC }, { "postgres-check-batch-apply-target-pk-ui-absence", CDC },
  { "postgres-check-batch-apply-target-pk-ui-simultaneously", CDC }, { "postgres-batch-apply-lob-mode", CDC },
  { "postgres-datamasking-digits-randomize", ALL }, { "postgres-datamasking-digits-mask", ALL }, { "postgres-datamasking-hash-mask", ALL },
  { "all-to-all-validation-with-datamasking-digits-randomize", ALL }, { "all-to-all-validation-with-datamasking-hash-mask", ALL },
  { "all-to-all-validation-with-digit-mask", ALL },
}

--- The names of those that a task of this migration type can have.
---@return string[]
function M.applicable(migration_type)
  local list = {}
  for _, check in ipairs(CHECKS) do
    if check[2] == ALL or migration_type:find(check[2], 1, true) then list[#list + 1] = check[1] end
  end
  return list
end

return M
