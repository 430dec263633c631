--- What an interrupted comparison has read already. The caller gives a table, to
--- which parts are added, or the path of a file, a line of JSON for each part.
--- A part counts again where it is proved (pg/proof.lua) that its blocks hold the same
--- rows in the snapshot of now: that is a look at each row's head, not at its values.
local errors = require "errors"
local fs = require "fs"
local json = require "json"
local proof = require "pg.proof"

local M = {}

---@class PgParts
local Parts = {}
Parts.__index = Parts

local function id(part) return table.concat({ part.side, part.system, part.table, part.file, part.where, part.question }, "\n") end

---@param where table|string|nil
---@return PgParts
function M.open(where)
  local self = setmetatable({ known = {}, where = where, reused = 0 }, Parts)
  local list = where
  if type(where) == "string" then
    list = {}
    for line in (fs.exists(where) and fs.read(where) or ""):gmatch "[^\n]+" do
      local part = json.decode(line)                 -- nil where a crash tore the line
      if type(part) == "table" then list[#list + 1] = part end
    end
  elseif where ~= nil and type(where) ~= "table" then
    errors.usage("pg.same: journal is a table or the path of a file")
  end
  for _, part in ipairs(list or {}) do if part.system then self.known[id(part)] = part end end
  return self
end

--- Large objects are in no file of their own.
function Parts:keeps(part) return self.where ~= nil and part.file ~= nil end

local function add(sums, read)
  for chunk, x in pairs(read) do
    local y = sums[chunk] or { rows = 0, sum = 0 }
    sums[chunk] = { rows = x.rows + y.rows, sum = x.sum + y.sum }
  end
end

--- Adds what is known of the part, and still holds, to the sums.
---@param conn PgConnection
---@param t table the side's table
---@return boolean found
function Parts:take(conn, t, part, sums)
  local found = self:keeps(part) and self.known[id(part)]
  if not found then return false end
  local read, count = {}, 0
  for chunk, text in pairs(found.sums) do
    local rows, sum = text:match "^(%d+) (%-?%d+)$"
    read[math.tointeger(tonumber(chunk))] = { rows = math.tointeger(rows), sum = math.tointeger(sum) }
    count = count + math.tointeger(rows)
  end
  if not proof.is_same_snapshot(found.snapshot, part.snapshot) then
    local where = part.where ~= "" and part.where or nil
    if not proof.holds(conn, t, { row_count = count }, found.snapshot, where) then return false end
  end
  add(sums, read)
  self.reused = self.reused + 1
  return true
end

--- Keeps a part that was read, and adds it to the sums.
function Parts:keep(part, read, sums)
  add(sums, read)
  if not self:keeps(part) then return end
  part.sums = {}
  for chunk, x in pairs(read) do part.sums[tostring(chunk)] = ("%d %d"):format(x.rows, x.sum) end
  self.known[id(part)] = part
  if type(self.where) == "table" then self.where[#self.where + 1] = part
  else fs.append(self.where, json.encode(part) .. "\n") end
end

return M
