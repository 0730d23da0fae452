"""The stock `incus` 6.0 client of Debian trixie, unmodified, drives the daemon."""
from harness import clients
from harness.case import DaemonCase, main
from harness.client_cases import ClientCases, FileCases


class IncusTest(ClientCases, FileCases, DaemonCase):
    @classmethod
    def make_client(cls):
        return clients.incus(cls.daemon)


if __name__ == "__main__":
    main()
