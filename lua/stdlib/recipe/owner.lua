--- Whose a thing is: ours, somebody else's, or taken over; and the tags that say so.
local errors = require "errors"
local unknown = require "recipe.unknown"

local M = {}

--- Whether what it is part of is this recipe's: a field that can be set only at birth names it, as a noun, or by its id if
--- the field is called as its kind is.
local function is_part_of_ours(noun)
  for _, field in ipairs(noun.kind.fixed) do
    local v = noun.spec[field]
    local is_noun = type(v) == "table" and not unknown.is(v)
    local id = is_noun and rawget(v, "id") or v
    for _, e in ipairs(noun.run.entries) do
      if e.id and e.id == id and e.of.create and not e.adopted and (is_noun or e.kind:find(field, 1, true)) then return true end
    end
  end
  return false
end

--- Whose is it? Ours by journal or by tags; else it is taken over only when the recipe says so.
---@param noun table with what is there; gets `adopted`, and `adopting` when it is to be taken over now
function M.check(noun)
  local mem, current, spec = noun.mem, noun.current, noun.spec
  local tags = current.tags or {}
  local recipe, key = tags["hkrun:recipe"], tags["hkrun:key"]
  noun.adopted = mem and mem.adopted or recipe == noun.run.id and tags["hkrun:adopted"] ~= nil
  if mem and mem.id and mem.id == current.id then return end
  if recipe == noun.run.id and (key == nil or key == noun.key) then return end
  if recipe == noun.run.id then
    errors.raise {
      op = "use " .. noun.title, kind = "invalid", noun = noun.key,
      message = ("what exists under that name (%s) is this recipe's %s"):format(tostring(current.id), key),
    }
  end
  if recipe and not spec.adopt then
    errors.raise {
      op = "use " .. noun.title, kind = "invalid", noun = noun.key,
      message = ("it exists (%s) and belongs to the recipe %s"):format(tostring(current.id), recipe),
      hint = "choose another name",
    }
  end
  if not recipe and noun.kind.tagless then
    noun.adopted = not (mem and mem.state == "intent" or is_part_of_ours(noun))
    return
  end
  if not spec.adopt and not noun.run.adopt then
    errors.raise {
      op = "use " .. noun.title, kind = "invalid", noun = noun.key,
      message = ("it exists (%s) and was not made by this recipe"):format(tostring(current.id)),
      hint = "choose another name, or take it over with --adopt, or with adopt = true in the recipe",
    }
  end
  noun.adopted, noun.adopting = true, true
end

--- What was not made here is not deleted either.
---@param noun table
function M.refuse_adopted(noun)
  if not (noun.adopted or noun.mem and noun.mem.adopted) then return end
  errors.raise {
    op = "replace " .. noun.title, kind = "invalid", noun = noun.key,
    message = (noun.reason or "it must be replaced") .. ", and it was not made by this recipe",
  }
end

--- The spec as it is compared: what is ours carries the engine's tags beside the recipe's own, and tags are text.
---@param noun table
---@param spec table the noun's, or one that is on record
---@return table
function M.wanted(noun, spec)
  local kind = noun.kind
  if not kind.manages_tags or unknown.is(spec.tags) then return spec end
  local tags, all = {}, {}
  for k, v in next, spec.tags or {} do tags[k] = type(v) == "number" and tostring(v) or v end
  for k, v in next, noun.adopted and {} or noun.ctx.tags do tags[k] = v end
  for k, v in next, spec do all[k] = v end
  all.tags = next(tags) and tags or nil
  return all
end

--- The tags that go on what is taken over, where its kind has tags: so it is found again, and known as not made here,
--- even without the journal. Its own name stays.
---@param noun table
---@return table<string, string>?
function M.tags(noun)
  if not noun.kind.update or not noun.kind.manages_tags then return nil end
  local tags = {}
  for k, v in pairs(noun.spec.tags or {}) do tags[k] = v end
  for k, v in pairs(noun.ctx.tags) do
    if k ~= "Name" then tags[k] = v end
  end
  tags["hkrun:adopted"] = "true"
  return tags
end

return M
