--- How a version takes the place of the one before, as the environment's DeploymentPolicy says: on all machines at once, on
--- one batch after the other, or on new machines. Elastic Beanstalk Developer Guide, "Deployment policies and settings".
local balancer = require "rehearsal.services.elasticbeanstalk.balancer"
local C = require "rehearsal.services.elasticbeanstalk.common"
local configuration = require "rehearsal.services.elasticbeanstalk.configuration"
local errors = require "errors"
local health = require "rehearsal.services.elasticbeanstalk.health"
local launch = require "rehearsal.services.elasticbeanstalk.launch"
local machine = require "rehearsal.services.elasticbeanstalk.machine"
local sign = require "sign"
local task = require "task"

local M = {}

local SETTLE = 20                       -- real seconds that a version is waited for until it answers
local PATIENCE = 60                     -- real seconds that a machine has to become healthy before its deployment has failed

---@class Deployment
---@field label? string of the version; nil: the sample application
---@field commands boolean whether the bundle's commands run: a version is deployed, not only the configuration
---@field aborted fun(): boolean
---@field changed Machine[] the machines that run the version by now
---@field led? boolean whether the leader's commands have run
---@field told? boolean whether an event says why it failed

local function option(env, name) return configuration._option(env.settings, "aws:elasticbeanstalk:command", name) end

--- Ends a deployment; the event comes before those of what is done about it.
local function failed(cloud, ctx, env, d, fmt, ...)
  C.event(cloud, ctx, env, "ERROR", fmt, ...)
  d.told = true
  errors.raise { kind = "invalid", op = "launch", message = fmt:format(...) }
end

local function ids(machines, between)
  local list = {}
  for i, m in ipairs(machines) do list[i] = m.id end
  return table.concat(list, between or ",")
end

-- The steps ----------------------------------------------------------------

--- Brings a version to machines and runs its commands there, while what ran before still runs.
---@return Staged[]
local function prepare(cloud, ctx, env, machines, d)
  local staged = {}
  for i, m in ipairs(machines) do staged[i] = machine.prepare(cloud, ctx, env, d.label) end
  if d.commands then
    for i, m in ipairs(machines) do
      local is_leader = not d.led
      d.led = true
      machine.commands(cloud, ctx, env, m, staged[i], is_leader)
    end
  end
  return staged
end

--- Stops what runs on machines, and starts the version there.
local function start(cloud, ctx, env, machines, d, staged)
  if env.place.balancer then balancer.follow(cloud, ctx, env, staged[1].folder) end
  task.map(machines, function(m, i)
    machine.run(cloud, ctx, env, m, staged[i])
    m.version, m.deployment_id = d.label, env.serial
    if d.commands then C.event(cloud, ctx, env, "INFO", "Instance deployment completed successfully.") end
  end)
  for _, m in ipairs(machines) do d.changed[#d.changed + 1] = m end
end

--- The same in one. What is wrong with the bundle is wrong with these machines.
local function replace(cloud, ctx, env, machines, d)
  local ok, e = pcall(prepare, cloud, ctx, env, machines, d)
  if not ok then
    if not (errors.is(e, "invalid") and e.op == "launch") then error(e, 0) end
    failed(cloud, ctx, env, d, "Unsuccessful command execution on instance id(s) '%s'. Aborting the operation. %s", ids(machines), e.message)
  end
  if d.aborted() then return false end
  start(cloud, ctx, env, machines, d, e)
  return true
end

local function check(cloud, ctx, env, machines, d)
  local ill = health._ill(cloud, ctx, env, machines, PATIENCE)
  if #ill == 0 then return end
  health._note(cloud, ctx, env)
  failed(cloud, ctx, env, d, "Instance id(s) '%s' did not pass health check after command execution. Aborting the operation.", ids(ill))
end

--- Launches so many more machines.
---@return Machine[]
local function add(cloud, ctx, env, count)
  local list = {}
  for i = 1, count do list[i] = machine.launch(cloud, ctx, env) end
  cloud.clock:sleep(60)
  C.event(cloud, ctx, env, "INFO", "Added instance%s [%s] to your environment.", count > 1 and "s" or "", ids(list, ", "))
  return list
end

--- Takes machines out of service and away.
local function remove(cloud, ctx, env, machines)
  if #machines == 0 then return end
  if env.place.balancer then balancer.deregister(cloud, ctx, env, machines) end
  task.map(machines, function(m) machine.terminate(cloud, ctx, env, m) end)
  C.event(cloud, ctx, env, "INFO", "Removed instance%s [%s] from your environment.", #machines > 1 and "s" or "", ids(machines, ", "))
end

--- Lets the load balancer forward to new machines once they are well.
local function admit(cloud, ctx, env, new, all, d)
  if env.place.balancer then
    C.event(cloud, ctx, env, "INFO", "Adding new instance(s) (%s) to the load balancer.", ids(new))
    balancer.register(cloud, ctx, env, new)
  end
  C.event(cloud, ctx, env, "INFO", "Waiting for instance(s) (%s) to pass health checks.", ids(all))
  check(cloud, ctx, env, all, d)
end

-- The policies -------------------------------------------------------------

local function at_once(cloud, ctx, env, d)
  if replace(cloud, ctx, env, env.machines, d) and env.place.balancer then balancer.register(cloud, ctx, env, env.machines) end
end

local function batch_size(env, count)
  local size = tonumber(option(env, "BatchSize")) or 100
  if option(env, "BatchSizeType") == "Percentage" then size = size * count // 100 end
  return math.max(1, math.min(count, math.tointeger(size // 1)))
end

--- One batch: out of service, replaced, back, well.
local function replace_batch(cloud, ctx, env, batch, d, n, total)
  local function say(fmt, ...) C.event(cloud, ctx, env, "INFO", "Batch %d: %s", n, fmt:format(...)) end
  local b = env.place.balancer
  say("Starting application deployment on instance(s) [%s].", ids(batch, ", "))
  if b then
    say "De-registering instance(s) from the load balancer and waiting for them to go out of service."
    balancer.deregister(cloud, ctx, env, batch)
  end
  say "Starting application deployment command execution."
  local ok, e = pcall(replace, cloud, ctx, env, batch, d)
  if not ok and errors.is(e, "cancelled") then error(e, 0) end
  if ok and e then
    say "Completed application deployment command execution."
    C.event(cloud, ctx, env, "INFO", "Command execution completed on %d of %d instances in environment.", #d.changed, total)
    if b then say "Registering instance(s) with the load balancer and waiting for them to be healthy." end
  end
  if b then balancer.register(cloud, ctx, env, batch) end    -- also where it failed: what ran before still runs
  if not ok then error(e, 0) end
  if not e then return end
  check(cloud, ctx, env, batch, d)
  say "Completed application deployment."
end

local function in_batches(cloud, ctx, env, d, machines)
  local size, n = batch_size(env, #machines), 0
  local total = #d.changed + #machines
  for first = 1, #machines, size do
    if d.aborted() then return end
    n = n + 1
    replace_batch(cloud, ctx, env, table.move(machines, first, math.min(first + size - 1, #machines), 1, {}), d, n, total)
  end
end

local function with_additional_batch(cloud, ctx, env, d, machines)
  local extra = add(cloud, ctx, env, batch_size(env, #machines))
  local ok, e = pcall(function()
    if not replace(cloud, ctx, env, extra, d) then return end
    admit(cloud, ctx, env, extra, extra, d)
    in_batches(cloud, ctx, env, d, machines)
  end)
  if not ok and errors.is(e, "cancelled") then error(e, 0) end
  remove(cloud, ctx, env, extra)
  table.move(d.changed, #extra + 1, #d.changed + #extra, 1)  -- they are no machines any more that could have changed
  if not ok then error(e, 0) end
end

--- New machines beside the old ones: first one, then the others. The old ones go when all are well, else the new ones do.
local function on_new_machines(cloud, ctx, env, d, machines)
  local function say(fmt, ...) C.event(cloud, ctx, env, "INFO", fmt, ...) end
  local suffix = sign.hex(sign.random(6)):upper()
  local temporary = ("awseb-%s-immutable-stack-AWSEBAutoScalingGroup-%s"):format(env.EnvironmentId, suffix)
  local new = {}
  say "Immutable deployment policy enabled. Launching one instance with the new settings to verify health."
  say("Created temporary auto scaling group %s.", temporary)
  local function bring(count)
    local some = add(cloud, ctx, env, count)
    table.move(some, 1, #some, #new + 1, new)
    if not replace(cloud, ctx, env, some, d) then return false end
    if count > 1 or #new > 1 then say "Successfully launched all instances." end
    admit(cloud, ctx, env, some, new, d)
    return true
  end
  local ok, e = pcall(function()
    if not bring(1) then return false end
    if #machines == 1 then return true end
    say "Test instance passed health checks. Launching remaining new instances."
    return bring(#machines - 1)
  end)
  if not ok and errors.is(e, "cancelled") then error(e, 0) end
  if not ok or not e or d.aborted() then
    remove(cloud, ctx, env, new)
    d.changed = {}
    if not ok then error(e, 0) end
    return
  end
  say("Detached new instance(s) from temporary auto scaling group %s.", temporary)
  say("Attached new instance(s) to the permanent auto scaling group awseb-%s-stack-AWSEBAutoScalingGroup.", env.EnvironmentId)
  if not env.place.balancer then
    if cloud.net.isolated then launch.face(cloud, ctx, env, new[1]) else machine.take_over(cloud, ctx, env, new[1], machines[1]) end
  end
  say "Deployment succeeded. Terminating old instances and temporary Auto Scaling group."
  remove(cloud, ctx, env, machines)
end

local POLICIES = {
  AllAtOnce = at_once, Rolling = in_batches, RollingWithAdditionalBatch = with_additional_batch, Immutable = on_new_machines,
  TrafficSplitting = on_new_machines,                        -- here no request tells how it went, so nothing is split
}

-- What the environment calls -----------------------------------------------

--- Deploys a version, or the same one with a changed configuration, which never takes new machines. Raises kind "invalid" when
--- that fails; `d.changed` are then the machines that run it all the same.
---@param d Deployment
function M.deploy(cloud, ctx, env, d)
  local policy = option(env, "DeploymentPolicy")
  local in_place = policy == "Rolling" or policy == "RollingWithAdditionalBatch"
  local way = d.commands and POLICIES[policy] or in_place and in_batches or at_once
  way(cloud, ctx, env, d, table.move(env.machines, 1, #env.machines, 1, {}))
  if not d.aborted() then health._settle(cloud, ctx, env, SETTLE) end
end

--- Makes the machines run the version before again, all at once.
---@param machines Machine[]
function M.undo(cloud, ctx, env, machines, label)
  if #machines == 0 then return end
  local d = { label = label, commands = false, changed = {}, aborted = function() return false end }
  replace(cloud, ctx, env, machines, d)
  for _, m in ipairs(machines) do m.deployment_id = env.deployment_id end
  if env.place.balancer then balancer.register(cloud, ctx, env, machines) end
end

--- Starts a version on machines on which nothing runs yet.
function M.begin(cloud, ctx, env, label)
  env.serial = (env.serial or 0) + 1
  env.deployment_id = env.serial
  local d = { label = label, commands = true, changed = {}, aborted = function() return false end }
  start(cloud, ctx, env, env.machines, d, prepare(cloud, ctx, env, env.machines, d))
  if env.place.balancer then balancer.register(cloud, ctx, env, env.machines) end
  launch.address(env)
  health._settle(cloud, ctx, env, SETTLE)
end

--- Launches or takes away machines until there are as many as the settings say.
function M.scale(cloud, ctx, env)
  local count = launch.count(cloud, ctx, env)
  local more, less = count - #env.machines, {}
  if more > 0 then
    local new = add(cloud, ctx, env, more)
    local d = { label = env.VersionLabel, commands = true, led = true, changed = {}, aborted = function() return false end }
    start(cloud, ctx, env, new, d, prepare(cloud, ctx, env, new, d))
    for _, m in ipairs(new) do m.deployment_id = env.deployment_id end
    if env.place.balancer then balancer.register(cloud, ctx, env, new) end
  elseif more < 0 then
    table.move(env.machines, count + 1, #env.machines, 1, less)
    remove(cloud, ctx, env, less)
  end
  if more ~= 0 then health._settle(cloud, ctx, env, SETTLE) end
end

return M
