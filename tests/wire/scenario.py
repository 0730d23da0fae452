"""The requests whose replies are recorded from LXD 5.0.2 and compared with ours, and what of a reply is compared.

Compared: HTTP status, type, content type, which headers are there, the text of errors, and the shape of the metadata
(members and their JSON types); values only where they are the contract."""
import json
import re

INSTANCE_PUT = {"architecture": "x86_64", "config": {"user.a": "1"}, "devices": {}, "ephemeral": False, "profiles": ["default"],
                "description": "changed"}
EXEC = {"command": ["sh", "-c", "exit 4"], "wait-for-websocket": False, "interactive": False, "environment": {}}
MISSING = {"command": ["/no/such/program"], "wait-for-websocket": False, "interactive": False, "environment": {}}

# (method, target, body[, headers]); an async reply is followed to the end of its operation.
STEPS = [
    ("GET", "/", None), ("GET", "/1.0", None), ("GET", "/1.0/nothing", None), ("DELETE", "/1.0", None),
    ("GET", "/1.0/resources", None), ("GET", "/1.0/projects?recursion=1", None), ("GET", "/1.0/projects/default", None),
    ("GET", "/1.0/certificates", None), ("GET", "/1.0/warnings?recursion=1", None), ("GET", "/1.0/cluster", None),
    ("GET", "/1.0/images", None), ("GET", "/1.0/images?recursion=1", None), ("GET", "/1.0/images/aliases?recursion=1", None),
    ("GET", "/1.0/images/aliases/tiny", None), ("GET", "/1.0/images/aliases/none", None),
    ("GET", "/1.0/images/0123456789ab", None),
    ("POST", "/1.0/images/aliases", {"name": "tiny", "target": "{fingerprint}"}),
    ("GET", "/1.0/images/{fingerprint}", None),
    ("GET", "/1.0/storage-pools?recursion=1", None), ("GET", "/1.0/storage-pools/default", None),
    ("GET", "/1.0/storage-pools/default/resources", None), ("GET", "/1.0/storage-pools/none", None),
    ("GET", "/1.0/storage-pools/default/volumes?recursion=1", None),
    ("GET", "/1.0/networks", None), ("GET", "/1.0/networks/lxtestbr0", None), ("GET", "/1.0/networks/lxtestbr0/state", None),
    ("GET", "/1.0/networks/lxtestbr0/leases", None), ("GET", "/1.0/networks/none", None),
    ("GET", "/1.0/profiles?recursion=1", None), ("GET", "/1.0/profiles/default", None), ("GET", "/1.0/profiles/none", None),
    ("POST", "/1.0/profiles", {"name": "wire", "description": "d", "config": {"user.x": "1"}, "devices": {}}),
    ("POST", "/1.0/profiles", {"name": ""}), ("POST", "/1.0/profiles", {"name": "a/b"}),
    ("PUT", "/1.0/profiles/wire", {"description": "e", "config": {}, "devices": {}}),
    ("PUT", "/1.0/profiles/wire", {"description": "f"}, {"If-Match": "0" * 64}),
    ("PATCH", "/1.0/profiles/wire", {"config": {"user.y": "2"}}), ("GET", "/1.0/profiles/wire", None),
    ("PUT", "/1.0/profiles/wire", {"config": {"no.such.key": "1"}}),
    ("POST", "/1.0/profiles/wire", {"name": "wired"}), ("DELETE", "/1.0/profiles/wired", None),
    ("DELETE", "/1.0/profiles/default", None),
    ("GET", "/1.0/instances", None), ("GET", "/1.0/instances/none", None), ("GET", "/1.0/instances/none/state", None),
    ("POST", "/1.0/instances", {"name": "bad name", "source": {"type": "image", "alias": "tiny"}}),
    ("POST", "/1.0/instances", {"name": "x", "source": {"type": "nonsense"}}),
    ("POST", "/1.0/instances", {"name": "wire", "source": {"type": "image", "alias": "tiny"}, "config": {"user.a": "0"}}),
    ("GET", "/1.0/instances", None), ("GET", "/1.0/instances?recursion=1", None), ("GET", "/1.0/instances?recursion=2", None),
    ("GET", "/1.0/instances/wire", None), ("GET", "/1.0/instances/wire?recursion=1", None), ("GET", "/1.0/containers", None),
    ("GET", "/1.0/instances/wire/state", None), ("GET", "/1.0/instances/wire/snapshots", None),
    ("GET", "/1.0/instances/wire/metadata", None), ("GET", "/1.0/instances/wire/metadata/templates", None),
    ("GET", "/1.0/instances/wire/logs", None), ("GET", "/1.0/instances/wire/logs/none.log", None),
    ("PUT", "/1.0/instances/wire", INSTANCE_PUT, {"If-Match": "0" * 64}),
    ("PATCH", "/1.0/instances/wire", {"config": {"user.b": "1"}}),
    ("PATCH", "/1.0/instances/wire", {"config": {"no.such.key": "1"}}),
    ("PUT", "/1.0/instances/wire/state", {"action": "stop", "timeout": 5, "force": True}),
    ("PUT", "/1.0/instances/wire/state", {"action": "dance"}),
    ("POST", "/1.0/instances/wire/exec", EXEC),
    ("PUT", "/1.0/instances/wire/state", {"action": "start", "timeout": 30}),
    ("PUT", "/1.0/instances/wire/state", {"action": "start", "timeout": 30}),
    ("GET", "/1.0/instances/wire/state", None), ("GET", "/1.0/instances?recursion=2", None),
    ("POST", "/1.0/instances/wire/exec", EXEC), ("POST", "/1.0/instances/wire/exec", MISSING),
    ("GET", "/1.0/instances/wire/files?path=%2Fetc%2Fhostname", None), ("GET", "/1.0/instances/wire/files?path=%2Fetc", None),
    ("GET", "/1.0/instances/wire/files?path=%2Fnone", None), ("GET", "/1.0/instances/wire/files", None),
    ("DELETE", "/1.0/instances/wire/files?path=%2Fnone", None),
    ("DELETE", "/1.0/instances/wire", None), ("POST", "/1.0/instances/wire", {"name": "moved"}),
    ("PUT", "/1.0/instances/wire/state", {"action": "stop", "timeout": 5, "force": True}),
    ("POST", "/1.0/instances/wire", {"name": "moved"}), ("DELETE", "/1.0/instances/moved", None),
    ("DELETE", "/1.0/instances/moved", None),
    ("GET", "/1.0/operations", None), ("GET", "/1.0/operations/00000000-0000-4000-8000-000000000000", None),
    ("DELETE", "/1.0/operations/00000000-0000-4000-8000-000000000000", None),
    ("DELETE", "/1.0/networks/none", None), ("POST", "/1.0/networks", {"name": "", "type": "bridge"}),
    ("DELETE", "/1.0/storage-pools/none", None), ("DELETE", "/1.0/storage-pools/default", None),
    ("DELETE", "/1.0/images/aliases/none", None), ("DELETE", "/1.0/images/0123456789ab", None),
]
HEADERS = ("Content-Type", "Etag", "Location", "X-Lxd-Type", "X-Lxd-Mode", "Content-Disposition")
# Maps with free keys: their members' names say nothing.
FREE_KEYS = {"config", "expanded_config", "environment", "properties", "devices", "expanded_devices", "fds", "network", "disk",
             "templates"}


def shape(value, key=""):
    if isinstance(value, dict):
        if key in FREE_KEYS:
            return {"*": shape(next(iter(value.values())))} if value else {"*": None}
        return {name: shape(member, name) for name, member in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def summary(reply):
    """What is compared of one reply."""
    seen = {"status": reply.status}
    for header in HEADERS:
        value = reply.headers.get(header)
        if value is not None:
            seen[header] = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}", "ID", value)
    if "json" in reply.headers.get("Content-Type", ""):
        envelope = reply.json
        seen["type"] = envelope["type"]
        seen["error"] = re.sub(r"[0-9a-f]{64}", "ID", envelope["error"])
        seen["metadata"] = shape(envelope["metadata"])
    return seen


def run(daemon):
    """Plays the steps against a daemon that has the image `tiny`; returns {step: summary}."""
    fingerprint = daemon.api.get("/1.0/images/aliases/tiny")["target"]
    found = {}
    for number, (method, target, body, *headers) in enumerate(STEPS):
        filled = json.loads(json.dumps(body).replace("{fingerprint}", fingerprint))
        reply = daemon.api.raw(method, target.replace("{fingerprint}", fingerprint), filled, headers[0] if headers else None)
        step = found[f"{number:03} {method} {target}"] = summary(reply)
        if step.get("type") == "async":
            ended = daemon.api.raw("GET", reply.json["operation"] + "/wait?timeout=30").metadata
            step["operation"] = {"status_code": ended["status_code"], "err": ended["err"], "class": ended["class"],
                                 "description": ended["description"], "metadata": shape(ended["metadata"])}
    return found
