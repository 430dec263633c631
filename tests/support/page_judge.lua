--- Opens pages in headless Chromium, and holds what it saw against what a report must be: it asks no host for anything, nothing
--- is on the console, nothing is wider than the window, axe finds no fault, and it prints.
local fs = require "fs"
local json = require "json"
local process = require "process"
local test = require "test"

local AXE = "build/tools-page/node_modules/axe-core/axe.min.js"

--- Raises what is wrong with a page.
local function check(page, seen)
  for _, url in ipairs(seen.requests) do
    test.equal((url:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)), "file://" .. page, "a request")
  end
  test.equal(seen.console, {}, "the console")
  test.truthy(seen.sheets > 0, "sheets of paper")
  local papers, rules = {}, 0
  for _, width in ipairs { 360, 820, 1440 } do
    for _, scheme in ipairs { "light", "dark" } do
      local at = ("%d %s"):format(width, scheme)
      local found = seen.at[at]
      papers[#papers + 1] = found.paper
      test.equal({ found.overflow, found.wide, found.violations or {} }, { 0, {}, {} }, at)
      rules = rules + (found.rules or 0)
    end
  end
  test.truthy(rules > 100, "rules of axe that hold: " .. rules)
  test.truthy(papers[1] == papers[3] and papers[2] == papers[4] and papers[1] ~= papers[2], "light and dark: " .. table.concat(papers, ", "))
end

---@param pages string[] paths of files
---@return table[] seen what the browser saw of each
return function(pages)
  if not fs.exists(AXE) then error("axe is not installed: run `make tools`", 2) end
  local words = { test.tool "node", fs.realpath "tests/recipes/report_judge.mjs", test.tool "chromium", fs.realpath(AXE), test.tmpdir() }
  for i, page in ipairs(pages) do
    pages[i] = fs.realpath(page)
    words[#words + 1] = pages[i]
  end
  words.timeout, words.env = 600, { PATH = os.getenv "PATH", HOME = test.tmpdir(), LANG = "C.UTF-8" }
  local r = process.run(words)
  if r.code ~= 0 then error("the browser: " .. r.stderr, 2) end
  local seen = json.decode(r.stdout)
  for i, page in ipairs(pages) do check(page, seen[i]) end
  return seen
end
