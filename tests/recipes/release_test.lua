--- The release phase, and an environment that does not become healthy: what stops the cutover, what it says, and that it goes
--- on from there. The cases build on each other.
local fs = require "fs"
local http = require "http"
local json = require "json"
local labs = dofile "tests/support/rehearsal_lab.lua"
local process = require "process"
local test = require "test"
local T = test.cases()

local RELEASE = [[
echo "release of $SHOP_NAME, password $(printf %s "$DATABASE_URL" | sed 's/.*:\(.*\)@.*/\1/' | wc -c | tr -d ' ') long"
psql -q -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "CREATE TABLE IF NOT EXISTS released (at timestamptz)" \
  -c "INSERT INTO released VALUES (now())" || exit 4
if [ "$MODE" = broken ]; then
  echo "cannot reach postgres://owner:hunter2@db.example.com/shop" >&2
  echo 'migrate: column "total" is missing' >&2
  exit 3
fi
]]

--- tests/support/tiny_app with a release process, and with a web process that fails when it is told so.
local function app_folder()
  local dir = fs.tmpdir "hkrun-release-"
  test.defer_file(function() fs.rmtree(dir) end)
  fs.chmod(dir, 493)
  for _, name in ipairs { "package.json", "package-lock.json", "worker.js", "rehearsal.yml" } do
    fs.write(fs.join(dir, name), fs.read("tests/support/tiny_app/" .. name), 420)
  end
  local web = (fs.read "tests/support/tiny_app/web.js"):gsub("known %? 200 : 404", "process.env.MODE === 'ill' && !process.env.DYNO ? 500 : %0")
  fs.write(dir .. "/web.js", web, 420)
  fs.write(dir .. "/release.sh", RELEASE, 420)
  fs.write(dir .. "/Procfile", "release: sh release.sh\nweb: echo \"mode $MODE\"; exec node web.js\nworker: node worker.js\n", 420)
  local manifest = fs.read(dir .. "/rehearsal.yml"):gsub("config:\n", '%0  MODE: broken\n  SHOP_NAME: "A & B\'s \\"shop\\""\n')
  fs.write(dir .. "/rehearsal.yml", manifest, 420)
  return dir
end

local cloud = labs.lazy { app = app_folder(), options = { HKRUN_APP = "tiny", HKRUN_HEALTH_PATH = "/health", HKRUN_HEALTH_TIMEOUT = "3" } }

local function set_mode(mode)
  local lab = cloud()
  local r = lab:hkrun { "-e", ("require('http').request{ method = 'PATCH', url = os.getenv 'HEROKU_HOST' .. '/apps/tiny/config-vars', "
    .. "headers = { Accept = 'application/vnd.heroku+json; version=3', Authorization = 'Bearer ' .. os.getenv 'HEROKU_API_KEY' }, "
    .. "json = { MODE = %q } }"):format(mode) }
  test.equal(r.code, 0, r.stderr)
end

local function apply(...)
  return cloud():hkrun({ "apply", labs.recipe, "--yes", ... }, { timeout = 280 })
end

--- What Heroku's app answers, and what runs there.
local function on_heroku()
  local answer = http.get(cloud().said.HKRUN_REHEARSAL_APP_URL .. "/health", { timeout = 20 })
  local r = cloud():hkrun { "-e", "local n = {} for _, p in ipairs(heroku.app('tiny').formation) do n[p.type] = p.quantity end return n" }
  return { answer.status, json.decode(r.stdout) or r.stderr }
end

--- How often the release process wrote into a database.
local function releases(url)
  local r = process.run { "psql", "-X", "-A", "-t", "-c", "SELECT count(*) FROM released", url, timeout = 20 }
  return tonumber(r.stdout) or r.stderr
end

T["a release process that fails stops the cutover: its last lines are said, Heroku goes on, nothing of the version ran"] = function()
  local r = apply()
  test.equal(r.code, 1, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stderr, "Failed to deploy application")
  test.match(r.stderr, '\n    release of A & B\'s "shop", password %d+ long\n')
  test.match(r.stderr, '\n    migrate: column "total" is missing\n')
  test.match(r.stderr, "postgres://owner:%(secret%)@db%.example%.com")
  test.match(r.stderr, "nothing of this version has run; apply again tries again once its command works")
  test.equal(on_heroku(), { 200, { web = 1, worker = 1, release = 0 } })
  test.equal(cloud():ask "apps"[1].url and #cloud():ask "apps", 1)
end

T["an environment that does not become healthy stops it too: causes, events and last lines are said"] = function()
  set_mode "ill"
  local r = apply()
  test.equal(r.code, 1, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stderr, "requests to the path /health are failing with HTTP 500")
  test.match(r.stderr, "\n    [^\n]*mode ill\n")
  test.equal(on_heroku(), { 200, { web = 1, worker = 1, release = 0 } })
end

T["once both are mended apply goes on: the release ran once on the data that was copied, before the app"] = function()
  set_mode "well"
  local r = apply "--overwrite"                              -- what ran on AWS may have written there
  test.equal(r.code, 0, r.stdout:sub(-1500) .. r.stderr:sub(-1500))
  test.match(r.stdout, "release phase +sh release%.sh, once, before anything else ran")
  local lab = cloud()
  test.equal(releases(lab:ask "apps"[1].env.DATABASE_URL), releases(lab.said.HKRUN_REHEARSAL_OLD_DATABASE_URL) + 1)
  test.equal(http.get(cloud():ask "apps"[1].url .. "/health", { timeout = 20 }).status, 200)
  test.equal(http.get(cloud().said.HKRUN_REHEARSAL_APP_URL, { timeout = 20 }).status, 503)
end

return T
