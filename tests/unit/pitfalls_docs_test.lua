--- docs/pitfalls.md: forty pitfalls, each with a test that is there.
local fs = require "fs"
local test = require "test"

local T = test.cases()

local DOC = fs.read "docs/pitfalls.md"

--- The number, title and text of each pitfall.
local function pitfalls()
  local list = {}
  for number, title, body in (DOC .. "\n### "):gmatch "### (%d+)%. ([^\n]+)\n(.-)%f[#\0]" do
    list[#list + 1] = { number = tonumber(number), title = title, body = body }
  end
  return list
end

T["there are forty, in their order, each with an answer"] = function()
  local list = pitfalls()
  test.equal(#list, 40)
  for i, p in ipairs(list) do
    test.equal(p.number, i)
    test.truthy(#p.body:gsub("\n%- [^\n]*", "") > 40, p.title)
  end
end

T["each is provoked by a test that there is"] = function()
  for _, p in ipairs(pitfalls()) do
    local named = 0
    for file, case in p.body:gmatch "\n%- `([%w_/.]+)`: ([^\n]+)" do
      test.truthy(fs.exists(file), file)
      test.truthy(fs.read(file):find(case, 1, true), ("%s has the case %s"):format(file, case))
      named = named + 1
    end
    test.truthy(named > 0, p.title)
  end
end

return T
