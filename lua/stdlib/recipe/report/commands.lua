--- The command lines that a report tells people to type.
local quoted = require "process.quoted"

local M = {}

--- A word, in quotes where it needs them.
local function word_of(s) return s:find "^[%w_%-./:=@,+%%]+$" and s or quoted(s) end

--- A value of an option as it is typed; nil for what cannot be.
local function typed(v)
  if type(v) ~= "table" then return tostring(v) end
  for _, x in ipairs(v) do
    if type(x) == "table" then return nil end
  end
  return v[1] ~= nil and table.concat(v, ",") or nil
end

--- `hkrun VERB FILE` with the options that name the target; for apply with all that the last run was told.
---@param o table as for document.of
---@param verb string
---@return string
function M.line(o, verb)
  local words = { "hkrun", verb, word_of(o.file) }
  for _, d in ipairs(o.declared) do
    local v = o.memory.options[d[1]]
    local word = v ~= nil and (d.target or verb == "apply") and v ~= d.default and typed(v)
    if word then
      local flag = "--" .. d[1]:gsub("_", "-")
      if type(v) == "boolean" then words[#words + 1] = flag .. (v and "" or "=false")
      else words[#words + 1] = flag .. " " .. word_of(word) end
    end
  end
  if o.journal then words[#words + 1] = "--journal " .. word_of(o.journal) end
  return table.concat(words, " ")
end

return M
