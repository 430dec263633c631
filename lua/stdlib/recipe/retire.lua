--- What a recipe needs only for a while: its tag hkrun:until says until what. Then the recipe deletes it itself; a later
--- run asks for it no more.
local destroy = require "recipe.destroy"
local errors = require "errors"
local run = require "recipe.run"

local M = { TAG = "hkrun:until" }

--- The tags of what is needed until `what`, for the option `tags` of a noun.
---@param what string
---@return table<string, string>
function M.until_tags(what) return { [M.TAG] = what } end

--- Deletes what this recipe made with those tags, each thing when nothing that is left stands on it. It may be called again
--- after it was cut off: what is gone is gone in the journal too. Works inside a once only, so that there is a record.
---@param what string
---@return string[] titles of what was deleted now
function M.retire(what)
  local r = run.current "retire"
  if not r:inside_once() then errors.usage("recipe.retire %q belongs into a once", what) end
  local asked, titles = {}, {}
  for key, n in pairs(r.memory.nouns) do
    if n.spec and n.spec.tags and n.spec.tags[M.TAG] == what then asked[key] = true end
  end
  local doomed = destroy.list(r.memory, asked)
  for i, n in ipairs(doomed) do titles[i] = destroy.title(n) end
  destroy.delete_all(r, doomed)
  return titles
end

return M
