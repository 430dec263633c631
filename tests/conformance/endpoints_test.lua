--- botocore as the judge of where services are: the same rules give the same endpoint, signature and refusal.
--- endpoint_judge.py goes through regions of all partitions, FIPS, dual-stack, custom endpoints, buckets and ARNs.
local test = require "test"
local json = require "json"
local process = require "process"
local rules = require "aws.endpoint.rules"
local T = test.cases()

T["every service is where botocore says, in every partition, or nowhere"] = function()
  local run = process.run { test.tool "python3", "tests/conformance/endpoint_judge.py", timeout = 300 }
  test.equal(run.code, 0, run.stderr)
  local services, cases, refused, wrong = {}, 0, 0, {}
  for line in run.stdout:gmatch "[^\n]+" do
    local case = test.truthy(json.decode(line))
    local url, more = rules.resolve(test.truthy(rules.load(case.service, case.prefix), case.service), case.parameters)
    local ours = url and { url = url, properties = { authSchemes = more.authSchemes, backend = more.backend } } or {}
    local said = case.properties or {}
    local theirs = case.url and { url = case.url, properties = { authSchemes = said.authSchemes, backend = said.backend } } or {}
    local ok = pcall(test.equal, ours, theirs)
    if not ok then wrong[#wrong + 1] = line .. "\n  ours: " .. tostring(url) .. " " .. json.encode(more) end
    services[case.service], cases, refused = true, cases + 1, refused + (case.error and 1 or 0)
  end
  test.equal(#wrong, 0, table.concat(wrong, "\n", 1, math.min(#wrong, 5)))
  local count = 0
  for _ in pairs(services) do count = count + 1 end
  test.truthy(count >= 400 and cases > 10000 and refused > 1000, ("%d services, %d cases, %d refused"):format(count, cases, refused))
end

return T
