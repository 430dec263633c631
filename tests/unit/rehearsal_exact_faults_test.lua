--- Exact faults: at the call that is meant, once, before or after its effect, in the words of its service.
local exact_faults = require "rehearsal.exact_faults"
local fs = require "fs"
local process = require "process"
local test = require "test"
local T = test.cases()

--- Makes calls of these names; answers what came of each, and counts the effects.
local function calls(faults, names)
  local answers, effects = {}, {}
  for i, name in ipairs(names) do
    local call = { api = "ec2", operation = name }
    local ok, answer = pcall(faults.around, faults, call, function(fault) error("refused: " .. fault, 0) end, function()
      effects[#effects + 1] = i
      return { status = 200 }
    end)
    answers[i] = ok and (answer.drop and "dropped" or answer.status) or answer
  end
  return answers, effects
end

T["the n-th call of its operation fails, once; others and later ones do not"] = function()
  local faults = exact_faults.new { { call = "ec2 CreateSubnet", n = 2, fault = "throttle" } }
  local answers, effects = calls(faults, { "CreateSubnet", "CreateVpc", "CreateSubnet", "CreateSubnet" })
  test.equal(answers, { 200, 200, "refused: throttle", 200 })
  test.equal(effects, { 1, 2, 4 })
  test.equal(faults.struck, 1)
end

T["any call that changes something can be meant"] = function()
  local faults = exact_faults.new { { call = "*", n = 2, fault = "drop" } }
  local function call(name, mutating)
    return faults:around({ api = "ec2", operation = name, mutating = mutating }, error, function() return {} end).drop
  end
  test.equal({ call("CreateVpc", true) or false, call("DescribeVpcs", false) or false, call("CreateTags", true) }, { false, false, true })
end

T["after its effect: it took place, and the reply is an error, or none"] = function()
  local faults = exact_faults.new { { call = "ec2 CreateVpc", fault = "error", when = "after" },
    { call = "ec2 CreateTags", fault = "drop", when = "after" }, { call = "ec2 CreateRoute", fault = "drop" } }
  local answers, effects = calls(faults, { "CreateVpc", "CreateTags", "CreateRoute" })
  test.equal(answers, { "refused: error", "dropped", "dropped" })
  test.equal(effects, { 1, 2 })
end

T["a call that its service refuses meets the fault after it all the same"] = function()
  local faults = exact_faults.new { { call = "ec2 DeleteVpc", fault = "drop", when = "after" } }
  local answer = faults:around({ api = "ec2", operation = "DeleteVpc" }, error, function() error { aws = true, code = "DependencyViolation" } end)
  test.equal(answer, { drop = true })
end

T["a kill ends the process before the connection is closed"] = function()
  local p <close> = process.start { "sleep", "60" }
  local pid_file = test.tmpdir() .. "/pid"
  fs.write(pid_file, p.pid .. "\n")
  local faults = exact_faults.new { { call = "ec2 CreateVpc", fault = "kill", pid_file = pid_file } }
  test.equal(calls(faults, { "CreateVpc" }), { "dropped" })
  test.equal(p:wait(10), 137)
end

T["a plan that makes no sense is refused"] = function()
  test.raises("needs the pid_file", exact_faults.new, { { call = "ec2 CreateVpc", fault = "kill" } })
  test.raises("fault", exact_faults.new, { { call = "ec2 CreateVpc", fault = "flood" } })
end

T["each service refuses in its own words"] = function()
  local function said(...) return { exact_faults.aws(...) } end
  test.equal(said("throttle", "ec2"), { "RequestLimitExceeded", 503 })
  test.equal(said("throttle", "query"), { "Throttling", 400 })
  test.equal(said("throttle", "json"), { "ThrottlingException", 400 })
  test.equal(said("throttle", "rest-xml"), { "SlowDown", 503 })
  test.equal(said("expired", "ec2"), { "RequestExpired", 400 })
  test.equal(exact_faults.heroku "expired", 401)
end

return T
