--- Compares what a recipe asks for with what is there.
local secret = require "secret"
local unknown = require "recipe.unknown"

local M = {}

local same

local function same_list_any_order(want, have)
  if type(want) ~= "table" or type(have) ~= "table" or #want ~= #have then return false end
  local used = {}
  for _, w in ipairs(want) do
    local hit = false
    for i, h in ipairs(have) do
      if not used[i] and same(w, h) then
        used[i], hit = true, true
        break
      end
    end
    if not hit then return false end
  end
  return true
end

local function same_where_given(want, have)
  if type(want) ~= "table" or type(have) ~= "table" then return same(want, have) end
  return M.given(want, have, same)
end

--- Compares the members of a map that are given, and leaves the others alone.
---@param want table
---@param have table
---@param equal fun(want: any, have: any, key: any): boolean
---@return boolean equal
---@return table? old the members that differ, as they are
---@return table? new and as they are wanted
function M.given(want, have, equal)
  local old, new = {}, {}
  for k, v in next, want do
    if not equal(v, have[k], k) then old[k], new[k] = have[k], v end
  end
  if next(new) == nil then return true end
  return false, old, new
end

local function id_of(v)
  if type(v) == "table" and not unknown.is(v) then return rawget(v, "id") end
  return nil
end

--- Whether a secret says the same as another one or as a plain value: a number inside a secret document is a secret too.
local function equal_text(a, b)
  if type(a) == "number" then a = tostring(a) elseif type(b) == "number" then b = tostring(b) end
  if type(a) == "table" or type(b) == "table" or type(a) == "boolean" or type(b) == "boolean" then return false end
  return secret.equal(a, b)
end

--- Deep equality in the recipe's words: a noun equals its id, an unknown equals nothing, and a secret that the API does
--- not give back (nil) counts as equal, because nobody can tell.
---@param want any
---@param have any
---@return boolean
function same(want, have)
  if unknown.inside(want) and id_of(want) == nil then return false end
  if secret.is(want) or secret.is(have) then
    if have == nil then return true end
    if want == nil then return false end
    return equal_text(want, have)
  end
  if type(want) ~= "table" then
    if type(have) == "table" and id_of(have) ~= nil then return want == id_of(have) end
    return want == have
  end
  local wid = id_of(want)
  if wid ~= nil and (type(have) ~= "table" or id_of(have) ~= nil) then
    if unknown.is(wid) then return false end
    return wid == (id_of(have) or have)
  end
  if type(have) ~= "table" then return false end
  for k, v in next, want do
    if not same(v, have[k]) then return false end
  end
  for k in next, have do
    if want[k] == nil then return false end
  end
  return true
end
M.same = same

local named = { set = same_list_any_order, given = same_where_given, ignore = function() return true end }

--- The comparer that a kind names for a field: a function(want, have, spec, current) -> equal [, old, new], or "set" (a
--- list in any order), "given" (a map of which only the given members are managed), "ignore" (only used at creation).
--- `old` and `new` say in what they differ, where the whole values say it less well.
---@param how any
---@return function|nil
function M.comparer(how)
  if type(how) == "function" then return how end
  return named[how]
end

--- True for a secret, and for a table with one somewhere inside.
---@param v any
---@return boolean
function M.has_secret(v)
  if secret.is(v) then return true end
  if type(v) ~= "table" or unknown.is(v) or id_of(v) ~= nil then return false end
  for _, x in next, v do
    if M.has_secret(x) then return true end
  end
  return false
end

--- Compares one field as its kind wants it compared.
---@param want any
---@param current table what is there
---@param field string
---@param compare table<string, any>
---@param spec table the spec that `want` is part of
---@return boolean equal
---@return any old
---@return any new
function M.equal(want, current, field, compare, spec)
  local cmp = M.comparer(compare[field])
  if cmp and not unknown.is(want) then return cmp(want, current[field], spec, current) end
  return cmp == named.ignore or same(want, current[field])
end

--- Lists the fields in which the spec differs from what is there. Fields that the spec leaves nil are not managed.
---@param spec table
---@param current table
---@param fields string[]
---@param compare table<string, any>
---@return table changes `{ {field=, old=, new=}, ... }`, also by name
function M.changes(spec, current, fields, compare)
  local list = {}
  for _, f in ipairs(fields) do
    local want = spec[f]
    if want ~= nil then
      local equal, old, new = M.equal(want, current, f, compare, spec)
      if not equal then
        if new == nil then old, new = current[f], want end
        local change = { field = f, old = old, new = new }
        list[#list + 1] = change
        list[f] = change
      end
    end
  end
  return list
end

return M
