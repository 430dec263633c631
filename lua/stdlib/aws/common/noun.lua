--- What the nouns share: ids, tags, finding by tag, and AWS's errors that mean "not there" or "not yet".
local effects = require "recipe.effects"
local errors = require "errors"
local options = require "options"
local task = require "task"
local unknown = require "recipe.unknown"

local M = {}

--- The id of a noun, or what was given as an id.
function M.id(v)
  if type(v) == "table" and not unknown.is(v) then return v.id end
  return v
end

--- The ids of a list of nouns or ids.
---@param list table?
---@return table?
function M.ids(list)
  if list == nil or unknown.is(list) then return list end
  local r = {}
  for i, v in ipairs(list) do r[i] = M.id(v) end
  return r
end

--- The tags of a thing that is made: the recipe's own and the engine's, in one list.
---@return table[] `{ { Key=, Value= }, ... }` in the order of their keys
function M.tags(spec, ctx)
  local all = {}
  for k, v in pairs(spec.tags or {}) do all[k] = v end
  for k, v in pairs(ctx.tags) do all[k] = v end
  return M.tag_list(all)
end

---@param map table<string, string>
---@return table[]
function M.tag_list(map)
  local list = {}
  for k, v in pairs(map) do list[#list + 1] = { Key = k, Value = tostring(v) } end
  table.sort(list, function(a, b) return a.Key < b.Key end)
  return list
end

--- The same from what the API answers.
---@param list table[]?
---@return table<string, string>
function M.tag_map(list)
  local map = {}
  for _, t in ipairs(list or {}) do map[t.Key] = t.Value end
  return map
end

--- TagSpecifications of an EC2 create.
function M.ec2_tags(kind, spec, ctx)
  return { { ResourceType = kind, Tags = M.tags(spec, ctx) } }
end

--- Filters of an EC2 describe: by the id that the journal knows, else by our tags, or by Name where it is adopted.
---@param id_filter string "vpc-id"
---@return table[]
function M.ec2_filters(spec, known, ctx, id_filter)
  if known then return { { Name = id_filter, Values = { known } } } end
  if spec.adopt then return { { Name = "tag:Name", Values = { spec.name } } } end
  return {
    { Name = "tag:hkrun:key", Values = { ctx.key } },
    { Name = "tag:hkrun:recipe", Values = { ctx.recipe } },
  }
end

--- The one thing of a list. Two under one name cannot be told apart, so that is an error.
function M.only(list, _spec, id)
  if list and list[2] then
    errors.raise {
      kind = "invalid", message = ("there are %d of that name, among them %s and %s"):format(#list, list[1][id], list[2][id]),
      hint = "delete or rename those that are not meant",
    }
  end
  return list and list[1]
end

local function is_code(e, codes)
  if not errors.is(e, "remote") or e.code == nil then return false end
  for code in codes:gmatch "%S+" do
    if e.code == code then return true end
  end
  return false
end

--- What fn returns, or nil when AWS says that it is not there.
---@param codes string "NoSuchEntity NotFound"
---@param fn function
function M.found(codes, fn, ...)
  local r = table.pack(pcall(fn, ...))
  if r[1] then return table.unpack(r, 2, r.n) end
  if is_code(r[2], codes) then return nil end
  error(r[2], 0)
end

--- The read of a noun that asks more than one question. The first may be answered from the time before a deletion, the
--- next one from after it: then the thing is gone.
---@param gone string codes that say that the thing itself does not exist
---@param read fun(spec: table, known: string?, ctx: table): table?
---@return function
function M.reader(gone, read)
  return function(...) return M.found(gone, read, ...) end
end

local BUSY = [[DependencyViolation ResourceInUse InvalidGroup.InUse InvalidParameterValue.InUse DeleteConflict
  InvalidDBSubnetGroupStateFault InvalidDBParameterGroupState InvalidDBInstanceState CacheSubnetGroupInUse
  InvalidCacheParameterGroupState InvalidReplicationGroupState InvalidUserID.HasAssociation OperationInProgressException
  ConcurrentModification IncorrectState Resource.AlreadyAssociated SourceBundleDeletionFailure
  InvalidReplicationGroupStateFault OperationInProgressFailure InvalidResourceStateFault
  ClusterContainsTasksException ClusterContainsServicesException ResourceInUseException]]

--- Calls fn, which deletes. What is gone already is no error; what is still in use is marked so that the engine tries
--- again: AWS lets go of network interfaces minutes after their owner is gone.
---@param gone string codes that say that it does not exist
function M.delete(gone, fn, ...)
  local ok, e = pcall(fn, ...)
  if ok or is_code(e, gone) then return end
  if is_code(e, BUSY) then e.retry = true end
  error(e, 0)
end

--- Calls fn until AWS no longer answers with these codes: what was just made elsewhere is not seen everywhere at once.
---@param codes string
---@param seconds number
function M.settled(codes, seconds, fn, ...)
  local stop, pause = task.now() + seconds, 0.2
  while true do
    local r = table.pack(pcall(fn, ...))
    if r[1] then return table.unpack(r, 2, r.n) end
    if not is_code(r[2], codes) or task.now() + pause > stop then error(r[2], 0) end
    task.sleep(pause)
    pause = math.min(pause * 2, 5)
  end
end

--- Calls make, which makes a thing in a call that takes no token. Nobody knows what a call did whose reply was lost, and a
--- second one would make a second thing: so it is looked for by its tags before it is made again, as long as a read may
--- miss what was just made.
---@param look fun(): any finds it by its tags
---@param make fun(opts: table): any passes opts on to the call
function M.made_once(look, make)
  for attempt = 1, 3 do
    local r = table.pack(pcall(make, { once = true }))
    if r[1] then return table.unpack(r, 2, r.n) end
    local e = r[2]
    if attempt == 3 or not (errors.is(e) and e.lost) then error(e, 0) end
    local stop, pause = task.now() + effects.settle, 0.2
    repeat
      task.sleep(pause)
      local found = look()
      if found then return found end
      pause = math.min(pause * 2, 2)
    until task.now() > stop
  end
end

--- Calls fn; an error with one of these codes gets the hint that helps.
---@param hints table<string, string> code = hint
function M.hinted(hints, fn, ...)
  local r = table.pack(pcall(fn, ...))
  if r[1] then return table.unpack(r, 2, r.n) end
  local e = r[2]
  if errors.is(e, "remote") and not e.hint then e.hint = hints[e.code] end
  error(e, 0)
end

--- Asks `look` again and again until it answers something true; says in between what it said.
---@param ctx table of the engine, for its note
---@param what string for the error: "the group shop is not available"
---@param seconds number
---@param look fun(): any, string? the answer, or nil and a word on how far it is
function M.wait(ctx, what, seconds, look)
  local stop, pause = task.now() + seconds, 0.5
  while true do
    local done, word = look()
    if done then return done end
    local event = word and ctx.event and ctx.event()
    if event then word = word .. ": " .. event end
    if word then ctx.note(word) end
    local left = stop - task.now()
    if left <= 0 then
      errors.raise {
        kind = "timeout", message = ("%s after %g s%s"):format(what, seconds, word and ", it is " .. word or ""), hint = effects.AGAIN,
      }
    end
    task.sleep(math.min(pause, left))
    pause = math.min(pause * 1.5, 15)
  end
end

--- The last event of a resource since that time, as RDS and ElastiCache keep them.
---@param client table aws.rds or aws.elasticache
---@param id string
---@param kind string "db-instance"
---@param since number seconds since 1970
---@return string?
function M.last_event(client, id, kind, since)
  local last
  for _, e in ipairs(client:describe_events({ SourceIdentifier = id, SourceType = kind, StartTime = since }).Events or {}) do
    if not last or e.Date >= last.Date then last = e end
  end
  return last and last.Message
end

--- The options of a coarse noun: like those of a fine one, its first value is its name.
---@param o table
---@param declared table[]
---@param where string "aws.network"
---@return table
function M.options(o, declared, where)
  if type(o) == "string" then o = { o } end
  if type(o) ~= "table" then errors.usage("%s takes a table: %s{ \"name\", ... }", where, where) end
  local given = {}
  for k, v in pairs(o) do given[k == 1 and "name" or k] = v end
  return options.check(given, declared, where)
end

--- Whether a version is the one that is wanted: "16" is every 16.x; "16.4" is that one, or a newer 16.x, which the service
--- may have installed by itself.
---@param want string
---@param have string?
---@return boolean
function M.same_version(want, have)
  if have == nil then return false end
  local wanted, there = {}, {}
  for n in want:gmatch "%d+" do wanted[#wanted + 1] = tonumber(n) end
  for n in have:gmatch "%d+" do there[#there + 1] = tonumber(n) end
  if wanted[1] ~= there[1] then return false end
  for i = 2, #wanted do
    local n = there[i] or 0
    if n ~= wanted[i] then return n > wanted[i] end
  end
  return true
end

--- What a list has that the other has not.
---@param a string[]
---@param b string[]
---@return string[]
function M.minus(a, b)
  local has, r = {}, {}
  for _, v in ipairs(b or {}) do has[v] = true end
  for _, v in ipairs(a or {}) do
    if not has[v] then r[#r + 1] = v end
  end
  return r
end

return M
