--- docs/hkrun.1 names every command, and every flag that a command's own words name.
local fs = require "fs"
local test = require "test"
local T = test.cases()

--- Flags of examples in a command's words, which are not its own.
local EXAMPLES = { ["new email"] = true }

T["the man page has every command and every flag"] = function()
  local manual, n = fs.read "docs/hkrun.1", 0
  for _, file in ipairs(fs.list "lua/stdlib/command") do
    local name, text = file:match "^(.*)%.lua$", fs.read("lua/stdlib/command/" .. file)
    if name ~= "eval" then                                   -- its name is -e
      test.truthy(manual:find("%.It Cm " .. name .. "%f[%s]") or manual:find("%.Cm " .. name .. "%f[%s]"), "the man page lacks the command " .. name)
    end
    for line in text:gmatch '"(.-)"' do
      for flag in line:gmatch "%-%-(%l[%l%-]+)" do
        n = n + 1
        test.truthy(EXAMPLES[name .. " " .. flag] or manual:find("-" .. flag, 1, true), ("the man page lacks --%s of hkrun %s"):format(flag, name))
      end
    end
  end
  test.truthy(n > 40, "many flags were looked for")
end

return T
