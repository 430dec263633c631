--- The app's release process, as Elastic Beanstalk runs it: a command of the bundle, once for each deployment, on one machine
--- of the environment (the leader), with the new version's image and config vars, before that version runs anywhere. If it
--- fails, so does the deployment, and the version before it stays.
--- Sources: docs.aws.amazon.com/elasticbeanstalk/latest/dg, "Customizing software on Linux servers" (container_commands,
--- leader_only), "Fetching secrets and parameters to environment variables" (container commands see them), "Viewing logs"
--- (taillogs.d); devcenter.heroku.com/articles/release-phase.
local fs = require "fs"
local json = require "json"
local quoted = require "process.quoted"
local yaml = require "yaml"

local M = {}

M.NAME = "01_release"
M.FOLDER = ".ebextensions"

--- The log of such commands is handed out with the others.
local LOGS = "/var/log/cfn-init-cmd.log\n"

--- Runs a command in the app's image. Variables are passed by name: no value stands in the arguments of a program. What
--- belongs to the machine itself is left out.
local IN_CONTAINER = [[
#!/bin/bash
set -eu
@IMAGE@
names=()
while read -r name; do
  case $name in
    PATH | HOME | PWD | OLDPWD | SHLVL | SHELL | USER | LOGNAME | HOSTNAME | TERM | _ | EB_IS_COMMAND_LEADER) ;;
    *) names+=(--env "$name") ;;
  esac
done < <(compgen -e)
exec docker run --rm --init "${names[@]}" "$image" @SHELL@ -c @COMMAND@
]]

--- Runs a command on the machine, in the app's folder.
local ON_MACHINE = [[
#!/bin/bash
set -eu
exec /bin/bash -c @COMMAND@
]]

local BUILD = [[
image=hkrun-release
docker build --quiet --tag "$image" .]]

--- The machine's own role may read the registry.
local PULL = [[
image=@REFERENCE@
aws ecr get-login-password --region @REGION@ | docker login --username AWS --password-stdin "${image%%/*}"
docker pull --quiet "$image"]]

local function filled(template, values)
  return (template:gsub("@(%u+)@", function(name) return values[name] end))
end

--- The files that a bundle gets.
---@param command string
---@param o { shell: string?, image: { reference: string, region: string }?, on_machine: boolean? } image: an image of ECR,
--- instead of the bundle's Dockerfile; on_machine: the platform runs no containers
---@return table<string, string> files
function M.files(command, o)
  local script
  if o.on_machine then script = filled(ON_MACHINE, { COMMAND = quoted(command) })
  else
    local image = o.image and filled(PULL, { REFERENCE = o.image.reference, REGION = o.image.region }) or BUILD
    script = filled(IN_CONTAINER, { IMAGE = image, SHELL = o.shell or "/bin/bash", COMMAND = quoted(command) })
  end
  local config = yaml.encode(yaml.map {
    { "files", { ["/opt/elasticbeanstalk/tasks/taillogs.d/hkrun-release.conf"] = yaml.map {
      { "mode", "000644" }, { "owner", "root" }, { "group", "root" }, { "content", LOGS } } } },
    { "container_commands", { [M.NAME] = yaml.map { { "command", ("bash %s/hkrun-release.sh"):format(M.FOLDER) }, { "leader_only", true } } } },
  })
  return { [M.FOLDER .. "/hkrun-release.config"] = config, [M.FOLDER .. "/hkrun-release.sh"] = script }
end

--- The files that let a platform of Node.js build the app as Heroku's buildpack does: on every machine, with what only the build
--- needs.
---@param dir string? the app's source; a slug is built already, but for what the platform installs
---@return table<string, string> files
function M.build_files(dir)
  local text = dir and fs.exists(fs.join(dir, "package.json")) and fs.read(fs.join(dir, "package.json"))
  local scripts = (text and json.decode(text) or {}).scripts or {}
  local script = scripts["heroku-postbuild"] and "heroku-postbuild" or scripts.build and "build"
  if not script then return {} end
  local command = ("npm ci --include=dev && npm run %s && npm prune --omit=dev"):format(script)
  return { [M.FOLDER .. "/hkrun-build.config"] = yaml.encode { container_commands = { ["00_build"] = { command = command } } } }
end

return M
