--- boto3 as the judge: the same call, made by both to one recording server, is the same request, and the same answer is
--- the same result or the same error. boto3_judge/ makes arguments and answers from the models, calls boto3, and compares
--- the requests; here hkrun makes the calls, and the results are compared.
---
--- `make judge-all` walks every operation of every service. JUDGE=NAME walks one service, JUDGE_SHOW=N shows more of what differs.
local aws = require "aws"
local errors = require "errors"
local http = require "http"
local json = require "json"
local process = require "process"
local test = require "test"
local boto3 = dofile "tests/support/boto3_result.lua"
local T = test.cases()

--- service -> every how manieth operation is compared
local SERVICES = {
  ec2 = 12, rds = 8, elasticache = 6, elasticbeanstalk = 4, iam = 9, sts = 2, sns = 4, cloudformation = 8, autoscaling = 8, elbv2 = 6,
  ssm = 12, ecr = 6, dms = 10, secretsmanager = 3, cloudwatch = 5, logs = 12, acm = 3, events = 6, kms = 6, pricing = 1, sqs = 3,
  ["service-quotas"] = 4, resourcegroupstaggingapi = 2, budgets = 4, ce = 8, codebuild = 6, ["ec2-instance-connect"] = 1,
  s3 = 2, route53 = 4, scheduler = 2,
  -- document types and unions, headers as JSON, names with prefixes, streams, XML with namespaces, status members
  dynamodb = 6, lambda = 8, ["bedrock-runtime"] = 2, ["bedrock-agent"] = 12, ["lex-runtime"] = 1, ["lexv2-runtime"] = 1, glacier = 4, polly = 2,
  cloudfront = 14, apigateway = 16, iot = 30, ["iot-data"] = 2, kinesis = 5, ["cognito-idp"] = 14, batch = 5,
  ecs = 8, stepfunctions = 5, qbusiness = 12, efs = 6,
  -- models that offer nothing but CBOR
  ["cbor:cloudwatch"] = 3, ["cbor:arc-region-switch"] = 2, ["cbor:gamelift"] = 14,
}

--- JUDGE=all: every operation of every service; JUDGE=NAME: of this one.
local judged = os.getenv "JUDGE"
local names = {}
if judged == "all" then
  -- left out: signatures of version 2, which stand in the body with their time (sigv2_test.lua), and a service whose hosts
  -- are below an account's number
  local without = { importexport = true, sdb = true, s3control = true }
  for _, service in ipairs(require("aws.model").services()) do if not without[service] then names[#names + 1] = service end end
elseif judged then names = { judged }
else for service in pairs(SERVICES) do names[#names + 1] = service end end
table.sort(names)

local judge

--- The judge is started once; it serves all cases of this file.
local function start()
  local dir = require "fs".tmpdir "hkrun-judge-"
  local words = { test.tool "python3", "-B", "tests/conformance/boto3_judge/judge.py", dir, table.unpack(names) }
  words.stdout, words.stderr = "pipe", "inherit"
  local server = process.start(words)
  test.defer_file(function()
    server:stop()
    require "fs".rmtree(dir)
  end)
  judge = "http://127.0.0.1:" .. test.truthy(server:read_line(), "the judge's port")
end

local function ask(what)
  local answer = http.post(judge .. "/_judge/" .. what, { timeout = 280, limit = 1 << 30 })
  test.truthy(answer:ok(), answer.body)
  return answer.status ~= 204 and answer:json() or nil
end

--- One call of ours, while the judge listens; raises what differs in what came back.
local function call(client, case)
  local ok, result = pcall(client.call, client, case.operation, boto3.native(case.args))
  if case.refused then
    if ok or not errors.is(result, "usage") then error(("boto3 refuses this: %s; hkrun: %s"):format(case.refused, tostring(result)), 0) end
  elseif case.error then
    if ok or not errors.is(result, "remote") then error("no error of the service: " .. tostring(result), 0) end
    for _, name in ipairs { "code", "message", "status", "request_id" } do
      if case.error[name] ~= json.null then boto3.compare(result[name], case.error[name], "error." .. name) end
    end
    boto3.compare(result.data or {}, boto3.native(case.error.data), "error.data")
  else
    if not ok then error(tostring(result) .. (errors.is(result, "bug") and result.traceback or ""), 0) end
    boto3.compare(result, boto3.native(case.result), "result")
  end
end

local total, walked = 0, {}

local function walk(service, step)
  if not judge then start() end
  local plan = ask(("start/%s/%d"):format(service, step))
  local o = { region = "us-east-1", endpoint = judge, attempts = 1, credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  if plan.model == "" then o.service = service else o.model = plan.model end
  local client = aws.client(o)
  local wrong, operations = {}, {}
  for i, case in ipairs(plan.cases) do
    ask("case/" .. i - 1)
    operations[case.operation] = true
    local ok, e = pcall(call, client, case)
    if not ok then wrong[#wrong + 1] = ("%s with %s: %s"):format(case.operation, case.label, tostring(e)) end
  end
  for _, difference in ipairs(ask "end") do wrong[#wrong + 1] = difference end
  local count = 0
  for _ in pairs(operations) do count = count + 1 end
  total, walked[plan.protocol] = total + count, (walked[plan.protocol] or 0) + count
  local show = table.concat(wrong, "\n  ", 1, math.min(#wrong, tonumber(os.getenv "JUDGE_SHOW") or 5))
  test.truthy(#wrong == 0, ("agreement on %d operations, %d calls (%d differences, the first are:\n  %s\n)"):format(count, #plan.cases, #wrong, show))
end

for _, service in ipairs(names) do
  T[("%s writes and reads what boto3 does"):format(service)] = function() walk(service, judged and 1 or SERVICES[service]) end
end

T["at least 300 operations over all protocols were walked"] = function()
  print(("# %d operations of %d services"):format(total, #names))
  if judged and judged ~= "all" then return end
  test.truthy(total >= 300, "300 operations")
  for _, protocol in ipairs { "query", "ec2", "json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor" } do
    test.truthy((walked[protocol] or 0) >= 5, "5 operations of " .. protocol)
  end
end
T.order[1].opens = true                 -- the judge, for all cases

return T
