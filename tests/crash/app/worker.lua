-- Runs the jobs of the queue "mail", as BullMQ keeps them, one after the other: slowly on Heroku, so that some are left.
-- It ends between two jobs.
local task = require "task"
local stores = dofile "lib/stores.lua"
local on_heroku = os.getenv "DYNO" ~= nil
local db <close> = stores.database()
local queue <close> = stores.redis()

local function run(id)
  db:query("INSERT INTO job_runs VALUES ($1, $2)", id, on_heroku and "heroku" or "aws")
  queue:pipeline { { "LREM", "bull:mail:active", "1", id }, { "ZADD", "bull:mail:completed", "1", id } }
end

while true do
  local id
  task.shield(function()
    id = queue:command("RPOPLPUSH", "bull:mail:wait", "bull:mail:active")
    if id then run(id) end
  end)
  task.sleep(on_heroku and 0.25 or id and 0 or 0.1)
end
