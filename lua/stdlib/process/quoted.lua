--- A word as a POSIX shell reads it, whatever it holds: it's -> 'it'\''s'.
---@param word string
---@return string
return function(word) return "'" .. word:gsub("'", [['\'']]) .. "'" end
