--- All pages of a list, asked for one after the other.
local errors = require "errors"
local lists = require "host.list"
local path = require "aws.path"
local sorted_keys = require "sorted_keys"

local M = {}

--- The tokens that ask for the page after this one; nil after the last. A token that is empty is none.
local function next_tokens(paginator, page)
  if paginator.more and not path.is_true(path.find(paginator.more, page)) then return nil end
  local tokens = {}
  for i, name in ipairs(paginator.input) do
    local value = path.find(paginator.output[i], page)
    tokens[name] = path.is_true(value) and value or nil
  end
  return next(tokens) and tokens or nil
end

--- The member that sets the size of a page is a string in some services.
local function set_page_size(client, op, paginator, args, size)
  if not (paginator and paginator.limit) then
    errors.usage("aws.%s:%s does not take the size of a page", client.model.service, op.snake)
  end
  local model = client.model
  local member = model.shape(op.input).by_name[paginator.limit]
  args[paginator.limit] = member and model.shape(member.shape).type == "string" and tostring(size) or size
end

--- Iterates over the pages of an operation; one that has no pages gives its only answer.
---@param client aws.Client
---@param op aws.Operation
---@param args table
---@param opts? table as for a call, and page_size: how many items to ask for at once
---@return fun(): table?
function M.pages(client, op, args, opts)
  local paginator = client.model.paginators[op.name]
  local ask, with = {}, {}
  for k, v in pairs(args or {}) do ask[k] = v end
  for k, v in pairs(opts or {}) do with[k] = v end
  if with.page_size then
    set_page_size(client, op, paginator, ask, with.page_size)
    with.page_size = nil
  end
  local tokens, finished = nil, false
  return function()
    if finished then return nil end
    local page = client:call(op.name, ask, with)
    local following = paginator and next_tokens(paginator, page)
    if following and tokens and path.equal(following, tokens) then
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

--- The type of what a path of names points to, "map" say; nil if it is more than names.
local function type_at(model, name, where)
  if where:find "[^%w_.]" then return nil end
  for part in where:gmatch "[^.]+" do
    local members = model.shape(name).by_name
    if not (members and members[part]) then return nil end
    name = members[part].shape
  end
  return model.shape(name).type
end

--- Adds what one of the paths finds in a page: each item of a list, each entry of a map with its name, a text or a
--- structure as a whole. Numbers are counts, and no items.
local function add_items(list, found, where, kind)
  if type(found) == "table" and kind == "map" then
    local names = sorted_keys(found)
    for _, name in ipairs(names) do list[#list + 1] = { found[name], where, name } end
  elseif type(found) == "table" and kind ~= "struct" then
    for _, item in ipairs(found) do list[#list + 1] = { item, where } end
  elseif type(found) == "table" or type(found) == "string" and found ~= "" then
    list[#list + 1] = { found, where }
  end
end

--- Iterates over the items of all pages. Some operations answer with several lists ("Versions" and "DeleteMarkers"): all
--- their items come, page by page, each with the name of its list.
---@return fun(): any, string, string? item, the list that it is of, and its name if that is a map
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
      items, at = {}, 1
      for _, where in ipairs(paginator.result) do
        add_items(items, path.find(where, page), where, type_at(client.model, op.output, where))
      end
    end
    return table.unpack(items[at], 1, 3)
  end
end

--- The items of all pages in one list; without pages, the only list of the answer.
---@return List
function M.all(client, op, args, opts)
  local paginator, model, items = client.model.paginators[op.name], client.model, {}
  if paginator and paginator.result[1] then
    for item in M.each(client, op, args, opts) do items[#items + 1] = item end
    return lists.mark(items)
  end
  local only
  for _, member in ipairs(op.output and model.shape(op.output).members or {}) do
    if model.shape(member.shape).type == "list" then
      if only then only = nil break end
      only = member.name
    end
  end
  if not only then
    errors.usage("aws.%s:%s does not answer one list; call it by itself", model.service, op.snake)
  end
  return client:call(op.name, args, opts)[only] or lists.mark(items)
end

return M
