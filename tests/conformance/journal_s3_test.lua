--- A journal in S3: each case on the rehearsal's S3 and on moto's, which none of us wrote.
local aws = require "aws"
local aws_lab = dofile "tests/support/aws_lab.lua"
local clouds = require "rehearsal.cloud"
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local journal = require "journal"
local json = require "json"
local lease = require "journal.lease"
local process = require "process"
local retry = require "retry"
local s3_store = require "journal.s3"
local task = require "task"
local test = require "test"
local T = test.cases()

local exe = fs.realpath "/proc/self/exe"
local BUCKET = "team-journals"
local KEYS = { access_key_id = "AK", secret_access_key = "SK" }

local moto

local function with_bucket(at)
  at.s3 = aws.client { service = "s3", region = "us-east-1", endpoint = at.url, credentials = at.keys }
  at.s3:create_bucket { Bucket = BUCKET }
  return at
end

--- moto, for all cases of the file.
T["moto starts"] = function()
  local port = fs.free_port()
  local server = process.start { test.tool "moto_server", "-H", "127.0.0.1", "-p", tostring(port), stdout = "null", stderr = "null",
                                 env = { PATH = os.getenv "PATH", HOME = os.getenv "HOME", LANG = "C.UTF-8" } }
  test.defer_file(function() server:stop() end)
  moto = { url = "http://127.0.0.1:" .. port, keys = KEYS }
  retry.call(function() http.get(moto.url .. "/moto-api/", { timeout = 5 }) end, { attempts = 300, base = 0.2, cap = 0.4 })
  with_bucket(moto)
end
T.order[1].opens = true                                      -- it stays

--- A rehearsal cloud of the case's own; its calls can be answered wrongly on the way.
local function rehearsal()
  local cloud = clouds.start { dir = test.tmpdir() .. "/cloud" }
  test.defer(function() cloud:stop() end)
  return with_bucket { url = cloud.url, keys = { access_key_id = cloud.access_key, secret_access_key = cloud.secret_key }, cloud = cloud }
end

local function env_of(at)
  return { AWS_ENDPOINT_URL = at.url, AWS_ACCESS_KEY_ID = at.keys.access_key_id, AWS_SECRET_ACCESS_KEY = at.keys.secret_access_key,
           AWS_REGION = "us-east-1", NO_PROXY = "*" }
end

--- The same case on both; `c.open` opens a journal of the case's own.
local number = 0
local function case(title, fn, only)
  for _, where in ipairs(only or { "rehearsal", "moto" }) do
    T[("%s (%s)"):format(title, where)] = function()
      local at = where == "moto" and moto or rehearsal()
      aws_lab.settings(env_of(at))
      number = number + 1
      local c = { at = at, s3 = at.s3, key = ("case-%d/r.journal"):format(number), where = where }
      c.url = ("s3://%s/%s"):format(BUCKET, c.key)
      function c.open(write) return journal.open { name = "r.t", at = c.url, write = write } end
      function c.get(suffix) return c.s3:get_object({ Bucket = BUCKET, Key = c.key .. (suffix or "") }).Body end
      function c.put(suffix, body) c.s3:put_object { Bucket = BUCKET, Key = c.key .. suffix, Body = body } end
      function c.keys()
        local keys = {}
        for o in c.s3:each("list_objects_v2", { Bucket = BUCKET, Prefix = c.key }) do keys[#keys + 1] = o.Key:sub(#c.key + 1) end
        return keys
      end
      --- Makes the holder one of another machine, that was heard of so many seconds ago.
      function c.far(seconds)
        local who = json.decode(c.get ".lock")
        who.machine, who.host, who.pid, who.renewed = "another", "laptop", 4711, who.renewed - seconds
        c.put(".lock", json.encode(who))
      end
      fn(c)
    end
  end
end

local function stage(name) return { ev = "stage", name = name } end

case("records are in S3 when write returns, in order, and the lock goes with the run", function(c)
  do
    local j <close> = c.open(true)
    j:write { ev = "run", n = 1, recipe = "r", target = "t" }
    j:write(stage "one", true)
    test.equal(c.open().memory.stage, nil, "a lazy record waits")
    j:write { ev = "intent", key = "k:a", kind = "k", gen = 1, spec = { name = "a" } }
    test.equal({ c.open().memory.stage, c.open().memory.nouns["k:a"].state }, { "one", "intent" })
    test.equal(c.keys(), { "", ".lock" })
  end
  test.equal(c.keys(), { "" })
  local again <close> = c.open(true)
  test.equal({ again.dead, again.memory.runs }, { nil, 1 })
  again:write(stage "two")
  local names = {}
  for line in c.get():gmatch "[^\n]+" do names[#names + 1] = json.decode(line).ev end
  test.equal(names, { "run", "stage", "intent", "stage" })
  for _, call in ipairs(c.at.cloud and c.at.cloud.calls or {}) do
    local p = call.operation == "PutObject" and call.params or {}
    test.equal({ p.ACL, p.GrantRead, p.GrantFullControl, p.ServerSideEncryption }, {}, "as private and as encrypted as the bucket")
  end
end)

case("tasks side by side share a write, and lose nothing", function(c)
  local j <close> = c.open(true)
  local list, puts = {}, 0
  local remove = aws.on_call(function(call) if call.operation == "PutObject" then puts = puts + 1 end end)
  for i = 1, 60 do list[i] = i end
  task.map(list, function(i) j:write(stage("s" .. i)) end, { limit = 20 })
  remove()
  test.equal(#c.open():records(), 60)
  test.truthy(puts < 20, ("60 records in few writes, not %d"):format(puts))
end)

case("a second run is refused and told who and since when; readers are welcome", function(c)
  local _ <close> = c.open(true)
  local e = test.raises("another run has it: process %d+ of %S+ on %S+, since %d+", c.open, true)
  test.truthy(errors.is(e, "locked"))
  test.equal({ c.open():holder().alive, c.open().memory.runs }, { true, 0 })
  c.far(5)
  e = test.raises("process 4711 of %S+ on laptop, since .* %(heard of %d+ s ago; after 60 s it counts as dead%)", c.open, true)
  test.truthy(errors.is(e, "locked"))
  test.equal(c.open():holder().alive, true)
end)

case("a holder that went silent is taken over, and can write no more if it lives", function(c)
  local j = c.open(true)
  j:write(stage "one")
  c.far(120)
  test.equal(c.open():holder().alive, false)
  local heir <close> = c.open(true)
  test.equal({ heir.dead.pid, heir.memory.stage }, { 4711, "one" })
  local e = test.raises("another run has taken it over", j.write, j, { ev = "intent", key = "k:a", kind = "k", gen = 1, spec = {} })
  test.truthy(errors.is(e, "locked"))
  test.raises("another run has taken it over", j.write, j, stage "again")
  j:close()
  test.equal(c.keys(), { "", ".lock" }, "the lock is the heir's")
  heir:write(stage "two")
  local events = {}
  for i, rec in ipairs(heir:records()) do events[i] = rec.ev end
  test.equal(events, { "stage", "lock", "stage" })
end)

case("a run whose lock is taken over is told while it waits", function(c)
  local seconds = lease.SECONDS
  lease.SECONDS = 0.4
  local ready, release = false, false
  local run = task.spawn(function()
    local j <close> = c.open(true)
    lease.SECONDS = seconds
    j:write(stage "one")
    ready = true
    while not release do task.sleep(0.05) end
  end)
  while not ready do task.sleep(0.01) end
  local before = json.decode(c.get ".lock")
  c.put(".lock", json.encode { id = "other", pid = 1, host = "h", user = "u", since = "now", renewed = before.renewed })
  local e = test.raises("taken the journal over", run.join, run)
  test.truthy(errors.is(e, "locked"), "it is no Ctrl-C")
  release = true
end)

case("the lock is renewed while the run waits", function(c)
  local seconds = lease.SECONDS
  lease.SECONDS = 0.2
  local j <close> = c.open(true)
  lease.SECONDS = seconds
  local ok, put
  repeat                                                     -- until no renewal comes between
    local held = c.s3:head_object { Bucket = BUCKET, Key = c.key .. ".lock" }
    local who = json.decode(c.get ".lock")
    who.renewed = 7                                          -- a renewal puts S3's time here again
    ok, put = pcall(c.s3.put_object, c.s3, { Bucket = BUCKET, Key = c.key .. ".lock", Body = json.encode(who), IfMatch = held.ETag })
    test.truthy(ok or put.status == 412, ok or tostring(put))
  until ok
  j.store.lease.etag = put.ETag
  local stop = task.now() + 120
  lease.SECONDS = 0.2
  while json.decode(c.get ".lock").renewed == 7 and task.now() < stop do task.sleep(0.02) end
  lease.SECONDS = seconds
  test.truthy(json.decode(c.get ".lock").renewed > 1e9)
end)

case("a holder that was killed on this machine is taken over at once", function(c)
  local env = env_of(c.at)
  env.HOME, env.PATH, env.HKRUN_LIB = test.tmpdir(), os.getenv "PATH", os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
  for round = 1, 3 do
    local p <close> = process.start { exe, "-e", ([[
      local j = require "journal".open { name = "r.t", at = %q, write = true }
      j:write { ev = "stage", name = "held" }
      io.stdout:write "held\n"
      io.stdout:flush()
      require "task".sleep(60)
    ]]):format(c.url), env = env, stdout = "pipe", stderr = "inherit" }
    test.equal(p:read_line(), "held")
    test.raises(("another run has it: process %d of "):format(p.pid), c.open, true)
    process.run { "kill", "-9", tostring(p.pid) }
    p:wait()
    local j <close> = c.open(true)
    test.equal({ j.dead.pid, j.memory.stage }, { p.pid, "held" }, "round " .. round)
  end
end)

case("what has grown large is set aside, also when that was interrupted", function(c)
  local limit = s3_store.LIMIT
  s3_store.LIMIT = 2000
  test.defer(function() s3_store.LIMIT = limit end)
  do
    local j <close> = c.open(true)
    for i = 1, 40 do j:write(stage("stage number " .. i)) end
  end
  local n = tonumber(c.get():match '^{"ev":"segments","n":(%d+)}\n')
  test.truthy(n >= 1, "segments")
  test.equal(#c.keys(), n + 1)
  -- a writer died between setting aside and the new beginning; what came since is not in the part that it put there
  local rest = c.get():match "^[^\n]*\n(.*)$"
  c.put((".%04d"):format(n + 1), rest)
  do
    local j <close> = c.open(true)
    for i = 41, 80 do j:write(stage("stage number " .. i)) end
  end
  local count, last = 0, nil
  for _, rec in ipairs(c.open():records()) do
    count = count + 1
    test.equal(rec.name, "stage number " .. count)
    last = rec.name
  end
  test.equal({ count, last, c.open().memory.stage }, { 80, "stage number 80", "stage number 80" })
end)

case("a journal that is deleted meanwhile ends the run, and a lost one begins anew", function(c)
  local j <close> = c.open(true)
  j:write(stage "one")
  c.s3:delete_object { Bucket = BUCKET, Key = c.key }
  test.raises("it was deleted while this run went on", j.write, j, stage "two")
  test.equal(c.open().memory.stage, nil)
end)

case("no bucket is one sentence that says what to do", function(c)
  local e = test.raises("read the journal s3://no%-such%-bucket%-here/j", journal.open, { name = "r", at = "s3://no-such-bucket-here/j" })
  test.equal(e.code, "NoSuchBucket")
  test.match(tostring(e), "make the bucket first: aws s3 mb s3://no%-such%-bucket%-here")
  test.raises("lock the journal", journal.open, { name = "r", at = "s3://no-such-bucket-here/j", write = true })
  test.raises("is no place for a journal: say s3://bucket/key", journal.open, { name = "r", at = "s3://" })
  test.truthy(c.url)
end)

case("a folder has a journal for each target; one object is one journal", function(c)
  local folder = c.url:match "^(.*/)"
  for _, target in ipairs { "a", "b" } do
    local j <close> = journal.open { name = journal.name("r", target), at = folder, write = true }
    j:write { ev = "run", n = 1, recipe = "r", target = target }
  end
  test.equal(journal.list("r", { at = folder }), { "r.a", "r.b" })
  test.equal(journal.open({ name = "r.b", at = folder }).memory.of.target, "b")
  test.equal(journal.list("r", { at = c.url }), { "r" })
end)

local RECIPE = [[
local recipe, aws = require "recipe", require "aws"
local opt = recipe.options { { "cidr", "range", default = "10.9.0.0/16" }, { "shop", "which one", target = true } }
recipe.stage "network"
local vpc = aws.vpc { opt.shop, cidr = opt.cidr }
aws.security_group { opt.shop .. "-app", vpc = vpc.id, description = "the machines" }
recipe.stage "last"
recipe.once("look around", function() return { seen = 1 } end)
]]

case("a whole run keeps its journal there; losing it costs another look, and nothing is made twice", function(c)
  local dir, env = test.tmpdir(), env_of(c.at)
  env.HOME, env.PATH, env.HKRUN_LIB = dir, os.getenv "PATH", os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
  fs.write(dir .. "/net.lua", RECIPE)
  local name = c.where .. "shop"
  local function hkrun(...)
    local r = process.run { exe, env = env, cwd = dir, timeout = 300, ... }
    return r.code, r.stdout, r.stderr
  end
  local function vpcs()
    local ec2 = aws.client { service = "ec2", region = "us-east-1", endpoint = c.at.url, credentials = c.at.keys }
    return #ec2:describe_vpcs({ Filters = { { Name = "tag:hkrun:key", Values = { "aws.vpc:" .. name } } } }).Vpcs
  end
  local code, out, err = hkrun("apply", "net.lua", "--shop", name, "--yes", "--journal", c.url)
  test.equal(code, 0, err)
  test.match(out, "Done: 2 created, 1 run%.")
  local beside = ("net.%s."):format(name)                     -- the report, which people open here, and nothing else
  test.equal({ fs.list(dir .. "/.hkrun"), c.keys() }, { { beside .. "html", beside .. "md" }, { "" } })

  env.HKRUN_JOURNAL = c.url
  code, out, err = hkrun("status", "net.lua")                -- the journal says which shop
  test.equal(code, 0, err)
  test.match(out, 'aws%.vpc "' .. name .. '"  vpc%-')
  code, out = hkrun("plan", "net.lua", "--shop", name)
  test.equal({ code, out }, { 0, "Plan: no changes.\n" })
  env.HKRUN_JOURNAL = nil
  fs.write(dir .. "/hkrun.yml", "journal: " .. c.url .. "\n")
  code, out = hkrun("log", "net.lua")
  test.equal(code, 0)
  test.match(out, "created aws%.vpc:" .. name)
  code, out, err = hkrun("status", "net.lua", "--shop", "other")
  test.equal({ code, out }, { 2, "" })
  test.match(err, "is the journal of net%." .. name .. ", not of net%.other")

  c.s3:delete_object { Bucket = BUCKET, Key = c.key }
  code, out, err = hkrun("apply", "net.lua", "--shop", name, "--yes")
  test.equal(code, 0, err)
  test.match(out, "Done: 1 run%.")                           -- what has no tags to be found by is done again
  c.s3:delete_object { Bucket = BUCKET, Key = c.key }
  fs.write(dir .. "/net.lua", (RECIPE:gsub('recipe.stage "last".*$', "")))
  code, out = hkrun("apply", "net.lua", "--shop", name, "--yes")
  test.equal({ code, out, vpcs() }, { 0, "no changes\n", 1 })
  code, out, err = hkrun("destroy", "net.lua", "--shop", name, "--yes")
  test.equal({ code, vpcs() }, { 0, 0 }, out .. err)
end)

--- Answers to our writes that never arrive, by the rehearsal's own server.
T["a write whose reply was lost is found again, and is there once"] = function()
  local at = rehearsal()
  aws_lab.settings(env_of(at))
  local cloud, lost = at.cloud, 0
  cloud.faults = function(req)
    if req.method ~= "PUT" or lost % 3 == 2 then
      lost = lost % 3 == 2 and lost + 1 or lost
      return nil
    end
    lost = lost + 1
    return { name = "lost", answer = { drop = true } }
  end
  local url = ("s3://%s/lost/r.journal"):format(BUCKET)
  do
    local j <close> = journal.open { name = "r", at = url, write = true }
    for i = 1, 6 do j:write(stage("s" .. i)) end
  end
  cloud.faults = nil
  test.truthy(lost >= 7, "replies were lost")
  local names = {}
  for i, rec in ipairs(journal.open({ name = "r", at = url }):records()) do names[i] = rec.name end
  test.equal(names, { "s1", "s2", "s3", "s4", "s5", "s6" })
end

T["no right to read it is one sentence that names the rights"] = function()
  local at = rehearsal()
  aws_lab.settings(env_of(at))
  at.cloud.faults = function()
    return { name = "denied", before = true, answer = { status = 403, headers = { ["content-type"] = "application/xml" },
      body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>" } }
  end
  local e = test.raises("read the journal s3://team%-journals/x: Access Denied %(AccessDenied%); it needs s3:GetObject, s3:PutObject", journal.open,
    { name = "r", at = "s3://team-journals/x" })
  test.equal(e.code, "AccessDenied")
end

case("two processes race for the lock: one has it, in each of 50 rounds", function(c)
  local env, dir = env_of(c.at), test.tmpdir()
  env.HOME, env.PATH, env.HKRUN_LIB = dir, os.getenv "PATH", os.getenv "HKRUN_LIB" and fs.realpath(os.getenv "HKRUN_LIB")
  local function racer(me, other)
    local r = process.run { exe, "-e", ([[
      local journal, fs, task = require "journal", require "fs", require "task"
      local me, other, dir, url = %q, %q, %q, %q
      local held, said = {}, {}
      for n = 1, 50 do
        fs.append(("%%s/%%s-%%d"):format(dir, me, n), "")              -- both start at once
        while not fs.exists(("%%s/%%s-%%d"):format(dir, other, n)) do task.sleep(0.001) end
        local ok, j = pcall(journal.open, { name = "r.t", at = url .. n, write = true })
        if ok then
          j:write { ev = "stage", name = me }
          held[#held + 1] = j
        end
        said[n] = ok and "won" or j.kind == "locked" and "refused" or tostring(j)
      end
      fs.append(("%%s/%%s-end"):format(dir, me), "")
      while not fs.exists(("%%s/%%s-end"):format(dir, other)) do task.sleep(0.001) end
      for _, j in ipairs(held) do j:close() end
      return said
    ]]):format(me, other, dir, c.url), env = env, timeout = 600 }
    if r.code ~= 0 then error(r.stderr) end
    return json.decode(r.stdout)
  end
  local said = task.all { a = function() return racer("a", "b") end, b = function() return racer("b", "a") end }
  for n = 1, 50 do
    local pair = { said.a[n], said.b[n] }
    table.sort(pair)
    test.equal(pair, { "refused", "won" }, "round " .. n)
    local winner = said.a[n] == "won" and "a" or "b"
    test.equal(journal.open({ name = "r.t", at = c.url .. n }).memory.stage, winner, "round " .. n)
  end
  test.equal(#c.keys(), 50, "journals, and no lock")
end, { "rehearsal" })                                        -- moto may look at two conditions before it writes either


return T
