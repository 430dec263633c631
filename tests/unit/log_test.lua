local fs = require "fs"
local log = require "log"
local process = require "process"
local secret = require "secret"
local task = require "task"
local test = require "test"
local T = test.cases()

local function lines_of(fn)
  local before, lines = log.sink, {}
  log.sink = function(_, line) lines[#lines + 1] = line end
  local ok, e = pcall(fn)
  log.sink = before
  if not ok then error(e, 0) end
  return lines
end

T["strings pass as they are, arguments are formatted, secrets are hidden"] = function()
  test.equal(lines_of(function()
    log.info "100 % done"
    log.info("%s has %d", "a", 3)
    log.info("url %s", secret.new "geheim")
    log.info(secret.new "geheim")
    log.out "result"
  end), { "100 % done", "a has 3", "url (secret)", "(secret)", "result" })
end

T["debug is silent without -v"] = function()
  test.equal(lines_of(function() log.debug "hidden" end), {})
  log.verbose = true
  test.defer(function() log.verbose = false end)
  test.equal(lines_of(function() log.debug "shown" end), { "shown" })
end

T["amounts and durations as people say them"] = function()
  test.equal(log.amount(1234567, "rows"), "1,234,567 rows")
  test.equal(log.amount(999), "999")
  test.equal(log.amount(100), "100")
  test.equal(log.amount(1536, "bytes"), "1.5 KiB")
  test.equal(log.amount(12, "bytes"), "12 B")
  test.equal({ log.duration(8), log.duration(125), log.duration(3780) }, { "8 s", "2 min 5 s", "1 h 3 min" })
end

T["off a terminal, progress is a plain line now and then, and none when it is quick"] = function()
  task.simulate(true)
  test.defer(function() task.simulate(false) end)
  local lines = lines_of(function()
    local p <close> = log.progress { what = "copy orders", total = 200, unit = "rows", every = 30 }
    p:update(50)
    task.sleep(31)
    p:note "table 2"
    p:update(100)
    p:update(101)
    p:done()
    local q = log.progress { what = "quick" }
    q:done()
    q:done()
  end)
  test.equal({ #lines, (lines[1]:gsub("3%d s$", "")) }, { 1, "  ... copy orders, 25 %, 50 of 200 rows, table 2, " })
end

T["while somebody is asked, nothing is redrawn over the question"] = function()
  local exe = fs.realpath "/proc/self/exe"
  local lib = os.getenv "HKRUN_LIB"
  local r = process.run {
    "script", "-qec", exe .. " -e 'local p = log.progress{ what = [[work]] } log.hold(function() task.sleep(1.3) " ..
    "io.stderr:write([[ASKED\n]]) end) p:done()'", "/dev/null", timeout = 30,
    env = { PATH = os.getenv "PATH", TERM = "xterm", HKRUN_LIB = lib and fs.realpath(lib) or nil },
  }
  test.match(r.stdout, "^[^A]*work[^A]*\27%[J\r\27%[%?25hASKED\r\n")
  test.equal(select(2, r.stdout:gsub("ASKED.*", ""):gsub("work", "")), 1, "drawn once")
end

T["a terminal without control sequences gets plain lines"] = function()
  local lib = os.getenv "HKRUN_LIB"
  local r = process.run {
    "script", "-qec", fs.realpath "/proc/self/exe" .. " -e 'local p = log.progress{ what = [[work]] } log.info[[said]] p:done()'", "/dev/null",
    timeout = 30, env = { PATH = os.getenv "PATH", TERM = "dumb", HKRUN_LIB = lib and fs.realpath(lib) or nil },
  }
  test.equal(r.stdout, "said\r\n")
end

T["colours only on a terminal, and never with NO_COLOR"] = function()
  local exe = fs.realpath "/proc/self/exe"
  local lib = os.getenv "HKRUN_LIB"
  local function shown(more)
    local env = { PATH = os.getenv "PATH", TERM = "xterm", HKRUN_LIB = lib and fs.realpath(lib) or nil }
    for k, v in pairs(more) do env[k] = v end
    return process.run { "script", "-qec", exe .. " -e 'log.step[[network]]'", "/dev/null", env = env, timeout = 30 }.stdout
  end
  test.equal(shown {}, "\27[1mnetwork\27[0m\r\n")
  test.equal(shown { NO_COLOR = "1" }, "network\r\n")
  local r = process.run { exe, "-e", "log.step[[network]]", env = { PATH = os.getenv "PATH" }, timeout = 30 }
  test.equal({ r.stdout, r.stderr }, { "", "network\n" })
end

return T
