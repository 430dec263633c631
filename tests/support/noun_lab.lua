--- Nouns, request by request, without a network: every call of the AWS client is checked against the service's model, then
--- answered from the case's tables. A case is a table:
---
---     lab.case(T, { noun = "subnet", want = { "a", cidr = ... },        what a recipe says
---       absent = { ["ec2 DescribeSubnets"] = { Subnets = {} } },        what AWS answers while it is not there
---       there  = { ["ec2 DescribeSubnets"] = { Subnets = { ... } } },   and while it is
---       create = { { "ec2 CreateSubnet", { arguments }, { answer } } }, the changing calls, all of them, in their order
---       looks  = { { "ec2 DescribeSubnets", { arguments } } },          the calls of a plan that finds it
---       gone   = { ["ec2 DescribeVpcAttribute"] = "InvalidVpcID.NotFound" },  what a question after the first answers when it
---                                                                       was deleted in between; false: nothing else than before
---       change = { { "gets public addresses", want = {}, there = {}, calls = {} } },
---       fixed  = { cidr = "10.9.2.0/24" },                              a change of one of these replaces it
---       delete = { { "ec2 DeleteSubnet", { arguments } } } })
---
--- `title` tells two cases of one noun apart. Each makes cases: planned when missing, made, left alone, changed in place,
--- replaced, refused where it is kept, deleted. The first call of `create` brings the thing into being, the last of
--- `delete` ends it. A secret among the arguments is `"(secret)"`, or a secret of that value; the engine's token
--- is `"(token)"`, one that the client made up is `"(uuid)"`.
local aws = require "aws"
local errors = require "errors"
local mutating = require "aws.mutating"
local sorted_keys = require "sorted_keys"
local recipe_lab = dofile "tests/support/recipe_lab.lua"
local request_of = require "aws.request"
local secret = require "secret"
local send = require "aws.send"
local test = require "test"

local M = {}

--- "(token)" is the engine's, the same in every run; "(uuid)" is what the client makes up for one call.
local TOKENS = { ["(token)"] = { 32, "^%x+$" }, ["(uuid)"] = { 36, "^%x+%-%x+%-4%x+%-%x+%-%x+$" } }

local function is_token(v, want)
  local like = TOKENS[want]
  return like ~= nil and type(v) == "string" and #v == like[1] and v:find(like[2]) ~= nil
end

local function show(v)
  if secret.is(v) then return "(secret)" end
  return test.show(v)
end

--- Where two values differ first, in words; nil when they are equal.
local function difference(have, want, path)
  if secret.is(have) then
    if want == "(secret)" or secret.is(want) and secret.equal(have, want) then return nil end
    return ("%s is %s, not %s"):format(path, secret.is(want) and "another secret" or "a secret", show(want))
  end
  if is_token(have, want) then return nil end
  if type(have) ~= "table" or type(want) ~= "table" or secret.is(want) then
    if have == want and not secret.is(want) then return nil end
    return ("%s is %s, not %s"):format(path, show(have), show(want))
  end
  for k, v in pairs(want) do
    local said = difference(have[k], v, ("%s.%s"):format(path, tostring(k)))
    if said then return said end
  end
  for k, v in pairs(have) do
    if want[k] == nil then return ("%s.%s is %s, which was not expected"):format(path, tostring(k), show(v)) end
  end
end

local function lines(calls)
  local list = {}
  for i, c in ipairs(calls) do list[i] = ("  %s %s"):format(c[1], show(c[2] or {})) end
  return #list > 0 and table.concat(list, "\n") or "  none"
end

--- Fails unless these were the calls.
function M.same(calls, expected, what)
  local said = #calls ~= #expected and ("%d calls, not %d"):format(#calls, #expected) or nil
  for i, c in ipairs(expected) do
    said = said or difference({ calls[i][1], calls[i][2] }, { c[1], c[2] or {} }, "call " .. i)
  end
  if said then error(("%s: %s; the calls were\n%s"):format(what or "calls", said, lines(calls)), 2) end
end

---@class NounWorld what AWS answers, and what it was asked
---@field answers table<string, any> by "service Operation": a table, an error, or function(args)
---@field changing { [1]: string, [2]: table }[] the calls that change something
---@field looks { [1]: string, [2]: table }[] the others
local World = {}
World.__index = World

function World:answer(service, op, args)
  local name = service .. " " .. op.name
  local list = mutating.is_mutating(service, op) and self.changing or self.looks
  list[#list + 1] = { name, args }
  local answer = self.answers[name]
  if answer == nil then errors.raise { kind = "bug", op = name, message = "the case has no answer to it" } end
  if errors.is(answer) then errors.raise(answer) end
  if type(answer) == "function" then return answer(args) end
  return answer
end

--- Puts a world in place of AWS until the case ends.
function M.world(answers)
  local world = setmetatable({ answers = answers, changing = {}, looks = {} }, World)
  local real = send.call
  send.call = function(client, op, args)
    request_of.build(client, op, args)                       -- refuses what the service's model does not know
    return world:answer(client.model.service, op, args), { status = 200, headers = {} }
  end
  aws.use { region = "us-east-1" }
  test.defer(function() send.call = real end)
  return world
end

--- The error that AWS answers with this code.
function M.refusal(code, status)
  return errors.new { kind = "remote", code = code, status = status or 400, message = "it is said by the test" }
end

--- Our tags of a noun: with Name and the engine's two, as a list or as a map.
function M.tags(noun, name, more)
  local map = { Name = name, ["hkrun:key"] = ("aws.%s:%s"):format(noun, name), ["hkrun:recipe"] = "lab" }
  for k, v in pairs(more or {}) do map[k] = v end
  return map
end

function M.tag_list(noun, name, more)
  local list = {}
  for k, v in pairs(M.tags(noun, name, more)) do list[#list + 1] = { Key = k, Value = v } end
  table.sort(list, function(a, b) return a.Key < b.Key end)
  return list
end

local function merged(...)
  local all = {}
  for _, t in ipairs { ... } do
    for k, v in pairs(t) do all[k] = v end
  end
  return all
end
M.merged = merged

--- A world in which the first call that makes the thing, and the last that deletes it, do so.
local function living(c, is_there)
  local world = M.world {}
  local function be(there) for k, v in pairs(there and merged(c.absent, c.there) or c.absent) do world.answers[k] = v end end
  for k in pairs(c.there) do world.answers[k] = M.refusal "NotThere" end
  be(is_there)
  local meant = {}                                           -- some services make and delete by one operation
  local function on(call, fn)
    local name = call[1]
    meant[name] = meant[name] or {}
    table.insert(meant[name], { args = call[2] or {}, answer = call[3] or {}, fn = fn })
    world.answers[name] = function(args)
      local one = meant[name][1]
      for _, m in ipairs(meant[name]) do
        if not difference({ name, args }, { name, m.args }, name) then one = m break end
      end
      one.fn()
      if errors.is(one.answer) then errors.raise(one.answer) end
      return one.answer
    end
  end
  for i, call in ipairs(c.create) do on(call, function() if i == 1 then be(true) end end) end
  for i, call in ipairs(c.delete) do on(call, function() if i == #c.delete then be(false) end end) end
  return world
end

local function actions(entries)
  local list = {}
  for _, e in ipairs(entries) do list[#list + 1] = e.action .. " " .. e.key end
  return list
end

local function names(...)
  local list = {}
  for _, calls in ipairs { ... } do
    for _, c in ipairs(calls) do list[#list + 1] = c[1] end
  end
  return list
end

local function first_of(calls)
  local list = {}
  for i, c in ipairs(calls) do list[i] = c[1] end
  return list
end

--- The world while a thing goes away: from the n-th question on it is gone. With `code` that question is refused instead.
local function going(c, n, code)
  local world, asked = M.world(merged(c.absent, c.there)), 0
  local real = world.answer
  function world.answer(self, service, op, args)
    local name = service .. " " .. op.name
    asked = asked + 1
    if asked == n and code then self.answers[name] = M.refusal(code, 403) end
    if asked == n and not code then
      for k, v in pairs(c.absent) do self.answers[k] = v end
      for k, v in pairs(c.gone) do self.answers[k] = v and M.refusal(v) or self.answers[k] end
    end
    return real(self, service, op, args)
  end
  return world
end

--- Makes the cases of one noun.
---@param T table of test.cases
---@param c table as above
function M.case(T, c)
  local key = ("aws.%s:%s"):format(c.noun, c.want[1])
  local function recipe(more) return function() return aws[c.noun](merged(c.want, more or {})) end end
  local function titled(what) return ("aws.%s%s: %s"):format(c.noun, c.title and ", " .. c.title or "", what) end

  T[titled "one that is not there is planned, and plan changes nothing"] = function()
    local l, world = recipe_lab(), M.world(c.absent)
    test.equal(actions(l:plan(recipe()).entries), { "create " .. key })
    M.same(world.changing, {})
  end

  T[titled "one that is not there is made"] = function()
    local l, world = recipe_lab(), living(c, false)
    l:apply(recipe())
    M.same(world.changing, c.create)
  end

  T[titled "one that is as it should be is found and left alone"] = function()
    local l, world = recipe_lab(), living(c, true)
    local entries = l:plan(recipe()).entries
    test.equal(actions(entries), { "none " .. key }, show(entries[1].changes))
    if c.looks then M.same(world.looks, c.looks, "what it asks for") end
    for n = 2, #world.looks do
      local asked = world.looks[n][1]
      test.truthy(c.gone and c.gone[asked] ~= nil, "the case says what is answered when it is gone: " .. asked)
    end
    l:apply(recipe())
    M.same(world.changing, {})
  end

  if c.gone then
    T[titled "one that goes away while it is read is not there; an answer that is refused says nothing"] = function()
      local l, looks = recipe_lab(), living(c, true).looks
      l:plan(recipe())
      for n = 2, #looks do
        going(c, n)
        if c.gone[looks[n][1]] ~= false then test.equal(actions(l:plan(recipe()).entries), { "create " .. key }, looks[n][1]) end
        going(c, n, "AccessDenied")
        test.raises("it is said by the test", function() l:plan(recipe()) end)
      end
    end
  end

  for _, change in ipairs(c.change or {}) do
    T[titled(change[1])] = function()
      local l, world = recipe_lab(), living(c, true)
      for k, v in pairs(change.there or {}) do world.answers[k] = v end
      for _, call in ipairs(change.calls) do world.answers[call[1]] = call[3] or {} end
      local wanted = recipe(change.want)
      test.equal(actions(l:plan(wanted).entries), { "change " .. key })
      M.same(world.changing, {}, "calls of a plan")
      l:apply(wanted)
      M.same(world.changing, change.calls)
    end
  end

  for _, field in ipairs(sorted_keys(c.fixed)) do
    local value = c.fixed[field]
    T[titled(("another %s replaces it"):format(field))] = function()
      local l, world = recipe_lab(), living(c, true)
      local entries = l:plan(recipe { [field] = value }).entries
      test.equal(actions(entries), { "replace " .. key })
      test.match(entries[1].reason, "^" .. field .. " cannot be changed in place")
      l:apply(recipe { [field] = value })
      test.equal(first_of(world.changing), names(c.delete, c.create))
    end
    T[titled(("another %s is refused where it is kept"):format(field))] = function()
      local l, world = recipe_lab(), living(c, true)
      local e = test.raises("keep = true protects it", function() l:apply(recipe { [field] = value, keep = true }) end)
      test.equal(e.kind, "usage")
      M.same(world.changing, {})
    end
  end

  T[titled "it is deleted"] = function()
    local l, world = recipe_lab(), living(c, false)
    l:apply(recipe())
    world.changing = {}
    l:destroy(recipe())
    M.same(world.changing, c.delete)
    test.match(l:text(), "nothing left")
  end
end

--- The keys of the nouns that a recipe plans, in their alphabetical order, while AWS has none of them.
function M.planned(fn, answers)
  local world = M.world(answers)
  local keys = {}
  for i, e in ipairs(recipe_lab():plan(fn).entries) do
    test.equal(e.action, "create", e.key)
    keys[i] = e.key:gsub("^aws%.", "")
  end
  M.same(world.changing, {}, "calls of a plan")
  table.sort(keys)
  return keys
end

return M
