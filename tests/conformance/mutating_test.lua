--- What a read-only run refuses, over the operations of all services.
local fs = require "fs"
local model = require "aws.model"
local mutating = require "aws.mutating"
local test = require "test"
local T = test.cases()

T["each operation that the reviewed lists name exists"] = function()
  local missing = {}
  for list in fs.read("lua/stdlib/aws/mutating.lua"):gmatch "%[%[(.-)%]%]" do
    for service, operation in list:gmatch "([%w-]+)%.(%w+)" do
      if not model.load(service).operations[operation] then missing[#missing + 1] = service .. "." .. operation end
    end
  end
  test.equal(missing, {})
end

T["no operation whose name says that it makes, changes or deletes passes for a question, but where a model says so"] = function()
  local VERBS = { "Create", "Delete", "Update", "Put", "Modify", "Start", "Stop", "Run", "Send", "Terminate", "Attach", "Set", "Add",
                  "Remove", "Enable", "Disable", "Associate", "Restore", "Reset", "Import", "Register", "Cancel", "Invoke", "Execute" }
  local KNOWN = { ["logs.StartLiveTail"] = true, ["logs.StartQuery"] = true, ["logs.StopQuery"] = true,
                  ["signin.CreateOAuth2Token"] = true, ["sso-oidc.CreateToken"] = true }  -- how one signs in
  local asking, changing, wrong = 0, 0, {}
  for _, service in ipairs(model.services()) do
    local m = model.load(service)
    for _, name in ipairs(m.names "operations") do
      local op = m.operations[name]
      if mutating.is_mutating(service, op) then
        changing = changing + 1
      else
        asking = asking + 1
        for _, verb in ipairs(VERBS) do
          local full = service .. "." .. name
          if name:find("^" .. verb .. "%u") and not op.readonly and not KNOWN[full] then wrong[#wrong + 1] = full end
        end
      end
    end
  end
  test.equal(wrong, {})
  test.truthy(asking > 7000 and changing > 9000, ("%d ask, %d change"):format(asking, changing))
end

return T
