--- Which slot of a cluster a key is in: CRC-16 of its name, or of what stands in its first braces (Redis Cluster
--- specification, "Key distribution model").
local M = {}

M.COUNT = 16384

local table_of_crc = {}
for byte = 0, 255 do
  local crc = byte << 8
  for _ = 1, 8 do crc = crc & 0x8000 ~= 0 and crc << 1 ~ 0x1021 or crc << 1 end
  table_of_crc[byte] = crc & 0xffff
end

---@param key string
---@return integer 0 to 16383
function M.of(key)
  local tag = key:match "^[^{]*{([^}]+)}" or key
  local crc = 0
  for i = 1, #tag do crc = (crc << 8 & 0xffff) ~ table_of_crc[crc >> 8 ~ tag:byte(i)] end
  return crc % M.COUNT
end

return M
