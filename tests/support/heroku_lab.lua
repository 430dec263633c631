--- A cloud with a Heroku side and a small app of three files, for tests.
local fs = require "fs"
local http = require "http"
local json = require "json"
local process = require "process"
local task = require "task"
local test = require "test"
local text = require "text"

local M = {}

local WEB = [[
const http = require('node:http');
let dying = false;
const server = http.createServer((req, res) => {
  const chunks = [];
  req.on('data', (c) => chunks.push(c));
  req.on('end', () => {
    if (req.url === '/crash') process.exit(3);
    res.setHeader('set-cookie', ['a=1', 'b=2']);
    res.setHeader('content-type', 'application/json');
    res.statusCode = req.url === '/teapot' ? 418 : 200;
    res.end(JSON.stringify({ pid: process.pid, method: req.method, url: req.url, headers: req.headers,
      body: Buffer.concat(chunks).toString(), color: process.env.COLOR || null, url_of_db: process.env.DATABASE_URL || null }));
  });
});
server.listen(process.env.PORT, () => { console.log('web listens'); console.error('and says so here'); });
process.on('SIGTERM', () => { if (!dying) { dying = true; server.close(() => process.exit(0)); server.closeIdleConnections(); } });
]]

local WORKER = [[
console.log('worker ' + process.pid + ' in ' + process.cwd());
setInterval(() => {}, 1000);
process.on('SIGTERM', () => setTimeout(() => { console.log('worker done'); process.exit(0); }, 300));
]]

M.files = {
  ["web.js"] = WEB, ["worker.js"] = WORKER, Procfile = "web: node web.js\nworker: node worker.js\n",
  ["package-lock.json"] = "{}\n",
}

--- Starts it. `more` is merged into the manifest.
---@return table lab { cloud, heroku, app, get, call, curl }
function M.start(more)
  local dir = test.tmpdir()
  fs.chmod(dir, 493)
  local app_dir = fs.join(dir, "src")
  fs.mkdir_p(app_dir)
  for name, content in pairs(M.files) do fs.write(fs.join(app_dir, name), content) end
  local manifest = {
    app = { name = "tiny", stack = "heroku-24" }, config = { COLOR = "red" },
    formation = { web = { quantity = 1, size = "Standard-1X" }, worker = { quantity = 1, size = "Standard-1X" } },
    addons = { { plan = "papertrail:choklad", as = "PAPERTRAIL", config = { PAPERTRAIL_API_TOKEN = "pt-1" } } },
    domains = { "www.example.com" }, drains = { "syslog+tls://logs.example.com:6514" },
  }
  for name, value in pairs(more or {}) do manifest[name] = value end
  local cloud = require "rehearsal.cloud".start { dir = fs.join(dir, "cloud") }
  test.defer(function() http.close_idle() end)
  test.defer(function() cloud:stop() end)
  local heroku = require "rehearsal.heroku".start(cloud, { app_dir = app_dir, manifest = manifest, cache = fs.join(dir, "cache") })
  local lab = { cloud = cloud, heroku = heroku, app = heroku.app, dir = dir, app_dir = app_dir, manifest = manifest }

  --- One call with the token: the decoded body and the answer.
  function lab.call(method, path, body, headers)
    local all = { Accept = "application/vnd.heroku+json; version=3", Authorization = text("Bearer %s", heroku.key) }
    for name, value in pairs(headers or {}) do all[name] = value or nil end      -- false takes one away
    local r = http.request { method = method, url = cloud.url .. path, json = body, headers = all, timeout = 300 }
    return r.body ~= "" and json.decode(r.body) or nil, r
  end
  function lab.get(path, headers) return lab.call("GET", path, nil, headers) end

  --- The same by curl, a client that is not ours; the token goes through its standard input.
  function lab.curl(path, ...)
    local words = { "curl", "-sS", "-K", "-", "-H", "Accept: application/vnd.heroku+json; version=3.sdk", ... }
    words.timeout = 300
    words.stdin = text('header = "Authorization: Bearer %s"\nurl = "%s%s"\n', heroku.key, cloud.url, path)
    local r = process.run(words)
    test.equal(r.code, 0, r.stderr)
    return r.stdout
  end
  function lab.web(path, opts)
    local o = { url = heroku.app.router.url .. path, timeout = 60 }
    for name, value in pairs(opts or {}) do o[name] = value end
    return http.request(o)
  end
  return lab
end

--- Waits until fn answers something true; fails after so many seconds.
function M.wait(what, fn, seconds)
  local deadline = task.now() + (seconds or 120)
  while true do
    local value = fn()
    if value then return value end
    if task.now() > deadline then error("it did not happen: " .. what, 2) end
    task.sleep(0.05)
  end
end

--- Whether a process of that pid lives.
function M.is_alive(pid)
  local there, stat = pcall(fs.read, ("/proc/%d/stat"):format(pid))
  return there and not stat:find "%) Z "
end

--- Sends a signal to a process, "STOP" or "CONT".
function M.signal(name, pid) test.equal(process.run({ "kill", "-" .. name, tostring(pid) }).code, 0) end

return M
