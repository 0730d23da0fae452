"""The stock `lxc` and `incus` add this server as a remote, by token and by password, and work over HTTPS only."""

from harness import clients, remote
from harness.case import DaemonCase, main
from harness.client_cases import ClientCases, FileCases


class RemoteCases(FileCases, ClientCases):
    # What does not depend on how the bytes travel is in test_lxc_client.py and test_incus_client.py.
    test_info = test_image_import_split_and_list = test_limits_live = test_stop_start_restart_rename_delete = None
    test_profiles_networks_storage_operations = test_config_device = test_console_log = test_file_mount = None

    @classmethod
    def tearDownClass(cls):
        remote.set_config(cls.api, core__https_address="")
        super().tearDownClass()

    @classmethod
    def joined(cls, client):
        """The client, after it has joined by a token that the same program printed for the administrator."""
        remote.set_config(cls.api, core__https_address="[::]:8443")
        printed = cls.local()("config", "trust", "add", *cls.add_arguments)
        client("remote", "add", "srv", printed.split()[-1])
        client("remote", "switch", "srv")
        return client

    def check_monitored(self, seen):
        super().check_monitored(seen)
        self.assertIn('"protocol":"tls"', seen.replace(" ", ""))

    def test_trust_commands(self):
        self.assertIn("mine", self.client("config", "trust", "list"))
        self.client("config", "trust", "add", *self.other_arguments)
        self.assertIn("other", self.client("config", "trust", "list-tokens"))
        self.client("config", "trust", "revoke-token", "other")
        self.assertNotIn("other", self.client("config", "trust", "list-tokens"))
        self.assertIn("https", self.client("remote", "list"))


class LxcRemoteTest(RemoteCases, DaemonCase):
    add_arguments, other_arguments = ("--name", "mine"), ("--name", "other")

    @classmethod
    def local(cls):
        return clients.lxc(cls.daemon)

    @classmethod
    def make_client(cls):
        return cls.joined(remote.lxc(cls.daemon))

    def test_password(self):
        remote.set_config(self.api, core__trust_password="secret")
        newcomer = remote.lxc(self.daemon, "newcomer")
        add = ("remote", "add", "srv", "https://127.0.0.1:8443", "--accept-certificate", "--password")
        self.assertNotEqual(newcomer.run(*add, "wrong", check=False).returncode, 0)
        newcomer(*add, "secret")
        self.assertIn("tiny", newcomer("image", "list", "srv:"))
        remote.set_config(self.api, core__trust_password="")
        fingerprint = next(one["fingerprint"] for one in self.api.get("/1.0/certificates?recursion=1")
                           if one["name"] == "127.0.0.1")
        self.client("config", "trust", "remove", fingerprint[:12])
        self.assertNotEqual(newcomer.run("list", "srv:", check=False).returncode, 0)


class IncusRemoteTest(RemoteCases, DaemonCase):
    add_arguments, other_arguments = ("mine",), ("other",)

    @classmethod
    def local(cls):
        return clients.incus(cls.daemon)

    @classmethod
    def make_client(cls):
        return cls.joined(remote.incus(cls.daemon, clients.incus(cls.daemon).program))


if __name__ == "__main__":
    main()
