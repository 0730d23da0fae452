"""Debian's cloud-init in an instance finds what the instance's config says: by a NoCloud seed and by /dev/lxd."""
from harness.case import DaemonCase, main

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Gq3n7Yd1m1m0J5gq1p4b6YF2cQ2N5c8d1uZ0rQ3vT somebody@example"
USER_DATA = f"""#cloud-config
users:
  - name: ann
    shell: /bin/bash
    ssh_authorized_keys: ["{KEY}"]
runcmd:
  - echo "$(hostname) $(cloud-init query ds.meta_data.local-hostname 2>/dev/null)" > /root/ran
"""
OTHER = KEY.replace("1Gq3n7", "9Zz3n7")
KEYS = {"cloud-init.ssh-keys.one": f"root:{OTHER}", "cloud-init.ssh-keys.two": f"bob:{KEY}",
        "cloud-init.ssh-keys.three": f"bob:{OTHER}"}
VENDOR_DATA = "#cloud-config\nwrite_files: [{path: /root/vendor, content: of the vendor}]\n"
NETWORK = """version: 2
ethernets:
  eth0:
    dhcp4: true
    addresses: [192.0.2.7/24]
"""


class CloudInitTest(DaemonCase):
    needs_images = ("cloud",)

    def test_seed_and_dev_lxd(self):
        """Side by side: one has the seed, older names and no /dev/lxd; the other /dev/lxd and no seed."""
        self.api.create("seed", "cloud", config={
            "cloud-init.user-data": USER_DATA, "user.user-data": "#cloud-config\nruncmd: [bad]\n",
            "user.vendor-data": VENDOR_DATA, "cloud-init.network-config": NETWORK, "security.devlxd": "false", **KEYS})
        self.api.create("sock", "cloud", config={
            "user.user-data": USER_DATA, "cloud-init.vendor-data": VENDOR_DATA, "user.network-config": NETWORK, **KEYS})
        metadata = self.api.get("/1.0/instances/sock/metadata")
        for path in [path for path in metadata["templates"] if "/cloud/seed/" in path]:
            del metadata["templates"][path]
        self.api.call("PUT", "/1.0/instances/sock/metadata", metadata)
        for name in ("seed", "sock"):
            self.api.start(name)
        self.check("seed", "nocloud")
        self.check("sock", "lxd")

    def test_ssh_keys_that_would_not_arrive(self):
        user_data, four = "cloud-init.user-data", "cloud-init.ssh-keys.four"
        for config, word in (({user_data: "#include\nhttp://192.0.2.1/x\n"}, user_data),
                             ({"user.vendor-data": "## template: jinja\n#cloud-config\n{}\n"}, "user.vendor-data"),
                             ({user_data: "#cloud-config\nusers: all\n"}, "a list"),
                             ({user_data: "#cloud-config\na: [\n"}, user_data),
                             ({four: "ann:ssh-rsa AAAA", user_data: USER_DATA}, "'ann'"),
                             ({four: "ann"}, "USER:KEY"), ({four: "ann:x y"}, "USER:KEY"), ({four: "a b:gh:c"}, "USER:KEY"),
                             ({"cloud-init.ssh-keys.": "a:gh:b"}, "ssh-keys")):
            message = self.assert_api_error(400, self.api.create, "bad", "cloud", config={**KEYS, **config})
            self.assertIn(word, message)

    def check(self, name, source):
        _, out, err = self.api.exec(name, ["cloud-init", "status", "--wait", "--long"])
        self.assertIn(b"status: done", out, (out + err).decode() + self.log(name))
        self.assertIn(source, self.api.sh(name, "cat /run/cloud-init/cloud-id").lower(), self.log(name))
        self.assertEqual(self.api.sh(name, "cat /home/ann/.ssh/authorized_keys | tail -n 1"), KEY)
        self.assertEqual(sorted(self.api.sh(name, "cat /home/bob/.ssh/authorized_keys").split("\n")), sorted([KEY, OTHER]))
        self.assertIn(OTHER.split()[1], self.api.sh(name, "cat /root/.ssh/authorized_keys"))
        self.assertIn("/bin/bash", self.api.sh(name, "grep ^ann: /etc/passwd"))
        self.assertTrue(self.api.sh(name, "cat /root/ran").startswith(name))
        self.assertEqual(self.api.sh(name, "cat /root/vendor"), "of the vendor")
        self.assertIn("192.0.2.7/24", self.api.sh(name, "ip -br address show eth0"))
        self.address(name)
        number = self.api.instance(name)["config"]["volatile.cloud-init.instance-id"]
        self.assertEqual(self.api.sh(name, "cat /var/lib/cloud/data/instance-id"), number)

    def log(self, name):
        return self.api.exec(name, ["tail", "-n", "60", "/var/log/cloud-init.log"])[1].decode()


main()
