--- botocore as the judge: the same calls give the same requests, the same answers the same results.
--- botocore_judge.py makes arguments and answers from the models, with every member down to four levels.
local test = require "test"
local aws = require "aws"
local json = require "json"
local process = require "process"
local secret = require "secret"
local sign = require "sign"
local xml = require "xml"
local T = test.cases()

--- service -> every how manieth operation is compared
local SERVICES = {
  ec2 = 5, rds = 4, elasticache = 4, elasticbeanstalk = 2, iam = 5, sts = 1, sns = 3, cloudformation = 6, autoscaling = 6, elbv2 = 4,
  ssm = 8, ecr = 4, dms = 6, secretsmanager = 2, cloudwatch = 3, logs = 7, acm = 3, events = 5, kms = 5, pricing = 1, sqs = 3,
  ["service-quotas"] = 4, resourcegroupstaggingapi = 2, budgets = 4, ce = 8, codebuild = 6, ["ec2-instance-connect"] = 1,
  s3 = 1, route53 = 2, scheduler = 1,
}

local HEX = "%x%x%x%x"
local UUID = HEX .. HEX .. "%-" .. HEX .. "%-4" .. HEX:sub(3) .. "%-" .. HEX .. "%-" .. HEX .. HEX .. HEX

--- Tokens that both clients make up become the same word.
local function without_tokens(text) return (text:gsub(UUID, "(a new UUID)")) end

local function unescape(text)
  return (text:gsub("+", " "):gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

--- "b=2&a=1" -> { "a=1", "b=2" }, unescaped and sorted.
local function form(text)
  local list = {}
  for pair in text:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=?(.*)$"
    list[#list + 1] = unescape(name) .. "=" .. unescape(value)
  end
  table.sort(list)
  return list
end

--- A document as text in which the order of siblings and attributes does not matter.
local function canonical(node)
  local attributes, children = {}, {}
  for name, value in pairs(node.attrs) do attributes[#attributes + 1] = name .. "=" .. value end
  for i, child in ipairs(node.children) do children[i] = canonical(child) end
  table.sort(attributes)
  table.sort(children)
  return ("<%s %s>%s%s</>"):format(node.name, table.concat(attributes, " "), node.text, table.concat(children))
end

local function body_of(text, content_type)
  if content_type:find "urlencoded" then return form(text) end
  if text:find "^%s*{" then return json.decode(text) end
  if text:find "^%s*<" then
    local root = xml.decode(text)
    return root and canonical(root) or text
  end
  return text
end

--- Values that differ between any two requests, or that only one client sends and no service asks for.
local IGNORED = { ["x-amz-date"] = true, ["x-amz-content-sha256"] = true, ["x-amz-user-agent"] = true }

--- The two clients write the members of XML in another order, so each has the checksum of its own body.
local function headers_of(headers, body)
  local found = {}
  for name, value in pairs(headers) do
    local low = name:lower()
    if low == "x-amz-checksum-crc32" then value = value == sign.base64((">I4"):pack(sign.crc32(body))) and "right" or value end
    if low:find "^x%-amz" and not IGNORED[low] then found[low] = without_tokens(value) end
  end
  return found
end

local function compare_request(ours, theirs, what)
  test.equal(ours.method, theirs.method, what .. ": method")
  local our_path, our_query = ours.url:match "^[^?]*//[^/]*([^?]*)%??(.*)$"
  local path, query = theirs.url:match "^[^?]*//[^/]*([^?]*)%??(.*)$"
  test.equal(our_path, path, what .. ": path")
  test.equal(form(without_tokens(our_query)), form(without_tokens(query)), what .. ": query")
  local their_body = sign.unbase64(theirs.body)
  test.equal(headers_of(ours.headers, ours.body), headers_of(theirs.headers, their_body), what .. ": headers")
  local their_type = theirs.headers["content-type"]
  if their_type then test.equal(ours.headers["Content-Type"], their_type, what .. ": content type") end
  test.equal(body_of(without_tokens(ours.body), their_type or ""),
             body_of(without_tokens(their_body), their_type or ""), what .. ": body")
end

--- Our result with its secrets opened where botocore reads the same text.
local function compare_result(ours, theirs, path)
  if secret.is(ours) then
    if not (type(theirs) == "string" and secret.equal(ours, theirs)) then error(path .. ": another secret than " .. test.show(theirs), 0) end
  elseif type(theirs) == "table" and type(ours) == "table" then
    for key, value in pairs(theirs) do compare_result(ours[key], value, path .. "." .. tostring(key)) end
    for key, value in pairs(ours) do
      if theirs[key] == nil then error(("%s.%s: botocore does not read %s"):format(path, key, test.show(value)), 0) end
    end
  elseif ours ~= theirs then
    error(("%s: expected %s, got %s"):format(path, test.show(theirs), test.show(ours)), 0)
  end
end

local function judge(service, step)
  local run = process.run { test.tool "python3", "tests/conformance/botocore_judge.py", service, tostring(step), timeout = 300 }
  test.equal(run.code, 0, run.stderr)
  local client = aws.client { service = service, region = "us-east-1", endpoint = "http://127.0.0.1:9",
                              credentials = { access_key_id = "AK", secret_access_key = "SK" } }
  local operations, wrong = 0, {}
  local function try(what, fn)
    local ok, e = pcall(fn)
    if not ok then wrong[#wrong + 1] = what .. ": " .. tostring(e) end
  end
  for line in run.stdout:gmatch "[^\n]+" do
    local case = test.truthy(json.decode(line))
    operations = operations + 1
    for i, call in ipairs(case.calls) do
      local what = ("%s.%s with %s members"):format(service, case.operation, i == 1 and "all" or "required")
      try(what, function()
        test.equal(call.request.refused, nil, "botocore refuses its own arguments")
        compare_request(client:request(case.operation, call.args), call.request, what)
      end)
    end
    try(("the answer of %s.%s"):format(service, case.operation), function()
      local result, e = client:parse(case.operation, case.response)
      if not result then error(e, 0) end
      compare_result(result, case.parsed, "result")
    end)
  end
  local shown = table.concat(wrong, "\n  ", 1, math.min(#wrong, tonumber(os.getenv "JUDGE_SHOW") or 5))
  test.truthy(#wrong == 0, ("agreement on all of %d operations (%d differences, the first are:\n  %s\n)"):format(operations, #wrong, shown))
  test.truthy(operations > 0, "an operation of " .. service)
end

local names = {}
for service in pairs(SERVICES) do names[#names + 1] = service end
table.sort(names)
for _, service in ipairs(names) do
  T[("%s writes and reads what botocore does"):format(service)] = function()
    judge(service, tonumber(os.getenv "JUDGE_STEP") or SERVICES[service])
  end
end

return T
