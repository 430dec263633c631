--- docs/pg-copy.md and the options of pg.copy say the same.
local copy = require "pg.copy"
local fs = require "fs"
local test = require "test"

local T = test.cases()

local DOC = fs.read "docs/pg-copy.md"

T["each option stands in the table of the document, and no other"] = function()
  local known, found = { from = true, to = true }, {}
  for _, option in ipairs(copy.OPTIONS) do known[option[1]] = true end
  for line in DOC:gmatch "\n(| `[^\n]*)" do
    for name in line:match "^| (.-) |":gmatch "`([%w_]+)`" do
      test.truthy(known[name], "an option of pg.copy: " .. name)
      found[name] = true
    end
  end
  for name in pairs(known) do
    if name ~= "from" and name ~= "to" then test.truthy(found[name], "in docs/pg-copy.md: " .. name) end
  end
end

return T
