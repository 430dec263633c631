"""Holds answers of a Heroku Platform API against its hyper-schema.

    heroku_schema.py SCHEMA < answers.json

Reads a list of { method, path, status, body }; writes { failures: [sentence], links: [the links that were met] }. An answer
belongs to the link whose method and href it has. What Heroku's schema says by strictProperties (no member more, none
missing) holds here for every object whose members it names; where an object lists those that are required, for those.
"""
import json
import re
import sys
import urllib.parse

import jsonschema

# By what a link does: prmd, which makes Heroku's reference from the schema, documents these.
STATUS = {"create": {201}, "empty": {202}, "instances": {200, 206}}


def closed(schema):
    """The schema with the strictness that the validator can check: each named member there, and no other."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: value if name == "enum" else closed(value) for name, value in schema.items() if name not in ("example", "links")}
    members = schema.get("properties")
    if isinstance(members, dict) and members and "patternProperties" not in schema and "object" in schema.get("type", ["object"]):
        made["additionalProperties"] = False
        made.setdefault("required", sorted(members))
    return made


def pattern(href):
    """What a path looks like that fits an href, whose {(...)} each stand for one segment."""
    parts = re.split(r"\{\(.*?\)\}", href)
    return re.compile("[^/]+".join(re.escape(urllib.parse.unquote(part)) for part in parts) + "$")


def links(schema):
    for name, resource in schema["definitions"].items():
        for link in resource.get("links", []):
            target = link.get("targetSchema")
            if target is None and link.get("rel") != "empty":
                target = {"$ref": "#/definitions/" + name}
            if name == "filter-apps" or (target and "items" in target):
                target = {"type": ["array"], **target}
            yield {"href": link["href"], "method": link["method"], "pattern": pattern(link["href"]), "rel": link.get("rel"),
                   "title": "%s: %s" % (resource["title"], link["title"]), "target": target}


def fits(link, path):
    """How many segments of the path the href names itself; the most is the best."""
    return link["pattern"].match(path) and len(re.sub(r"\{\(.*?\)\}", "", link["href"]))


def main():
    schema = json.load(open(sys.argv[1]))
    # The generator of this schema writes the members of pipeline config vars as one odd name; its link has the map itself.
    strict = closed(schema)
    formats = jsonschema.FormatChecker(formats=("uuid", "date-time", "email", "ipv4", "date"))
    known = list(links(schema))
    failures, met = [], set()
    for answer in json.load(sys.stdin):
        what = "%s %s" % (answer["method"], answer["path"])
        found = [(fits(link, answer["path"]), link) for link in known if link["method"] == answer["method"]]
        found = [pair for pair in found if pair[0]]
        if not found:
            failures.append("%s: the schema has no such link" % what)
            continue
        link = max(found, key=lambda pair: pair[0])[1]
        met.add(link["title"])
        wanted = STATUS.get(link["rel"], {200, 201} if answer["method"] == "POST" and link["rel"] != "resolve" else {200})
        if answer["method"] == "POST" and link["rel"] == "instances":
            wanted = {200}
        if answer["status"] not in wanted:
            failures.append("%s: status %d, not %s" % (what, answer["status"], sorted(wanted)))
        if link["target"] is None:
            continue
        target = {"definitions": strict["definitions"], **closed(link["target"])}
        if "$ref" in target:
            target = {"definitions": strict["definitions"], "allOf": [closed(link["target"])]}
        for error in jsonschema.Draft4Validator(target, format_checker=formats).iter_errors(answer["body"]):
            where = "/".join(str(part) for part in error.absolute_path)
            failures.append("%s: %s: %s" % (what, where, error.message[:300]))
    json.dump({"failures": failures, "links": sorted(met)}, sys.stdout)


main()
