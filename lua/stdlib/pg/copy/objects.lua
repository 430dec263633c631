--- Large objects, in slices: neither one of them nor all together are ever in memory, here or in one row of either server.
local connection = require "pg.connection"

local M = {}

local SLICE = 1024 * 1024                            -- of one object in a row
local BATCH = 64 * 1024 * 1024                       -- about so much in one transaction

-- 262144 is INV_READ, 2 is SEEK_END; each is closed again, a server keeps them until the transaction ends.
local SIZES = [[SELECT id AS oid, lo_lseek64(fd, 0, 2) AS bytes, lo_close(fd) FROM
  (SELECT oid::int8 AS id, lo_open(oid, 262144) AS fd FROM pg_largeobject_metadata ORDER BY oid OFFSET 0) x]]

local DETAILS = [[SELECT m.oid::int8 AS oid, pg_get_userbyid(m.lomowner) AS owner, d.description AS comment,
    (SELECT string_agg(format('GRANT %s ON LARGE OBJECT %s TO %s%s', x.privilege_type, m.oid,
       CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), E'\n')
     FROM aclexplode(m.lomacl) x WHERE x.grantee <> m.lomowner) AS grants
  FROM pg_largeobject_metadata m LEFT JOIN pg_description d ON d.classoid = 'pg_largeobject'::regclass AND d.objoid = m.oid
  WHERE m.lomacl IS NOT NULL OR d.description IS NOT NULL OR pg_get_userbyid(m.lomowner) <> $1 ORDER BY m.oid]]

--- The jobs: first one that makes the objects, then their bytes. Each names objects or slices of one.
---@param conn PgConnection to the source, in the snapshot
---@param plan PgPlan
function M.plan(conn, plan)
  local ledger = plan.ledger
  local oids, spans, size, batches = {}, {}, 0, {}
  local function close()
    if #spans > 0 then batches[#batches + 1] = { spans = spans, bytes = size } end
    spans, size = {}, 0
  end
  for row in conn:rows(SIZES) do
    oids[#oids + 1] = row.oid
    local at = 0
    while at < row.bytes do
      local n = math.min(row.bytes - at, BATCH)
      if size > 0 and (size + n > BATCH or #spans >= 5000) then close() end
      spans[#spans + 1] = ("(%d, %d, %d)"):format(row.oid, at, n)
      size, at = size + n, at + n
    end
  end
  close()
  if #oids == 0 then return end
  local made = {}
  for i = 1, #oids, 10000 do
    local name = ("large objects from %d"):format(oids[i])
    made[#made + 1] = plan:statement { mark = name, what = "large objects", sql = ("SELECT count(lo_create(x)) FROM unnest('{%s}'::oid[]) x"):format(
      table.concat(oids, ",", i, math.min(i + 9999, #oids))) }
  end
  for _, batch in ipairs(batches) do
    local name = "bytes of large objects " .. batch.spans[1]
    plan:add { mark = name, what = "large objects", needs = made, cost = batch.bytes * 2, is_bytes = true, after =
        "SELECT count(lo_put(id, at, bytes)) FROM hkrun_slices; " .. ledger:count(name),
      source = ([[COPY (SELECT v.id, s.at, lo_get(v.id::oid, s.at, least(%d, v.at + v.n - s.at)::int)
        FROM (VALUES %s) v(id, at, n), LATERAL generate_series(v.at::int8, v.at::int8 + v.n - 1, %d) AS s(at)) TO STDOUT]]):format(
          SLICE, table.concat(batch.spans, ", "), SLICE),
      target = ledger:mark(name) .. "; CREATE TEMP TABLE hkrun_slices (id oid, at int8, bytes bytea) ON COMMIT DROP; COPY hkrun_slices FROM STDIN" }
  end
end

--- Owners, grants and comments.
function M.details(source, conn, roles, owners, privileges)
  local list = {}
  for row in source:rows(DETAILS, roles.me) do
    local owner = roles:owner(row.owner)
    if privileges then
      for line in (row.grants or ""):gmatch "[^\n]+" do list[#list + 1] = roles:grant(line .. ";", row.owner) end
    end
    if row.comment then list[#list + 1] = ("COMMENT ON LARGE OBJECT %d IS %s;"):format(row.oid, connection.quote_value(row.comment)) end
    if owners and owner ~= roles.me then list[#list + 1] = ("ALTER LARGE OBJECT %d OWNER TO %s;"):format(row.oid, connection.quote_name(owner)) end
  end
  for i = 1, #list, 500 do conn:exec(table.concat(list, "\n", i, math.min(i + 499, #list))) end
end

return M
