"""The stock `lxc` 5.0.2 of Debian bookworm, unmodified, drives the daemon."""
from harness import clients
from harness.case import DaemonCase, main
from harness.client_cases import ClientCases, FileCases


class LxcTest(FileCases, ClientCases, DaemonCase):
    @classmethod
    def make_client(cls):
        return clients.lxc(cls.daemon)


if __name__ == "__main__":
    main()
