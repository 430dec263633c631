--- What the nouns of AWS DMS share: finding one by its identifier, its tags, and what AWS writes as JSON text.
local aws = require "aws"
local diff = require "recipe.diff"
local json = require "json"
local noun = require "aws.common.noun"

local M = { GONE = "ResourceNotFoundFault" }

--- The one thing of a describe, by a filter; nil when there is none. DMS says so with an error or with an empty list.
---@param operation string "describe_endpoints"
---@param filter string "endpoint-id"
---@param value string
---@param member string "Endpoints"
---@return table?
function M.find(operation, filter, value, member)
  local answer = noun.found(M.GONE, aws.dms[operation], aws.dms, { Filters = { { Name = filter, Values = { value } } } })
  return answer and answer[member][1]
end

--- The tags of a resource, as a map.
---@param arn string
function M.tags(arn) return noun.tag_map(aws.dms:list_tags_for_resource({ ResourceArn = arn }).TagList) end

---@param arn string
---@param tags table<string, string>
function M.tag(arn, tags) aws.dms:add_tags_to_resource { ResourceArn = arn, Tags = noun.tag_list(tags) } end

--- The ARN of a thing whose description has none.
---@param kind string "subgrp"
---@param name string
function M.arn(kind, name)
  local who = aws.sts:get_caller_identity()
  return ("arn:%s:dms:%s:%s:%s:%s"):format(who.Arn:match "^arn:([^:]+):", aws.dms.region, who.Account, kind, name)
end

--- Whether a document says all that another one does: DMS writes its defaults into what it is given.
local function covers(want, have)
  if type(want) ~= "table" or type(have) ~= "table" then return diff.same(want, have) end
  for k, v in pairs(want) do
    if not covers(v, have[k]) then return false end
  end
  return true
end

--- The comparison of settings of which only those that are given are managed.
function M.same_settings(want, have) return diff.given(want, have or {}, covers) end

--- JSON text as a table; an empty one if it is none.
---@param text string?
function M.decode(text)
  local value = text and text ~= "" and json.decode(text)
  return type(value) == "table" and value or {}
end

---@param value table
function M.encode(value) return json.encode(value, { sort = true }) end

return M
