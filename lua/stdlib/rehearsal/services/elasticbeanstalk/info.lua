--- Events and the logs that an environment hands out.
local C = require "rehearsal.services.elasticbeanstalk.common"
local sign = require "sign"
local sorted_keys = require "sorted_keys"
local zip = require "zip"

local S = {}

local SEVERITIES = { TRACE = 1, DEBUG = 2, INFO = 3, WARN = 4, ERROR = 5, FATAL = 6 }

function S.DescribeEvents(cloud, p, ctx)
  local list, events = {}, C.events(cloud, ctx)
  for i = #events, 1, -1 do             -- the newest first
    local e = events[i]
    local fits = (not p.StartTime or e.EventDate >= p.StartTime) and (not p.EndTime or e.EventDate < p.EndTime)
                 and (not p.Severity or SEVERITIES[e.Severity] >= SEVERITIES[p.Severity])
    for _, name in ipairs { "ApplicationName", "EnvironmentName", "EnvironmentId", "VersionLabel", "PlatformArn", "RequestId", "TemplateName" } do
      fits = fits and (p[name] == nil or p[name] == e[name])
    end
    if fits then list[#list + 1] = e end
  end
  local page, token = cloud.page(list, p.NextToken, p.MaxRecords)
  return { Events = page, NextToken = token }
end

-- Logs ---------------------------------------------------------------------

--- What guards the bucket against being deleted by mistake, as Elastic Beanstalk writes it.
local GUARD = [[{"Version":"2008-10-17","Statement":[{"Sid":"eb-58950a8c-feb6-11e2-89e0-0800277d041b","Effect":"Deny",]]
  .. [["Principal":{"AWS":"*"},"Action":"s3:DeleteBucket","Resource":"arn:aws:s3:::%s"}]}]]

--- Elastic Beanstalk's own bucket of the account and region, made when it is first needed. It is never deleted by itself.
local function storage(cloud, ctx)
  local name, s3 = ("elasticbeanstalk-%s-%s"):format(ctx.region, cloud.account), cloud:service "s3"
  if not pcall(s3.HeadBucket, cloud, { Bucket = name }, ctx) then
    local where = ctx.region ~= "us-east-1" and { LocationConstraint = ctx.region } or nil
    s3.CreateBucket(cloud, { Bucket = name, CreateBucketConfiguration = where }, ctx)
    s3.PutBucketPolicy(cloud, { Bucket = name, Policy = GUARD:format(name) }, ctx)
  end
  return name
end

S._storage = storage

function S.CreateStorageLocation(cloud, _, ctx)
  return { S3Bucket = storage(cloud, ctx) }
end

local RULE = ("-"):rep(40)

--- The log files of the machine: the whole of all, or the last lines of those that are tailed.
---@return { path: string, data: string }[]
local function logs_of(m, is_tail)
  local files, tailed = {}, { ["/var/log/eb-engine.log"] = true }
  for _, path in ipairs(m.tail or {}) do tailed[path] = true end
  local function add(path, lines)
    files[#files + 1] = { path = path, data = table.concat(lines, "\n", is_tail and math.max(1, #lines - 99) or 1) }
  end
  for _, path in ipairs(sorted_keys(m.logs or {})) do
    if tailed[path] or not is_tail then add(path, m.logs[path]) end
  end
  add("/var/log/eb-docker/containers/eb-current-app/eb-stdouterr.log", m.app and m.app.lines or {})
  return files
end

--- Puts the logs of a machine into the bucket.
---@return table info as RetrieveEnvironmentInfo answers it
local function hand_out(cloud, ctx, env, m, kind)
  local files = logs_of(m, kind == "tail")
  local path, media = ("resources/environments/logs/%s/%s/%s/"):format(kind, env.EnvironmentId, m.id), "text/plain"
  local text
  if kind == "tail" then
    local parts = {}
    for i, file in ipairs(files) do parts[i] = ("%s\n%s\n%s\n%s\n"):format(RULE, file.path, RULE, file.data) end
    path, text = path .. "TailLogs.txt", table.concat(parts)
  else
    for _, file in ipairs(files) do file.path = file.path:sub(2) end
    path, media, text = path .. "BundleLogs.zip", "application/zip", zip.pack(files)
  end
  local bucket = storage(cloud, ctx)
  cloud:service "s3".PutObject(cloud, { Bucket = bucket, Key = path, Body = text, ContentType = media }, { region = ctx.region,
    request = { headers = {} } })
  C.event(cloud, ctx, env, "INFO", "[Instance: %s] Successfully finished %s 1 log(s)", m.id, kind == "tail" and "tailing" or "bundling")
  return { InfoType = kind, Ec2InstanceId = m.id, SampleTimestamp = cloud.clock:now(), bucket = bucket, key = path }
end

--- Puts what the processes printed into the bucket: the last 100 lines, or all that is kept.
function S.RequestEnvironmentInfo(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  if p.InfoType == "analyze" then C.refuse "The rehearsal does not analyze environments: ask for tail or bundle." end
  C.event(cloud, ctx, env, "INFO", "requestEnvironmentInfo is starting.")
  cloud:after(5, function()
    local list = {}
    for _, m in ipairs(env.machines or {}) do list[#list + 1] = hand_out(cloud, ctx, env, m, p.InfoType) end
    env.info = env.info or {}
    env.info[p.InfoType] = list
  end)
end

function S.RetrieveEnvironmentInfo(cloud, p, ctx)
  local env = C.environment(cloud, ctx, p)
  local list = {}
  for i, info in ipairs(env.info and env.info[p.InfoType] or {}) do
    local url = sign.presign({ method = "GET", url = ("%s/%s/%s"):format(cloud.url, info.bucket, info.key), service = "s3", region = ctx.region,
                               access_key = cloud.access_key, secret_key = cloud.secret_key }, 86400)
    list[i] = { InfoType = info.InfoType, Ec2InstanceId = info.Ec2InstanceId, SampleTimestamp = info.SampleTimestamp, Message = url }
  end
  return { EnvironmentInfo = list }
end

return S
