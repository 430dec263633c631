--- A server that is not there, in place of a real one: for tests that ask a cloud's API and nothing behind it.
local HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" .. ("A"):rep(43)

local None = {}
None.__index = None
function None.stop() end
function None.reload() end
function None.set_password() end

return {
  --- As the other planes' `start`.
  start = function(o) return setmetatable({ host = o.host, port = o.port or 22, host_keys = { HOST_KEY } }, None) end,
}
