--- How an object is cut into parts, and what S3 allows of them.
--- Source: "Amazon S3 multipart upload limits" (S3 User Guide).
local errors = require "errors"
local retry = require "retry"

local M = {}

local MIB <const>, GIB <const> = 1 << 20, 1 << 30

M.DEFAULT = 8 * MIB
M.SMALLEST, M.LARGEST = 5 * MIB, 5 * GIB  -- of a part; the last one may be smaller
M.MOST = 10000                            -- parts of an object
M.LARGEST_OBJECT = M.MOST * M.LARGEST

---@class aws.Part
---@field number integer
---@field offset integer
---@field length integer
---@field digest? table as sign.digest_file gives it
---@field etag? string once it is sent
---@field checksum? string as S3 told it, of a part that was copied there

--- The size of the parts: as it is wanted, or as much more as the object needs to have no more than 10,000.
---@param size integer of the object
---@param wanted? integer
---@return integer
function M.size(size, wanted)
  if size > M.LARGEST_OBJECT then
    errors.usage("%d bytes are more than an object of S3 may have: %d (10,000 parts of 5 GiB)", size, M.LARGEST_OBJECT)
  end
  local least = (size + M.MOST - 1) // M.MOST
  least = (least + MIB - 1) // MIB * MIB
  return math.min(math.max(wanted or M.DEFAULT, least), M.LARGEST)
end

--- Raises "usage" for a size that S3 does not take.
---@param wanted? integer
function M.check(wanted)
  if wanted and (wanted < M.SMALLEST or wanted > M.LARGEST) then
    errors.usage("part_size must be between 5 MiB and 5 GiB (%d and %d), not %d", M.SMALLEST, M.LARGEST, wanted)
  end
end

---@param size integer
---@param part_size integer
---@return aws.Part[]
function M.cut(size, part_size)
  local list = {}
  for offset = 0, size - 1, part_size do
    list[#list + 1] = { number = #list + 1, offset = offset, length = math.min(part_size, size - offset) }
  end
  return list
end

--- Moves one part: again where the attempts of its calls were not enough, because a whole transfer depends on it.
---@param fn fun(): any
function M.again(fn) return retry.call(fn, { attempts = 5, base = 0.5 }) end

return M
