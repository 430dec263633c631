--- Decodes the whole model of a service, which no client ever does, and fails for what does not hold together. The model
--- is opened anew and forgotten afterwards: all of them decoded are hundreds of megabytes.
local test = require "test"
local resource = require "host.resource"
local text = require "aws.model.text"

local PROTOCOLS = { json = true, ["rest-json"] = true, ["rest-xml"] = true, ["smithy-rpc-v2-cbor"] = true, query = true, ec2 = true }

---@param service string
---@return aws.Model
return function(service)
  local m = text.open(service, (resource.read("stdlib/aws/models/" .. service .. ".txt")))
  test.truthy(PROTOCOLS[m.meta.protocol], service .. " speaks " .. tostring(m.meta.protocol))
  local operations = m.names "operations"
  test.truthy(#operations > 0, service .. " has operations")
  for _, name in ipairs(operations) do
    local op = m.operations[name]
    test.equal(m.operation_named(op.snake), op)
    for _, shape in ipairs { op.input or "string", op.output or "string", table.unpack(op.errors) } do m.shape(shape) end
  end
  for _, name in ipairs(m.names "shapes") do
    local shape = m.shape(name)
    for _, member in ipairs(shape.members or { shape.member or shape.key, shape.value }) do m.shape(member.shape) end
  end
  for _, name in ipairs(m.names "paginators") do
    test.truthy(m.operations[name] and #m.paginators[name].input == #m.paginators[name].output, service .. "." .. name)
  end
  for _, name in ipairs(m.names "waiters") do
    local waiter = m.waiters[name]
    test.truthy(m.operations[waiter.operation] and waiter.delay and waiter.tries, service .. "." .. name)
    for _, acceptor in ipairs(waiter.acceptors) do test.truthy(acceptor.expected ~= nil, service .. "." .. name) end
  end
  return m
end
