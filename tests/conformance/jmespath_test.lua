--- python's jmespath as the judge of what paginators and waiters find in an answer.
local test = require "test"
local json = require "json"
local path = require "aws.path"
local process = require "process"
local T = test.cases()

T["every expression of every paginator and waiter finds what python's jmespath finds"] = function()
  local run = process.run { test.tool "python3", "tests/conformance/jmespath_judge.py", timeout = 600 }
  test.equal(run.code, 0, run.stderr)
  local expressions, counts = {}, { botocore = 0, language = 0 }
  for line in run.stdout:gmatch "[^\n]+" do
    local case = test.truthy(json.decode(line))
    if not expressions[case.expression] then
      expressions[case.expression] = true
      counts[case.group] = counts[case.group] + 1
    end
    local found = path.find(case.expression, case.document)
    if found == nil then found = json.null end
    if not path.equal(found, case.found) then
      test.equal(json.encode(found), json.encode(case.found), case.expression .. " in " .. json.encode(case.document))
    end
  end
  test.truthy(counts.botocore > 2400, ("%d expressions of botocore"):format(counts.botocore))
  test.truthy(counts.language > 50, ("%d of the rest of the language"):format(counts.language))
end

return T
