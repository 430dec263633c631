--- Which resources of Terraform's AWS provider stand for which noun, by kind. `terraform/types/` has them by area.
---
--- An entry is a table:
---   type     resource type
---   import   format of the import id, filled from the thing: "{zone}_{name}_{type}". From the registry's page of the type.
---   body     function(v, x) -> the arguments as `hcl.block` takes them; v is the noun as it is, over what the recipe asked for;
---            x is how it reaches the others (see below)
---   ignore   arguments that Terraform leaves alone: secrets, and what deployments change; "all" for all
---   gives    { field = attribute } by which others refer to it; `id = "id", arn = "arn"` where there is no such table
---   named    attribute that others refer to where they say its name
---   read     function(v, spec) -> more fields, asked of AWS, or nil and why it cannot be imported
---   note     what a reader of the file must know
---   none     why there is no counterpart, in place of all that
---
--- x:named(kind, name) is the reference to the noun of that kind and name, or the name.
--- x:part(type, suffix, import, body) adds a resource that the noun has beside its first one.
---
--- Written for version 6 of the provider, from its documentation (registry.terraform.io/providers/hashicorp/aws), 2026-11.
local M = {}

--- What the files ask for.
M.provider = "~> 6.0"

for _, area in ipairs { "network", "machines", "stores", "beanstalk", "containers", "watch", "dms" } do
  for kind, entry in pairs(require("terraform.types." .. area)) do M[kind] = entry end
end

return M
