--- IPv4 address ranges: "10.40.0.0/16".
local M = {}

local Cidr = {}
Cidr.__index = Cidr

local function to_number(a, b, c, d) return (a << 24) | (b << 16) | (c << 8) | d end

local function to_text(n) return ("%d.%d.%d.%d"):format(n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255) end

Cidr.__tostring = function(r) return to_text(r.first) .. "/" .. r.bits end

--- A range, or nil if the text is none; host bits are cut off as AWS does.
function M.parse(text)
  local a, b, c, d, bits = (text or ""):match "^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$"
  if not a then return nil end
  a, b, c, d, bits = a // 1 | 0, b // 1 | 0, c // 1 | 0, d // 1 | 0, bits // 1 | 0
  if a > 255 or b > 255 or c > 255 or d > 255 or bits > 32 then return nil end
  local size = 1 << (32 - bits)
  return setmetatable({ first = to_number(a, b, c, d) & ~(size - 1), bits = bits }, Cidr)
end

function Cidr:size() return 1 << (32 - self.bits) end
function Cidr:holds(o) return o.first >= self.first and o.first + o:size() <= self.first + self:size() end
function Cidr:overlaps(o) return o.first < self.first + self:size() and self.first < o.first + o:size() end

--- The nth address of the range.
function Cidr:address(n) return to_text(self.first + n) end

return M
