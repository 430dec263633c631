"""What botocore makes of profiles, and of a proof of `aws login`: JSON, for credentials_test.lua to compare with.

    credentials_judge.py profile NAME...     one line each: the keys that it finds, or the error
    credentials_judge.py proof JWT           whether the signature holds, and what it says
"""
import base64
import json
import sys


def resolve(name):
    import botocore.session

    session = botocore.session.Session(profile=None if name == "-" else name)
    try:
        found = session.get_credentials()
        frozen = found and found.get_frozen_credentials()
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"}
    if not frozen:
        return {"error": "none"}
    return {"key": frozen.access_key, "secret": frozen.secret_key, "token": frozen.token}


def check(jwt):
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives import hashes

    def decode(part):
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    head, claims, signature = jwt.split(".")
    jwk = json.loads(decode(head))["jwk"]
    numbers = [int.from_bytes(decode(jwk[c]), "big") for c in "xy"]
    raw = decode(signature)
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()
    key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))  # raises if it does not hold
    return {"head": json.loads(decode(head)), "claims": json.loads(decode(claims))}


if sys.argv[1] == "proof":
    print(json.dumps(check(sys.argv[2])))
else:
    for profile in sys.argv[2:]:
        print(json.dumps(resolve(profile)))
