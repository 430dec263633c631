--- IPv4 address ranges as VPCs have them.
local errors = require "errors"

local M = {}

--- Reads "10.40.0.0/16". Raises "usage" in one sentence when it is not a range, or has bits beyond its prefix.
---@param text string
---@return { address: integer, bits: integer }
function M.parse(text)
  local a, b, c, d, bits = tostring(text):match "^(%d+)%.(%d+)%.(%d+)%.(%d+)/(%d+)$"
  local address = 0
  for _, part in ipairs { a, b, c, d } do
    local n = math.tointeger(tonumber(part))
    if n > 255 or #part > 3 then address = nil break end
    address = address << 8 | n
  end
  bits = math.tointeger(tonumber(bits))
  if not a or not address or bits > 32 then
    errors.usage("%s is not an address range like 10.40.0.0/16", tostring(text))
  end
  local range = { address = address, bits = bits }
  local start = address >> (32 - bits) << (32 - bits)
  if start ~= address then
    errors.usage("%s has bits beyond its prefix: the range is %s", text, M.show { address = start, bits = bits })
  end
  return range
end

---@param range { address: integer, bits: integer }
---@return string
function M.show(range)
  local n = range.address
  return ("%d.%d.%d.%d/%d"):format(n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255, range.bits)
end

--- The part number i (from 0) of a range that is cut into 2^cut equal parts.
---@param range { address: integer, bits: integer }
---@param cut integer
---@param i integer
---@return string
function M.part(range, cut, i)
  local bits = range.bits + cut
  return M.show { address = range.address | i << (32 - bits), bits = bits }
end

--- A range for a VPC: AWS takes /16 to /28. `parts`: how many subnets of at least /28 it must hold.
---@param text string
---@return { address: integer, bits: integer }
function M.vpc(text)
  local range = M.parse(text)
  if range.bits < 16 or range.bits > 24 then
    errors.usage("%s cannot be the range of the VPC: choose one from /16 to /24, like 10.40.0.0/16", text)
  end
  return range
end

return M
