-- luacheck: no max line length (SQL)
--- LISTEN and NOTIFY, beside other statements.
package.path = "tests/support/?.lua;" .. package.path
local pg_lab = require "pg_lab"
local task = require "task"
local test = require "test"

local T = test.cases()

local lab = pg_lab.start { database = "app" }

T["notifications arrive in order, with channel, payload and sender"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  local heard = {}
  local from = b:info().pid
  local stream = a:listen({ "jobs", 'Odd "name"' }, { timeout = 30 })
  for i = 1, 500 do b:notify(i % 2 == 0 and "jobs" or 'Odd "name"', "žluť " .. i) end
  b:notify "jobs"
  for n in stream do
    heard[#heard + 1] = n
    if n.payload == "" then break end
  end
  test.equal(#heard, 501)
  for i = 1, 500 do test.equal(heard[i], { channel = i % 2 == 0 and "jobs" or 'Odd "name"', payload = "žluť " .. i, pid = from }) end
end

T["leaving the loop ends the listening; nothing for `timeout` seconds ends the loop"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  local channels = "SELECT array_agg(c ORDER BY c) FROM pg_listening_channels() c"
  do
    b:notify("jobs", "before")                         -- nobody listened
    local stream <close> = a:listen("jobs", { timeout = 30 })
    test.equal(a:value(channels), { "jobs" })
    b:notify("jobs", "1")
    test.equal(stream().payload, "1")
  end
  test.equal(a:value(channels), nil)
  for _ in a:listen("jobs", { timeout = 0.05 }) do error "nothing was sent" end
  test.equal(a:value(channels), nil)
  local other <close> = a:listen("jobs", { timeout = 30 })
  for _ in a:listen("jobs", { timeout = 0.05 }) do error "nothing was sent" end
  test.equal(a:value(channels), { "jobs" }, "another loop still listens")
  a:notify("jobs", "to itself")
  test.equal(other().payload, "to itself")
  test.equal(test.raises("did you mean", a.listen, a, "x", { timout = 1 }).kind, "usage")
end

T["other statements of the connection run in the loop and beside it, and lose nothing"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  local heard, rows = {}, 0
  local listening, sent = task.event(), task.event()
  task.all {
    listener = function()
      local stream <close> = a:listen("work", { timeout = 60 })
      listening.set()
      for n in stream do
        heard[#heard + 1] = tonumber(n.payload)
        if n.payload == "300" then break end
      end
    end,
    queries = function()
      listening.wait()
      b:notify("work", "1")
      local sender = task.spawn(function()
        for i = 2, 200 do b:notify("work", tostring(i)) end
        sent.set()
      end)
      while not sender.done do
        for _ in a:rows "SELECT generate_series(1, 1200)" do rows = rows + 1 end
      end
      sent.wait()
      for i = 201, 300 do a:notify("work", tostring(i)) end           -- these come with the answer to this very statement
    end,
  }
  test.truthy(rows >= 1200)
  test.equal(#heard, 300)
  for i = 1, 300 do test.equal(heard[i], i) end
end

T["an answer that a listener read from the socket reaches its statement"] = function()
  local a <close> = lab:open()
  local streams = {}
  for i = 1, 100 do streams[i] = a:listen("work", { timeout = 0 }) end
  local slow = task.spawn(function() return a:value "SELECT pg_sleep(0.05)" end)
  while a.handle:status() ~= "active" do task.sleep(0.001) end
  for i = 1, 100 do                                      -- without a pause in which the statement could look
    local now = task.now()
    repeat until task.now() > now + 0.003
    test.equal(streams[i](), nil)
  end
  slow:join()
end

T["a notification that a statement's answer brought along wakes who waits"] = function()
  local a <close> = lab:open()
  local t = task.spawn(function()
    local stream <close> = a:listen("self", { timeout = 60 })
    return stream().payload
  end)
  repeat task.sleep(0.001) until a.listeners[1] and a.listeners[1].id
  local handle = a.handle                              -- the answer is here before anybody looks for the notification
  handle:send("SELECT pg_notify('self', 'woken')", nil, 0, "simple")
  a.until_time = task.now() + 30
  local ids = a.listeners[1].id
  require "host.loop".cancel(ids)                      -- the socket itself tells the listener nothing
  while require "pg.statement".step(a, "", "_next", 10) do end
  test.equal(t:join(), "woken")
end

T["inside a transaction notifications leave with the commit"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  local stream <close> = a:listen("tx", { timeout = 30 })
  do
    local _ <close> = b:transaction()
    b:notify("tx", "undone")
  end
  b:transaction(function() b:notify("tx", "done") end)
  test.equal(stream().payload, "done")
end

T["a listener can be cancelled, and one whose server is gone hears of it"] = function()
  local a <close> = lab:open()
  local b <close> = lab:open()
  local t = task.spawn(function() for _ in a:listen "quiet" do error "nothing was sent" end end)
  repeat task.sleep(0.001) until a.listeners[1] and a.listeners[1].id
  t:cancel()
  test.equal(test.raises("cancelled", t.join, t).kind, "cancelled")
  test.equal({ a:value "SELECT count(*) FROM pg_listening_channels()", #a.listeners }, { 0, 0 })
  t = task.spawn(function() for _ in a:listen "quiet" do error "nothing was sent" end end)
  repeat task.sleep(0.001) until a.listeners[1] and a.listeners[1].id
  b:query("SELECT pg_terminate_backend($1)", a:info().pid)
  test.equal(test.raises("", t.join, t).kind, "network")
  a:close()
  test.equal(test.raises("closed", a.listen, a, "quiet").kind, "closed")
  test.equal(#a.listeners, 0)
end

return T
