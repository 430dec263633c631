--- Patterns as AWS takes them, in policies and in filters: * is any text, ? one character.

--- Whether all of a text is what a pattern says.
---@param text string
---@param pattern string
---@return boolean
return function(text, pattern)
  return text:find("^" .. pattern:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".") .. "$") ~= nil
end
