--- hkrun test [FILE|FOLDER...]: runs test files, each case in the loop, each
--- followed by a check that nothing was left open. Without arguments, the
--- *_test.lua of the current folder.
local errors = require "errors"
local fs = require "fs"
local task = require "task"
local term = require "term"
local test = require "test"

local function files_of(path, list)
  local st = fs.stat(path) or errors.usage("no test file or folder %s", path)
  if st.type ~= "dir" then list[#list + 1] = path return list end
  for _, name in ipairs(fs.list(path)) do
    local child = fs.join(path, name)
    local child_type = fs.stat(child).type
    if child_type == "dir" or name:find "_test%.lua$" then files_of(child, list) end
  end
  return list
end

local function files_here()
  local list = {}
  for _, name in ipairs(fs.list ".") do
    if name:find "_test%.lua$" then list[#list + 1] = name end
  end
  return list[1] and list or errors.usage("there is no *_test.lua here; `hkrun new recipe NAME` makes a recipe with its test")
end

local function descriptors() return #fs.list "/proc/self/fd" end

local open_before                     -- descriptors that were open when the last case had ended

--- Runs a case, and looks whether it has left anything open. Garbage is only collected where something is: it may be that.
local function run_case(case)
  test.output = nil
  local tasks = task.count()
  local ok, e = xpcall(case.fn, errors.handler)
  local bad = test.cleanup()
  if ok and bad then ok, e = false, bad end
  if ok and task.count() > tasks then ok, e = false, (task.count() - tasks) .. " tasks were left running" end
  for _ = 1, 20 do                      -- closing handles takes a turn of the loop
    if descriptors() <= open_before then break end
    collectgarbage()
    collectgarbage()
    task.sleep(0.01)
  end
  local now = descriptors()
  if ok and not case.opens and now > open_before then ok, e = false, (now - open_before) .. " descriptors were left open" end
  open_before = now
  return ok, e
end

--- What a test file loads from beside it is forgotten after it: the next one's may have the same names.
local function forget_modules(before)
  for name in pairs(package.loaded) do
    if not before[name] and package.searchpath(name, package.path) then package.loaded[name] = nil end
  end
end

local function load_cases(path)
  test.folder = path:match "^(.*)/[^/]*$" or "."
  package.path = ("%s/?.lua;%s/?/init.lua"):format(test.folder, test.folder)
  local chunk, err = loadfile(path)
  if not chunk then errors.usage("%s", err) end
  local cases = chunk()
  return cases and cases.order or errors.usage("%s returns no cases", path)
end

local HELP = {
  "usage: hkrun test [--only=PATTERN] [FILE|FOLDER ...]",
  "Runs the cases of test files: those that are given, those of a folder and the folders in it, or the *_test.lua here.",
  "  --only=PATTERN  only cases whose name has this Lua pattern",
}

--- What recipes printed in a case that failed: its end.
local function print_output(lines)
  for i = math.max(1, #lines - 29), #lines do print("  | " .. lines[i]) end
end

return {
  help = "runs test files, a recipe's against the rehearsal cloud",
  main = function(args)
    if args[1] == "--help" or args[1] == "-h" then
      for _, line in ipairs(HELP) do print(line) end
      return 0
    end
    local files, only, passed, failed = {}, nil, 0, 0
    for _, word in ipairs(args) do
      local pattern = word:match "^%-%-only=(.*)$"
      if pattern then only = pattern
      elseif word:find "^%-" then errors.usage("hkrun test has no option %s", word)
      else files_of(word, files) end
    end
    if #args == (only and 1 or 0) then files = files_here() end
    if #files == 0 then errors.usage("there is no *_test.lua in %s", table.concat(args, " ")) end
    term.interactive = function() return false end   -- a case that asks brings its own answer, also where there is a terminal
    task.sleep(0)                       -- the loop's own descriptors are open now
    open_before = descriptors()
    for _, path in ipairs(files) do
      local loaded = {}
      for name in pairs(package.loaded) do loaded[name] = true end
      for _, case in ipairs(load_cases(path)) do
        if not only or case.name:find(only) then
          local ok, e = run_case(case)
          passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
          print(("%s %s: %s"):format(ok and "ok" or "not ok", path, case.name))
          if not ok then
            print("  " .. errors.text(e))
            if type(e) == "table" and e.traceback then print((e.traceback:gsub("\n", "\n  "))) end
            print_output(test.output or {})
          end
          io.stdout:flush()
        end
      end
      local bad = test.cleanup_file()
      if bad then
        failed = failed + 1
        print(("not ok %s: cleaning up after its cases\n  %s"):format(path, tostring(bad)))
      end
      forget_modules(loaded)
    end
    print(("%d passed, %d failed"):format(passed, failed))
    return failed == 0 and passed > 0 and 0 or 1
  end,
}
