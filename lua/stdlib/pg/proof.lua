--- What was read in a snapshot that is gone, is it what a new one has? A copy or a comparison that was cut off goes on in a
--- new snapshot: what is proved to be the same there it keeps, and reads the rest again. So the whole is the new snapshot,
--- and one. No counter of the server is asked: those lag.
---
--- The proof for a range of a table. A = what was read, the rows seen by the old snapshot; B = what the new one sees. If
--- all of B was inserted by transactions that had ended when the old snapshot was taken (xmin below the oldest one then
--- running), each row of B was seen by the old one too: it was committed then, and had it been deleted then it still
--- would be. So B is a part of A; and if B has as many rows as were read, it is A. An UPDATE makes a new row version
--- with a new xmin. CLUSTER and VACUUM FULL keep xmin and move rows: ranges of ctid mean the same only in the same file.
--- A statement that changes the table itself shows in pg_dump's schema, which is compared before.
local M = {}

--- What names a database whatever its address is.
---@param conn PgConnection
function M.system(conn)
  local ok, id = pcall(conn.value, conn, "SELECT system_identifier::text FROM pg_control_system()")
  return ("%s/%d"):format(ok and id or "unknown", conn:value "SELECT oid::int8 FROM pg_database WHERE datname = current_database()")
end

--- The snapshots are the same: no transaction began, and none ended, between them.
function M.is_same_snapshot(a, b) return a ~= nil and a == b end

-- 32 bits of xmin are kept with a row; 1 and 2 stand for rows that were always there.
local COUNT = [[SELECT count(*) AS rows, count(*) FILTER (WHERE x >= 3 AND (x - %d + 4294967296) %% 4294967296 < 2147483648) AS new
  FROM (SELECT xmin::text::int8 AS x FROM ONLY %s%s) r]]

--- Whether what a mark says was read is what this session's snapshot has.
---@param conn PgConnection to the source
---@param t table
---@param mark table
---@param old string|nil the snapshot in which it was read: "xmin:xmax:running"
---@param where string|nil the condition of the range
function M.holds(conn, t, mark, old, where)
  local oldest = old and math.tointeger(tonumber(old:match "^(%d+):"))
  if not oldest or not mark.row_count then return false end
  if mark.range_by == "ctid" and mark.file ~= t.file then return false end
  local r = conn:query(COUNT:format(oldest % 4294967296, t.name, where and " WHERE " .. where or ""))[1]
  return r.new == 0 and r.rows == mark.row_count
end

return M
