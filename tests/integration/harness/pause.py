"""A daemon that stops at a failpoint until a test lets it go on."""
import os
import select

from .rest import PATIENCE


class Pause:
    """Restarts the daemon; its first thread that comes to the point stops there, all others go on."""

    def __init__(self, daemon, point):
        self.daemon, self.point = daemon, point
        self.fifo = os.path.join(daemon.base, "pause")
        self.log = os.path.join(daemon.base, "pause-log")

    def __enter__(self):
        os.mkfifo(self.fifo)
        self.reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.daemon.kill()
        self.daemon.start(environment={"LXMGR_FAILPOINT": f"{self.point}:pause={self.fifo}", "LXMGR_FAILPOINT_LOG": self.log})
        return self

    def __exit__(self, *_):
        self.close()
        os.unlink(self.fifo)
        os.unlink(self.log)
        self.daemon.kill()
        self.daemon.start()

    def wait(self, seconds=30):
        """Until somebody stands at the point."""
        poll = select.poll()
        poll.register(self.reader, select.POLLHUP)
        if not poll.poll(seconds * 1000 * PATIENCE):
            raise AssertionError(f"nobody came to {self.point}")
        self.close()  # who goes on is to meet the daemon, not this

    def close(self):
        if self.reader is not None:
            os.close(self.reader)
        self.reader = None

    def go_on(self):
        with open(self.fifo, "wb"):
            pass

    def reached(self, point):
        """How often any thread came to a point until now."""
        with open(self.log, encoding="utf-8") as file:
            return file.read().split().count(point)
