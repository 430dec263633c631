--- Heroku's router: the app's public address. It passes requests on to a web
--- dyno, and answers with Heroku's own pages when there is none.
--- devcenter.heroku.com/articles/http-routing and /error-codes
local errors = require "errors"
local http = require "http"
local serve = require "rehearsal.serve"
local sign = require "sign"
local task = require "task"

local M = {}

local FIRST_BYTE, BOOT = 30, 75         -- seconds

local function page(title, heading, text)
  return ([[<!DOCTYPE html>
<html>
  <head>
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta charset="utf-8">
    <title>%s</title>
  </head>
  <body>
    <h1>%s</h1>
    <p>%s</p>
  </body>
</html>
]]):format(title, heading, text)
end

local MAINTENANCE = page("Offline for Maintenance", "Offline for Maintenance",
  "This application is undergoing maintenance right now. Please check back later.")
local FAILED = page("Application Error", "Application error",
  "An error occurred in the application and your page could not be served.")

local HOP_BY_HOP = { connection = true, ["keep-alive"] = true, ["proxy-authenticate"] = true, ["proxy-authorization"] = true,
  te = true, trailer = true, ["transfer-encoding"] = true, upgrade = true, ["content-length"] = true, expect = true }

local function log_line(app, req, id, o)
  app.logs:add("heroku", "router", ("%s method=%s path=%q host=%s request_id=%s dyno=%s status=%d"):format(
    o.code and ('at=error code=%s desc="%s"'):format(o.code, o.desc) or "at=info", req.method, req.path,
    req.headers.host or "", id, o.dyno or "", o.status))
end

local function refuse(app, req, id, code, desc, body)
  log_line(app, req, id, { code = code, desc = desc, status = 503 })
  return { status = 503, headers = { ["Content-Type"] = "text/html; charset=utf-8", ["Cache-Control"] = "no-cache, no-store" },
           body = body or FAILED }
end

--- The web dynos that still serve, by state.
local function web_dynos(app)
  local up, starting, any = {}, false, false
  for _, dyno in ipairs(app.dynos) do
    if dyno.type == "web" and not dyno.stopping then
      any = true
      if dyno.state == "up" and dyno.port then up[#up + 1] = dyno elseif dyno.state == "starting" then starting = true end
    end
  end
  return up, starting, any
end

--- A web dyno that is up; waits while one boots. Else nil and the router's code.
local function pick(app)
  local deadline = task.now() + BOOT
  while true do
    local up, starting, any = web_dynos(app)
    if #up > 0 then
      app.turn = (app.turn or 0) + 1
      return up[app.turn % #up + 1]
    end
    if app.maintenance then return nil, "H80", "Maintenance mode" end
    if not any then return nil, "H14", "No web processes running" end
    if not starting then return nil, "H10", "App crashed" end
    if task.now() > deadline then return nil, "H20", "App boot timeout" end
    task.sleep(0.05)
  end
end

local function request_headers(req, id)
  local headers = {}
  for name, values in pairs(req.headers.all) do
    if not HOP_BY_HOP[name] then headers[name] = #values == 1 and values[1] or values end
  end
  local peer = req.peer:match "^(.*):%d+$" or req.peer
  headers["x-forwarded-for"] = headers["x-forwarded-for"] and req.headers["x-forwarded-for"] .. ", " .. peer or peer
  headers["x-forwarded-proto"] = "http"
  headers["x-forwarded-port"] = req.headers.host and req.headers.host:match ":(%d+)$" or "80"
  headers["x-request-start"] = tostring(os.time() * 1000)
  headers["x-request-id"] = id
  headers.via = "1.1 vegur"
  return headers
end

local function answer_of(req, r)
  local headers = {}
  for name, values in pairs(r.headers.all) do
    if not HOP_BY_HOP[name] then headers[name] = values end
  end
  headers.via = "1.1 vegur"
  if req.method == "HEAD" then
    headers["content-length"] = r.headers["content-length"]
    return { status = r.status, headers = headers }
  end
  return { status = r.status, headers = headers, body = r.body }
end

local function forward(app, req)
  local id = req.headers["x-request-id"] or sign.uuid()
  if app.maintenance then return refuse(app, req, id, "H80", "Maintenance mode", MAINTENANCE) end
  local dyno, code, desc = pick(app)
  if not dyno then return refuse(app, req, id, code, desc, code == "H80" and MAINTENANCE or nil) end
  local query = req.raw_query ~= "" and "?" .. req.raw_query or ""
  local ok, r = pcall(http.request, {
    method = req.method, url = ("http://127.0.0.1:%d%s%s"):format(dyno.port, req.raw_path, query), headers = request_headers(req, id),
    body = req.body_file and { file = req.body_file } or req.body_size > 0 and req.body or nil, connect_timeout = 5, stall_timeout = FIRST_BYTE,
  })
  if not ok then
    if errors.is(r, "cancelled") then error(r, 0) end
    if errors.is(r, "timeout") then return refuse(app, req, id, "H12", "Request timeout") end
    return refuse(app, req, id, "H13", "Connection closed without response")
  end
  log_line(app, req, id, { dyno = dyno.name, status = r.status })
  return answer_of(req, r)
end

--- Listens for an app; its web_url is the answer's url.
function M.start(app)
  return serve.start { handler = function(req) return forward(app, req) end }
end

return M
