--- Facts about Heroku's products that its API tells: sizes, plans, prices in US
--- cents a month, limits. From Heroku's public price pages as of 2026-06; a plan
--- that is not here is served with price 0.
local M = {}

--- name, memory in GiB, compute units, cents a month (nil: the API tells no price), dedicated, generation if not cedar
M.dyno_sizes = {
  { "Eco", 0.5, 1, 500, false }, { "Basic", 0.5, 1, 700, false },
  { "Standard-1X", 0.5, 1, 2500, false }, { "Standard-2X", 1, 2, 5000, false },
  { "Performance-M", 2.5, 12, 25000, true }, { "Performance-L", 14, 50, 50000, true },
  { "Performance-L-RAM", 30, 24, 50000, true }, { "Performance-XL", 62, 50, 75000, true },
  { "Performance-2XL", 126, 100, 150000, true },
  { "dyno-1c-0.5gb", 0.5, 1, nil, false, "fir" }, { "dyno-2c-1gb", 1, 2, nil, false, "fir" }, { "dyno-2c-8gb", 8, 2, nil, false, "fir" },
}

--- What a plan costs and holds. Memory of caches in MB, of databases in GB.
M.plans = {
  ["heroku-postgresql:essential-0"] = { cents = 500, label = "Essential 0", connections = 20, storage = 1 },
  ["heroku-postgresql:essential-1"] = { cents = 900, label = "Essential 1", connections = 20, storage = 10 },
  ["heroku-postgresql:essential-2"] = { cents = 2000, label = "Essential 2", connections = 40, storage = 32 },
  ["heroku-postgresql:standard-0"] = { cents = 5000, label = "Standard 0", connections = 120, memory = 4, storage = 64 },
  ["heroku-postgresql:standard-2"] = { cents = 20000, label = "Standard 2", connections = 400, memory = 8, storage = 256 },
  ["heroku-postgresql:standard-3"] = { cents = 40000, label = "Standard 3", connections = 500, memory = 15, storage = 512 },
  ["heroku-postgresql:standard-4"] = { cents = 75000, label = "Standard 4", connections = 500, memory = 30, storage = 768 },
  ["heroku-postgresql:premium-0"] = { cents = 20000, label = "Premium 0", connections = 120, memory = 4, storage = 64, ha = true },
  ["heroku-postgresql:premium-2"] = { cents = 35000, label = "Premium 2", connections = 400, memory = 8, storage = 256, ha = true },
  ["heroku-postgresql:premium-3"] = { cents = 75000, label = "Premium 3", connections = 500, memory = 15, storage = 512, ha = true },
  ["heroku-postgresql:premium-4"] = { cents = 120000, label = "Premium 4", connections = 500, memory = 30, storage = 768, ha = true },
  ["heroku-redis:mini"] = { cents = 300, label = "Mini", connections = 20, memory = 25 },
  ["heroku-redis:premium-0"] = { cents = 1500, label = "Premium 0", connections = 40, memory = 50, ha = true },
  ["heroku-redis:premium-1"] = { cents = 3000, label = "Premium 1", connections = 80, memory = 100, ha = true },
  ["heroku-redis:premium-2"] = { cents = 6000, label = "Premium 2", connections = 200, memory = 250, ha = true },
  ["heroku-redis:premium-3"] = { cents = 12000, label = "Premium 3", connections = 400, memory = 500, ha = true },
  ["heroku-redis:premium-5"] = { cents = 75000, label = "Premium 5", connections = 1000, memory = 1000, ha = true },
}

M.services = {
  ["heroku-postgresql"] = "Heroku Postgres", ["heroku-redis"] = "Heroku Key-Value Store", papertrail = "Papertrail",
  sendgrid = "Twilio SendGrid", scheduler = "Heroku Scheduler",
}

M.features = {
  { "http-session-affinity", "Enable HTTP session affinity for the router" },
  { "log-runtime-metrics", "Emit dyno resource usage information into app logs" },
  { "preboot", "Provide seamless web dyno deploys" },
  { "runtime-dyno-metadata", "Dyno metadata in the environment" },
}

M.account_features = {
  { "metrics-request-volume", "Shows the number of requests by HTTP status on the dashboard" },
  { "spaces-dns-discovery", "Dynos of a Private Space find each other by name" },
}

M.stacks = { "heroku-20", "heroku-22", "heroku-24", "container", "cnb" }
M.deprecated_stacks = { ["heroku-20"] = true }

return M
