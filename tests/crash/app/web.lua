-- Answers /health, and /totals from the database.
local task = require "task"
local stores = dofile "lib/stores.lua"
local _ <close> = require "rehearsal.serve".start { host = "0.0.0.0", port = tonumber(os.getenv "PORT"), handler = function(request)
  if request.path == "/health" then return { body = "well\n" } end
  if request.path ~= "/totals" then return { status = 404, body = "not found\n" } end
  local db <close> = stores.database()
  return { json = { orders = db:value "SELECT count(*) FROM orders", open = db:value "SELECT count(*) FROM open_orders" } }
end }
while true do task.sleep(3600) end
