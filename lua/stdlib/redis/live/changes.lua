--- Which keys have changed: a set that stays below its bound. What does not fit is not dropped in silence: the set then
--- knows that it is no longer complete, and why.
local M = {}

local ENTRY = 64                        -- bytes that a key takes here besides its name

---@class redis.live.Changes
---@field count integer keys in it
---@field gap string? why it is not complete: from then on it takes no more
local Changes = {}
Changes.__index = Changes

---@param bound integer bytes that it may take
---@return redis.live.Changes
function M.new(bound)
  return setmetatable({ bound = bound, bytes = 0, count = 0, of = {} }, Changes)
end

---@param db integer
---@param key string
function Changes:add(db, key)
  if self.gap then return end
  local set = self.of[db]
  if not set then set = {} self.of[db] = set end
  if set[key] then return end
  set[key] = true
  self.count = self.count + 1
  self.bytes = self.bytes + #key + ENTRY
  if self.bytes > self.bound then self:lose(("more keys changed than %d bytes of memory hold"):format(self.bound)) end
end

--- What is in it is not all that changed: only a look at every key tells.
---@param why string
function Changes:lose(why)
  self.gap = self.gap or why
  self.of, self.bytes, self.count = {}, 0, 0
end

--- Takes all keys out, and the gap: who asks takes care of both from now on.
---@return { db: integer, keys: string[] }[] batches of at most `size` keys
---@return string? gap
function Changes:take(size)
  local batches = {}
  for db, set in pairs(self.of) do
    local batch
    for key in pairs(set) do
      if not batch or #batch.keys == size then
        batch = { db = db, keys = {} }
        batches[#batches + 1] = batch
      end
      batch.keys[#batch.keys + 1] = key
    end
  end
  local gap = self.gap
  self.of, self.bytes, self.count, self.gap = {}, 0, 0, nil
  return batches, gap
end

return M
