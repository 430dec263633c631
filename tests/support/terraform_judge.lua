--- What is wrong with a folder of .tf files, by judges that none of us wrote: HashiCorp's formatter and parser, and the
--- schema of the AWS provider (terraform_schema.json, see tools/terraform-schema.py).
local fs = require "fs"
local json = require "json"
local process = require "process"
local test = require "test"

local M = {}

local schema = json.decode(fs.read "tests/support/terraform_schema.json")

--- Not of the provider: Terraform's own.
local META = { lifecycle = true, depends_on = true }

--- hcl2json gives each block as a list of bodies; an argument may be a list too.
local function check_body(errors, path, body, declared)
  for name, value in pairs(body) do
    local block = declared.blocks[name]
    if block then
      for _, inner in ipairs(value) do check_body(errors, path .. "." .. name, inner, block) end
    elseif declared.arguments[name] == nil and not META[name] then
      errors[#errors + 1] = ("%s has no argument %s"):format(path, name)
    end
  end
  for name, required in pairs(declared.arguments) do
    if required and body[name] == nil then errors[#errors + 1] = ("%s needs %s"):format(path, name) end
  end
  for name, block in pairs(declared.blocks) do
    if block.required and body[name] == nil then errors[#errors + 1] = ("%s needs a block %s"):format(path, name) end
  end
end

--- The addresses that a value refers to.
local function references(v, found)
  if type(v) == "string" then
    for expression in v:gmatch "%${(.-)}" do
      for address in expression:gmatch "aws_[%w_]+%.[%w_%-]+" do found[address] = true end
    end
    if v:find "^%${jsonencode" then
      for address in v:gmatch "%f[%w_]aws_[%w_]+%.[%w_%-]+%.[%a_]+" do found[address:match "^aws_[%w_]+%.[%w_%-]+"] = true end
    end
  elseif type(v) == "table" then
    for _, x in pairs(v) do references(x, found) end
  end
  return found
end

--- An address that leads back to itself, or nil.
local function cycle(of)
  local state = {}
  local function visit(address)
    if state[address] == "done" then return nil end
    if state[address] then return address end
    state[address] = "open"
    for other in pairs(of[address] or {}) do
      local found = visit(other)
      if found then return found end
    end
    state[address] = "done"
  end
  for address in pairs(of) do
    local found = visit(address)
    if found then return found end
  end
end

--- Judges the folder; raises what is wrong.
---@param dir string
---@return { resources: table<string, table>, imports: table<string, string>, text: string }
function M.check(dir)
  local r = process.run { test.tool "node", "tests/support/terraform.js", "build/tools-hcl", dir, timeout = 300 }
  test.equal({ r.code, r.stderr }, { 0, "" }, "what the parser said")
  local answer = json.decode(r.stdout)
  test.equal(answer.unformatted, {}, "files that terraform fmt would write otherwise")
  local errors, resources, imports, of, text = {}, {}, {}, {}, {}
  for name, file in pairs(answer.said) do
    text[#text + 1] = fs.read(fs.join(dir, name))
    for type, labels in pairs(file.resource or {}) do
      for label, bodies in pairs(labels) do
        local address = type .. "." .. label
        if resources[address] then errors[#errors + 1] = address .. " is there twice" end
        resources[address], of[address] = bodies[1], references(bodies[1], {})
        if not schema.types[type] then errors[#errors + 1] = "the schema has no type " .. type
        else check_body(errors, address, bodies[1], schema.types[type]) end
      end
    end
    for _, block in ipairs(file.import or {}) do
      local to = block.to:match "^%${(.*)}$"
      if imports[to] then errors[#errors + 1] = to .. " is imported twice" end
      imports[to] = block.id
    end
  end
  for address, list in pairs(of) do
    if not imports[address] then errors[#errors + 1] = address .. " is not imported" end
    for other in pairs(list) do
      if not resources[other] then errors[#errors + 1] = ("%s refers to %s, which is not there"):format(address, other) end
    end
  end
  for address in pairs(imports) do
    if not resources[address] then errors[#errors + 1] = address .. " is imported into nothing" end
  end
  local round = cycle(of)
  if round then errors[#errors + 1] = round .. " refers to itself, by others" end
  table.sort(errors)
  test.equal(errors, {}, "what Terraform would refuse")
  return { resources = resources, imports = imports, text = table.concat(text, "\n") }
end

return M
