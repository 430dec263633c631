--- What is not as a saved plan says, in words: options and entries of two plans, both as they come out of JSON.
local diff = require "recipe.diff"
local json = require "json"
local plain = require "recipe.plain"

local M = {}

M.has_secret = diff.has_secret

local function sorted_keys(...)
  local seen, keys = {}, {}
  for _, t in ipairs { ... } do
    for k in pairs(t) do
      if not seen[k] then seen[k], keys[#keys + 1] = true, k end
    end
  end
  table.sort(keys)
  return keys
end

local function shown(v)
  if v == json.null then v = nil end
  return plain.show(v)
end

--- Options that are not what they were.
---@param was table<string, any>
---@param now table<string, any>
---@return string[]
function M.options(was, now)
  local list = {}
  for _, name in ipairs(sorted_keys(was, now)) do
    local a, b = was[name], now[name]
    local is_secret = type(a or b) == "table" and (a or b).secret_digest ~= nil
    if not diff.same(a, b) then
      local flag = "--" .. name:gsub("_", "-")
      if is_secret then list[#list + 1] = a == nil and flag .. " is given now" or b == nil and flag .. " is not given now"
        or flag .. " (a secret) is another one"
      else list[#list + 1] = ("%s was %s, is %s"):format(flag, shown(a), shown(b)) end
    end
  end
  return list
end

--- What the field was found to be when the plan was made: the old side of a change, else what the recipe asked for.
local function was_found(e, field)
  local c = e.changes and e.changes[field]
  if c then return c.old end
  return e.properties and e.properties[field]
end

--- Fields that are there now and are not what they were.
local function found_fields(title, was, now, entry, list)
  local a, b = was.found, now.found
  if was.id ~= now.id then
    list[#list + 1] = not now.id and ("%s (%s) is gone"):format(title, was.id)
      or not was.id and ("%s exists now (%s)"):format(title, now.id) or ("%s was %s, is %s"):format(title, was.id, now.id)
    return true
  end
  local any = false
  for _, f in ipairs(sorted_keys(a or {}, b or {})) do
    if (a or {})[f] ~= (b or {})[f] then
      any = true
      list[#list + 1] = ("%s: %s was %s, is %s"):format(title, f, shown(was_found(was, f)), plain.show(plain.data((entry.current or {})[f])))
    end
  end
  return any
end

--- Fields of which the recipe asks for something else.
local function asked_fields(title, was, now, list)
  local a, b, any = was.properties or {}, now.properties or {}, false
  for _, f in ipairs(sorted_keys(a, b)) do
    if not diff.same(a[f], b[f]) then
      any = true
      list[#list + 1] = ("%s: the recipe asks for %s %s, not %s"):format(title, f, shown(b[f]), shown(a[f]))
    end
  end
  for _, f in ipairs(sorted_keys(was.secrets or {}, now.secrets or {})) do
    if (was.secrets or {})[f] ~= (now.secrets or {})[f] then
      any = true
      list[#list + 1] = ("%s: a secret in %s is another one"):format(title, f)
    end
  end
  return any
end

local said = { none = "left alone", create = "created", adopt = "taken over", change = "changed", replace = "replaced", run = "run",
  read = "read", ask = "asked" }

local function one(title, was, now, entry, list)
  local found = found_fields(title, was, now, entry, list)
  if asked_fields(title, was, now, list) or found then return end
  if was.action ~= now.action then
    list[#list + 1] = ("%s was to be %s, is to be %s"):format(title, said[was.action] or was.action, said[now.action] or now.action)
    return
  end
  local a, b = was.changes or {}, now.changes or {}
  for _, f in ipairs(sorted_keys(a, b)) do
    if (a[f] == nil) ~= (b[f] == nil) then list[#list + 1] = ("%s: %s differs in another way"):format(title, f) end
  end
end

--- Entries that are not what they were.
---@param was table[] of the saved plan
---@param now table[] of the plan that was made now
---@param entries table[] those of `now` before they went through JSON: with what is there
---@return string[]
function M.entries(was, now, entries)
  local list, old, new = {}, {}, {}
  for _, e in ipairs(was) do old[e.key] = e end
  for i, e in ipairs(now) do
    new[e.key] = true
    local title, before = entries[i].title, old[e.key]
    if before then one(title, before, e, entries[i], list)
    elseif e.action ~= "none" and e.action ~= "read" then
      list[#list + 1] = ("%s was not in it and is to be %s"):format(title, said[e.action] or e.action)
    end
  end
  for _, e in ipairs(was) do
    if not new[e.key] and e.action ~= "none" and e.action ~= "read" then
      list[#list + 1] = ("%s was to be %s, is not in the recipe's plan now"):format(
        e.kind and ("%s %q"):format(e.kind, e.name) or e.name, said[e.action] or e.action)
    end
  end
  return list
end

return M
