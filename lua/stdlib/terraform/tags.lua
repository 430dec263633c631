--- Tags as Terraform gets them: those of a thing, without what AWS itself put there and lets nobody else set.
---@param v { tags: table<string, string>? }
---@return table<string, string>? tags nil for none
return function(v)
  local map
  for key, value in pairs(v.tags or {}) do
    if not key:find "^aws:" and not key:find "^elasticbeanstalk:" then
      map = map or {}
      map[key] = value
    end
  end
  return map
end
