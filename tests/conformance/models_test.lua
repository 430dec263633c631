--- The models that are shipped, all of them: they decode, botocore's data gives the same bytes, and the names of
--- operations are boto3's.
local test = require "test"
local fs = require "fs"
local json = require "json"
local model = require "aws.model"
local process = require "process"
local whole = dofile "tests/support/whole_model.lua"
local T = test.cases()

local NAMES = [[
import botocore.session, json
from botocore import xform_name
session, names = botocore.session.get_session(), {}
loader = session.get_component("data_loader")
for service in session.get_available_services():
    data = loader.load_service_model(service, "service-2")
    names[service] = {name: xform_name(name) for name in data["operations"]}
print(json.dumps(names))
]]

local function run(words)
  words.timeout = 600
  local r = process.run(words)
  test.equal(r.code, 0, r.stderr)
  return r.stdout
end

local function botocore()
  return (run({ "build/tools/bin/python", "-c", "import botocore, os; print(os.path.dirname(botocore.__file__))" }):gsub("%s+$", ""))
end

T["every service has a model that holds together, and boto3's names"] = function()
  local theirs = json.decode(run { "build/tools/bin/python", "-c", NAMES })
  local services = {}
  for service, names in pairs(theirs) do
    services[#services + 1] = service
    local m, ours = whole(service), {}
    for _, name in ipairs(m.names "operations") do ours[name] = m.operations[name].snake end
    test.equal(ours, names, service)
  end
  table.sort(services)
  test.equal(model.services(), services)
end

T["make models would write what is checked in"] = function()
  local out = test.tmpdir() .. "/models"
  run { fs.realpath "/proc/self/exe", "-", stdin = fs.read "tools/models.lua",
        env = { PATH = os.getenv "PATH", BOTOCORE = botocore(), OUT = out } }
  local shipped = fs.list "lua/stdlib/aws/models"
  test.equal(fs.list(out), shipped)
  for _, file in ipairs(shipped) do
    test.equal(fs.read(out .. "/" .. file) == fs.read("lua/stdlib/aws/models/" .. file), true, file)
  end
end

return T
