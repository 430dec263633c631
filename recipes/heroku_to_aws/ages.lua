--- How long the oldest job of each queue waits, which no metric of AWS's knows: a job of every minute asks Redis with the
--- library that the app's own workers use, and prints lines of JSON. The log group of the jobs makes a metric of them, so that
--- nothing is installed on a machine, and none needs more rights. On Fargate a minute's task is a minute's price.
local M = {}

--- What asks, by kind of queue: given their names, one line {"Queue":"mail","OldestJobAge":3.1} each. BullMQ 5 puts new jobs at
--- the left of its list, and keeps `timestamp` in milliseconds in the job's hash.
local ASK = {
  bullmq = [[node -e '
    const redis = new (require("ioredis"))(process.env.%s);
    (async () => {
      const now = Number((await redis.time())[0]);
      for (const queue of process.argv.slice(1)) {
        const space = queue.includes(":") ? queue : "bull:" + queue;
        const id = await redis.lindex(space + ":wait", -1);
        const at = id && await redis.hget(space + ":" + id, "timestamp");
        console.log(JSON.stringify({ Queue: queue, OldestJobAge: at ? Math.max(0, now - at / 1000) : 0 }));
      }
      redis.disconnect();
    })().catch((e) => { console.error(e.message); process.exit(1); })']],
  sidekiq = [[REDIS_URL="$%s" bundle exec ruby -rsidekiq/api -e '
    ARGV.each { |queue| puts %%({"Queue":"#{queue}","OldestJobAge":#{Sidekiq::Queue.new(queue).latency.round(1)}}) }']],
}

--- The queues whose ages can be found out, by kind.
---@param facts table of audit.read
---@return table<string, string[]> names sorted
local function queues_of(facts)
  local by_kind, seen = {}, {}
  for _, q in ipairs(facts.redis and facts.redis.queues or {}) do
    local key = q.kind .. " " .. q.name
    if ASK[q.kind] and not seen[key] and q.name:find "^[%w_:.%-]+$" then
      seen[key] = true
      by_kind[q.kind] = by_kind[q.kind] or {}
      table.insert(by_kind[q.kind], q.name)
    end
  end
  for _, names in pairs(by_kind) do table.sort(names) end
  return by_kind
end

--- The names of the queues that are measured.
---@param facts table of audit.read
---@param opt table
---@return string[]
function M.queues(facts, opt)
  local list = {}
  for _, names in pairs(opt.queue_ages and queues_of(facts) or {}) do table.move(names, 1, #names, #list + 1, list) end
  table.sort(list)
  return list
end

--- The jobs that measure, as jobs.read gives others.
---@param facts table of audit.read
---@param opt table
---@return table[]
function M.jobs(facts, opt)
  local list = {}
  for kind, names in pairs(opt.queue_ages and queues_of(facts) or {}) do
    list[#list + 1] = { name = "age-of-jobs-" .. kind, size = "Standard-1X", frequency = "every minute", expression = "rate(1 minute)",
                        command = ("%s %s"):format(ASK[kind]:format(facts.redis.var):gsub("\n%s*", " "), table.concat(names, " ")) }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- What the log group of the jobs makes of such lines.
---@param jobs table[]
---@return table? metrics for aws.log_group
function M.metrics(jobs)
  for _, job in ipairs(jobs) do
    if job.name:find "^age%-of%-jobs%-" then
      return { ["age-of-jobs"] = { pattern = "{ $.OldestJobAge = * }", namespace = "Hkrun/Queues", metric = "OldestJobAge",
                                   value = "$.OldestJobAge", dimensions = { Queue = "$.Queue" }, unit = "Seconds" } }
    end
  end
end

return M
