--- No secret is in anything that a run leaves or prints, or in the arguments of any process while it runs. Marked values
--- stand in config vars and in an add-on's password; passwords, tokens and keys that the clouds or the recipe made are
--- marks by themselves. What is searched is found in plain, and encoded for URLs, JSON, base64 and hex.
local fs = require "fs"
local json = require "json"
local labs = dofile "tests/support/rehearsal_lab.lua"
local marks = dofile "tests/support/marks.lua"
local process = require "process"
local serve = require "rehearsal.serve"
local sign = require "sign"
local task = require "task"
local test = require "test"
local T = test.cases()

local function mark(name) return ("mk%s%s"):format(name, sign.hex(sign.random(10))) end

local MARKS = {
  SESSION_SECRET = mark "session", API_KEY = mark "api" .. "/+=&%", SENDGRID_PASSWORD = mark "sendgrid", DELETED_SOON = mark "plain",
}

--- The tiny app with the marks in its config vars and in an add-on's password.
local function marked_app()
  local dir = fs.tmpdir "hkrun-marked-"
  test.defer_file(function() fs.rmtree(dir) end)
  for _, name in ipairs { "Procfile", "package.json", "package-lock.json", "web.js", "worker.js" } do
    fs.write(dir .. "/" .. name, fs.read("tests/support/tiny_app/" .. name), 420)
  end
  local manifest = fs.read "tests/support/tiny_app/rehearsal.yml"
  local more = [[

  - { plan: "sendgrid:starter", as: SENDGRID, config: { SENDGRID_PASSWORD: "%s" } }

config:
  API_KEY: "%s"
  DELETED_SOON: "%s"
]]
  more = more:format(MARKS.SENDGRID_PASSWORD, MARKS.API_KEY, MARKS.DELETED_SOON):gsub("%%", "%%%%")
  manifest = manifest:gsub("\n\nconfig:\n", more)
  manifest = manifest:gsub('SESSION_SECRET: "[^"]*"', 'SESSION_SECRET: "' .. MARKS.SESSION_SECRET .. '"')
  fs.write(dir .. "/rehearsal.yml", manifest, 420)
  fs.chmod(dir, 493)
  return dir
end

local cloud
local tmp_before = {}

local function start()
  if cloud then return cloud end
  cloud = labs.start { app = marked_app(), options = { HKRUN_APP = "tiny", HKRUN_HEALTH_PATH = "/health" } }
  for _, name in ipairs(fs.list "/tmp") do tmp_before[name] = true end
  MARKS.AWS_SECRET_ACCESS_KEY, MARKS.HEROKU_API_KEY = cloud.said.AWS_SECRET_ACCESS_KEY, cloud.said.HEROKU_API_KEY
  MARKS.heroku_postgres = cloud.said.HKRUN_REHEARSAL_OLD_DATABASE_URL:match "://[^:]+:([^@]+)@"
  MARKS.heroku_redis = cloud.said.HKRUN_REHEARSAL_OLD_REDIS_URL:match "://[^:]*:([^@]+)@"
  return cloud
end

local arguments = {}

--- Runs hkrun, and meanwhile notes the arguments of every process of this machine.
local function watched(words, o)
  start()
  local result
  local done = false
  task.all {
    run = function()
      result = cloud:hkrun(words, o)
      done = true
    end,
    look = function()
      repeat
        for _, pid in ipairs(fs.list "/proc") do
          if pid:find "^%d+$" then
            local ok, line = pcall(fs.read, "/proc/" .. pid .. "/cmdline")
            if ok and line ~= "" then arguments[line] = true end
          end
        end
        task.sleep(0.05)
      until done
    end,
  }
  return result
end

local function patterns()
  local lines, of = {}, {}
  for name, value in pairs(MARKS) do
    for _, form in ipairs(marks.forms(value)) do
      lines[#lines + 1] = form
      of[form] = name
    end
  end
  return lines, of
end

local function find_in(text, where, found)
  local lines, of = patterns()
  for _, form in ipairs(lines) do
    if text:find(form, 1, true) then found[#found + 1] = of[form] .. " in " .. where end
  end
end

T["the search finds a mark in every form"] = function()
  local secret = "a/b+c&d" .. mark "own"
  MARKS.own = secret
  for i, form in ipairs(marks.forms(secret)) do
    local found = {}
    find_in("xx" .. form .. "yy", "here", found)
    test.truthy(#found > 0, "form " .. i)
  end
  for shift = 0, 2 do
    local found = {}
    find_in(sign.base64(("p"):rep(shift + 3) .. secret .. "tail"), "here", found)
    test.truthy(#found > 0, "base64 that begins " .. shift .. " bytes earlier")
  end
  MARKS.own = nil
end

T["plan prints and leaves no secret"] = function()
  local r = watched { "plan", labs.recipe, "--out", "early.json" }
  test.equal(r.code, 0, r.stderr)
  test.match(r.stdout, "Plan: %d+ to create")
end

T["an apply that fails in the middle (RDS does not have the class)"] = function()
  local r = watched { "apply", labs.recipe, "--yes", "--db-instance-class", "db.nonsense.large", "-v" }
  test.equal(r.code, 1, r.stdout:sub(-2000) .. r.stderr:sub(-2000))
  test.match(r.stderr, "db%.nonsense%.large")
end

--- An apply that stands still in the middle of the copy, and the file into which it prints.
local function in_the_copy()
  local lab = start()
  local env = { LD_PRELOAD = fs.realpath "build/effects.so", EFFECTS_AT = "sql end of COPY|1|pause" }
  for name, value in pairs(lab.env) do env[name] = value end
  local out = lab.dir .. "/in_the_copy"
  -- the limit of the user's shell does not count: hkrun sets its own
  local p = process.start { "sh", "-c", 'ulimit -c unlimited; exec "$0" "$@"', fs.realpath "/proc/self/exe", "apply", labs.recipe, "--yes",
    "--db-instance-class", "db.t4g.micro", "--health-path", "/health", "-v", env = env, cwd = lab.dir .. "/work", stdout = out, stderr = out }
  local deadline = task.now() + 400
  local function state() return p:is_running() and fs.read(("/proc/%d/stat"):format(p.pid)):match "^.*%) (%a)" end
  while state() ~= "T" do
    test.truthy(p:is_running() and task.now() < deadline, "it comes to the copy: " .. fs.read(out):sub(-500))
    task.sleep(0.02)
  end
  return p, out
end

--- Ends what stands still with a signal; returns its exit code.
local function ended_by(p, signal, out)
  process.run { "sh", "-c", 'kill "-$1" "$0"; kill -CONT "$0"', tostring(p.pid), signal }
  local code = p:wait(120)
  cloud.printed[#cloud.printed + 1] = fs.read(out)
  return code
end

T["the journal moves to S3"] = function()
  start():foreign { test.tool "python3", "-c", "import boto3; boto3.client('s3').create_bucket(Bucket='marked-journals')" }
  cloud.env.HKRUN_JOURNAL = "s3://marked-journals/tiny"
end

--- Kilobytes of a process's memory that are locked, and that no core has.
local function guarded(pid)
  local kilobytes, size = 0, 0
  for line in fs.read(("/proc/%d/smaps"):format(pid)):gmatch "[^\n]+" do
    size = tonumber(line:match "^Size: *(%d+) kB") or size
    local flags = line:match "^VmFlags:(.*)"
    if flags and flags:find " lo" and flags:find " dd" then kilobytes = kilobytes + size end
  end
  return kilobytes
end

--- The file into which gcore writes the memory of a process that runs, all of it or what a core has; nil when it is refused,
--- as it is to an ordinary user, and in a container that lacks the right.
local function core_of(p, name, all)
  local path = ("%s.%d"):format(name, p.pid)
  local r = process.run { "gcore", all and "-ao" or "-o", name, tostring(p.pid), timeout = 600 }
  if r.stderr:find "ptrace: Operation not permitted" then
    test.equal(fs.exists(path), false)
    return nil
  end
  test.equal(r.code, 0, r.stderr)
  test.match(fs.read(path), "^\127ELF............\4\0", "a core")
  return path
end

T["a core that gcore takes in the middle of the copy has no secret; they were all in memory"] = function()
  local p <close>, out = in_the_copy()
  if core_of(p, cloud.dir .. "/work/gcore") then             -- which is searched at the end, for what this run made too
    local memory = fs.read(core_of(p, test.tmpdir() .. "/memory", true))
    for name, value in pairs(MARKS) do test.truthy(memory:find(value, 1, true), name .. " is in the memory") end
  end
  test.equal(ended_by(p, "KILL", out), 137)
end

T["an apply that crashes in the middle of the copy: its secrets are in locked pages, and no core is written"] = function()
  local p <close>, out = in_the_copy()
  test.match(fs.read(("/proc/%d/limits"):format(p.pid)), "Max core file size%s+0%s+0%s")
  if fs.uid() == 0 then test.truthy(guarded(p.pid) >= 64, "locked pages that no core has") end
  test.equal(ended_by(p, "SEGV", out), 139)
  local found = {}
  for path in pairs(start().files(start().dir .. "/work")) do if path:find "^core" then found[#found + 1] = path end end
  test.equal(found, {}, "core files")
end

-- The last of them: what is on its way then is finished, and the copy goes on behind it.
T["an apply that is interrupted in the middle of the copy"] = function()
  local p <close>, out = in_the_copy()
  test.equal(ended_by(p, "INT", out), 130, fs.read(out):sub(-500))
end

T["an apply whose credentials are wrong"] = function()
  MARKS.wrong = mark "wrong"
  local r = watched({ "apply", labs.recipe, "--yes", "-v" }, { env = { AWS_SECRET_ACCESS_KEY = MARKS.wrong, HKRUN_JOURNAL = false } })
  test.truthy(r.code ~= 0)
  r = watched({ "apply", labs.recipe, "--yes", "-v" }, { env = { HEROKU_API_KEY = MARKS.wrong, HKRUN_JOURNAL = false } })
  test.truthy(r.code ~= 0)
end

T["an apply of a saved plan that succeeds, then status and log"] = function()
  local r = watched { "plan", labs.recipe, "--health-path", "/health", "--out", "saved.json" }
  test.equal(r.code, 0, r.stderr)
  r = watched { "apply", "early.json" }
  test.match(r.stderr, "it no longer holds: the recipe was run since")
  local told = {}
  local hook <close> = serve.start { handler = function(req)
    told[#told + 1] = req.body
    return { status = 200 }
  end }
  MARKS.webhook = mark "webhook"
  r = watched({ "apply", "saved.json", "-v", "--json" }, { timeout = 300, env = { HKRUN_WEBHOOK = hook.url .. "/" .. MARKS.webhook } })
  test.equal(r.code, 0, r.stdout:sub(-2000) .. r.stderr:sub(-2000))
  cloud.printed[#cloud.printed + 1] = table.concat(told, "\n")
  test.match(cloud.printed[#cloud.printed], "apply is done")
  for _, words in ipairs { { "status" }, { "log" }, { "status", "--json" }, { "log", "--json" }, { "status", "--watch" } } do
    test.equal(watched({ words[1], labs.recipe, words[2] }).code, 0, words[1])
  end
  test.equal(watched({ "export", "terraform", labs.recipe }).code, 0)     -- its files stay where they are looked at below
end

T["the secrets that the run itself made are known to this test"] = function()
  local made = json.decode(start():foreign { test.tool "python3", "-c", [[
import json, boto3
sm = boto3.client("secretsmanager")
print(json.dumps({s["Name"]: sm.get_secret_value(SecretId=s["Name"])["SecretString"] for s in sm.list_secrets()["SecretList"]}))]] }.stdout)
  local config = json.decode(made["tiny/config"])
  test.equal(config.API_KEY, MARKS.API_KEY, "the marked value arrived on AWS")
  MARKS.rds = config.DATABASE_URL:match "://[^:]+:([^@]+)@"
  MARKS.elasticache = config.REDIS_URL:match "://[^:]*:([^@]+)@"
  local n = 0
  for name, value in pairs(made) do
    if value:find "PRIVATE KEY" then
      n = n + 1
      for line in value:gmatch "[^\n]+" do
        if #line > 60 then MARKS[name .. " line " .. #line] = line end
      end
    elseif name ~= "tiny/config" then MARKS[name] = value end
  end
  test.equal(n, 1, "private keys")
  test.truthy(#MARKS.rds > 15 and #MARKS.elasticache > 15, "passwords")
end

T["destroy prints and leaves no secret"] = function()
  local r = watched({ "destroy", labs.recipe, "--yes" }, { timeout = 240 })
  test.equal(r.code, 0, r.stderr)
end

T["no secret is in the journal in S3"] = function()
  local lines = start():foreign { test.tool "python3", "-c", [[
import boto3
s3 = boto3.client("s3")
for o in s3.list_objects_v2(Bucket="marked-journals")["Contents"]:
    print(o["Key"], s3.get_object(Bucket="marked-journals", Key=o["Key"])["Body"].read().decode())]] }.stdout
  for _, ev in ipairs { "created", "once", "guard", "report", "destroyed" } do test.match(lines, ('"ev":"%s"'):format(ev)) end
  local found = {}
  find_in(lines, "the journal", found)
  test.equal(found, {})
end

T["no secret was printed"] = function()
  local found = {}
  for i, text in ipairs(start().printed) do find_in(text, "what hkrun printed, part " .. i, found) end
  test.equal(found, {})
  test.truthy(#table.concat(start().printed) > 5000, "much was printed")
end

T["no secret was in the arguments of a process"] = function()
  local found, n = {}, 0
  for line in pairs(arguments) do
    n = n + 1
    find_in(line, "arguments of " .. line:gsub("%z", " "):sub(1, 60), found)
  end
  test.equal(found, {})
  test.truthy(n > 20, "many processes were seen")
end

T["a secret in the arguments of a process would have been seen"] = function()
  local p <close> = process.start { "sh", "-c", "sleep 30; : " .. MARKS.SESSION_SECRET }
  watched { "status", labs.recipe }
  local found = {}
  for line in pairs(arguments) do find_in(line, "arguments", found) end
  test.equal(found[1], "SESSION_SECRET in arguments")
  p:stop()
end

T["no secret is in a file"] = function()
  local lab = start()
  local dir = test.tmpdir()
  -- The journal, bundles and everything else where hkrun ran; its HOME; its TMPDIR; and what is new in /tmp. Not the
  -- emulated cloud's own folder: there RDS, Secrets Manager and Heroku keep what is theirs to keep.
  local places = { lab.dir .. "/work", lab.env.HOME, lab.dir .. "/tmp" }
  for _, name in ipairs(fs.list "/tmp") do
    if not tmp_before[name] and "/tmp/" .. name ~= dir then places[#places + 1] = "/tmp/" .. name end
  end
  for path in pairs(lab.files(lab.dir .. "/work")) do        -- what is packed is searched unpacked
    if path:find "%.zip$" or path:find "%.tar%.gz$" then
      require "zip".unpack(lab.dir .. "/work/" .. path, dir .. "/" .. path:gsub("[/.]", "_"), { links = "skip" })
    end
  end
  local journal = false
  for path in pairs(lab.files(lab.dir .. "/work")) do journal = journal or path:find "%.journal$" ~= nil end
  test.truthy(journal, "a journal to search in")
  fs.write(dir .. ".marks", table.concat((patterns()), "\n") .. "\n", 384)
  test.defer(function() fs.remove(dir .. ".marks") end)
  -- rehearsal.yml lies in the app's folder, which goes along: there this test wrote the marks
  local words = { "grep", "-r", "-a", "-l", "-F", "-f", dir .. ".marks", "--exclude=" .. dir:match "[^/]+$" .. ".marks",
                  "--exclude=rehearsal.yml", "--", dir }
  table.move(places, 1, #places, #words + 1, words)
  fs.write(lab.dir .. "/tmp/planted", "x" .. MARKS.SESSION_SECRET .. "y")
  local r = process.run(words)
  test.equal(r.stdout, lab.dir .. "/tmp/planted\n", "the one file that this case planted is found, and no other")
end

return T
