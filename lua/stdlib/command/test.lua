--- hkrun test FILE|FOLDER...: runs test files, each case in the loop, each
--- followed by a check that nothing was left open.
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

local function descriptors() return #fs.list "/proc/self/fd" end

local open_before                     -- descriptors that were open when the last case had ended

--- Runs a case, and looks whether it has left anything open. Garbage is only collected where something is: it may be that.
local function run_case(case)
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

local function load_cases(path)
  local chunk, err = loadfile(path)
  if not chunk then errors.usage("%s", err) end
  local cases = chunk()
  return cases and cases.order or errors.usage("%s returns no cases", path)
end

return {
  help = "runs test files",
  main = function(args)
    local files, only, passed, failed = {}, nil, 0, 0
    for _, word in ipairs(args) do
      local pattern = word:match "^%-%-only=(.*)$"
      if pattern then only = pattern else files_of(word, files) end
    end
    if #files == 0 then errors.usage("hkrun test needs a file or a folder") end
    term.interactive = function() return false end   -- a case that asks brings its own answer, also where there is a terminal
    task.sleep(0)                       -- the loop's own descriptors are open now
    open_before = descriptors()
    for _, path in ipairs(files) do
      for _, case in ipairs(load_cases(path)) do
        if not only or case.name:find(only) then
          local ok, e = run_case(case)
          passed, failed = passed + (ok and 1 or 0), failed + (ok and 0 or 1)
          print(("%s %s: %s"):format(ok and "ok" or "not ok", path, case.name))
          if not ok then
            print("  " .. tostring(e))
            if type(e) == "table" and e.traceback then print((e.traceback:gsub("\n", "\n  "))) end
          end
          io.stdout:flush()
        end
      end
      local bad = test.cleanup_file()
      if bad then
        failed = failed + 1
        print(("not ok %s: cleaning up after its cases\n  %s"):format(path, tostring(bad)))
      end
    end
    print(("%d passed, %d failed"):format(passed, failed))
    return failed == 0 and passed > 0 and 0 or 1
  end,
}
