--- How a service gets from the tasks that it has to those that it should have:
--- deployments roll, the circuit breaker stops one that fails and goes back.
--- https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
--- https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
local errors = require "errors"
local log = require "log"
local managed = require "rehearsal.managed"
local sign = require "sign"
local task = require "task"
local tasks = require "rehearsal.services.ecs.tasks"

local M = {}

local PERIOD = 0.1                      -- real seconds between two looks
local PATIENCE = 20                     -- real seconds that an app has to answer, whatever the simulated time
local HEARD = 0.5                       -- real seconds until a load balancer has heard that a target leaves
local UNKIND = 5                        -- real seconds that it may answer badly while it starts

function M.event(cloud, service, fmt, ...)
  table.insert(service.events, { id = sign.uuid(), createdAt = cloud.clock:now(),
    message = ("(service %s) %s"):format(service.serviceName, fmt:format(...)) })
end

--- Makes a definition the one that the service is to run.
function M.deploy(cloud, service, definition)
  for _, d in ipairs(service.deployments) do
    d.status = "ACTIVE"
    if d.rollout == "IN_PROGRESS" then d.reason = "A newer deployment takes its place." end
  end
  local now = cloud.clock:now()
  table.insert(service.deployments, 1, { id = ("ecs-svc/%d"):format(math.random(10 ^ 18, 10 ^ 19 // 2)), status = "PRIMARY", definition = definition,
    desired = service.desired, failed = 0, createdAt = now, updatedAt = now, rollout = "IN_PROGRESS",
    reason = "ECS deployment ecs-svc in progress." })
  service.settled = false
end

function M.unsettle(service)
  service.settled = false
  local primary = service.deployments[1]
  if primary.rollout == "FAILED" then primary.rollout, primary.failed = "IN_PROGRESS", 0 end
end

local function is_up(t) return t.lastStatus == "RUNNING" and t.desiredStatus == "RUNNING" end

local function tasks_of(service, d)
  local list = {}
  for _, t in pairs(service.cluster.tasks) do
    if t.group == "service:" .. service.serviceName and t.service == service and (not d or t.deployment == d) and t.lastStatus ~= "STOPPED" then
      list[#list + 1] = t
    end
  end
  table.sort(list, function(a, b) return a.createdAt < b.createdAt or a.createdAt == b.createdAt and a.id < b.id end)
  return list
end

--- Running and pending tasks of a service, or of one of its deployments.
function M.counts(service, d)
  local up, pending = 0, 0
  for _, t in ipairs(tasks_of(service, d)) do
    if is_up(t) then up = up + 1
    elseif t.desiredStatus == "RUNNING" then pending = pending + 1 end
  end
  return up, pending
end

-- The load balancer --------------------------------------------------------

local function port_of(service, t)
  local lb = service.loadBalancers[1]
  return t.local_ports[lb.containerPort] or lb.containerPort
end

local function register(cloud, ctx, service, t)
  local lb = service.loadBalancers[1]
  t.target = { Id = t.place.address, Port = port_of(service, t) }
  cloud:service "elbv2".RegisterTargets(cloud, { TargetGroupArn = lb.targetGroupArn, Targets = { t.target } }, ctx)
  M.event(cloud, service, "registered 1 targets in (target-group %s)", lb.targetGroupArn)
end

local function deregister(cloud, ctx, service, t)
  local lb, target = service.loadBalancers[1], t.target
  t.target = nil
  if not (lb and target) then return end
  pcall(cloud:service "elbv2".DeregisterTargets, cloud, { TargetGroupArn = lb.targetGroupArn, Targets = { target } }, ctx)
  M.event(cloud, service, "deregistered 1 targets in (target-group %s)", lb.targetGroupArn)
end

--- "healthy", "unhealthy" (for too long), or nil while nobody knows.
local function health(cloud, ctx, service, t)
  local lb = service.loadBalancers[1]
  if not lb then return "healthy" end
  if not t.target then register(cloud, ctx, service, t) end
  local state, why = cloud:service "elbv2"._health(cloud, ctx, lb.targetGroupArn, t.target.Id, t.target.Port)
  if state == "healthy" then return state end
  if state ~= "unhealthy" then return nil end
  local patience = (why or ""):find "codes" and UNKIND or PATIENCE
  local runs = task.now() - t.running_since
  if t.was_healthy or runs > math.max(patience, service.grace / cloud.clock.scale) then return state end
end

local function stop(cloud, ctx, service, t, code, reason)
  local lb, target = service.loadBalancers[1], t.target
  deregister(cloud, ctx, service, t)
  tasks._stop_task(cloud, ctx, t, code, reason, lb and target and function()
    task.sleep(HEARD)
    while cloud:service "elbv2"._health(cloud, ctx, lb.targetGroupArn, target.Id, target.Port) == "draining" do task.sleep(PERIOD) end
  end or nil)
end

-- One look -----------------------------------------------------------------

local function launch(cloud, ctx, service, d, count)
  for _ = 1, count do
    local t = tasks._launch(cloud, ctx, { cluster = service.cluster, definition = d.definition, network = service.network, by = d.id,
      group = "service:" .. service.serviceName, exec = service.exec, tags = service.propagateTags == "SERVICE" and service.tags or {} })
    t.service, t.deployment = service, d
  end
  M.event(cloud, service, "has started %d tasks.", count)
end

--- Tasks that ended by themselves, or that the load balancer gave up.
local function reap(cloud, ctx, service)
  for _, t in ipairs(managed.sorted(service.cluster.tasks)) do        -- others come and go meanwhile
    if t.service == service and not t.reaped then
      if is_up(t) then
        local state = health(cloud, ctx, service, t)
        t.was_healthy = t.was_healthy or state == "healthy"
        t.is_healthy = state == "healthy"
        if state == "unhealthy" then
          M.event(cloud, service, "(port %d) is unhealthy in (target-group %s)", port_of(service, t), service.loadBalancers[1].targetGroupArn)
          t.given_up = true
          stop(cloud, ctx, service, t, "ServiceSchedulerInitiated",
            ("Task failed ELB health checks in (target-group %s)"):format(service.loadBalancers[1].targetGroupArn))
        end
      elseif t.desiredStatus == "STOPPED" and not t.wanted_away then
        t.reaped = true
        deregister(cloud, ctx, service, t)
        local d = t.deployment
        d.failed, d.last_failure = d.failed + 1, task.now()
        service.settled = false
        M.event(cloud, service, "has stopped 1 running tasks: (task %s). %s", t.id, t.stoppedReason or "")
      end
    end
  end
end

local function send_away(cloud, ctx, service, list, count)
  for i = 1, math.min(count, #list) do
    list[i].wanted_away = true
    stop(cloud, ctx, service, list[i], "ServiceSchedulerInitiated", "Scaling activity initiated by (deployment " .. list[i].deployment.id .. ")")
  end
end

--- The circuit breaker: half of the tasks wanted, but 3 to 200, must have failed.
local function breaks(service, d)
  local breaker = service.deploymentConfiguration.deploymentCircuitBreaker
  return breaker.enable and d.rollout == "IN_PROGRESS" and d.failed >= math.min(200, math.max(3, math.ceil(d.desired / 2)))
end

local function break_circuit(cloud, service, d)
  d.rollout, d.reason = "FAILED", "ECS deployment circuit breaker: tasks failed to start."
  M.event(cloud, service, "(deployment %s) deployment failed: tasks failed to start.", d.id)
  local last = service.completed
  if not (service.deploymentConfiguration.deploymentCircuitBreaker.rollback and last and last ~= d.definition) then return end
  d.desired = 0
  service.definition = last
  M.deploy(cloud, service, last)
  service.deployments[1].reason = ("ECS deployment circuit breaker: rolling back to deploymentId %s."):format(service.completed_id)
  M.event(cloud, service, "rolling back to (deployment %s).", service.completed_id)
end

local function complete(cloud, service, d)
  d.rollout, d.reason, d.updatedAt = "COMPLETED", ("ECS deployment %s completed."):format(d.id), cloud.clock:now()
  service.completed, service.completed_id = d.definition, d.id
  for i = #service.deployments, 2, -1 do table.remove(service.deployments, i) end
  M.event(cloud, service, "(deployment %s) deployment completed.", d.id)
end

--- One look at the service.
local function look(cloud, ctx, service)
  reap(cloud, ctx, service)
  local d, want = service.deployments[1], service.status == "ACTIVE" and service.deployments[1].desired or 0
  if breaks(service, d) then
    break_circuit(cloud, service, d)
    d, want = service.deployments[1], service.deployments[1].desired
  end
  local new, old, healthy_new, healthy_old = {}, {}, 0, 0
  for _, t in ipairs(tasks_of(service)) do
    if t.desiredStatus == "RUNNING" then
      local is_new = t.deployment == d
      table.insert(is_new and new or old, t)
      if t.is_healthy and is_up(t) then
        if is_new then healthy_new = healthy_new + 1 else healthy_old = healthy_old + 1 end
      end
    end
  end
  local configuration = service.deploymentConfiguration
  local most = math.max(want, want * configuration.maximumPercent // 100)
  local least = math.ceil(want * configuration.minimumHealthyPercent / 100)
  local pause = d.failed >= 3 and math.min(d.failed, 10) / 2 or 0          -- ECS throttles a service whose tasks keep failing
  local may_start = d.rollout ~= "FAILED" and (not d.last_failure or task.now() - d.last_failure >= pause)
  if #new < want and may_start then
    local count = math.min(want - #new, most - #new - #old)
    if count > 0 then launch(cloud, ctx, service, d, count) end
  end
  if #new > want then send_away(cloud, ctx, service, new, #new - want) end
  table.sort(old, function(a, b) return (a.is_healthy and 1 or 0) < (b.is_healthy and 1 or 0) end)
  local spare = healthy_new + healthy_old - least
  local idle = #old - healthy_old
  if #old > 0 and d.rollout ~= "FAILED" then send_away(cloud, ctx, service, old, idle + math.max(0, math.min(healthy_old, spare))) end
  if d.rollout == "IN_PROGRESS" and healthy_new >= want and #new == want and #tasks_of(service) == want then complete(cloud, service, d) end
  if not service.settled and d.rollout == "COMPLETED" and healthy_new == want and #tasks_of(service) == want then
    service.settled = true
    M.event(cloud, service, "has reached a steady state.")
  end
  if service.status == "DRAINING" and #tasks_of(service) == 0 then service.status = "INACTIVE" end
end

--- Looks after a service until it is gone.
function M.begin(cloud, ctx, service)
  local kept = { region = ctx.region, request_id = ctx.request_id }
  cloud:after(1, function()
    while service.status ~= "INACTIVE" do
      local ok, e = xpcall(look, function(e) return type(e) == "table" and e.aws and e or errors.handler(e) end, cloud, kept, service)
      if not ok and errors.is(e, "cancelled") then error(e, 0) end
      if not ok then log.warn("the rehearsal's ECS, service %s: %s", service.serviceName, type(e) == "table" and e.message or tostring(e)) end
      task.sleep(PERIOD)
    end
    cloud.clock:sleep(600)
    if service.cluster.services[service.serviceName] == service then service.cluster.services[service.serviceName] = nil end
  end)
end

return M
