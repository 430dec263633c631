local test = require "test"
local task = require "task"
local fs = require "fs"
local process = require "process"

local T = test.cases()

T["output, exit code and standard input arrive"] = function()
  local r = process.run { "sh", "-c", "cat; echo err >&2; exit 3", stdin = "hello" }
  test.equal({ r.code, r.stdout, r.stderr }, { 3, "hello", "err\n" })
end

T["a megabyte goes both ways without blocking"] = function()
  local big = ("x"):rep(1 << 20)
  test.equal(#process.run { "cat", stdin = big }.stdout, #big)
end

T["the environment is only what was given"] = function()
  local r = process.run { "env", env = { A = "1" } }
  test.equal(r.stdout, "A=1\n")
end

T["a program that is not there is named"] = function()
  test.raises("cannot start no%-such%-program", process.run, { "no-such-program" })
  test.raises("cannot start /etc/passwd", process.run, { "/etc/passwd" })
end

T["stop ends a child that ignores TERM, with its children"] = function()
  local dir = test.tmpdir()
  local p = process.start { "sh", "-c", "trap '' TERM; sleep 60 & echo $! > " .. dir .. "/pid; while :; do sleep 0.1; done" }
  while not fs.exists(dir .. "/pid") or fs.stat(dir .. "/pid").size == 0 do task.sleep(0.01) end
  test.equal(p:stop(0.05), 137)
  test.equal(p:stop(), 137)
  local pid = fs.read(dir .. "/pid"):match "%d+"
  local function is_gone()              -- a zombie waits only for its reaper
    local ok, stat = pcall(fs.read, "/proc/" .. pid .. "/stat")
    return not ok or stat:match "%) (%a)" == "Z"
  end
  task.within(60, "see the grandchild's end", function() while not is_gone() do task.sleep(0.01) end end)
end

T["waiting for a child can be given up"] = function()
  local p <close> = process.start { "sleep", "60" }
  test.equal(p:wait(0.01), nil)
end

T["cancelling a run kills its child"] = function()
  local t = task.spawn(process.run, { "sleep", "60" })
  task.sleep(0.05)
  t:cancel()
  test.raises("cancelled", t.join, t)
end

T["lines are read one by one"] = function()
  local p <close> = process.start { "printf", "a\\nb\\nlast", stdout = "pipe" }
  test.equal({ p:read_line(), p:read_line(), p:read_line(), p:read_line() }, { "a", "b", "last" })
end

T["a secret is no argument, and no zero byte cuts one short"] = function()
  local secret = require "secret"
  local e = test.raises("secret", process.run, { "echo", secret.new "hush-4711" })
  test.truthy(not tostring(e):find "4711")
  test.raises("zero byte", process.run, { "echo", "a\0b" })
  test.raises("zero byte", process.run, { "env", env = { A = "a\0b" } })
  test.equal(process.run { "env", env = { A = secret.new "hush" } }.stdout, "A=hush\n")
end

T["a child gets its three descriptors and no other"] = function()
  local http, serve = require "http", require "host.serve"
  local server = serve.open("127.0.0.1", 0, "/tmp", 1000, 1000)
  test.defer(function() server:close() end)
  local answering = task.spawn(function()
    local exchange, id = server:accept()
    while not exchange do task.await(id, 10) exchange, id = server:accept() end
    exchange:reply(200, {}, "hello")
  end)
  test.equal(http.get("http://127.0.0.1:" .. server:port()).body, "hello")     -- its connection is kept
  answering:join()
  local r = process.run { "sh", "-c", "ls /proc/$$/fd" }
  test.equal(r.stdout, "0\n1\n2\n")
end

T["a child that is waited for and closed leaves no id behind"] = function()
  local before = task.unclaimed()
  for _ = 1, 5 do process.run { "true" } end
  task.sleep(0.05)
  test.equal(task.unclaimed(), before)
end

T["a child that inherits a terminal reads from it, and its runner reads on when the child has ended"] = function()
  local program = [[
local process = require "process"
local p = process.start { "sh", "-c", "echo child?; read x; echo child got $x", stdin = "inherit", stdout = "inherit",
                          env = { PATH = "/usr/bin:/bin" } }
local code = p:wait(20)
io.stdout:write("code ", tostring(code), ", runner?\n"):flush()
io.stdout:write("runner got ", io.read(), "\n")]]
  local lib = os.getenv "HKRUN_LIB"
  local r = process.run { test.tool "python3", "tests/support/typed.py", '["child?", "one", "code 0, runner?", "two"]',
    fs.realpath "/proc/self/exe", "-e", program, timeout = 60,
    env = { PATH = os.getenv "PATH", HOME = test.tmpdir(), TERM = "dumb", HKRUN_LIB = lib and fs.realpath(lib) } }
  test.equal(r.code, 0, r.stdout .. r.stderr)
  test.match(r.stdout, "child got one.*runner got two")
end

return T
