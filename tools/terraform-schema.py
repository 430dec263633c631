#!/usr/bin/env python3
"""Writes tests/support/terraform_schema.json: the arguments and blocks of the resource types that hkrun exports.

Terraform's AWS provider is too large to be fetched for a test. Its schema is in what the CDK for Terraform generates from
it. To write the file anew, for another version or more types:

    npm pack @cdktf/provider-aws@21.22.1 && tar xzf cdktf-provider-aws-21.22.1.tgz
    tools/terraform-schema.py package/lib > tests/support/terraform_schema.json
"""
import json, pathlib, re, sys

TYPES = sorted(set(re.findall(r'"aws_([a-z0-9_]+)"', "".join(
    p.read_text() for p in pathlib.Path("lua/stdlib/terraform/types").glob("*.lua")))))


def pascal(name):
    return name[0].upper() + name[1:]


def interfaces(text):
    """{interface: {camelCase: required}}"""
    found = {}
    for name, body in re.findall(r"export interface (\w+)[^{]*\{(.*?)\n\}", text, re.S):
        found[name] = {m[0]: m[1] != "?" for m in re.findall(r"^    readonly (\w+)(\??):", body, re.M)}
    return found


def bodies(text):
    """{function: [(argument, expression, camelCase)]} of the mappers, and of the resource itself under None"""
    found = {}
    for name, body in re.findall(r"^function (\w+)ToTerraform\(struct\) \{(.*?)^\}", text, re.S | re.M):
        if not name.endswith("Hcl"):
            found[name] = re.findall(r"^\s*(\w+): (.*?struct\.(\w+).*?),$", body, re.M)
    own = re.search(r"synthesizeAttributes\(\) \{\s*return \{(.*?)\n        \};", text, re.S).group(1)
    found[None] = re.findall(r"^\s*(\w+): (.*?this\._(\w+).*?),$", own, re.M)
    return found


def schema(fields, all_bodies, required):
    result = {"arguments": {}, "blocks": {}}
    for argument, expression, camel in fields:
        inner = re.search(r"(\w+)ToTerraform(?:, (true|false))?\)?\(", expression)
        mapper = inner and inner.group(1)
        if mapper in all_bodies and (", true)" in expression or "listMapper" not in expression):
            block = schema(all_bodies[mapper], all_bodies, INTERFACES.get(pascal(mapper), {}))
            block["required"] = required.get(camel, False)
            result["blocks"][argument] = block
        else:
            result["arguments"][argument] = required.get(camel, False)
    return result


all_types = {}
for short in TYPES:
    folder = pathlib.Path(sys.argv[1]) / short.replace("_", "-")
    text, declared = (folder / "index.js").read_text(), (folder / "index.d.ts").read_text()
    INTERFACES = interfaces(declared)
    config = re.search(r"export interface (\w+Config) extends", declared).group(1)
    all_types["aws_" + short] = schema(bodies(text)[None], bodies(text), INTERFACES[config])
version = re.search(r"hashicorp/aws/([\d.]+)/docs", declared).group(1)
json.dump({"provider": version, "types": all_types}, sys.stdout, indent=1, sort_keys=True)
print()
