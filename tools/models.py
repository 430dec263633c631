#!/usr/bin/env python3
"""Writes lua/stdlib/aws/models/*.txt, what the AWS client knows of each service, from an installed botocore.

    python3 tools/models.py [--botocore DIR] [--out DIR] [service ...]

Without service names it writes the services that are there already. The files are text so that a new botocore shows
as a diff of one line per operation or shape. They hold no documentation. lua/stdlib/aws/model.lua reads them; its
first page says what each word means. A line is one of

    m KEY VALUE                              a fact of the service
    o NAME METHOD URI TRAIT...               an operation
    s NAME KIND TRAIT... | MEMBER:SHAPE;TRAIT... a shape; a required member is written MEMBER!
    p NAME TRAIT...                          a paginator
    w NAME TRAIT... | ACCEPTOR...            a waiter; an acceptor is state;matcher;expected;argument
"""
import argparse
import glob
import gzip
import json
import os
import re

PREFERRED = ["json", "rest-json", "rest-xml", "smithy-rpc-v2-cbor", "query", "ec2"]  # botocore's own order
KINDS = {"structure": "struct", "integer": "int", "boolean": "bool"}  # the others keep their names
SCALARS = {"string", "int", "long", "float", "double", "bool", "blob", "timestamp"}
META = ["apiVersion", "endpointPrefix", "globalEndpoint", "jsonVersion", "serviceFullName", "serviceId",
        "signatureVersion", "signingName", "targetPrefix", "xmlNamespace", "awsQueryCompatible"]
# botocore's word -> ours. A word with no value stands for true.
REF = {"queryName": "query", "flattened": "flat", "xmlAttribute": "attr",
       "streaming": "stream", "idempotencyToken": "token", "hostLabel": "host", "timestampFormat": "time",
       "jsonvalue": "json", "sensitive": "secret", "eventpayload": "eventpayload", "eventheader": "eventheader",
       "document": "document"}
SHAPE = {"min": "min", "max": "max", "union": "union", "payload": "payload", "exception": "error",
         "eventstream": "eventstream", "document": "document", "sensitive": "secret", "enum": "enum"}
INHERITED = ["locationName", "flattened", "timestampFormat", "xmlNamespace", "sensitive", "streaming"]


def word(value):
    """A value as one word: blanks and the characters of the grammar are %-escaped."""
    if isinstance(value, (list, tuple)):
        return ",".join(word(v) for v in value)
    return re.sub(r"[\s%,;|]", lambda m: "%%%02X" % ord(m[0]), str(value))


def traits(source, names):
    for theirs, ours in names.items():
        value = source.get(theirs)
        if value is True:
            yield ours
        elif value is not None and value is not False:
            yield "%s=%s" % (ours, word(value))
    namespace = source.get("xmlNamespace")
    if isinstance(namespace, dict):
        yield "ns=" + word(namespace["uri"])
        if "prefix" in namespace:
            yield "prefix=" + word(namespace["prefix"])


class Service:
    def __init__(self, model, paginators, waiters):
        self.meta, self.operations, self.shapes = model["metadata"], model["operations"], model["shapes"]
        self.paginators, self.waiters = paginators, waiters
        if self.meta["serviceId"] == "S3":  # as botocore's handlers do
            self.shapes["Expires"]["type"] = "timestamp"
        self.plain = {n: self.kind(s) for n, s in self.shapes.items() if self.is_plain(s)}

    def kind(self, shape):
        return KINDS.get(shape["type"], shape["type"])

    def is_plain(self, shape):
        """A scalar of which nothing is said but its type goes by the name of the type."""
        said = set(SHAPE) - {"document"} | set(REF)
        return self.kind(shape) in SCALARS and not said & {k for k, v in shape.items() if v not in (False, None)}

    def name(self, shape):
        return self.plain.get(shape) or (shape + "_" if shape in SCALARS else shape)

    def ref(self, ref, member=None):
        """A use of a shape. What the shape says of its own place on the wire is written at each use."""
        target = self.shapes[ref["shape"]]
        merged = {**{k: target[k] for k in INHERITED if k in target}, **ref}
        wire, place = merged.get("locationName"), merged.get("location")
        words = [self.name(ref["shape"])]
        if place:
            words.append("%s=%s" % (place, word(wire or member)))
        elif member and wire == member[0].lower() + member[1:]:
            words.append("low")  # most of EC2: InstanceId goes by instanceId
        elif wire not in (None, member):
            words.append("wire=" + word(wire))
        return ";".join([*words, *traits(merged, REF)])

    def operation(self, name, op):
        line = ["o", name, op["http"]["method"], op["http"]["requestUri"]]
        for ours, ref in (("in", op.get("input")), ("out", op.get("output"))):
            if ref:
                line.append("%s=%s" % (ours, self.name(ref["shape"])))
        line += traits(op.get("output", {}), {"resultWrapper": "wrap"})
        line += traits(op.get("input", {}), {"locationName": "root"})
        line += traits(op["http"], {"responseCode": "status"})
        line += traits(op, {"authtype": "auth", "unsignedPayload": "unsigned", "idempotent": "idempotent"})
        line += traits(op.get("endpoint", {}), {"hostPrefix": "host"})
        line += traits(op.get("httpChecksum", {}), {
            "requestAlgorithmMember": "sum", "requestChecksumRequired": "sum_required",
            "requestValidationModeMember": "sum_mode", "responseAlgorithms": "sum_answer"})
        if op.get("httpChecksumRequired"):
            line.append("md5_required")
        line += traits(op.get("requestcompression", {}), {"encodings": "compress"})
        if op.get("errors"):
            line.append("errors=" + word(sorted({e["shape"] for e in op["errors"]})))
        return " ".join(line)

    def shape(self, name, shape):
        kind = self.kind(shape)
        line = ["s", self.name(name), kind, *traits(shape, SHAPE)]
        if shape.get("exception"):
            error = shape.get("error", {})
            line += traits(error, {"code": "code", "httpStatusCode": "status", "senderFault": "sender"})
            line += traits(shape, {"fault": "fault"})
        if kind == "struct":
            required = shape.get("required", [])
            line.append("|")
            line += ["%s%s:%s" % (m, "!" if m in required else "", self.ref(r, m)) for m, r in shape["members"].items()]
        elif kind == "list":
            line += ["|", "member:" + self.ref(shape["member"])]
        elif kind == "map":
            line += ["|", "key:" + self.ref(shape["key"]), "value:" + self.ref(shape["value"])]
        return " ".join(line)

    def lines(self, version):
        yield "# Made by tools/models.py from botocore %s (Apache-2.0, see NOTICE). Do not edit." % version
        offered = self.meta.get("protocols") or [self.meta["protocol"]]
        yield "m protocol " + min(offered, key=PREFERRED.index)
        for key in META:
            if key in self.meta:
                snake = re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower()
                yield ("m %s %s" % (snake, self.meta[key] or "true")).replace("{}", "true")
        for name in sorted(self.operations):
            yield self.operation(name, self.operations[name])
        for name in sorted(self.shapes):
            if name not in self.plain:
                yield self.shape(name, self.shapes[name])
        for name in sorted(self.paginators):
            yield " ".join(["p", name, *traits(self.paginators[name], {
                "input_token": "in", "output_token": "out", "limit_key": "limit", "more_results": "more",
                "result_key": "result"})])
        for name in sorted(self.waiters):
            w = self.waiters[name]
            yield " ".join(["w", name, *traits(w, {"operation": "op", "delay": "delay", "maxAttempts": "tries"}), "|",
                            *(";".join(word(v) for v in (a["state"], a["matcher"], json.dumps(a["expected"]),
                                                         a.get("argument", ""))) for a in w["acceptors"])])


def load(folder, name):
    path = os.path.join(folder, name)
    for opener, file in ((open, path), (gzip.open, path + ".gz")):
        if os.path.exists(file):
            with opener(file, "rt", encoding="utf-8") as f:
                return json.load(f)
    return {}


def main():
    out = os.path.join(os.path.dirname(__file__), "..", "lua", "stdlib", "aws", "models")
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    args.add_argument("--botocore", help="folder of the botocore package (default: the one that Python imports)")
    args.add_argument("--out", default=out)
    args.add_argument("services", nargs="*")
    args = args.parse_args()
    if not args.botocore:
        import botocore
        args.botocore = os.path.dirname(botocore.__file__)
    with open(os.path.join(args.botocore, "__init__.py"), encoding="utf-8") as f:
        version = re.search(r"__version__ = ['\"]([^'\"]+)", f.read())[1]
    names = args.services or [os.path.basename(f)[:-4] for f in sorted(glob.glob(os.path.join(args.out, "*.txt")))]
    for name in names:
        versions = sorted(glob.glob(os.path.join(args.botocore, "data", name, "*")))
        if not versions:
            raise SystemExit("botocore %s has no service %s" % (version, name))
        folder = versions[-1]
        service = Service(load(folder, "service-2.json"), load(folder, "paginators-1.json").get("pagination", {}),
                          load(folder, "waiters-2.json").get("waiters", {}))
        with open(os.path.join(args.out, name + ".txt"), "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in service.lines(version))


if __name__ == "__main__":
    main()
