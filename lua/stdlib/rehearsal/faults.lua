--- The fault plan: what goes wrong in the rehearsal, seeded and repeatable.
---
---     faults { seed = 7, throttle = 0.1, error = 0.05, drop = 0.02, lost = 0.02, latency = 0.2 }
---
--- Each is a share of the calls: `throttle` and `error` are answered before
--- anything happens, `drop` cuts the connection before, `lost` after the effect. `only` names the calls that are meant (a
--- part of the body or of X-Amz-Target: "Action=CreateVpc&"), `times` how often at most something goes wrong. `stale` are
--- seconds in which a change is not seen yet (stale.lua).
local function pick(plan, roll)
  for _, name in ipairs { "throttle", "error", "drop", "lost" } do
    local share = plan[name] or 0
    if roll < share then return name end
    roll = roll - share
  end
end

--- S3 asks for fewer calls with its own code and status, which is all that the answer to a HEAD can say.
local function is_s3(req) return (req.headers.authorization or ""):find("/s3/aws4_request", 1, true) ~= nil end

local function answer_of(name, is_heroku, req)
  if name == "drop" or name == "lost" then return { drop = true } end
  if is_heroku then
    return name == "throttle" and { status = 429, json = { id = "rate_limit", message = "Your account reached the API rate limit" } }
        or { status = 503, json = { id = "service_unavailable", message = "try again" } }
  end
  local code = name ~= "throttle" and "ServiceUnavailable" or is_s3(req) and "SlowDown" or "ThrottlingException"
  return { status = code == "ThrottlingException" and 400 or 503,
           headers = { ["x-amzn-errortype"] = code, ["content-type"] = "text/xml" },
           body = ("<ErrorResponse><Error><Type>Receiver</Type><Code>%s</Code><Message>Rate exceeded</Message></Error></ErrorResponse>")
             :format(code) }
end

--- Makes the function that says what happens to a request.
---@param plan table shares by name, seed
return function(plan)
  local state = plan.seed or 1
  local function random()               -- a small generator of its own: repeatable
    state = (state * 6364136223846793005 + 1442695040888963407) & 0x7fffffffffffffff
    return (state >> 11) / (1 << 52)
  end
  local left = plan.times or math.huge
  local function is_meant(req)
    if left <= 0 then return false end
    return not plan.only or ((req.headers["x-amz-target"] or "") .. (req.body or "") .. "&"):find(plan.only, 1, true) ~= nil
  end
  return function(req)
    if not is_meant(req) then return nil end
    local name = pick(plan, random())
    if name then left = left - 1 end
    local latency = plan.latency and random() * plan.latency
    if not name then return latency and { name = "latency", answer = nil, delay = latency } or nil end
    local is_heroku = (req.headers.accept or ""):find("vnd.heroku", 1, true) ~= nil
    local answer = answer_of(name, is_heroku, req)
    answer.delay = latency
    return { name = name, before = name ~= "lost", answer = answer }
  end
end
