--- All pages of a list, asked for one after the other.
local errors = require "errors"
local path = require "aws.path"
local secret = require "secret"

local M = {}

local function same(a, b)
  if type(a) == "table" and type(b) == "table" then
    for k, v in pairs(a) do if not same(v, b[k]) then return false end end
    for k in pairs(b) do if a[k] == nil then return false end end
    return true
  end
  if secret.is(a) and secret.is(b) then return secret.equal(a, b) end
  return rawequal(a, b) or a == b
end

--- The tokens that ask for the page after this one; nil after the last.
local function next_tokens(paginator, page)
  if paginator.more and not path.find(paginator.more, page) then return nil end
  local tokens, any = {}, false
  for i, name in ipairs(paginator.input) do
    local value = path.find(paginator.output[i], page)
    tokens[name] = value
    any = any or value ~= nil
  end
  return any and tokens or nil
end

--- Iterates over the pages of an operation; one that has no pages gives its only answer.
---@param client aws.Client
---@param op aws.Operation
---@param args table
---@param opts? table as for a call
---@return fun(): table?
function M.pages(client, op, args, opts)
  local paginator = client.model.paginators[op.name]
  local ask = {}
  for k, v in pairs(args or {}) do ask[k] = v end
  local tokens, finished = nil, false
  return function()
    if finished then return nil end
    local page = client:call(op.name, ask, opts)
    local following = paginator and next_tokens(paginator, page)
    if following and tokens and same(following, tokens) then
      errors.raise { kind = "protocol", op = ("list all pages of %s.%s"):format(client.model.service, op.name),
                     message = "the same token came twice" }
    end
    tokens, finished = following, not following
    if following then
      for _, name in ipairs(paginator.input) do ask[name] = following[name] end
    end
    return page
  end
end

--- Iterates over the items of all pages.
---@return fun(): any
function M.each(client, op, args, opts)
  local paginator = client.model.paginators[op.name]
  if not (paginator and paginator.result[1]) then
    errors.usage("aws.%s:%s is not a list with pages; call it by itself", client.model.service, op.snake)
  end
  local next_page, items, at = M.pages(client, op, args, opts), {}, 0
  return function()
    at = at + 1
    while items[at] == nil do
      local page = next_page()
      if not page then return nil end
      items, at = path.find(paginator.result[1], page) or {}, 1
    end
    return items[at]
  end
end

return M
