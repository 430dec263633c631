--- hkrun -e and hkrun -: JSON for programs, tables on a terminal (through script(1)).
-- luacheck: max line length 170
local fs = require "fs"
local json = require "json"
local process = require "process"
local test = require "test"

local T = test.cases()

local SELF = fs.realpath "/proc/self/exe"

local function env(more)
  local lib = os.getenv "HKRUN_LIB"
  local e = { PATH = os.getenv "PATH", LANG = "C", TERM = "xterm", HKRUN_LIB = lib and fs.realpath(lib), ASAN_OPTIONS = os.getenv "ASAN_OPTIONS" }
  for k, v in pairs(more or {}) do e[k] = v end
  return e
end

local function run(words, stdin)
  return process.run { SELF, env = env(), timeout = 60, stdin = stdin or "", table.unpack(words) }
end

--- What a terminal of so many columns shows.
local function on_terminal(columns, code, more)
  local dir = test.tmpdir()
  fs.write(dir .. "/code.lua", code)
  local r = process.run { "script", "-qec", ("stty cols %d; %s - < %s/code.lua"):format(columns, SELF, dir), "/dev/null", env = env(more), timeout = 60 }
  return (r.stdout:gsub("\r\n", "\n"))
end

local ROWS = [[return json.decode '[{"VolumeId":"vol-1","Size":8,"State":"available","Note":"%s"},{"VolumeId":"vol-2","Size":16,"State":"in-use","Note":"b"}]']]

T["a pipe gets one JSON document for each value, text as it is"] = function()
  local r = run { "-e", "{ Name = 'é', Time = 1700000000, Key = secret.new 'geheim', List = json.array {} }, 2" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.equal(json.decode(r.stdout), { Name = "é", Time = 1700000000, Key = "(secret)", List = {} }, "what follows a table is not printed")
  test.equal(run({ "-e", "1, 'a\27[1mb', true, nil, 2.5" }).stdout, "1\na\27[1mb\ntrue\nnull\n2.5\n")
  test.equal(run({ "-e", "local x = 1" }).stdout, "")
  test.equal(run({ "-" }, "local x = { 1, 2 }\nreturn x").stdout, "[\n  1,\n  2\n]\n")
  test.equal(json.decode(run({ "-" }, ROWS:format "a").stdout):map "VolumeId", { "vol-1", "vol-2" })
end

T["--table and --json ask for a form; other words are refused"] = function()
  test.equal(run({ "-e", "{ { a = 1 } }", "--table" }).stdout, "a\n1\n1 row\n")
  test.equal(run({ "-", "--table" }, "return { { a = 1 } }").stdout, "a\n1\n1 row\n")
  local r = run { "-e", "1", "2" }
  test.equal({ r.code, r.stderr }, { 2, "hkrun: hkrun -e takes one piece of code; 2 is more\n" })
  test.equal(run({ "-e" }).code, 2)
end

T["a standard descriptor may be closed; what could not be printed is a failure"] = function()
  local function shell(line) return process.run { "sh", "-c", line, "sh", SELF, env = env(), timeout = 60 } end
  test.equal(shell("\"$1\" -e 6*7 <&-").stdout, "42\n")
  test.equal(shell("\"$1\" repl <&-").code, 0)
  test.equal(shell("\"$1\" -e 6*7 2>&-").stdout, "42\n")
  for _, to in ipairs { ">&-", "> /dev/full" } do
    local r = shell("\"$1\" -e 6*7 " .. to)
    test.equal(r.code, 1, to)
    test.match(r.stderr, "^hkrun: cannot write to standard output")
  end
  local r = shell "{ \"$1\" -e 'for i = 1, 1e5 do print(i) end'; echo $? >&2; } | head -n 1"
  test.equal({ r.stdout, r.stderr }, { "1\n", "0\n" }, "a reader that left early is no failure")
end

T["what is printed and what is said stand in order in one file, a secret that is asked for too"] = function()
  local file = test.tmpdir() .. "/all"
  local code = [[io.write "a " require "fs".print(secret.new "geheim ") print "b" require "log".warn "c" print "d"]]
  process.run { "sh", "-c", '"$1" -e "$2" > "$3" 2>&1', "sh", SELF, code, file, env = env(), timeout = 60 }
  test.equal(fs.read(file), "a geheim b\nwarning: c\nd\n")
  local r = process.run { "sh", "-c", '"$1" -e "$2" > /dev/full', "sh", SELF, [[require "fs".print "a"]], env = env(), timeout = 60 }
  test.match(r.stderr, "cannot write standard output: No space left on device")
end

T["a terminal gets a table that fits it, in colours unless NO_COLOR says not"] = function()
  local long = ROWS:format(("x"):rep(200))
  local at_80 = on_terminal(80, long, { NO_COLOR = "1" })
  test.equal(at_80, "VolumeId  State      Size  Note\nvol-1     available     8  " .. ("x"):rep(52) .. "…\nvol-2     in-use       16  b\n2 rows\n")
  test.match(on_terminal(200, long, { NO_COLOR = "1" }), "\nvol%-1     available     8  " .. ("x"):rep(172) .. "…\n")
  test.match(on_terminal(80, long), "^\27%[1mVolumeId  State      Size  Note\27%[0m\n")
  test.match(on_terminal(80, long, { TERM = "dumb" }), "^VolumeId ")
  local dir = test.tmpdir()
  fs.write(dir .. "/code.lua", long)
  local r = process.run { "script", "-qec", ("stty cols 60; %s - < %s/code.lua 2> /dev/null"):format(SELF, dir), "/dev/null",
                          env = env { NO_COLOR = "1" }, timeout = 60 }
  test.match(r.stdout, ("x"):rep(32) .. "…\r\n", "the width is that of the output, wherever the errors go")
end

T["places that were tried for credentials stand below each other on a terminal, in one line elsewhere"] = function()
  local nowhere = { HOME = test.tmpdir(), AWS_REGION = "us-east-1", AWS_EC2_METADATA_DISABLED = "true" }
  local code = "return aws.sts:get_caller_identity{}"
  test.match(on_terminal(80, code, nowhere), "^hkrun: cannot find AWS credentials:\n  environment: .+\n  instance metadata: .+\nset AWS_ACCESS_KEY_ID")
  local r = process.run { SELF, "-e", code, env = env(nowhere), timeout = 60 }
  test.match(r.stderr, "^hkrun: cannot find AWS credentials: environment: [^\n]+; instance metadata: [^\n]+\n$")
end

T["the words of the console are at hand"] = function()
  local dir = test.tmpdir()
  local seen = json.decode(run({ "-" }, ([[
    local x = json.decode '[{"A":{"B":1},"Tags":[{"Key":"k","Value":"v"}]}]'
    local before, yesterday = os.time(), days_ago(1)
    local in_time = before - 86400 <= yesterday and yesterday <= os.time() - 86400
    return { tag(x[1], "k"), unfold(x[1].A), save(x, "%s/x.json"), in_time, csv(x:select "A.B"), list(x):count() }]]):format(dir)).stdout)
  test.equal({ seen[1], seen[2], seen[4], seen[5], seen[6] }, { "v", "B: 1", true, "B\r\n1", 1 })
  test.equal(json.decode(fs.read(dir .. "/x.json"))[1].A, { B = 1 })
end

return T
