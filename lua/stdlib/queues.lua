--- The job queues in a Redis, whatever system they are of: BullMQ (any prefix, groups of BullMQ Pro), Sidekiq, Bull,
--- Bee-Queue, Resque, RQ, Celery, and plain lists.
---
---     for _, row in ipairs(queues.find(url)) do print(row.kind, row.name, row.state, row.count) end
---
--- Every function takes a connection of redis.open, or an endpoint as redis.open does, and looks at its database.
local discover = require "queues.discover"
local jobs = require "queues.jobs"
local lists = require "list"
local options = require "options"

local M = {}

M.OPTIONS = {
  { "lists", "names of the plain lists that are queues; by default all that are of no other system, if they are 100 or fewer", type = "list" },
}

---@class queues.Row
---@field kind "bullmq"|"sidekiq"|"list"|"bull"|"bee"|"resque"|"rq"|"celery"
---@field name string of the queue; of the process, for jobs that a Sidekiq process runs; "all" for what is kept for all queues
---@field state string by the system's own name of it
---@field count integer jobs

--- Finds the queues of every kind and counts their jobs: one row for each queue and state.
---@param where redis.Connection|string|userdata|redis.Endpoint
---@param opts? { lists: string[] }
---@return queues.Row[]
function M.find(where, opts)
  local o = options.check(opts or {}, M.OPTIONS, "queues.find")
  return jobs.with(where, function(r)
    local rows = {}
    for _, queue in ipairs(discover.all(r, o.lists)) do
      local row_of = {}
      for i, count in ipairs(jobs.sizes(r, queue.places)) do
        local state, if_any = queue.places[i][1], queue.places[i].if_any
        local row = row_of[state] or { kind = queue.kind, name = queue.name, state = state, count = 0 }
        row.count = row.count + count
        if not row_of[state] and (count > 0 or not if_any) then row_of[state], rows[#rows + 1] = row, row end
      end
    end
    return lists.ordered(rows, { "kind", "name", "state", "count" })
  end)
end

return M
