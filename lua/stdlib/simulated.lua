--- Simulated time, for tests: timers of the loop that do not wait where nothing else is waited for. An hour of a recipe's
--- sleep, or of a database that is being made, is over as soon as nobody is at work; while somebody waits for an answer, a
--- program or a worker thread, time passes as outside.

---@param loop table host.loop
---@param waiting table<integer, table[]> who waits for which id
---@return table clock `now`, `timer`, `cancel` and `poll` as the loop's; `skips`: whether time may be skipped
return function(loop, waiting)
  local clock = { skips = false }
  local ahead = 0                       -- seconds that were skipped
  local due = {}                        -- id -> when
  local last = 0                        -- ids are negative: the loop's are not

  function clock.now() return loop.now() + ahead end

  function clock.timer(seconds)
    last = last - 1
    due[last] = clock.now() + seconds
    return last
  end

  function clock.cancel(id)
    due[id] = nil
    if id > 0 then loop.cancel(id) end  -- begun before time was simulated
  end

  --- Whether a task waits for more than time.
  local function busy()
    for id, tasks in pairs(waiting) do
      for _, t in ipairs(tasks) do
        if not due[id] and not t.idle then return true end
      end
    end
    return false
  end

  local function first()
    local when
    for _, at in pairs(due) do when = math.min(when or at, at) end
    return when
  end

  --- Those whose time has come, the earliest first; of two, the one that was set first.
  local function fired(ids)
    local now, over = clock.now(), {}
    for id, at in pairs(due) do
      if at <= now then over[#over + 1] = id end
    end
    table.sort(over, function(a, b)
      if due[a] ~= due[b] then return due[a] < due[b] end
      return a > b
    end)
    for _, id in ipairs(over) do
      due[id] = nil
      ids[#ids + 1] = id
    end
    return ids
  end

  function clock.poll(block)
    local when = block and first()
    if not when then return fired(loop.poll(block)) end
    local wait = when - clock.now()
    if wait <= 0 then return fired(loop.poll(false)) end
    if clock.skips and not busy() then
      local ids = loop.poll(false)      -- something may have come just now
      if #ids == 0 then ahead = ahead + wait end
      return fired(ids)
    end
    local timer = loop.timer(wait)
    local ids = loop.poll(true)
    loop.cancel(timer)
    for i = #ids, 1, -1 do
      if ids[i] == timer then table.remove(ids, i) end
    end
    return fired(ids)
  end

  return clock
end
