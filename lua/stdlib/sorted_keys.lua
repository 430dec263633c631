--- The keys of a table in their order, for what must come out the same each time: pairs() goes in none.

---@param map? table its keys all strings, or all numbers; nil is taken as empty
---@return any[] keys a new list
return function(map)
  local keys = {}
  for key in pairs(map or {}) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end
