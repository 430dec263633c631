--- docs/pg-check.md and the checks say the same.
local check = require "pg.check"
local fs = require "fs"
local test = require "test"

local T = test.cases()

local DOC = fs.read "docs/pg-check.md"
local lists, assessments = DOC:match "^(.-)\n## The premigration assessments of AWS DMS\n(.*)$"

T["every check is in the manual, once, and no other is"] = function()
  local counts = {}
  for line in lists:gmatch "\n(| `[^\n]*)" do
    for id in line:match("^|([^|]*)|"):gmatch "`([^`]+)`" do counts[id] = (counts[id] or 0) + 1 end
  end
  for _, c in ipairs(check.CHECKS) do
    test.equal(counts[c.id], 1, c.id)
    counts[c.id] = nil
  end
  test.equal(counts, {})
end

T["every assessment of DMS is covered by the check that says so"] = function()
  local by_id, n = {}, 0
  for _, c in ipairs(check.CHECKS) do by_id[c.id] = c end
  for assessment, id in assessments:gmatch "\n| `?([^|`]-)`? | ([^|]+) |" do
    if not assessment:find "^%-" and assessment ~= "assessment" then
      n = n + 1
      id = id:match "^`(.*)`$"
      if id then test.equal(by_id[id].dms, { assessment }, id) end
    end
  end
  test.equal(n, 39)
  local named = 0
  for _, c in ipairs(check.CHECKS) do named = named + #(c.dms or {}) end
  test.equal(named, 38, "one of the 39 is of Oracle only")
end

return T
