--- Images in the rehearsal, and the processes that containers of them are. An image is a folder; where a process cannot
--- have it as its root, the paths in its words are made to lead there.
local dockerfile = require "rehearsal.services.elasticbeanstalk.dockerfile"
local errors = require "errors"
local fs = require "fs"
local process = require "process"
local secret = require "secret"

local M = {}

--- What Docker would refuse.
function M.broken(fmt, ...)
  errors.raise { kind = "invalid", op = "read the source bundle", message = fmt:format(...) }
end
local broken = M.broken

--- Where a process cannot have the image as its root, absolute paths of the
--- image become paths below the folder that stands for it.
local function inside(o, root, s)
  if o.has_roots or secret.is(s) then return s end
  return (s:gsub("%f[/%w_%.%-@$}]/[%w_%.@%-/]+", function(path)
    local top = path:match "^/[^/]+"
    if fs.exists(root .. path) or (fs.exists(root .. (top or "")) and not fs.exists(top or "")) then return root .. path end
  end))
end

--- What is run of a Dockerfile, and the folder that tells that an install was run already.
local INSTALLS = {
  { "^npm%s+run ", false }, { "^npm%s+[ci]", "node_modules" }, { "^yarn", "node_modules" }, { "^pnpm%s+i", "node_modules" },
  { "^pip3?%s+install", false }, { "^bundle%s+install", "vendor/bundle" },
}

--- Runs what installs or builds an app, in a folder.
function M.install(o, folder, command, home)
  o.note("the rehearsal does not build images: it runs `%s` in the folder that stands for the image", command)
  home = home or folder
  local env = { PATH = o.path, HOME = home, LANG = "C.UTF-8", PYTHONUSERBASE = home .. "/.local", PIP_BREAK_SYSTEM_PACKAGES = "1",
                BUNDLE_PATH = folder .. "/vendor/bundle", SSL_CERT_FILE = os.getenv "SSL_CERT_FILE" }
  local r = process.run { "sh", "-c", command, env = env, cwd = folder, timeout = 600 }
  if r.code ~= 0 then broken("`%s` failed: %s", command, (r.stdout .. r.stderr):match "([^\n]*)\n*$") end
end

--- RUN: only installs of packages and the app's own scripts are run, an install only where its result is missing.
local function run_instruction(o, image, command)
  for _, install in ipairs(INSTALLS) do
    if command:find(install[1]) then
      local folder = image.root .. image.workdir
      if not (install[2] and fs.exists(folder .. "/" .. install[2])) then M.install(o, folder, command, image.root) end
      return
    end
  end
  o.note("the rehearsal does not build images: RUN %s was left out", command)
end

--- The image of a folder with a Dockerfile; made once.
function M.of(o, context, file)
  local key = context .. "\n" .. file
  local image = o.images[key]
  if image then return image end
  local path = fs.join(context, file)
  if not fs.exists(path) then broken("there is no %s in %s", file, context == o.dir and "the bundle" or context:sub(#o.dir + 2)) end
  o.image_count = (o.image_count or 0) + 1
  image = dockerfile.image(context, fs.read(path), fs.join(o.root, tostring(o.image_count)), o.path,
    function(stage, command) run_instruction(o, stage, command) end)
  o.images[key] = image
  return image
end

--- An image of the account's registry; laid out once.
function M.pulled(o, reference)
  local image = o.images[reference]
  if image then return image end
  o.image_count = (o.image_count or 0) + 1
  image = o.pull and o.pull(reference, fs.join(o.root, tostring(o.image_count)))
  if not image then broken("the image %s is in no registry that the rehearsal has: it pulls from the account's Amazon ECR only", reference) end
  o.images[reference] = image
  return image
end

--- The process that a container of this image is.
function M.container(o, image, name, given)
  local root = image.root
  local argv = {}
  local entrypoint = given.entrypoint or image.entrypoint
  local command = given.command or (not given.entrypoint and image.command) or {}
  for _, word in ipairs(entrypoint or {}) do argv[#argv + 1] = inside(o, root, word) end
  if not (image.entrypoint_is_shell and not given.entrypoint) then
    for _, word in ipairs(command) do argv[#argv + 1] = inside(o, root, word) end
  end
  if #argv == 0 then broken("the service %s has no command", name) end
  fs.mkdir_p(root .. "/root")
  local env = { PATH = o.path, HOME = inside(o, root, "/root") }
  for key, value in pairs(image.env) do env[key] = inside(o, root, value) end
  for key, value in pairs(given.env) do env[key] = value end
  local workdir = given.workdir or image.workdir
  workdir = workdir:sub(1, 1) == "/" and workdir or "/" .. workdir
  fs.mkdir_p(root .. workdir)
  return { name = name, argv = argv, env = env, cwd = o.has_roots and workdir or root .. workdir, ports = given.ports, count = given.count or 1,
           root = o.has_roots and root or nil }
end

return M
