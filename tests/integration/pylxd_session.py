"""What a user of pylxd does with one instance. argv: the daemon's socket. Run by /usr/bin/python3, which has Debian's pylxd."""
import sys
import urllib.parse

import pylxd

client = pylxd.Client(endpoint="http+unix://" + urllib.parse.quote(sys.argv[1], safe=""))
assert client.trusted
assert client.has_api_extension("etag")

source = {"type": "image", "alias": "tiny"}
container = client.containers.create({"name": "py", "source": source, "config": {"user.made-by": "pylxd"}}, wait=True)
assert client.containers.exists("py")
assert [one.name for one in client.containers.all()] == ["py"]
container.start(wait=True)
assert container.status == "Running", container.status
assert container.state().processes >= 1

answer = container.execute(["sh", "-c", "echo out; echo err >&2; exit 3"])
assert tuple(answer) == (3, "out\n", "err\n"), answer
answer = container.execute(["sh", "-c", "echo $WORD"], environment={"WORD": "said"})
assert answer.stdout == "said\n", answer

container.files.put("/root/pushed", b"by pylxd\n", mode=0o640, uid=1000)
assert container.files.get("/root/pushed") == b"by pylxd\n"
answer = container.execute(["stat", "-c", "%a %u", "/root/pushed"])
assert answer.stdout == "640 1000\n", answer
container.files.delete("/root/pushed")

container.config["limits.memory"] = "100MiB"
container.save(wait=True)
container.sync()
assert container.config["limits.memory"] == "100MiB"

snapshot = container.snapshots.create("before", wait=True)
assert [one.name for one in container.snapshots.all()] == ["before"]
snapshot.rename("first", wait=True)
container.execute(["touch", "/root/later"])
container.restore_snapshot("first", wait=True)
container.snapshots.get("first").delete(wait=True)

container.freeze(wait=True)
assert container.status == "Frozen", container.status
container.unfreeze(wait=True)
container.restart(force=True, wait=True)
assert container.execute(["ls", "/root/later"]).exit_code != 0
container.stop(force=True, wait=True)
container.rename("py2", wait=True)
assert client.containers.get("py2").status == "Stopped"

profile = client.profiles.create("small", config={"limits.processes": "50"})
container.profiles = ["default", "small"]
container.save(wait=True)
assert client.containers.get("py2").expanded_config["limits.processes"] == "50"
container.profiles = ["default"]
container.save(wait=True)
profile.delete()

image = client.images.get_by_alias("tiny")
image.add_alias("again", "by pylxd")
image.delete_alias("again")
assert "lxtestbr0" in [network.name for network in client.networks.all()]
container.delete(wait=True)
assert not client.containers.exists("py2")
print("pylxd: all done")
