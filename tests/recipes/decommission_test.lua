--- The end of the app on Heroku: refused while it runs, a dump that is proven, everything removed in order, nothing left.
--- The cases build on each other, in this order, on one cloud.
package.path = "recipes/?.lua;" .. package.path
local backup = require "decommission.backup"
local crash = dofile "tests/support/crash_lab.lua"
local fs = require "fs"
local heroku = require "heroku"
local process = require "process"
local task = require "task"
local test = require "test"
local T = test.cases()

local RECIPE = fs.realpath "recipes" .. "/decommission.lua"

local trial, client

test.defer_file(function()
  if trial then trial:stop() end
  crash.clean()
end)

local function start()
  if not trial then
    trial = crash.start()
    trial.lab.env.HKRUN_APP = "small"
    client = heroku.client { token = require "secret".new(trial.lab.env.HEROKU_API_KEY), host = trial.lab.env.HEROKU_HOST, data_host = "127.0.0.1" }
    client:call("POST", "/apps/small/log-drains", { json = { url = "syslog+tls://logs.example.com:6514" } })
  end
  return trial
end

local function run(t, code, words)
  local r = t.lab:hkrun(words)
  test.equal(r.code, code, table.concat(words, " ") .. "\n" .. r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  return r.stdout .. r.stderr
end

local function deleted(t)
  local list = {}
  for _, call in ipairs(t.lab:ask "calls") do
    if call.api == "heroku" and call.operation:find "^DELETE" then list[#list + 1] = call.operation end
  end
  return list
end

T["while the app runs nothing is planned; without its name typed nothing is removed"] = function()
  local t = start()
  test.match(run(t, 2, { "apply", RECIPE, "--yes" }), "small still runs on Heroku: move it first")
  client:call("PATCH", "/apps/small", { json = { maintenance = true } })
  client:call("PATCH", "/apps/small/formation", { json = { updates = { { type = "web", quantity = 0 }, { type = "worker", quantity = 0 } } } })
  task.within(60, "stop the dynos", function()
    while #client:list "/apps/small/dynos" > 0 do task.sleep(0.05) end
  end)
  local plan = run(t, 0, { "plan", RECIPE })
  test.match(plan, "asks: Remove the app small from Heroku for good.*remove the log drain .*remove the add%-on %S+ %(papertrail:choklad%)"
    .. ".*remove the add%-on %S+ %(heroku%-%S+%).*delete the app small")
  run(t, 1, { "apply", RECIPE })
  test.equal(deleted(t), {})
end

T["killed after an add-on is removed and applied again: a dump with every row, everything removed, nothing left"] = function()
  local t = start()
  t.lab.env.HKRUN_BACKUP_DIR = "kept"
  local removed = "heroku DELETE /apps/{app}/addons/{addon}"
  t:plan { { call = removed, n = 2, fault = "kill", when = "after" } }
  local words = { "sh", "-c", 'echo $$ > "$0"; exec "$@"', t.pid_file, fs.realpath "/proc/self/exe", "apply", RECIPE, "--yes",
    env = t.lab.env, cwd = t.lab.dir .. "/work", timeout = 600 }
  local r = process.run(words)
  test.equal(t:struck(), 1, r.stdout .. r.stderr)
  local said = run(t, 0, { "apply", RECIPE, "--yes" })
  test.match(said, "Left over.*add%-ons +3 +0.*DMS instances +0.*\n  all +0 +nothing is left")
  test.match(said, "holds +%d+ tables, %d+ rows")
  local list = deleted(t)
  test.equal({ list[1], list[2], list[#list], #list }, { "DELETE /apps/{app}/webhooks/{webhook}", "DELETE /apps/{app}/log-drains/{drain}",
    "DELETE /apps/{app}", 6 }, table.concat(list, ", "))
  test.raises("not_found", client.get, client, "/apps/small")
  local before = #deleted(t)
  test.match(run(t, 0, { "apply", RECIPE, "--yes" }), "no changes")
  test.equal(#deleted(t), before)
end

T["what a move under another name left on AWS is found by that name, until it is gone"] = function()
  local t = start()
  local function aws(operation, ...) return t.lab:foreign { test.tool "aws", "dms", operation, "--output", "text", env = t.lab.env, ... } end
  local made = aws("create-endpoint", "--endpoint-identifier", "moved-dms-source", "--endpoint-type", "source", "--engine-name", "postgres",
    "--server-name", "db.example.com", "--port", "5432", "--database-name", "d", "--username", "u", "--password", "p",
    "--query", "Endpoint.EndpointArn").stdout:match "%S+"
  local words = { "apply", RECIPE, "--yes", "--environment-name", "moved" }
  test.match(run(t, 0, { "apply", RECIPE, "--yes" }), "DMS endpoints +0.*\n  all +0 +nothing is left")
  test.match(run(t, 0, words), "DMS endpoints +1 +delete it in the DMS console.*\n  all +1")
  aws("delete-endpoint", "--endpoint-arn", made)
  test.match(run(t, 0, words), "DMS endpoints +0.*\n  all +0 +nothing is left")
end

T["the dump has the app's rows, and one that is cut off or lacks a row is refused"] = function()
  local t = start()
  local dir = t.lab.dir .. "/work/kept"
  local path = dir .. "/" .. fs.list(dir)[1]
  local rows = backup.rows_of(path)
  test.equal({ rows["public.orders"], rows["public.customers"] }, { 100, 20 })
  local more = { ["public.orders"] = 101 }
  test.raises("public.orders has 101 rows, and 100 in the dump", backup.prove, path, more)
  local bytes = fs.read(path)
  fs.write(dir .. "/half", bytes:sub(1, #bytes // 2))
  test.raises("cannot read the dump", backup.prove, dir .. "/half", rows)
end

T["whatever still holds something of the app or its move is named; deleted as it says, it is named no more"] = function()
  local t = start()
  local work, words = t.lab.dir .. "/work", { "apply", RECIPE, "--yes" }
  local put = { [".hkrun/heroku_to_aws.small%2Eus-east-1.journal"] = "{}", [".hkrun/heroku_to_aws.small%2Eus-east-1.html"] = "<p/>",
    [".hkrun/small.redis-1"] = "{}", [".hkrun/bundles/v1.zip"] = "PK", ["handed over/network.tf"] = "# Written by hkrun export terraform of "
    .. "heroku_to_aws; sha256 of the lines below: 0", [".hkrun/github/small/a.yml"] = "on: push" }
  local others = { ".hkrun/heroku_to_aws.smaller%2Eus-east-1.journal", ".hkrun/heroku_to_aws.small-2.journal", "terraform/main.tf",
                   "kept/tiny-1.dump" }
  for path, text in pairs(put) do
    fs.mkdir_p((work .. "/" .. path):match "^(.*)/")
    fs.write(work .. "/" .. path, text)
  end
  for _, path in ipairs(others) do
    fs.mkdir_p((work .. "/" .. path):match "^(.*)/")
    fs.write(work .. "/" .. path, "somebody else's")
  end
  local function s3(...) return t.lab:foreign { test.tool "aws", "s3", env = t.lab.env, ... } end
  local buckets = {}
  for i, name in ipairs { "small", "small-dms", "small-2" } do buckets[i] = ("s3://hkrun-%s-123456789012-us-east-1"):format(name) end
  for _, bucket in ipairs(buckets) do s3("mb", bucket) end
  s3("cp", work .. "/.hkrun/bundles/v1.zip", buckets[1])
  local said = run(t, 0, words)
  test.match(said, "DMS buckets +1 .*\n  all +1 *\n")
  local kept = said:match "\nKept.*$"
  test.match(kept, "versions of the app[^\n]* " .. buckets[1]:gsub("%p", "%%%0") .. " +1 objects, 2 B ")
  test.truthy(not kept:find(buckets[3], 1, true), "another app's bucket")
  local n = 0
  for command in kept:gmatch " (rm [^\n]+)" do
    local r = process.run { "sh", "-c", command, cwd = work, env = { PATH = os.getenv "PATH" } }
    test.equal({ r.code, r.stderr }, { 0, "" }, command)
    n = n + 1
  end
  test.equal(n, 10, kept)                                    -- those six, the dump, this recipe's own journal and its reports
  for _, bucket in ipairs(buckets) do s3("rb", "--force", bucket) end
  for path in pairs(put) do test.truthy(not fs.exists(work .. "/" .. path), path) end
  for _, path in ipairs(others) do test.truthy(fs.exists(work .. "/" .. path), path) end
end

return T
