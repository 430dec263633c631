--- The keyspace notifications of a Heroku Key-Value Store. Its server forbids CONFIG; Heroku's Data API sets them, as
--- `heroku redis:keyspace-notifications` does.
local recipe = require "recipe"
local switch = require "redis.live.switch"

local M = {}

local function path_of(store) return ("/redis/v0/databases/%s/config"):format(store.addon.name) end

local function read(store)
  local config = store.app.client:get(path_of(store), { data = true, what = "read the settings of " .. store.addon.name })
  local setting = config.notify_keyspace_events
  return setting and setting.value or ""
end

local function set(store, value)
  store.app.client:call("PATCH", path_of(store), { data = true, json = { notify_keyspace_events = value },
    what = ("set the keyspace notifications of %s to %q"):format(store.addon.name, value) })
end

--- How a live copy switches them: redis.copy.start { notifications = app.redis:notifications(), ... }
---@return { read: fun(): string, on: fun(earlier: string), off: fun(earlier: string) }
function M.of(store)
  return {
    read = function() return read(store) end,
    on = function(earlier) set(store, switch.wanted(earlier)) end,
    off = function(earlier) set(store, earlier) end,
  }
end

--- A guard: they are on until its block is left, and then as they were; what they were is in the recipe's journal.
---@return table guard
function M.guard(store)
  local name = store.addon.name
  return recipe.guard {
    key = "notify " .. name,
    what = ("switch the keyspace notifications of %s on"):format(name),
    facts = function() return { earlier = read(store) } end,
    apply = function(facts) set(store, switch.wanted(facts.earlier)) end,
    undo = function(facts) set(store, facts.earlier) end,
    by_hand = function(facts)
      return ("heroku redis:keyspace-notifications %s --config '%s' --app %s"):format(name, facts.earlier, store.app.name)
    end,
    holds = function(facts) return switch.covers(read(store), switch.wanted(facts.earlier)) end,
  }
end

return M
