"""Says what python's jmespath finds: one JSON line per expression and document, for jmespath_test.lua to compare with.

The expressions are all of botocore's paginators and waiters, and some of the rest of the language. The documents are
made from each expression: what it looks for is there, is missing, is empty, or has the wrong type. None is an empty
object where a list may be, which in Lua are the same.
"""
import glob
import gzip
import json
import os
import random

import botocore
import jmespath
import jmespath.exceptions

LANGUAGE = """
a.b[0] a.b[-1] a.b[5] a.b[1:] a.b[::-1] a.b[:-1] a.b[-2:9:1] a[*].b a[*].b[*] a[].b[] a[].b[].c a.*.b *.a *.*
a[?b=='x'].c a[?b!='x'] a[?c>`1`].b a[?c>=`1`&&c<`3`].b a[?!b] a[?b||c].c a[?contains(b,'x')].c a[?c<=`2`][].b
a||b a&&b !a a|b (a||b).c a.b|[0] a[*].b|[0] [a,b] {x:a,"y":b.c} a[*].[b,c] a[*].{x:b,y:c} a[][b,c]
length(a) length(keys(a)) contains(a,'x') contains(a,`1`) starts_with(a,'x') ends_with(a,'x') not_null(a,b,'z') values(a)|length(@)
a=='x' a==`null` a==`[1,"x"]` a=='it\\'s' a==`"b\\`q"` "a" "a b".c @.a a.{x:@} `{"k":[1,{"l":null}]}`.k[1]
""".split("\n")
LANGUAGE = [word for line in LANGUAGE for word in line.replace('"a b"', '"a\0b"').split()]
LANGUAGE = [word.replace("\0", " ") for word in LANGUAGE]


def botocore_expressions():
    found = {}
    root = os.path.join(os.path.dirname(botocore.__file__), "data")
    for path in sorted(glob.glob(root + "/*/*/paginators-1.json*") + glob.glob(root + "/*/*/waiters-2.json*")):
        with (gzip.open(path) if path.endswith(".gz") else open(path)) as f:
            data = json.load(f)
        for paginator in data.get("pagination", {}).values():
            for key in ("output_token", "result_key", "more_results", "non_aggregate_keys"):
                value = paginator.get(key) or []
                for expression in value if isinstance(value, list) else [value]:
                    found[expression] = True
        for waiter in data.get("waiters", {}).values():
            for acceptor in waiter["acceptors"]:
                if "argument" in acceptor:
                    found[acceptor["argument"]] = True
    return list(found)


def literals(node, found):
    if node["type"] == "literal":
        found.append(node["value"])
    for child in node["children"]:
        if isinstance(child, dict):
            literals(child, found)
    return found


class Maker:
    """Documents in which an expression finds something, as far as the dice say."""

    def __init__(self, node, dice):
        self.dice, self.words = dice, [w for w in literals(node, []) if isinstance(w, str)] + ["x", "y", ""]

    def leaf(self):
        return self.dice.choice([self.dice.choice(self.words), self.dice.choice(self.words), 0, 1, 2, True, False, None,
                                 [], ["x", None, 1], {"k": "x"}, [[1, "x"], ["x"]]])

    def merge(self, a, b):
        if isinstance(a, dict) and isinstance(b, dict):
            return {**a, **{k: self.merge(a[k], v) if k in a else v for k, v in b.items()}}
        if isinstance(a, list) and isinstance(b, list):
            return [self.merge(x, y) for x, y in zip(a, b)] + a[len(b):] + b[len(a):]
        return b if isinstance(b, (dict, list)) else a

    def make(self, node, inner):
        """A document in which the node finds what `inner()` makes."""
        kind, children = node["type"], node["children"]
        if self.dice.random() < 0.05:
            return self.leaf()
        if kind == "field":
            doc = {node["value"]: inner()}
            return {**doc, "other": 1} if self.dice.random() < 0.2 else doc
        if kind in ("subexpression", "index_expression", "pipe"):
            def make(rest):
                return inner() if not rest else self.make(rest[0], lambda: make(rest[1:]))
            return make(children)
        if kind in ("projection", "filter_projection"):
            items = [children[1]] + children[2:]
            def one():
                docs = [self.make(item, inner if i == 0 else self.leaf) for i, item in enumerate(items)]
                return docs[0] if len(docs) == 1 else self.merge(docs[0], docs[1])
            return self.make(children[0], lambda: [one() for _ in range(self.dice.randint(0, 3))])
        if kind == "value_projection":
            return self.make(children[0], lambda: {k: self.make(children[1], inner) for k in "pqr"[:self.dice.randint(1, 3)]})
        if kind == "flatten":
            flat = inner()
            return self.make(children[0], lambda: [flat] if self.dice.random() < 0.3 else flat)
        if kind in ("index", "slice"):
            return [inner() for _ in range(self.dice.randint(0, 3))]
        if kind == "literal":
            return {"other": 1}
        if kind in ("identity", "current"):
            return inner()
        doc = {"other": 1}
        for child in children:
            if isinstance(child, dict):
                doc = self.merge(doc, self.make(child, self.leaf))
        return doc




def main():
    dice = random.Random(1)
    for group, expressions in (("botocore", botocore_expressions()), ("language", LANGUAGE)):
        for expression in expressions:
            compiled = jmespath.compile(expression)
            simple = all(c.isalnum() or c == "_" for c in expression)
            for i in range(2 if simple else 6 if group == "botocore" and "[?" not in expression else 60):
                maker = Maker(compiled.parsed, dice)
                doc = maker.make(compiled.parsed, maker.leaf) if i else {}
                try:
                    found = compiled.search(doc)
                except (jmespath.exceptions.JMESPathError, TypeError):
                    continue
                print(json.dumps({"group": group, "expression": expression, "document": doc, "found": found}))


main()
