--- The process of a load balancer: listens, forwards each request to a target
--- that answers its health check, and prints a line of JSON when it thinks
--- otherwise of a target. Its instructions are a file that is written anew
--- whenever something changed (engine.lua).
local errors = require "errors"
local fs = require "fs"
local http = require "http"
local json = require "json"
local serve = require "rehearsal.serve"
local sign = require "sign"
local task = require "task"

local M = {}

local LOOK = 0.1                        -- seconds between two looks at the instructions

local HOP_BY_HOP = { connection = true, ["keep-alive"] = true, ["proxy-authenticate"] = true, ["proxy-authorization"] = true,
  te = true, trailer = true, ["transfer-encoding"] = true, upgrade = true, ["content-length"] = true, expect = true }

local function page(status, title)
  return { status = status, headers = { ["Content-Type"] = "text/html", Server = "awselb/2.0" },
    body = ("<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n</body>\r\n</html>\r\n")
      :format(status, title, status, title) }
end

-- Health -------------------------------------------------------------------

local function is_expected(matcher, status)
  for part in matcher:gmatch "[^,]+" do
    local from, to = part:match "(%d+)%-?(%d*)"
    if status >= tonumber(from) and status <= (tonumber(to) or tonumber(from)) then return true end
  end
  return false
end

--- One check of a target; its own words for what is wrong are Elastic Load Balancing's.
local function ask(group, target)
  local ok, answer = pcall(http.get, ("http://%s:%d%s"):format(target.address, target.port, group.path),
    { timeout = group.timeout, connect_timeout = group.timeout, headers = { ["user-agent"] = "ELB-HealthChecker/2.0" } })
  if ok and is_expected(group.matcher, answer.status) then return true end
  if ok then return false, "Target.ResponseCodeMismatch", ("Health checks failed with these codes: [%d]"):format(answer.status) end
  if errors.is(answer, "cancelled") then error(answer, 0) end
  if errors.is(answer, "timeout") then return false, "Target.Timeout", "Request timed out" end
  return false, "Target.FailedHealthChecks", "Health checks failed"
end

local function say(arn, target, state, reason, description)
  io.stdout:write(json.encode { group = arn, key = target.key, serial = target.serial, state = state, reason = reason,
                                description = description }, "\n")
  io.stdout:flush()
end

--- What a target is called here: one that left and came back is another one.
local function id_of(arn, target) return ("%s %s#%d"):format(arn, target.key, target.serial) end

--- Looks at a target again and again. One good answer makes a new target healthy; after that it takes as many in a row as
--- the group says.
local function watch(balancer, arn, new)
  local id, good, bad, state = id_of(arn, new), 0, 0, "initial"
  say(arn, new, state, "Elb.InitialHealthChecking", "Initial health checks in progress")
  while true do
    local group = balancer.groups[arn]
    local target = group and group.by_key[new.key]
    if not target or target.serial ~= new.serial then
      balancer.watchers[id], balancer.states[id], balancer.drained[id] = nil, nil, nil
      return
    end
    if not target.draining then
      local ok, reason, description = ask(group, target)
      good, bad = ok and good + 1 or 0, ok and 0 or bad + 1
      if ok and state ~= "healthy" and (state == "initial" or good >= group.up) then
        state = "healthy"
        say(arn, target, state)
      elseif not ok and bad >= group.down and state ~= "unhealthy" then
        state = "unhealthy"
        say(arn, target, state, reason, description)
      end
      balancer.states[id] = state
    end
    task.sleep(group.pause)
  end
end

-- Forwarding ---------------------------------------------------------------

--- The next target that is healthy; where none is, all that are not new take their turn, as in AWS.
local function pick(balancer, arn)
  local healthy, others = {}, {}
  local group = balancer.groups[arn] or { targets = {} }
  for _, target in ipairs(group.targets) do
    local state = balancer.states[id_of(arn, target)]
    if not target.draining and state == "healthy" then healthy[#healthy + 1] = target
    elseif not target.draining and state == "unhealthy" then others[#others + 1] = target end
  end
  local list = #healthy > 0 and healthy or others
  balancer.turn = balancer.turn + 1
  return list[balancer.turn % math.max(1, #list) + 1]
end

local function forward(balancer, listener, arn, req)
  local target = pick(balancer, arn)
  if not target then return page(503, "Service Temporarily Unavailable") end
  local headers = {}
  for name, values in pairs(req.headers.all) do
    if not HOP_BY_HOP[name] then headers[name] = #values == 1 and values[1] or values end
  end
  local peer = req.peer:match "^(.*):%d+$" or req.peer
  headers["x-forwarded-for"] = req.headers["x-forwarded-for"] and req.headers["x-forwarded-for"] .. ", " .. peer or peer
  headers["x-forwarded-proto"], headers["x-forwarded-port"] = listener.protocol, tostring(listener.outside)
  headers["x-amzn-trace-id"] = headers["x-amzn-trace-id"] or ("Root=1-%x-%s"):format(os.time(), sign.hex(sign.random(12)))
  local query = req.raw_query ~= "" and "?" .. req.raw_query or ""
  local id = id_of(arn, target)
  balancer.busy[id] = (balancer.busy[id] or 0) + 1
  local ok, r = pcall(http.request, {
    method = req.method, url = ("http://%s:%d%s%s"):format(target.address, target.port, req.raw_path, query), headers = headers,
    body = req.body_file and { file = req.body_file } or req.body_size > 0 and req.body or nil,
    connect_timeout = 10, stall_timeout = balancer.idle,
  })
  balancer.busy[id] = balancer.busy[id] > 1 and balancer.busy[id] - 1 or nil
  if not ok then
    if errors.is(r, "cancelled") then error(r, 0) end
    return errors.is(r, "timeout") and page(504, "Gateway Time-out") or page(502, "Bad Gateway")
  end
  local out = {}
  for name, values in pairs(r.headers.all) do
    if not HOP_BY_HOP[name] then out[name] = values end
  end
  if req.method == "HEAD" then
    out["content-length"] = r.headers["content-length"]
    return { status = r.status, headers = out }
  end
  return { status = r.status, headers = out, body = r.body }
end

--- "#{host}" and the like in a redirect.
local function redirect(listener, config, req)
  local host = (req.headers.host or ""):gsub(":%d+$", "")
  local known = { protocol = listener.protocol:upper(), port = tostring(listener.outside), host = host, path = req.raw_path:gsub("^/", ""),
    query = req.raw_query }
  local function fill(s) return (s:gsub("#{(%a+)}", known)) end
  local protocol, port, query = fill(config.Protocol):lower(), fill(config.Port), fill(config.Query)
  return { status = tonumber(config.StatusCode:match "%d+"), headers = { Server = "awselb/2.0", Location = ("%s://%s:%s%s%s"):format(
    protocol, fill(config.Host), port, fill(config.Path), query ~= "" and "?" .. query or "") }, body = "" }
end

local function answer(balancer, port, req)
  local listener = balancer.listeners[port]
  local action = listener and listener.actions[1]
  if not action then return page(503, "Service Temporarily Unavailable") end
  if action.Type == "redirect" then return redirect(listener, action.RedirectConfig, req) end
  if action.Type == "fixed-response" then
    local fixed = action.FixedResponseConfig
    return { status = tonumber(fixed.StatusCode), headers = { ["Content-Type"] = fixed.ContentType or "text/plain" }, body = fixed.MessageBody or "" }
  end
  return forward(balancer, listener, action.TargetGroupArn or action.ForwardConfig.TargetGroups[1].TargetGroupArn, req)
end

-- The process --------------------------------------------------------------

--- Opens and closes ports, and watches those targets that are there.
local function follow(balancer, config)
  balancer.idle = config.idle
  local wanted = {}
  for _, listener in ipairs(config.listeners) do
    local port = listener.port
    wanted[port] = listener
    local old = balancer.listeners[port]
    if old and (old.protocol ~= listener.protocol or old.cert ~= listener.cert) then
      balancer.servers[port]:stop()
      balancer.servers[port] = nil
    end
    balancer.listeners[port] = listener
    if not balancer.servers[port] then
      balancer.servers[port] = serve.start { host = config.address, port = port, cert = listener.cert, key = listener.key,
        handler = function(req) return answer(balancer, port, req) end }
    end
  end
  for port, server in pairs(balancer.servers) do
    if not wanted[port] then
      server:stop()
      balancer.servers[port], balancer.listeners[port] = nil, nil
    end
  end
  for _, group in pairs(config.groups) do
    group.by_key = {}
    for _, target in ipairs(group.targets) do group.by_key[target.key] = target end
  end
  balancer.groups = config.groups
  for arn, group in pairs(config.groups) do
    for _, target in ipairs(group.targets) do
      local id = id_of(arn, target)
      local running = balancer.watchers[id]
      if not running or running.done then balancer.watchers[id] = task.spawn(watch, balancer, arn, target) end
    end
  end
end

--- Says which of the targets that leave have nothing to do any more.
local function tell_drained(balancer)
  for arn, group in pairs(balancer.groups) do
    for _, target in ipairs(group.targets) do
      local id = id_of(arn, target)
      if target.draining and not balancer.busy[id] and not balancer.drained[id] then
        balancer.drained[id] = true
        say(arn, target, "drained")
      end
    end
  end
end

--- Runs until it is ended.
---@param path string its instructions
function M.run(path)
  local balancer = { listeners = {}, servers = {}, groups = {}, watchers = {}, states = {}, busy = {}, drained = {}, turn = 0 }
  local before
  while true do
    local text = fs.exists(path) and fs.read(path)
    if text and text ~= before then
      before = text
      follow(balancer, errors.check("read " .. path, json.decode(text)))
    end
    tell_drained(balancer)
    task.sleep(LOOK)
  end
end

return M
