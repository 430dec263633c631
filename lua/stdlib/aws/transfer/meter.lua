--- The progress of a transfer, in bytes of all parts that are under way.
local log = require "log"

local Meter = {}
Meter.__index = Meter

---@param what string "upload shop.dump"
---@param total? integer bytes
---@param tell? fun(done: integer, total?: integer) who wants to know it, too
local function new(what, total, tell)
  return setmetatable({ total = total, done = 0, flying = {}, tell = tell,
                        line = log.progress { what = what, total = total, unit = "bytes" } }, Meter)
end

local function show(self)
  self.line:update(self.done)
  if self.tell then self.tell(self.done, self.total) end
end

--- A part has come so far; 0 when it begins again.
---@param number integer
---@param bytes integer
function Meter:part(number, bytes)
  self.done = self.done + bytes - (self.flying[number] or 0)
  self.flying[number] = bytes
  show(self)
end

function Meter:__close() self.line:done() end

return new
