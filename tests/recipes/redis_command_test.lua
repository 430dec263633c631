--- hkrun redis copy|same|queues, as a person types them: what they print, what they answer to a script, exit codes, passwords.
package.path = "tests/support/?.lua;" .. package.path
local fs = require "fs"
local json = require "json"
local process = require "process"
local redis = require "redis"
local redis_lab = require "redis_lab"
local test = require "test"

local T = test.cases()

local EXE = fs.realpath "/proc/self/exe"

local start, open = redis_lab.start, redis_lab.open

local function hkrun(words, env)
  local o = { EXE, "redis", env = { PATH = os.getenv "PATH", HOME = "/nonexistent", LSAN_OPTIONS = os.getenv "LSAN_OPTIONS" }, timeout = 300 }
  table.move(words, 1, #words, #o + 1, o)
  for name, value in pairs(env or {}) do o.env[name] = value end
  return process.run(o)
end

T["copy, then same: equal with exit code 0, and different with 1"] = function()
  local from, to = start { password = "from secret" }, start { password = "to/secret" }
  local a, b = open(from.url), open(to.url)
  a:mset("k1", "v1", "k2", "v2", "k3", "v3")
  local env = { A = from.url, B = to.url }
  local r = hkrun({ "copy", "env:A", "env:B" }, env)
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "^copied 3 keys, 0.0 MB, in %d+ s, as the source stores them\n$")
  r = hkrun({ "same", "env:A", "env:B" }, env)
  test.equal({ r.code, r.stderr, r.stdout }, { 0, "", "equal: 3 keys\n" })
  b:set("k2", "V2")
  b:set("k4", "v4")
  r = hkrun({ "same", "env:A", "env:B", "--json" }, env)
  test.equal(r.code, 1)
  local answer = json.decode(r.stdout)
  test.equal({ answer.equal, answer.count, #answer.differences }, { false, 2, 2 })
  r = hkrun({ "same", "env:A", "env:B", "--limit", "1" }, env)
  test.equal({ r.code, r.stderr }, { 1, "" })
  test.match(r.stdout, "k2[^\n]*\nand 1 more\n2 differences\n$")
  r = hkrun({ "copy", "env:A", "env:B" }, env)
  test.equal({ r.code, r.stdout }, { 1, "" })
  test.match(r.stderr, "^hkrun: .*is not empty.*replace = true")
end

T["a password stands in a variable or a file; on the command line it is warned of"] = function()
  local dir = test.tmpdir()
  local s = start { password = "s3cret" }
  local to = start()
  fs.write(dir .. "/a.url", require("secret").concat { s.url, "\n" }, 384)
  local r = hkrun { "same", "file:" .. dir .. "/a.url", to.url }
  test.equal({ r.code, r.stderr, r.stdout }, { 0, "", "equal: 0 keys\n" })
  r = hkrun { "same", ("redis://:s3cret@127.0.0.1:%d"):format(s.port), to.url }
  test.equal(r.code, 0)
  test.match(r.stderr, "^warning: a password on the command line can be read by everybody on this machine: env:NAME or file:PATH")
  test.truthy(not r.stderr:find "s3cret")
end

T["a self-signed certificate is refused, and taken with its pin"] = function()
  local from, to = start { tls = true }, start { tls = true }
  open { url = from.url, insecure = true }:set("k", "v")
  local r = hkrun { "copy", from.url, to.url }
  test.equal(r.code, 1)
  test.match(r.stderr, "give ca= %(a file%), or pin=")
  local pins = { "--from-pin", redis.fingerprint(from.url), "--to-pin", redis.fingerprint(to.url) }
  r = hkrun { "copy", from.url, to.url, table.unpack(pins) }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.equal(hkrun({ "same", from.url, to.url, table.unpack(pins) }).stdout, "equal: 1 key\n")
  r = hkrun { "same", from.url, to.url, "--from-insecure", pins[3], pins[2] }
  test.equal(r.code, 1)
  test.match(r.stderr, "not the pinned one")
end

T["a quick comparison does not say that all is equal"] = function()
  local from, to = start(), start()
  for _, s in ipairs { from, to } do open(s.url):mset("k1", 1, "k2", 2) end
  local r = hkrun { "same", from.url, to.url, "--quick" }
  test.equal({ r.code, r.stderr }, { 0, "" })
  test.match(r.stdout, "^no difference in a sample of %d of 2 keys: it does not say that the others are equal\n$")
  r = json.decode(hkrun({ "same", from.url, to.url, "--quick", "--json" }).stdout)
  test.equal({ r.equal, r.sampled.of }, { nil, 2 })
  open(to.url):set("k3", 3)
  r = hkrun { "same", from.url, to.url, "--quick", "--sample", "1" }
  test.equal(r.code, 1)
  test.match(r.stdout, "^database 0 has 2 keys in a, 3 in b\n")
end

T["queues are found in every database, or in that of the URL"] = function()
  local s, empty = start(), start()
  local r = open(s.url)
  r:pipeline { { "SADD", "queues", "mail" }, { "LPUSH", "queue:mail", [[{"class":"Mail","jid":"1"}]], [[{"class":"Mail","jid":"2"}]] },
    { "SELECT", 2 }, { "LPUSH", "todo", "x" } }
  local told = hkrun { "queues", s.url }
  test.equal({ told.code, told.stderr }, { 0, "" })
  test.match(told.stdout, "^db +kind +queue +state +jobs\n")
  test.match(told.stdout, "\n0 +sidekiq +mail +%S+ +2\n")
  test.match(told.stdout, "\n2 +list +todo +%S+ +1\n")
  told = hkrun { "queues", s.url .. "/2", empty.url }
  test.equal({ told.code, told.stdout:find "sidekiq" }, { 0, nil })
  test.match(told.stdout, "^127.0.0.1:%d+\ndb .*todo.*\n127.0.0.1:%d+\nno queues\n$")
  local answer = json.decode(hkrun({ "queues", s.url .. "/2", "--json" }).stdout)
  test.equal({ #answer, answer[1].queues[1].name, answer[1].queues[1].count, answer[1].queues[1].db }, { 1, "todo", 1, 2 })
  local locked = start { tls = true }
  told = hkrun { "queues", locked.url, "--pin", redis.fingerprint(locked.url) }
  test.equal({ told.code, told.stdout, told.stderr }, { 0, "no queues\n", "" })
end

T["what is typed wrongly is said in one line, with exit code 2"] = function()
  for _, case in ipairs {
    { { "cpoy", "env:A" }, "hkrun redis has no command cpoy %(did you mean copy%?%)" },
    { { "copy", "env:A" }, "usage: hkrun redis copy FROM TO" },
    { { "queues" }, "usage: hkrun redis queues URL%.%.%." },
    { { "queues", "env:A", "--from-via", "x" }, "unknown option %-%-from%-via" },
    { { "same", "env:NOT_THERE", "env:A" }, "the environment variable NOT_THERE is not set" },
    { { "same", "file:/nonexistent", "env:A" }, "/nonexistent", code = 1 },
    { { "same", "localhost:6379", "env:A" }, "localhost:6379 names no Redis server: give heroku:APP, env:NAME" },
    { { "same", "env:A", "env:A", "--limt", "3" }, "unknown option %-%-limt %(did you mean %-%-limit%?%)" },
    { { "copy", "env:A", "env:A", "--from-pin", "12" }, "pin is a SHA%-256 in hex, 64 digits" },
    { { "copy", "env:A", "env:A", "--from", "env:B" }, "unknown option %-%-from" },
  } do
    local r = hkrun(case[1], { A = "rediss://127.0.0.1:1" })
    test.equal({ r.code, r.stdout }, { case.code or 2, "" }, table.concat(case[1], " "))
    test.match(r.stderr, case[2])
    local _, lines = r.stderr:gsub("\n", "")
    test.equal(lines, 1)
  end
end

T["help lists the commands, and of each command its options"] = function()
  local r = hkrun { "--help" }
  test.equal(r.code, 0)
  test.match(r.stdout, "^usage: hkrun redis copy|same|queues FROM TO")
  for name, option in pairs { copy = "%-%-replace", same = "%-%-ttl%-tolerance", queues = "%-%-lists" } do
    r = hkrun { name, "--help" }
    test.equal(r.code, 0)
    test.match(r.stdout, "^usage: hkrun redis " .. name)
    test.match(r.stdout, "\n  " .. option)
  end
end

return T
