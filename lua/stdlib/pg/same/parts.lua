--- What an interrupted comparison has read already. The caller gives a table, to
--- which parts are added, or the path of a file, a line of JSON for each part.
--- A part counts again only while its table is as it was: the same file of the same
--- size, nothing written since by the server's counters, and the same question.
local errors = require "errors"
local fs = require "fs"
local json = require "json"

local M = {}

---@class PgParts
local Parts = {}
Parts.__index = Parts

local function id(part) return table.concat({ part.side, part.table, part.part, part.of, part.question, part.state }, "\n") end

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
  for _, part in ipairs(list or {}) do self.known[id(part)] = part end
  return self
end

--- Adds what is known of the part to the sums.
---@return boolean found
function Parts:take(part, sums)
  local found = self.known[id(part)]
  if not found then return false end
  for chunk, text in pairs(found.sums) do
    local rows, sum = text:match "^(%d+) (%-?%d+)$"
    chunk = math.tointeger(tonumber(chunk))
    local x = sums[chunk] or { rows = 0, sum = 0 }
    sums[chunk] = { rows = x.rows + math.tointeger(tonumber(rows)), sum = x.sum + math.tointeger(tonumber(sum)) }
  end
  self.reused = self.reused + 1
  return true
end

--- Keeps a part that was read, and adds it to the sums.
function Parts:keep(part, read, sums)
  for chunk, x in pairs(read) do
    local y = sums[chunk] or { rows = 0, sum = 0 }
    sums[chunk] = { rows = x.rows + y.rows, sum = x.sum + y.sum }
  end
  if self.where == nil then return end
  part.sums = {}
  for chunk, x in pairs(read) do part.sums[tostring(chunk)] = ("%d %d"):format(x.rows, x.sum) end
  self.known[id(part)] = part
  if type(self.where) == "table" then self.where[#self.where + 1] = part
  else fs.append(self.where, json.encode(part) .. "\n") end
end

--- Forgets a table: its parts and a later reading do not go together.
function Parts:forget(name)
  for key, part in pairs(self.known) do if part.table == name then self.known[key] = nil end end
end

return M
