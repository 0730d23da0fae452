"""Debian's python3-pylxd and Ansible's lxd_container module, unmodified, each as the program that their users run."""
import json
import os
import pathlib
import subprocess

from harness.case import DaemonCase, main

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"  # the modules are packages of Debian's own interpreter


def run(*command, **environment):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment})


class PylxdTest(DaemonCase):
    def test_session(self):
        done = run(PYTHON, "-W", "ignore", str(HERE / "pylxd_session.py"), self.daemon.socket_path)
        self.assertEqual((done.returncode, done.stdout), (0, "pylxd: all done\n"), done.stderr)


class AnsibleTest(DaemonCase):
    def module(self, **arguments):
        """The module's answer; Ansible starts it as for a play on localhost."""
        arguments = {"url": f"unix:{self.daemon.socket_path}", "name": "made", **arguments}
        done = run("ansible", "localhost", "-m", "community.general.lxd_container", "-a", json.dumps(arguments),
                   "-e", f"ansible_python_interpreter={PYTHON}", HOME=self.daemon.base, ANSIBLE_LOAD_CALLBACK_PLUGINS="1",
                   ANSIBLE_STDOUT_CALLBACK="json", ANSIBLE_LOCALHOST_WARNING="False")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]

    def test_states(self):
        source = {"type": "image", "alias": "tiny"}
        config = {"limits.memory": "100MiB", "user.by": "ansible"}
        first = self.module(state="started", source=source, profiles=["default"], config=config, wait_for_ipv4_addresses=True,
                            timeout=60)
        self.assertTrue(first["changed"])
        self.assertEqual(first["actions"], ["create", "start"])
        self.assertRegex(first["addresses"]["eth0"][0], r"^\d+\.\d+\.\d+\.\d+$")
        again = self.module(state="started", source=source, profiles=["default"], config=config)
        self.assertFalse(again["changed"])
        changed = self.module(state="started", config={**config, "limits.processes": "60"})
        self.assertEqual(changed["actions"], ["apply_instance_configs"])
        self.assertEqual(self.api.instance("made")["config"]["limits.processes"], "60")
        for state, status in (("frozen", "Frozen"), ("restarted", "Running"), ("stopped", "Stopped")):
            self.assertTrue(self.module(state=state, force_stop=True)["changed"], state)
            self.assertEqual(self.api.instance("made")["status"], status)
        self.assertEqual(self.module(state="absent")["actions"], ["delete"])
        self.assertEqual(self.api.get("/1.0/instances"), [])

    def connected(self, *arguments):
        """What the instance answers to a task that goes through community.general's connection plugin of LXD."""
        done = run("ansible", "box", "-i", "box,", "-c", "community.general.lxd", *arguments, HOME=self.daemon.base,
                   LXD_DIR=self.daemon.root, LXD_CONF=os.path.join(self.daemon.base, "lxc-config"),
                   ANSIBLE_LOAD_CALLBACK_PLUGINS="1", ANSIBLE_STDOUT_CALLBACK="json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["box"]

    def test_commands_and_files(self):
        self.api.launch("box", "tiny")
        self.assertEqual(self.connected("-m", "raw", "-a", "cat /etc/hostname")["stdout"], "box\n")
        script = os.path.join(self.daemon.base, "script.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho \"pushed and run: $1\"\n")
        self.assertIn("pushed and run: here", self.connected("-m", "script", "-a", f"{script} here")["stdout"])


if __name__ == "__main__":
    main()
