--- Nouns: what `recipe.kind` makes of a declaration, and how one is read, compared, created, changed and deleted.
local decide = require "recipe.decide"
local effects = require "recipe.effects"
local errors = require "errors"
local options = require "options"
local run = require "recipe.run"
local secret = require "secret"
local unknown = require "recipe.unknown"

local M = {}

local registry = {}

local declared_kind = {
  { "name", "module and noun: aws.subnet", type = "string", required = true },
  { "options", "what a recipe may say about it, as in options.check", type = "table", default = {} },
  { "outputs", "fields that only the service knows; id is always one", type = "table", default = {} },
  { "fixed", "fields that can be set only at birth: a change replaces the thing", type = "table", default = {} },
  { "summary", "fields that a plan prints", type = "table" },
  { "compare", "field = function(want, have, spec, current) -> equal [, old, new], or \"set\", \"given\", \"ignore\"", type = "table", default = {} },
  { "tagless", "it cannot carry tags; it belongs to whoever owns its parent", type = "boolean", default = false },
  { "idempotent", "create honours ctx.token or fails when the name is taken", type = "boolean", default = false },
  { "timeout", "seconds that create, ready and delete may take each", type = "number", default = 3600 },
  { "event", "function(id, since) -> what the service said last of it since that time (seconds since 1970), or nil", type = "function" },
  { "read", "function(spec, known, ctx) -> current|nil", type = "function", required = true },
  { "create", "function(spec, ctx) -> id; without it the noun only looks things up", type = "function" },
  { "update", "function(spec, current, changes, ctx); without it every change replaces", type = "function" },
  { "delete", "function(current, ctx)", type = "function" },
  { "leaves", "function(current, ctx) -> what deleting it leaves behind: a list of { what=, cost=, restore?=, delete= }, or nil", type = "function" },
  { "waits_for", "function(id) -> what a person has yet to do before it works, in words, or nil", type = "function" },
  { "ready", "function(current, ctx) -> current|nil: waits until it is usable", type = "function" },
}

local engine_options = {
  { "name", "its name", type = "string" },
  { "adopt", "take over what exists under the name without our tags", type = "boolean" },
  { "keep", "never delete or replace it", type = "boolean" },
  { "timeout", "seconds that making, changing, waiting for and deleting it may take each; else the kind's", type = "number" },
}

--- The kind of this name; loads the module that a dotted name starts with (`aws.subnet` -> require "aws").
---@param name string
---@return table
function M.find(name)
  if not registry[name] then
    local module, path = name:match "^([%w_]+)%.(.+)$"
    if module then
      local ok, v = pcall(require, module)
      for part in (path or ""):gmatch "[^.]+" do
        if not ok or type(v) ~= "table" then break end
        ok, v = pcall(function() return v[part] end)
      end
    end
  end
  return registry[name] or errors.raise {
    kind = "not_found", op = "find the noun " .. name, message = "the recipe does not define it before recipe.options",
  }
end

local function set_of(list)
  local s = {}
  for _, v in ipairs(list) do s[v] = true end
  return s
end

local function check_spec(kind, spec)
  if type(spec) == "string" then spec = { spec } end
  if type(spec) ~= "table" then errors.usage("%s takes a table: %s{ \"name\", ... }", kind.name, kind.name) end
  local given = {}
  for k, v in next, spec do
    if k ~= 1 then given[k] = v end
  end
  if spec[1] ~= nil then given.name = spec[1] end
  if type(given.name) ~= "string" or given.name == "" then
    errors.usage("%s needs a name as its first value: %s{ \"name\", ... }", kind.name, kind.name)
  end
  local checked = options.check(given, kind.declared, ("%s %q"):format(kind.name, given.name))
  for _, d in ipairs(kind.declared) do                       -- a plain password must not reach the journal
    if d.type == "secret" and type(checked[d[1]]) == "string" then checked[d[1]] = secret.new(checked[d[1]]) end
  end
  return checked
end

--- The noun as a recipe sees it: what it asked for, over what is there.
local function result(spec, current)
  local r = {}
  for k, v in next, current do r[k] = v end
  for k, v in next, spec do
    if not unknown.is(v) then r[k] = v end
  end
  r.adopt, r.keep = nil, nil
  return r
end

--- The noun as it is, where what the recipe asks for is not to be brought about.
local function found(spec, current)
  local r = result(spec, current)
  for k, v in next, current do r[k] = v end
  return r
end

local function planned(kind, spec, key)
  local r = {}
  for k, v in next, spec do r[k] = v end
  for _, f in ipairs(kind.all_outputs) do
    if r[f] == nil then r[f] = unknown.new(("%s %q.%s"):format(kind.name, spec.name, f), key) end
  end
  r.adopt, r.keep = nil, nil
  return r
end

local function converge(kind, given)
  local r = run.current(kind.name)
  local spec = check_spec(kind, given)
  local noun = effects.noun(r, kind, spec)
  r:claim(noun.key)
  decide.noun(noun)
  if r:only_reads() then
    local there = decide.only_read(noun)
    r:show(noun)
    return there and found(spec, noun.current) or planned(kind, spec, noun.key)
  end
  if r.mode ~= "undo" then decide.check(noun) end
  r:show(noun)
  if r.mode ~= "apply" then
    if noun.action == "create" or noun.action == "replace" then return planned(kind, spec, noun.key) end
    return result(spec, noun.current)
  end
  return result(spec, effects.perform(noun))
end

--- Declares a kind of noun.
---
--- `read(spec, known, ctx)` answers what is there, in the recipe's words, or nil: by the id `known` when the journal has
--- one, else by `ctx.tags["hkrun:key"]` or by name. Its answer has `id`, the outputs, the fields that can differ, `tags`
--- (as a map; whose it is is read from them), and `deleting = true` while it goes away. A list that has lost its
--- thing answers nil, not an error. Plan calls read only, and never when a fixed field is still unknown.
--- `create(spec, ctx)` makes it in one call that carries `ctx.token` or `ctx.tags` (with Name), and returns its id.
--- `update(spec, current, changes, ctx)`: changes are `{ field=, old=, new= }`, also by field name. `spec.tags` are then
--- those to be set: the recipe's, and the engine's own where someone took them away.
--- `ready(current, ctx)` waits until it is usable and returns it as it is then; nothing if it was ready all along.
--- `delete(current, ctx)` begins the deletion; the engine reads until the thing is gone. A thing with data takes a last
--- snapshot of it where `ctx.final_snapshot` says so, under a name that is the same however often it is asked for. It has
--- the option `final_snapshot`.
--- `leaves(current, ctx)` tells what outlives the deletion: that snapshot, log groups, whatever the service keeps.
--- `waits_for(id)` tells `hkrun status` what a person has yet to do: it asks the service.
--- An error with `lost = true` says that a call may have been done or not: the engine looks before it asks again.
--- `ctx.note(text)` shows what is waited for, `ctx.event()` is what `event` answers, `ctx.timeout` the seconds there are.
--- Fields that are only used at creation: compare = { field = "ignore" }.
---@param def table
---@return function constructor `aws.subnet{ "name", ... }`
function M.define(def)
  local kind = options.check(def, declared_kind, "recipe.kind")
  kind.declared, kind.fields = {}, {}
  local seen = {}
  for _, d in ipairs(kind.options) do
    kind.declared[#kind.declared + 1] = d
    kind.fields[#kind.fields + 1] = d[1]
    seen[d[1]] = true
  end
  for _, d in ipairs(engine_options) do
    if not seen[d[1]] then kind.declared[#kind.declared + 1] = d end
  end
  for _, list in ipairs { "fixed", "summary" } do
    for _, f in ipairs(kind[list] or {}) do
      if not seen[f] and f ~= "name" then errors.usage("recipe.kind %s: %s names %s, which is not an option", kind.name, list, f) end
    end
  end
  kind.takes_timeout = not seen.timeout                      -- else it means something of its own
  kind.is_fixed = set_of(kind.fixed)
  kind.all_outputs = { table.unpack(kind.outputs) }
  if not set_of(kind.outputs).id then table.insert(kind.all_outputs, 1, "id") end
  kind.manages_tags = seen.tags and not kind.tagless and kind.compare.tags ~= "ignore"
  registry[kind.name] = kind
  return function(spec) return converge(kind, spec) end
end

return M
