local test = require "test"
local secret = require "secret"
local text = require "text"
local json = require "json"
local process = require "process"

local T = test.cases()

--- What a secret holds, by the only way there is: out of the process and back.
local function reveal(value)
  return process.run { "cat", stdin = value }.stdout
end

local unknown = setmetatable({}, { __hkrun_unknown = true, __tostring = function() return "(known after apply)" end })

T["a secret prints as (secret), by whatever way"] = function()
  local s = secret.new "hunter2"
  test.equal(tostring(s), "(secret)")
  test.equal(("%s"):format(s), "(secret)")
  test.equal(test.show { s }, "{1=(secret)}")
  test.raises("string expected", string.rep, s, 1)
  test.raises("concat", table.concat, { "a", s })
end

T["joining with .. raises and points to text()"] = function()
  local s = secret.new "x"
  test.raises("text%(", function() return "a" .. s end)
  test.raises("text%(", function() return s .. "a" end)
  test.raises("text%(", function() return "a" .. s .. "b" .. s .. "c" end)
  test.raises("text%(", function() return s .. s end)
end

T["nothing of ours returns from __concat (Lua 5.4.4's bug), even in a fresh coroutine"] = function()
  local s = secret.new "x"
  for depth = 1, 200 do
    local co = coroutine.wrap(function()
      local function nest(n) if n > 0 then return nest(n - 1), n end return (pcall(function() return "a" .. s .. "b" end)) end
      return (nest(depth))
    end)
    test.equal(co(), false)
  end
end

T["# raises, a secret has no fields, and its metatable is out of reach"] = function()
  local s = secret.new "abc"
  test.raises("secret.size", function() return #s end)
  test.raises("index", function() return s.value end)
  test.raises("index", function() s.value = 1 end)
  test.equal(getmetatable(s), "secret")
  test.raises("setmetatable", setmetatable, s, {})
  test.raises("compare", function() return s < s end)
  test.raises("call", function() return s() end)
end

T["equal secrets are equal, other ones are not"] = function()
  test.truthy(secret.new "abc" == secret.new "abc")
  test.truthy(secret.new "abc" ~= secret.new "abd")
  test.truthy(secret.new "abc" ~= secret.new "abcd")
  test.truthy(secret.new "" == secret.new "")
  test.truthy(secret.equal(secret.new "abc", "abc"))
  test.equal(secret.equal("abc", secret.new "abC"), false)
  test.equal(secret.is(secret.new "a"), true)
  test.equal(secret.is "a", false)
  test.equal(secret.is(nil), false)
end

T["bytes of any kind and size survive: NUL, 0xFF, a slot's edge, a megabyte"] = function()
  for _, size in ipairs { 0, 1, 62, 63, 64, 255, 256, 1023, 1024, 4095, 4096, 70000, 1 << 20 } do
    local bytes = ("\0\255a"):rep(size // 3 + 1):sub(1, size)
    local s = secret.new(bytes)
    test.equal(secret.size(s), size)
    test.truthy(secret.equal(s, bytes), "size " .. size)
  end
  test.truthy(reveal(secret.new "a\0b\255") == "a\0b\255")
end

T["many secrets come and go, and each keeps its own bytes"] = function()
  local kept = {}
  for i = 1, 3000 do
    kept[i] = secret.new("value " .. i .. ("x"):rep(i % 500))
    if i > 100 then kept[i - 100] = nil end
  end
  collectgarbage()
  for i, s in pairs(kept) do test.truthy(secret.equal(s, "value " .. i .. ("x"):rep(i % 500))) end
end

T["a wiped or closed secret raises, and wiping twice does nothing"] = function()
  local s = secret.new "abc"
  secret.wipe(s)
  secret.wipe(s)
  test.raises("wiped", secret.size, s)
  test.raises("wiped", secret.encode, s, "hex")
  test.equal(tostring(s), "(secret)")
  local kept
  do local c <close> = secret.new "abc"; kept = c end
  test.raises("wiped", secret.size, kept)
end

T["concat joins strings, numbers and secrets, and is a secret only if a part is"] = function()
  test.equal(secret.concat { "a", 1, 2.5, "b" }, "a12.5b")
  test.equal(secret.concat {}, "")
  local joined = secret.concat { "a", secret.new "\0s", 1 }
  test.truthy(secret.is(joined) and secret.equal(joined, "a\0s1"))
  test.raises("part 2 is a boolean", secret.concat, { "a", true })
  test.raises("part 1 is a table", secret.concat, { {} })
end

T["encode keeps the kind of what it is given"] = function()
  test.equal(secret.encode("a b/ü~", "url"), "a%20b%2F%C3%BC~")
  test.equal(secret.encode('a"\\\n\1\127', "json"), '"a\\"\\\\\\n\\u0001\\u007f"')
  test.equal(secret.encode("<a b='&\">", "xml"), "&lt;a b=&apos;&amp;&quot;&gt;")
  test.equal(secret.encode("\0\255", "hex"), "00ff")
  for plain, coded in pairs { [""] = "", f = "Zg==", fo = "Zm8=", foo = "Zm9v", foobar = "Zm9vYmFy" } do
    test.equal(secret.encode(plain, "base64"), coded)
  end
  for _, kind in ipairs { "url", "json", "xml", "hex", "base64" } do
    local s = secret.encode(secret.new "p&ss", kind)
    test.truthy(secret.is(s) and secret.equal(s, secret.encode("p&ss", kind)), kind)
  end
  test.raises("UTF%-8", secret.encode, "\255", "json")
  test.raises("control character", secret.encode, "a\0", "xml")
  test.raises("invalid option", secret.encode, "a", "rot13")
end

T["random secrets differ and use only their alphabet"] = function()
  local a, b = secret.random(40), secret.random(40)
  test.equal(secret.size(a), 40)
  test.truthy(a ~= b)
  test.truthy(reveal(secret.random(500, "xyz")):find "^[xyz]+$")
  test.truthy(reveal(secret.random(2000, "xyz")):find "x")
  test.raises("alphabet", secret.random, 4, "a")
  test.raises("characters", secret.random, 0)
end

T["sha256 tells whether a secret changed"] = function()
  test.equal(secret.sha256(secret.new "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
end

T["a URL is taken apart, and its password is a secret"] = function()
  local u = secret.parse_url(secret.new "postgres://us%40er:p%2Fw@[::1]:5433/db%20x?sslmode=require#f")
  test.truthy(secret.is(u.password) and secret.equal(u.password, "p/w"))
  u.password = nil
  test.equal(u, { scheme = "postgres", user = "us@er", host = "::1", port = 5433, path = "/db%20x", query = "sslmode=require" })
  u = secret.parse_url "redis://:pw@h:6379"
  test.equal({ u.user, u.host, u.port, u.path, u.query }, { nil, "h", 6379, "" })
  test.truthy(secret.equal(u.password, "pw"))
  test.equal(secret.parse_url "https://example.com/a?b=c", { scheme = "https", host = "example.com", path = "/a", query = "b=c" })
  test.truthy(secret.is(secret.parse_url("postgres://h/db?user=a&PassWord=b").query), "a query with a password is a secret")
end

T["build_url is the way back"] = function()
  local url = secret.new "postgres://us%40er:p%2Fw@[::1]:5433/db?sslmode=require"
  test.truthy(secret.equal(secret.build_url(secret.parse_url(url)), url))
  test.equal(secret.build_url { scheme = "redis", host = "h", port = 1 }, "redis://h:1")
  test.truthy(secret.is(secret.build_url { scheme = "redis", host = "h", password = secret.new "x" }))
  test.equal(secret.build_url { scheme = "redis", host = unknown, password = secret.new "x" }, unknown)
end

T["what is not a URL is refused in a sentence that does not quote it"] = function()
  for _, bad in ipairs { "", "hunter2", "://hunter2", "1x://hunter2", "pg://hunter2:99999", "pg://hunter2:1x", "pg://[::1",
                         "pg://u:hunter2%zz@h", "pg://u:hunter2 @h", "pg://u:hunter2%4@h", "pg://[::1]hunter2" } do
    local e = test.raises("not a usable URL", secret.parse_url, secret.new(bad))
    test.equal(e.kind, "invalid")
    test.truthy(not tostring(e):find "hunter2", bad)
  end
end

T["text() is a string, a secret or unknown, as its values are"] = function()
  test.equal(text("a %s %d%% %s", "b", 3, true), "a b 3% true")
  local t = text("postgres://%s:%s@h", "u", secret.new "p")
  test.truthy(secret.is(t) and secret.equal(t, "postgres://u:p@h"))
  test.equal(text("%s-%s", secret.new "p", unknown), unknown)
  test.equal(secret.concat { "a", unknown }, unknown)
  test.equal(secret.encode(unknown, "url"), unknown)
end

T["text() refuses what it would have to guess"] = function()
  for want, args in pairs { ["more places"] = { "%s" }, ["more values"] = { "a", 1 }, ["only %%s"] = { "%5.2f", 1 },
                            ["integer"] = { "%d", "x" }, ["only %%s, %%d"] = { "100%" } } do
    test.equal(test.raises(want, text, table.unpack(args)).kind, "usage")
  end
end

T["an error that names a secret does not quote it"] = function()
  for _, fn in ipairs {
    function(s) return json.encode { [1] = s, a = s } end,
    function(s) return text("%d", s) end,
    function(s) return secret.concat { s, {} } end,
    function(s) return secret.encode(s, "nothing") end,
  } do
    local ok, e = pcall(fn, secret.new "hunter2")
    test.equal(ok, false)
    test.truthy(not tostring(e):find "hunter2")
  end
end

T["a message is shown without the secrets that were given"] = function()
  local given = { { Name = "n", Key = secret.new "ab" }, list = { secret.new "", secret.new "c.d" }, 7 }
  test.equal(secret.hide("ab, xabab and c.d, cxd", given), "(secret), x(secret)(secret) and (secret), cxd")
  test.equal(secret.hide("as it is", nil), "as it is")
  test.equal(secret.hide("whole", secret.new "whole"), "(secret)")
end

return T
