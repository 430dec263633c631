--- The rehearsal cloud: one HTTP server that answers as AWS and as Heroku, and
--- the real servers behind it. Everything lives in one folder and in this
--- process and its children; `stop` leaves nothing.
---
--- A service is lua/stdlib/rehearsal/services/NAME.lua, a table of functions by
--- operation: S.CreateVpc(cloud, params, ctx) -> result, in AWS's own names.
--- Names with a leading underscore are for other services of the rehearsal.
local clock = require "rehearsal.clock"
local errors = require "errors"
local exact_faults = require "rehearsal.exact_faults"
local faults = require "rehearsal.faults"
local fs = require "fs"
local inspect = require "rehearsal.inspect"
local log = require "log"
local loop = require "host.loop"
local network = require "rehearsal.planes.network"
local secret = require "secret"
local serve = require "rehearsal.serve"
local sign = require "sign"
local signature = require "rehearsal.signature"
local stale = require "rehearsal.stale"
local task = require "task"
local wire = require "rehearsal.wire"

local M = {}

---@class Cloud
---@field account string
---@field dir string
---@field clock table
---@field net Network
---@field calls table[] what was asked: { at, api, operation, mutating, status, id, params_of }
local Cloud = {}
Cloud.__index = Cloud
Cloud.__close = function(cloud) cloud:stop() end

--- Raises what the service answers as an error: cloud.fail("InvalidVpcID.NotFound", 400, "...", ...).
Cloud.fail = wire.fail

--- The state of a service in a region, a plain table that lives as long as the cloud.
function Cloud:store(service, region)
  local key = service .. "/" .. (region or "global")
  self.state[key] = self.state[key] or {}
  return self.state[key]
end

--- A new id as AWS writes them: "vpc-0a1b2c3d4e5f67890".
function Cloud:new_id(prefix)
  return prefix .. "-0" .. sign.hex(sign.random(8))
end

function Cloud:arn(service, region, resource)
  return ("arn:aws:%s:%s:%s:%s"):format(service, region or "", self.account, resource)
end

--- Runs fn after so many simulated seconds, as a task of the cloud's.
---@return Task
function Cloud:after(seconds, fn)
  local t
  t = task.spawn(function()
    self.clock:sleep(seconds)
    local ok, e = xpcall(fn, errors.handler)
    if not ok and not errors.is(e, "cancelled") then
      log.warn("the rehearsal cloud: %s", tostring(e))
      log.debug("%s", e.traceback or "")
    end
    self.tasks[t] = nil
  end)
  self.tasks[t] = true
  return t
end

--- One page of a list: the items and the next token, nil at the end.
function Cloud.page(list, token, size)
  local first = token and (tonumber(token) or wire.fail("InvalidParameterValue", 400, "the token is not valid")) or 1
  local page, last = {}, math.min(#list, first + (size or 100) - 1)
  for i = first, last do page[#page + 1] = list[i] end
  return page, last < #list and tostring(last + 1) or nil
end

local service_modules = {}

local function service(name)
  if service_modules[name] == nil then
    local ok, found = pcall(require, "rehearsal.services." .. name:gsub("-", "_"))
    if not ok and not tostring(found):find "no module" then error(found, 0) end
    service_modules[name] = ok and found or false
  end
  return service_modules[name] or nil
end
Cloud.service = function(_, name) return service(name) end

local READS = { "^Describe", "^List", "^Get", "^Head", "^Check", "^Validate", "^Lookup", "^Search", "^Test", "^Filter",
                "^Retrieve", "^RequestEnvironmentInfo$", "^Simulate", "^AssumeRole", "^Query" }

local function is_read(operation)
  if operation == "TestConnection" then return false end             -- of DMS: it makes a connection that is kept
  for _, pattern in ipairs(READS) do if operation:find(pattern) then return true end end
  return false
end

--- Who asks, for what: by the signature, and for a session of a role by its token, too. Only who takes a role on with the token of an
--- identity provider has no key to sign with.
local function authenticate(self, req)
  if not signature.read(req) and type(req.body) == "string" and req.body:find("Action=AssumeRoleWithWebIdentity", 1, true) then
    return { service = "sts", region = "us-east-1" }
  end
  local scope = signature.check(req, self.secret_keys, loop.time())
  scope.session = self.sessions[scope.access_key]
  if scope.session and not secret.equal(scope.session.token, scope.token or "") then
    wire.fail("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
  end
  return scope
end

--- AWS's side of a request.
function Cloud:aws(req, call)
  local scope = signature.read(req)
  local m, protocol, op, params
  local ok, answer = xpcall(function()
    scope = authenticate(self, req)
    m = wire.service(scope.service)
    protocol = m.meta.protocol
    op, params, protocol = wire.decode(m, req)
    call.api, call.operation, call.mutating = m.service, op.name, not is_read(op.name)
    local s = service(m.service)
    local handler = s and op.name:sub(1, 1) ~= "_" and s[op.name]
    if not handler then
      wire.fail("InvalidAction", 501, "the rehearsal cloud does not emulate %s %s", m.service, op.name)
    end
    local ctx = { region = scope.region, operation = op.name, request_id = call.id, service = m.service, request = req, session = scope.session }
    call.params = params
    local documents = scope.session and service "iam"._policies(self, scope.session.role) or self.policies
    if documents then require("rehearsal.rights").check(self, documents, m, op, params, ctx) end
    return self.exact_faults:around(call, function(fault)
      local code, status = exact_faults.aws(fault, m.meta.protocol)
      wire.fail(code, status, "the fault plan says so")
    end, function()
      local seen = self
      if self.stale and call.mutating then self.stale:change(self, m.service)
      elseif self.stale then seen = self.stale:view(self, m.service) end
      return wire.answer(m, op, protocol, handler(seen, params, ctx) or {}, call.id)
    end)
  end, function(e)
    if type(e) == "table" and e.aws then return e end
    return errors.handler(e)
  end)
  if ok then return answer end
  local e = answer
  if not e.aws then
    if errors.is(e, "cancelled") then error(e, 0) end
    log.warn("the rehearsal cloud failed in %s %s: %s%s", call.api or "aws", call.operation or "?", tostring(e), e.traceback or "")
    e = { code = "InternalFailure", status = 500, message = "the rehearsal cloud failed: " .. tostring(e) }
  end
  call.error = e.code
  if not m then
    local found, guess = pcall(wire.service, scope and scope.service or "sts")
    m = found and guess or nil
    protocol = m and m.meta.protocol or "query"
    if req.headers["x-amz-target"] then protocol = "json" end
  end
  local err = wire.error(m, protocol, e, call.id)
  if req.method == "HEAD" then err.body = nil end
  return err
end

local function is_heroku(req)
  local accept = req.headers.accept or ""
  return accept:find("vnd.heroku", 1, true) ~= nil or (req.headers.authorization or ""):find "^Bearer" ~= nil
         or (req.headers.authorization or ""):find "^Basic" ~= nil
end

function Cloud:handle(req)
  local own = req.path:match "^/_hkrun/(.*)$"
  if own then return inspect.answer(self, own, req) end
  local call = { at = self.clock:now(), id = sign.uuid(), method = req.method, path = req.path }
  local fault = self.faults and self.faults(req)
  if fault and fault.before then
    call.fault = fault.name
    self.calls[#self.calls + 1] = call
    return fault.answer
  end
  local answer = service "ecr"._registry(self, req)
  local heroku = not answer and is_heroku(req)
  if answer then call.api, call.operation, call.mutating = "registry", req.method, req.method ~= "GET" and req.method ~= "HEAD"
  elseif not heroku then answer = self:aws(req, call)
  elseif not self.heroku then answer = { status = 404, json = { id = "not_found", message = "this cloud has no Heroku side" } }
  else answer = self.heroku:handle(req, call) end
  call.status = answer.status
  self.calls[#self.calls + 1] = call
  if fault then
    call.fault = fault.name
    answer = fault.answer or answer
    answer.delay = answer.delay or fault.delay
  end
  return answer
end

--- The environment in which ordinary clients reach this cloud.
---@return table<string, any> secrets among them
function Cloud:env()
  local env = {
    AWS_ENDPOINT_URL = self.url, AWS_ACCESS_KEY_ID = self.access_key, AWS_SECRET_ACCESS_KEY = self.secret_key,
    AWS_REGION = self.region, AWS_DEFAULT_REGION = self.region, AWS_EC2_METADATA_DISABLED = "true",
    PGSSLROOTCERT = self.ca.file, SSL_CERT_FILE = self.ca.file, HOME = self.home,
    PATH = os.getenv "PATH" or "/usr/bin:/bin", LANG = "C.UTF-8", TERM = os.getenv "TERM" or "dumb", NO_PROXY = "*",
  }
  if self.heroku then
    for name, value in pairs(self.heroku:env()) do env[name] = value end
  end
  return env
end

--- The plane that starts a kind of server: of a cloud without servers, one that starts none.
---@param name "postgres"|"redis"|"sshd"
function Cloud:plane(name)
  return require("rehearsal.planes." .. (self.servers and name or "none"))
end

--- Starts the cloud. Without `servers` there is nothing behind its databases, caches and machines.
---@param o { dir: string, port?: integer, scale?: number, region?: string, faults?: table, servers?: boolean }
---@return Cloud
function M.start(o)
  fs.mkdir_p(o.dir)
  local cloud = setmetatable({
    dir = fs.realpath(o.dir), account = "123456789012", region = o.region or "us-east-1", state = {}, calls = {}, tasks = {},
    metrics = {}, watched = {},
    clock = clock(o.scale or 120), net = network.new(o.servers == false),
    access_key = "AKIA" .. sign.hex(sign.random(8)):upper(), secret_key = sign.base64(sign.random(30)),
    faults = o.faults and faults(o.faults),
    stale = o.faults and o.faults.stale and stale(o.faults.stale) or nil,
    exact_faults = exact_faults.new {}, servers = o.servers ~= false,
  }, Cloud)
  cloud.secret_keys, cloud.sessions = { [cloud.access_key] = cloud.secret_key }, {}
  fs.chmod(cloud.dir, 493)              -- servers that refuse root must get in
  cloud.home = fs.join(cloud.dir, "home")
  fs.mkdir_p(fs.join(cloud.home, ".ssh"), 448)
  cloud.ca = require "rehearsal.planes.ca".new(fs.join(cloud.dir, "ca"))
  local bodies = fs.join(cloud.dir, "bodies")           -- where S3 can take a large one from without copying it
  fs.mkdir_p(bodies)
  cloud.server = serve.start { port = o.port or 0, tmpdir = bodies, handler = function(req) return cloud:handle(req) end }
  cloud.url = "http://127.0.0.1:" .. cloud.server.port
  return cloud
end

local function stop_services(cloud)
  for _, s in pairs(service_modules) do
    if s and s._stop then s._stop(cloud) end
  end
  cloud.net:close()
end

--- Makes the account a new one, in which nothing is; Heroku's side stays.
function Cloud:empty()
  stop_services(self)
  self.state, self.calls, self.doors, self.exact_faults = {}, {}, nil, exact_faults.new {}
  self.metrics, self.watched = {}, {}
end

--- Ends everything: tasks, services' servers, the network, the HTTP server.
function Cloud:stop()
  if self.stopped then return end
  self.stopped = true
  self.server:stop()
  local pending = {}
  for t in pairs(self.tasks) do pending[#pending + 1] = t end
  for _, t in ipairs(pending) do t:cancel() end
  for _, t in ipairs(pending) do pcall(t.join, t) end
  if self.heroku then self.heroku:stop() end
  stop_services(self)
end

return M
