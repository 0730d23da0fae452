"""The stock clients as real programs, with a configuration of their own."""
import fcntl
import os
import pathlib
import pty
import select
import struct
import subprocess
import termios
import time

from .rest import PATIENCE

FETCH = pathlib.Path(__file__).resolve().parents[1] / "fetch-incus-client"


class ClientFailed(AssertionError):
    pass


class Client:
    prefix = ()  # words before the client's own: what another program that runs it is told

    def __init__(self, daemon, program, environment):
        self.program = program
        self.environment = {**os.environ, "HOME": daemon.base, "TERM": "xterm", **environment}

    def run(self, *arguments, stdin=b"", check=True, timeout=180):
        done = subprocess.run([self.program, *arguments], input=stdin, capture_output=True, env=self.environment,
                              timeout=timeout, check=False)
        if check and done.returncode != 0:
            said = done.stderr.decode() + done.stdout.decode()
            raise ClientFailed(f"{' '.join(arguments)} ended with {done.returncode}: {said}")
        return done

    def __call__(self, *arguments, **options):
        """Output of a command that must work."""
        return self.run(*arguments, **options).stdout.decode()

    def background(self, *arguments):
        """The command, while it runs."""
        return subprocess.Popen([self.program, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def terminal(self, *arguments, send=b"", until=b"", steps=(), resize=None, timeout=60):
        """Runs it on a terminal of its own; types `send` when `until` was seen, again each second: the client throws
        away what was typed before it was ready. A tuple is typed key by key. Several such are `steps` (until, send), of
        which each follows when what it waits for has come of the one before. `resize` is (rows, columns) that the terminal
        gets before that. Returns (exit code, output)."""
        pid, master = pty.fork()
        if pid == 0:
            os.execvpe(self.program, [self.program, *arguments], self.environment)
        steps = list(steps) or [(until, send)]
        seen, deadline, typed = b"", time.monotonic() + timeout * PATIENCE, 0.0
        while time.monotonic() < deadline:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    break
                if not data:
                    break
                seen += data
            if len(steps) > 1 and steps[1][0] in seen:
                del steps[0]
                typed = 0.0
            until, send = steps[0]
            if send and until in seen and time.monotonic() - typed > 1:
                if resize:
                    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *resize, 0, 0))
                for keys in send if isinstance(send, tuple) else (send,):
                    os.write(master, keys)
                    time.sleep(0.1)  # the stock clients want the keys of their escape in reads of their own
                typed = time.monotonic()
        os.close(master)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen


def lxc(daemon):
    return Client(daemon, "lxc", {"LXD_DIR": daemon.root, "LXD_CONF": os.path.join(daemon.base, "lxc-config")})


def incus(daemon):
    program = subprocess.run([FETCH], capture_output=True, text=True, check=True).stdout.strip()
    return Client(daemon, program, {"INCUS_DIR": daemon.root, "INCUS_CONF": os.path.join(daemon.base, "incus-config")})
