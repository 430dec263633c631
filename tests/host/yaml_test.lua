local test = require "test"
local yaml = require "yaml"
local json = require "json"
local secret = require "secret"

local T = test.cases()

local function refused(text, pattern)
  local v, err = yaml.decode(text)
  test.equal(v, nil, "decoding " .. text:sub(1, 60))
  test.match(err.message, "line %d+, column %d+")
  if pattern then test.match(err.message, pattern) end
  return err
end

local compose = [[
name: shop
services:
  web:
    build: .
    command: bundle exec puma -p 3000
    ports:
      - '80:3000'
      - '22:22'
    environment:
      RAILS_ENV: production
      PORT: '3000'
      FEATURE: 'yes'
      EMPTY: ''
    depends_on:
      db:
        condition: service_healthy
    deploy:
      resources:
        limits:
          cpus: '0.5'
          memory: 512M
  db:
    image: postgres:16
    volumes:
      - db:/var/lib/postgresql/data
    healthcheck:
      test: [CMD, pg_isready]
      interval: 5s
volumes:
  db:
networks: {}
]]

local workflow = [[
name: Deploy
on:
  push:
    branches: [main]
  workflow_dispatch:
permissions:
  id-token: write
jobs:
  deploy:
    runs-on: ubuntu-latest
    timeout-minutes: 30
    strategy:
      matrix:
        node: [18, 20.5, '20']
    steps:
      - uses: actions/checkout@v4
      - name: "Build: the bundle"
        if: ${{ github.ref == 'refs/heads/main' }}
        run: |
          zip -r bundle.zip .
            # indented
          echo "done: $?"
      - run: >-
          one line
          of two
]]

T["scalars have the types of the core schema"] = function()
  local v = yaml.decode [[
a: [1, -2, +3, 0x1F, 0o17, 1.5, -.5, 1e3, .inf, -.Inf, 010, 1_000, 0b1]
b: [true, False, yes, on, Off, y, ~, null, '', "null", '1', !!str 1, !!int "7", !!float 2]
c: 2024-01-02
d: 22:22
e: 1.2.3
f: 0x
g: 9007199254740993
]]
  local a = v.a
  test.equal({ table.unpack(a, 1, 8) }, { 1, -2, 3, 31, 15, 1.5, -0.5, 1000.0 })
  test.equal({ a[9], a[10], a[11], a[12], a[13] }, { math.huge, -math.huge, 10, "1_000", "0b1" })
  test.equal(v.b, { true, false, "yes", "on", "Off", "y", json.null, json.null, "", "null", "1", "1", 7, 2.0 })
  test.equal({ v.c, v.d, v.e, v.f, v.g }, { "2024-01-02", "22:22", "1.2.3", "0x", 9007199254740993 })
  local nan = yaml.decode ".nan"
  test.truthy(nan ~= nan)
end

T["keys are always strings"] = function()
  test.equal(yaml.decode "{1: a, true: b, on: c, ~: d, '': e}", { ["1"] = "a", ["true"] = "b", on = "c", ["~"] = "d", [""] = "e" })
end

T["an empty document is null, and lists keep their mark"] = function()
  test.truthy(yaml.decode "" == yaml.null and yaml.decode "# only this\n" == json.null and yaml.decode "---\n" == json.null)
  test.equal(json.encode(yaml.decode "a: []\nb: {}\nc:\n"), '{"a":[],"b":{},"c":null}')
end

T["a compose file survives a round trip, with the order of its keys"] = function()
  local v = yaml.decode(compose)
  test.equal(v.services.web.environment, { RAILS_ENV = "production", PORT = "3000", FEATURE = "yes", EMPTY = "" })
  test.equal(v.volumes.db, json.null)
  local out = yaml.encode(v)
  test.equal(yaml.decode(out), v)
  test.equal(yaml.encode(yaml.decode(out)), out)
  local expected = compose:gsub("%[CMD, pg_isready%]", "\n        - CMD\n        - pg_isready"):gsub("test: \n", "test:\n")
    :gsub("\n( *)%- ", "\n%1- "):gsub("  db:\nnetworks", "  db: null\nnetworks")
  local function flat(s) return (s:gsub("\n +%-", "\n-")) end       -- libyaml does not indent lists in maps
  test.equal(flat(out), flat(expected))
end

T["a workflow file survives a round trip"] = function()
  local v = yaml.decode(workflow)
  test.equal(v.on.push.branches, { "main" })
  test.equal(v.jobs.deploy.strategy.matrix.node, { 18, 20.5, "20" })
  test.equal(v.jobs.deploy.steps[2].run, "zip -r bundle.zip .\n  # indented\necho \"done: $?\"\n")
  test.equal(v.jobs.deploy.steps[3].run, "one line of two")
  local out = yaml.encode(v)
  test.equal(yaml.decode(out), v)
  test.match(out, "^name: Deploy\non:\n  push:\n")
  test.match(out, "run: |\n +zip %-r bundle%.zip %.\n")
end

T["keys that are changed keep their place, new ones follow, sorted"] = function()
  local v = yaml.decode "z: 1\na: 2\nm: 3\n"
  v.a, v.z, v.c, v.b = 5, nil, 1, 2
  test.equal(yaml.encode(v), "a: 5\nm: 3\nb: 2\nc: 1\n")
  v.z = 9
  test.equal(yaml.encode(v), "z: 9\na: 5\nm: 3\nb: 2\nc: 1\n")
  test.equal(yaml.encode(yaml.map { { "name", "x" }, { "on", "push" }, { "a", yaml.map { { "y", 1 }, { "b", 2 } } } }),
    "name: x\non: push\na:\n  y: 1\n  b: 2\n")
  test.equal(yaml.encode { b = 1, a = { 1, "x" }, [""] = {} }, "'': {}\na:\n- 1\n- x\nb: 1\n")
  test.raises("twice", yaml.map, { { "a", 1 }, { "a", 2 } })
  test.raises("must be a string", yaml.map, { { 1, 1 } })
end

T["text that looks like something else is quoted"] = function()
  for _, s in ipairs { "", "~", "null", "Null", "true", "False", "1", "-1", "+5", "1.5", ".5", "1e3", "0x1f", "0o7", ".inf", "-.INF", ".nan",
      "yes", "No", "ON", "off", "y", "N", "22:22", "80:80", "1:20:30", "2024-01-02", "2024-01-02T03:04:05Z", "0755", "1_000", "0b101",
      "012345678901", "<<", "=", "- a", "-", "? b", ": c", "a: b", "a #b", "#c", "&a", "*a", "!a", "|", ">", "'q'", "\"q\"", "%d", "@a", "`a",
      "{a", "[a", "a]", "a,b", " lead", "trail ", "\ttab", "a\tb", "a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " \na", "a \nb", "a\n b", "a\r\nb", "\r",
      "\0", "\27[0m", "\127", "é", "😀", "\u{85}", "a\u{2028}b\n", "\u{FEFF}", "---", "...", "--- a", "a\n---\nb", "a\n...", "key:", "http://x/#y",
      "${{ a }}", "a: |\n  b", ("long "):rep(100) .. "x", ("x"):rep(3000), "\n", "\n\n", "a\n#b", "#a\n#b", "\\", "'", "''", "\"\"" } do
    test.equal(yaml.decode(yaml.encode(s)), s, "alone")
    test.equal(yaml.decode(yaml.encode { a = { { b = s }, s }, z = 1 }), { a = { { b = s }, s }, z = 1 }, "as a value")
    if not s:find "\0" then test.equal(yaml.decode(yaml.encode { [s] = { [s] = 1 } }), { [s] = { [s] = 1 } }, "as a key") end
  end
  test.equal(yaml.encode { "22:22", "yes", "a" }, "- '22:22'\n- 'yes'\n- a\n")
end

T["numbers, booleans and null read back as they are"] = function()
  for _, v in ipairs { 0, -1, math.maxinteger, math.mininteger, 0.1, 3.0, 1e300, 5e-324, math.huge, -math.huge, true, false, json.null } do
    local back = yaml.decode(yaml.encode(v))
    test.truthy(back == v and math.type(back) == math.type(v), yaml.encode(v))
  end
end

T["random texts survive"] = function()
  math.randomseed(7)
  local letters = { "a", "b", " ", "\n", "\t", ":", "-", "#", "'", '"', "\\", "|", ">", "é", "1", ".", "{", "}", "[", "]", ",", "&", "*", "!", "%",
                    "\r", "\0", "\u{2028}", "\u{85}" }
  for _ = 1, 3000 do
    local parts = {}
    for i = 1, math.random(0, 12) do parts[i] = letters[math.random(#letters)] end
    local s = table.concat(parts)
    test.equal(yaml.decode(yaml.encode { x = s, l = { s } }), { x = s, l = { s } })
  end
end

T["aliases are copies, and << merges maps"] = function()
  local v = yaml.decode [[
base: &base {a: 1, b: {c: 2}}
more: &more {d: 4, a: 9}
one: *base
two: {<<: *base, a: 7, e: 5}
three:
  <<: [*base, *more]
quoted: {"<<": 1}
]]
  test.equal(v.one, { a = 1, b = { c = 2 } })
  test.equal(v.two, { a = 7, b = { c = 2 }, e = 5 })
  test.equal(v.three, { a = 1, b = { c = 2 }, d = 4 })
  test.equal(v.quoted, { ["<<"] = 1 })
  v.one.b.c = 3
  test.equal({ v.base.b.c, v.two.b.c }, { 2, 2 })
  test.match(yaml.encode(v), "two:\n  a: 7\n  e: 5\n  b:\n")
  refused("a: {<<: 1}", "merge only maps")
  refused("a: {<<: [1]}", "merge only maps")
end

T["a bomb of aliases is refused"] = function()
  local bomb = { "a0: &a0 [x,x,x,x,x,x,x,x,x]" }
  for i = 1, 9 do bomb[#bomb + 1] = ("a%d: &a%d [%s]"):format(i, i, ("*a" .. i - 1 .. ","):rep(9):sub(1, -2)) end
  test.equal(refused(table.concat(bomb, "\n"), "aliases").kind, "limit")
  refused("a: &a [*a]", "inside of what it stands for")
  refused("a: &a {b: {c: *a}}", "inside of what it stands for")
  refused("a: *b", "not defined")
end

T["nesting is limited both ways"] = function()
  test.truthy(yaml.decode(("["):rep(256) .. ("]"):rep(256)))
  test.equal(refused(("["):rep(257) .. ("]"):rep(257), "deeper").kind, "limit")
  refused(("- "):rep(5000) .. "a", "deeper")
  local t = {}
  t.t = t
  test.raises("deeper", yaml.encode, t)
end

T["what is not usable is refused with line and column"] = function()
  for _, bad in ipairs { "a: b: c", "a: [1", "{a", "a\n b: 1\n c", "\tb: 1", "a: 'x", "a: \"\\q\"", "- a\nb: 1", "? [1]\n: 2", "a: 1\na: 2",
      "!!binary aGk=", "a: !Ref x", "!!int x", "!!bool 1", "!!map [1]", "!!seq {}", "99999999999999999999", "a: 1\n---\nb: 2",
        "&a a: 1", "%FOO", "a: @b",
      "a: \255", "a: \xC0\x80", "a: \0" } do
    refused(bad)
  end
  test.match(refused("a: 1\nb:\n  c: [1, 2\n").message, "line [34]")
  test.match(refused("a: 1\nb: 2\n  a: 3\n").message, "line 3")
  test.match(refused("x: 1\ny: 2\nx: 3").message, "line 3, column 1: the key x stands twice")
end

T["secrets are not written, nor what YAML cannot hold"] = function()
  test.raises("a secret is not written", yaml.encode, { a = { secret.new "x" } })
  test.raises("string expected", yaml.decode, secret.new "a: 1")
  test.raises("function has no form", yaml.encode, { print })
  test.raises("mixes", yaml.encode, { 1, a = 2 })
  test.raises("key is a boolean", yaml.encode, { [true] = 2 })
  test.raises("UTF%-8", yaml.encode, "\255")
  test.raises("NUL", yaml.encode, { ["a\0"] = 1 })
  test.raises("after apply", yaml.encode, { setmetatable({}, { __hkrun_unknown = true }) })
end

T["where members and items begin is noted for who asks, and not for what an alias or a merge brought"] = function()
  local places = {}
  local v = yaml.decode("é: &e\n  - x\n  - {ü: 1, b: 2}\nf: *e\ng:\n  <<: {h: 1}\n  i: 2\n", places)
  test.equal(places[v], { ["é"] = "1:1", f = "4:1", g = "5:1" })
  test.equal(places[v["é"]], { "2:5", "3:5" })
  test.equal(places[v["é"][2]], { ["ü"] = "3:6", b = "3:12" })
  test.equal(places[v.f], nil)
  test.equal(places[v.g], { ["<<"] = "6:3", i = "7:3" })
  test.raises("table", yaml.decode, "a: 1", "places")
end

return T
