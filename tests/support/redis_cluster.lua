--- A real Redis cluster of some nodes on loopback, without replicas, the slots shared out evenly.
local fs = require "fs"
local redis = require "redis"
local server = require "rehearsal.planes.redis"
local task = require "task"

local M = {}

---@param o? { nodes: integer, password: any, tls: boolean, cert: string, key: string, ca: string }
---@return table cluster { nodes = planes, url =, ids =, admin = function(i), stop = function() }
function M.start(o)
  o = o or {}
  local self = { nodes = {}, ids = {} }
  function self.stop()
    for _, s in ipairs(self.nodes) do
      s:stop()
      fs.rmtree(s.dir)
    end
  end
  function self.admin(i)
    local s = self.nodes[i]
    return redis.open(o.tls and { url = s.url, pin = redis.fingerprint(s.url) } or s.url)
  end
  local count = o.nodes or 3
  for i = 1, count do
    local bus = fs.free_port()
    local own_dir = fs.tmpdir "hkrun-cluster-"
    local settings = { ["cluster-enabled"] = "yes", ["cluster-announce-ip"] = "127.0.0.1", ["cluster-port"] = bus, ["cluster-node-timeout"] = 60000 }
    if o.tls then
      fs.write(own_dir .. "/ca.pem", fs.read(o.ca), tonumber("644", 8))
      settings["tls-cluster"], settings["tls-ca-cert-file"] = "yes", own_dir .. "/ca.pem"
    end
    self.nodes[i] = server.start { dir = own_dir, password = o.password, tls = o.tls, cert = o.cert, key = o.key, settings = settings }
    self.nodes[i].bus = bus
  end
  for i = 1, count do
    local r <close> = self.admin(i)
    self.ids[i] = r:cluster_myid()
    r:cluster_set_config_epoch(i)
    r:cluster_addslotsrange((i - 1) * 16384 // count, i * 16384 // count - 1)
    for k = 1, i - 1 do r:cluster_meet("127.0.0.1", self.nodes[k].port, self.nodes[k].bus) end
  end
  for i = 1, count do
    local r <close> = self.admin(i)
    while not (r:cluster_info():find "cluster_state:ok" and #r:cluster_slots() == count) do task.sleep(0.02) end
  end
  self.url = self.nodes[1].url
  return self
end

return M
