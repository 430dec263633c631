--- What must come before what: found in a plan, kept in the journal for the timeline. A noun comes after those whose
--- outputs its spec holds, and after the verbs that stand before it. What a verb (a once, a guard) needs cannot be seen: it
--- comes after all that stands before it. What runs side by side has no order.
local unknown = require "recipe.unknown"

local M = {}

local DOES = { create = true, adopt = true, change = true, replace = true, run = true }

--- Whether a comes before b by the program's text and not by chance: their tasks are not siblings of one task.all.
local function is_before(a, b)
  for i = 1, math.min(#a.place, #b.place) do
    if a.place[i] ~= b.place[i] then
      local group = a.groups[i]
      return a.place[i] < b.place[i] and not (group and group == b.groups[i])
    end
  end
  return false
end

--- Whether a stands in the task of b, or in one that started it.
local function is_above(a, b)
  for i = 1, #a.place - 1 do
    if a.place[i] ~= b.place[i] then return false end
  end
  return true
end

--- "aws.db_subnet_group" -> "dbsubnetgroup"
local function plain(word) return (word:match("[^.]*$"):lower():gsub("_", "")) end

--- The keys that a spec names: where its outputs are unknown still, and by a name in a field that is called like the kind,
--- as `subnet_group = "shop-db"` is for `aws.db_subnet_group "shop-db"`, and `ServiceRole` for an `aws.role`.
local function named(e, by_name)
  local list, seen = unknown.origins(e.spec), {}
  local function look(value, field)
    if type(value) == "table" and not seen[value] then
      seen[value] = true
      for k, v in next, value do look(v, type(k) == "string" and plain(k) or field) end
    end
    for _, other in ipairs(type(value) == "string" and by_name[value] or {}) do
      local kind = plain(other.kind)
      if other ~= e and (kind:find(field, 1, true) or field:find(kind, 1, true)) then list[#list + 1] = other.key end
    end
  end
  look(e.spec, "spec")
  return list
end

--- Gives each entry of a plan that does something its `after`: the keys of what it waits for.
---@param entries table[] in the order of the program
function M.order(entries)
  local list, by_name, verbs, known = {}, {}, {}, {}
  for _, e in ipairs(entries) do
    if DOES[e.action] then
      list[#list + 1], known[e.key] = e, true
      if e.name then
        by_name[e.name] = by_name[e.name] or {}
        table.insert(by_name[e.name], e)
      end
    end
  end
  for i, e in ipairs(list) do
    local after, seen, chosen, first = {}, { [e.key] = true }, {}, 1
    local function add(key)
      if known[key] and not seen[key] then
        seen[key] = true
        after[#after + 1] = key
      end
    end
    local function is_covered(other)
      for _, c in ipairs(chosen) do
        if is_before(other, c) then return true end
      end
      return false
    end
    for v = #verbs, 1, -1 do
      local verb = list[verbs[v]]
      if is_before(verb, e) and not is_covered(verb) then
        chosen[#chosen + 1] = verb
        add(verb.key)
        if is_above(verb, e) then                            -- whatever stands before it and before e is covered
          first = verbs[v] + 1
          break
        end
      end
    end
    if e.action == "run" then
      for j = i - 1, first, -1 do
        local other = list[j]
        if other.action ~= "run" and is_before(other, e) and not is_covered(other) then add(other.key) end
      end
      verbs[#verbs + 1] = i
    else
      for _, key in ipairs(named(e, by_name)) do add(key) end
    end
    e.after = after[1] and after or nil
  end
end

return M
