--- Idempotency tokens: the same for the same recipe, target, noun and generation, so that a call repeated after a crash
--- answers with what the first one made. 32 characters: every AWS service that takes a token takes that.
local secret = require "secret"

local M = {}

---@param recipe string recipe and target
---@param key string
---@param generation integer counts up when the thing was deleted and is made anew
---@return string
function M.token(recipe, key, generation)
  return secret.sha256(("%s\n%s\n%d"):format(recipe, key, generation)):sub(1, 32)
end

return M
