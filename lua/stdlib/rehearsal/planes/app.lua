--- The processes of an app on a host of the rehearsal: started, read, started
--- again when they end, as a container engine does with `restart: always`.
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local task = require "task"

local M = {}

local KEPT = 1000                       -- lines of output per app
local UNSETTLED = 15                    -- seconds after a restart in which a process counts as failing
local GRACE = 10                        -- seconds between TERM and KILL, as Docker's
local COMMAND = 600                     -- seconds that a command may take

---@class App
---@field lines string[] the last lines of all processes
local App = {}
App.__index = App
App.__close = function(app) app:stop() end

--- One stream, a handler for TERM (pid 1 has none by default), and the exit code.
local INIT = [[exec 2>&1; trap : TERM INT; "$@" & p=$!; wait $p; r=$?; while kill -0 $p 2>/dev/null; do wait $p; r=$?; done; exit $r]]
local PLAIN = [[exec 2>&1; exec "$@"]]

--- A root of its own: the image's folders over the machine's, which stand for
--- its base image; only this process sees the mounts. "/root" is the image's alone.
local ROOT = [[
set -e
merge() {
  local f n t
  for f in "$2"/* "$2"/.[!.]*; do
    n=${f##*/} t=$3/${f##*/}
    if [ "$2/$n" = /root ]; then :
    elif [ -d "$1/$n" ] && [ -d "$f" ]; then mkdir "$t"; merge "$1/$n" "$f" "$t"
    elif [ -e "$1/$n" ]; then :
    elif [ -L "$f" ]; then cp -P "$f" "$t"
    elif [ -d "$f" ]; then mkdir "$t"; mount --rbind "$f" "$t"
    elif [ -e "$f" ]; then : > "$t"; mount --bind "$f" "$t"
    fi
  done
  for f in "$1"/* "$1"/.[!.]*; do
    n=${f##*/} t=$3/${f##*/}
    if [ -e "$t" ] || [ -L "$t" ]; then :
    elif [ -L "$f" ]; then cp -P "$f" "$t"
    elif [ -d "$f" ]; then mkdir "$t"; mount --bind "$f" "$t"
    elif [ -e "$f" ]; then : > "$t"; mount --bind "$f" "$t"
    fi
  done
}
image=$1 cwd=$2
shift 2
mkdir -p "$image.root"
mount -t tmpfs -o mode=755 tmpfs "$image.root"
merge "$image" "" "$image.root"
exec chroot "$image.root" sh -c 'cd "$0" && exec "$@"' "$cwd" "$@"
]]

local has_roots

--- Whether processes can have an image as their root: as root, or where
--- ordinary users have namespaces.
function M.has_roots()
  if has_roots == nil then
    local words = { "unshare", "--mount", "--", "sh", "-c", "mount -t tmpfs tmpfs /tmp" }
    if fs.uid() ~= 0 then
      table.insert(words, 2, "--map-root-user")
      table.insert(words, 2, "--user")
    end
    has_roots = process.which "unshare" ~= nil and process.run(words).code == 0
  end
  return has_roots
end

local function add(words, text)
  for word in text:gmatch "%S+" do words[#words + 1] = word end
end

--- As root each process has its own pid namespace, which dies as a whole, and
--- is the user nobody.
local function words_for(app, service)
  local own_pids = fs.uid() == 0 and M.has_roots()
  local words = { prefix = app.prefix, cwd = not service.root and service.cwd or "/", env = service.env, stdout = "pipe", stderr = "null" }
  if own_pids then add(words, "unshare --mount --pid --fork --kill-child --mount-proc --")
  elseif service.root then add(words, "unshare --user --map-root-user --mount --") end
  if service.root then
    add(words, "sh -c")
    for _, word in ipairs { ROOT, "sh", service.root, service.cwd } do words[#words + 1] = word end
  end
  if not service.trusted then
    if own_pids then add(words, "setpriv --reuid=nobody --regid=65534 --clear-groups --pdeathsig KILL --")
    else words.user = "nobody" end
  end
  add(words, "sh -c")
  words[#words + 1] = own_pids and INIT or PLAIN
  words[#words + 1] = "sh"
  table.move(service.argv, 1, #service.argv, #words + 1, words)
  return words
end

local function keep(app, service, stream, line)
  local lines = app.lines
  lines[#lines + 1] = ("%s  | %s"):format(stream, line)
  if #lines > KEPT then table.remove(lines, 1) end
  if app.sink then app.sink(service.name, stream, line) end
end

--- Runs one process again and again until the app stops, or once.
local function supervise(app, service, entry)
  local delay = 0.5
  while not app.stopping do
    local started = task.now()
    local p = process.start(words_for(app, service))
    entry.process, entry.running = p, true
    local ok, e = pcall(function()
      for line in function() return p:read_line() end do keep(app, service, entry.stream, line) end
      entry.code = p:wait()
    end)
    entry.running = false
    p:stop(GRACE)
    entry.process = nil
    if not ok then error(e, 0) end
    if app.stopping then return end
    if app.restart == false then
      if app.ended then app.ended(entry) end
      return
    end
    entry.restarts, entry.ended_at = entry.restarts + 1, task.now()
    keep(app, service, entry.stream, ("exited with code %s"):format(tostring(entry.code)))
    if task.now() - started > 10 then delay = 0.5 end
    task.sleep(delay)
    delay = math.min(delay * 2, 10)
  end
end

local function hand_over(path, user)
  if fs.uid() ~= 0 or not fs.exists(path) then return end
  local r = process.run { "chown", "-R", user, path }
  if r.code ~= 0 then errors.raise { kind = "io", op = "give the app its folder", message = (r.stderr:gsub("%s+$", "")) } end
end

--- Maps the published ports of a host to those its processes listen on, as
--- Docker does, and lets anyone listen below 1024, as in a container.
local function map_ports(prefix, services)
  local rules = {}
  for _, service in ipairs(services) do
    for _, port in ipairs(service.ports) do
      if port.outside and port.outside ~= port.inside then rules[#rules + 1] = ("tcp dport %d redirect to :%d"):format(port.outside, port.inside) end
    end
  end
  local text = ("table ip app\ndelete table ip app\ntable ip app {\n  chain published { type nat hook prerouting priority dstnat;\n%s\n  }\n}\n")
    :format(table.concat(rules, "\n"))
  local env = { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" }
  for _, words in ipairs { { "nft", "-f", "-", stdin = text }, { "sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start" } } do
    words.prefix, words.env = prefix, env
    local r = process.run(words)
    if r.code ~= 0 then errors.raise { kind = "io", op = "map the app's ports", message = (r.stderr:gsub("%s+$", "")) } end
  end
end

--- Starts the processes of services, as services.elasticbeanstalk.bundle reads them.
---@param o { services: table[], prefix: string[], sink: fun(service: string, stream: string, line: string), folders: string[],
---  restart: boolean?, ended: fun(entry: table)? } restart = false: what ends stays so, and `ended` hears of it
---@return App
function M.start(o)
  local app = setmetatable({ services = o.services, prefix = o.prefix or {}, sink = o.sink, lines = o.lines or {}, entries = {}, tasks = {},
    restart = o.restart, ended = o.ended }, App)
  for _, folder in ipairs(o.folders or {}) do hand_over(folder, "nobody") end
  if #app.prefix > 0 then map_ports(app.prefix, o.services) end
  for _, service in ipairs(o.services) do
    for i = 1, service.count do
      local entry = { service = service.name, stream = ("%s-%d"):format(service.name, i), restarts = 0, running = false }
      app.entries[#app.entries + 1] = entry
      app.tasks[#app.tasks + 1] = task.spawn(function()
        local ok, e = xpcall(supervise, errors.handler, app, service, entry)
        if not ok and not errors.is(e, "cancelled") then entry.failure = tostring(e) keep(app, service, entry.stream, tostring(e)) end
      end)
    end
  end
  return app
end

--- Runs one command to its end, as the app's processes run.
---@param o { service: table, prefix: string[], folders: string[], line: fun(line: string) } line: hears what it prints
---@return integer code
function M.command(o)
  for _, folder in ipairs(o.folders) do hand_over(folder, "nobody") end
  local p <close> = process.start(words_for({ prefix = o.prefix or {} }, o.service))
  return (task.within(COMMAND, "run " .. (o.service.name or "a command"), function()
    for line in function() return p:read_line() end do o.line(line) end
    return p:wait()
  end))
end

--- What is wrong with the processes now, a sentence each.
---@return string[]
function App:problems()
  local list = {}
  for _, entry in ipairs(self.entries) do
    if entry.failure then list[#list + 1] = ("%s cannot be started: %s"):format(entry.stream, entry.failure)
    elseif entry.ended_at and task.now() - entry.ended_at < UNSETTLED then list[#list + 1] = ("%s ended with code %s"):format(entry.stream,
      tostring(entry.code)) end
  end
  return list
end

--- Ends all processes: TERM, and KILL after ten seconds. Safe twice.
function App:stop()
  if self.stopping then return end
  self.stopping = true
  task.shield(function()
    local deadline, pending = task.now() + GRACE, {}
    for i, t in ipairs(self.tasks) do
      local p = self.entries[i].process
      if p then p:kill "TERM" else t:cancel() end
      pending[i] = t
    end
    while #pending > 0 do
      for i = #pending, 1, -1 do
        if pending[i].done then table.remove(pending, i) end
      end
      if task.now() > deadline then break end
      if #pending > 0 then task.sleep(0.05) end
    end
    for _, t in ipairs(pending) do t:cancel() end
    for i, t in ipairs(self.tasks) do
      local p = not t.done and self.entries[i].process
      if p then p:kill "KILL" end
      pcall(t.join, t)
    end
  end)
end

return M
