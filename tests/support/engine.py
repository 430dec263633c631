"""A container engine for tests, as far as hkrun uses one: `info`, `build`, `login --password-stdin`, `push`.

It builds what COPY, ENV, WORKDIR, ENTRYPOINT and CMD say; what FROM names is taken for empty, as in the rehearsal, and RUN is
left out. It pushes as the OCI distribution specification says. Every call's arguments go to TMPDIR/engine.log.
"""
import base64, gzip, hashlib, io, json, os, shlex, sys, tarfile, urllib.error, urllib.request

IMAGES = os.path.join(os.environ["TMPDIR"], "images")
KIND = "application/vnd.oci.image."


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def save(reference, value):
    os.makedirs(IMAGES, exist_ok=True)
    with open(os.path.join(IMAGES, hashlib.sha256(reference.encode()).hexdigest()), "wb") as f:
        f.write(value)


def load(reference):
    with open(os.path.join(IMAGES, hashlib.sha256(reference.encode()).hexdigest()), "rb") as f:
        return f.read()


def layer_of(context, source, target):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        path = os.path.join(context, source)
        if os.path.isdir(path):
            tar.add(path, arcname=target.strip("/") or ".", filter=lambda i: i)
        else:
            tar.add(path, arcname=(target.strip("/") + ("/" + os.path.basename(source) if target.endswith("/") else "")))
    return raw.getvalue()


def build(words):
    reference, context = words[words.index("--tag") + 1], words[-1]
    config, layers, diffs = {"Env": []}, [], []
    with open(words[words.index("--file") + 1] if "--file" in words else os.path.join(context, "Dockerfile")) as f:
        lines = f.read().replace("\\\n", " ").splitlines()
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            config, layers, diffs = {"Env": []}, [], []
        elif word == "COPY":
            parts = [p for p in rest.split() if not p.startswith("--")]
            target = os.path.join(config.get("WorkingDir", "/"), parts[-1]) if not parts[-1].startswith("/") else parts[-1]
            data = layer_of(context, parts[0], target)
            diffs.append(digest(data))
            layers.append(gzip.compress(data, mtime=0))
        elif word == "ENV":
            config["Env"] += shlex.split(rest)
        elif word == "WORKDIR":
            config["WorkingDir"] = rest
        elif word in ("ENTRYPOINT", "CMD"):
            config["Entrypoint" if word == "ENTRYPOINT" else "Cmd"] = json.loads(rest)
    blob = json.dumps({"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    save(reference, json.dumps({"config": base64.b64encode(blob).decode(), "layers": [base64.b64encode(l).decode() for l in layers]}).encode())


def ask(method, url, data=None, kind="application/octet-stream"):
    with open(os.environ["REGISTRY_AUTH_FILE"]) as f:
        login = json.load(f)["auth"]
    request = urllib.request.Request(url, data=data, method=method, headers={"Authorization": "Basic " + login, "Content-Type": kind})
    try:
        return urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as e:
        if method == "HEAD" and e.code == 404:
            return None
        sys.exit("Error: %s %s: %s" % (e.code, url.split("/v2/")[-1], e.read().decode()))


def upload(base, name, data):
    if ask("HEAD", "%s/v2/%s/blobs/%s" % (base, name, digest(data))):
        return
    place = ask("POST", "%s/v2/%s/blobs/uploads/" % (base, name), b"").headers["Location"]
    half = len(data) // 2
    place = ask("PATCH", base + place, data[:half]).headers["Location"]
    ask("PUT", base + place + "?digest=" + digest(data), data[half:])


def push(words):
    reference = words[-1]
    host, _, rest = reference.partition("/")
    name, _, tag = rest.rpartition(":")
    image = json.loads(load(reference))
    blob, layers = base64.b64decode(image["config"]), [base64.b64decode(l) for l in image["layers"]]
    for data in layers + [blob]:
        upload("http://" + host, name, data)
    manifest = {"schemaVersion": 2, "mediaType": KIND + "manifest.v1+json",
                "config": {"mediaType": KIND + "config.v1+json", "digest": digest(blob), "size": len(blob)},
                "layers": [{"mediaType": KIND + "layer.v1.tar+gzip", "digest": digest(l), "size": len(l)} for l in layers]}
    ask("PUT", "http://%s/v2/%s/manifests/%s" % (host, name, tag), json.dumps(manifest).encode(), manifest["mediaType"])


def login(words):
    auth = "%s:%s" % (words[words.index("--username") + 1], sys.stdin.read().strip())
    with open(os.environ["REGISTRY_AUTH_FILE"], "w") as f:
        json.dump({"auth": base64.b64encode(auth.encode()).decode()}, f)
    ask("GET", "http://%s/v2/" % words[-1])


with open(os.path.join(os.environ["TMPDIR"], "engine.log"), "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\n")
command = {"build": build, "push": push, "login": login, "info": lambda _: print("5.0"), "--version": lambda _: print("1.28")}.get(sys.argv[1])
command(sys.argv[2:]) if command else sys.exit("Error: no command " + sys.argv[1])
