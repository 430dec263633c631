--- How a server that must not be root is started inside a network namespace:
--- entering it needs root, which is given up after that.
local fs = require "fs"

--- The words before the command, and the user that process.start must change
--- to (nil where the words do it).
---@param prefix string[]? of a host
---@param user string such as "nobody"
---@return string[] words, string? user
return function(prefix, user)
  if not prefix or #prefix == 0 then return {}, user end
  local words = table.move(prefix, 1, #prefix, 1, {})
  if fs.uid() ~= 0 then return words, nil end
  local group = user == "nobody" and "65534" or user
  for _, word in ipairs { "setpriv", "--reuid=" .. user, "--regid=" .. group, "--clear-groups", "--pdeathsig", "KILL", "--" } do
    words[#words + 1] = word
  end
  return words, nil
end
