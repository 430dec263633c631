--- hkrun test [FILE|FOLDER...]: runs test files, each case in the loop, each
--- followed by a check that nothing was left open. Without arguments, the
--- *_test.lua of the current folder.
local deadline = require "test.deadline"
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

local CLEANING = 120                    -- seconds

--- What was deferred, in time of its own.
local function clean_up(fn)
  local ok, e = deadline.run(CLEANING, fn)
  if ok then ok, e = not e, e end
  if not ok and errors.is(e, "timeout") then e.message = "cleaning up: " .. e.message end
  return ok, e
end

--- Runs a case, and looks whether it has left anything open. Garbage is only collected where something is: it may be that.
local function run_case(case, seconds)
  test.output = nil
  local tasks = task.count()
  local ok, e = deadline.run(seconds, case.fn)
  local cleaned, bad = clean_up(test.cleanup)
  if ok and not cleaned then ok, e = false, bad end
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
  test.file_deadline = nil
  test.folder = path:match "^(.*)/[^/]*$" or "."
  package.path = ("%s/?.lua;%s/?/init.lua"):format(test.folder, test.folder)
  local chunk, err = loadfile(path)
  if not chunk then errors.usage("%s", err) end
  local cases = chunk()
  return cases and cases.order or errors.usage("%s returns no cases", path)
end

local HELP = {
  "usage: hkrun test [--only=PATTERN] [--timeout=SECONDS] [FILE|FOLDER ...]",
  "Runs the cases of test files: those that are given, those of a folder and the folders in it, or the *_test.lua here.",
  "  --only=PATTERN     only cases whose name has this Lua pattern",
  ("  --timeout=SECONDS  what a case may take where its file does not say otherwise (test.deadline); else %d"):format(deadline.DEFAULT),
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
    local files, only, seconds, passed, failed = {}, nil, deadline.DEFAULT, 0, 0
    local words = 0
    for _, word in ipairs(args) do
      local pattern, limit = word:match "^%-%-only=(.*)$", word:match "^%-%-timeout=(.*)$"
      if pattern then only = pattern
      elseif limit then
        seconds = tonumber(limit)
        if not (seconds and seconds > 0) then errors.usage("--timeout: %s is not a number of seconds", limit) end
      elseif word:find "^%-" then errors.usage("hkrun test has no option %s", word)
      else
        words = words + 1
        files_of(word, files)
      end
    end
    if words == 0 then files = files_here() end
    if #files == 0 then errors.usage("there is no *_test.lua in %s", table.concat(args, " ")) end
    term.interactive = function() return false end   -- a case that asks brings its own answer, also where there is a terminal
    task.sleep(0)                       -- the loop's own descriptors are open now
    open_before = descriptors()
    for _, path in ipairs(files) do
      local loaded = {}
      for name in pairs(package.loaded) do loaded[name] = true end
      for _, case in ipairs(load_cases(path)) do
        if not only or case.name:find(only) then
          local ok, e = run_case(case, test.file_deadline or seconds)
          passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
          print(("%s %s: %s"):format(ok and "ok" or "not ok", path, case.name))
          if not ok then
            print("  " .. errors.text(e))
            if type(e) == "table" and e.traceback then print((e.traceback:gsub("\n", "\n  "))) end
            print_output(test.output or {})
          end
          io.stdout:flush()
          if task.is_stopping() then break end
        end
      end
      local cleaned, bad = clean_up(test.cleanup_file)
      if not cleaned then
        failed = failed + 1
        print(("not ok %s: cleaning up after its cases\n  %s"):format(path, tostring(bad)))
      end
      forget_modules(loaded)
      if task.is_stopping() then break end
    end
    print(("%d passed, %d failed"):format(passed, failed))
    if task.is_stopping() then return 130 end
    return failed == 0 and passed > 0 and 0 or 1
  end,
}
