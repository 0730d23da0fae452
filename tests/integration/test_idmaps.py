"""security.idmap.*, raw.idmap: which ids of the host an instance has, read from the kernel."""
import os
import threading

from harness.case import main
from harness.keys import KeysCase


class IdmapTest(KeysCase):
    def test_isolated_ranges_never_overlap(self):
        self.launch("shared")
        names = ["one", "two", "three"]
        for name in names:
            self.launch(name, security__idmap__isolated="true")
        self.launch("big", security__idmap__isolated="true", security__idmap__size="200000")
        seen = []
        for name, size in [("shared", None), *((name, 65536) for name in names), ("big", 200000)]:
            self.assertEqual(self.maps(name), self.maps(name, "gid"))
            (inside, first, count), = self.maps(name)
            self.assertEqual(inside, 0)
            self.assertEqual(size or count, count)
            for other, (start, length) in seen:
                self.assertTrue(first >= start + length or start >= first + count, f"{name} overlaps {other}")
            seen.append((name, (first, count)))
        self.api.stop("two")
        self.launch("four", security__idmap__isolated="true")
        self.api.start("two")
        self.assertEqual(self.maps("two")[0][1:], dict(seen)["two"])
        self.assertNotEqual(self.maps("four"), self.maps("two"))
        base = self.api.instance("two")["config"]["volatile.idmap.base"]
        self.assertEqual(int(base), self.maps("two")[0][1])

    def test_isolated_ranges_keep_off_raw_ones(self):
        self.launch("first", security__idmap__isolated="true")
        taken = self.maps("first")[0][1] + 10
        self.remove_instance("first")
        self.launch("raw", raw__idmap=f"both {taken} 5000")
        self.assertIn((5000, taken, 1), self.maps("raw"))
        self.launch("late", security__idmap__isolated="true")
        (_, begin, count), = self.maps("late")
        self.assertFalse(begin <= taken < begin + count, (begin, count, taken))

    def test_base_and_size(self):
        base = self.host_ids() + 3000000
        self.launch(security__idmap__isolated="true", security__idmap__base=str(base), security__idmap__size="70000")
        self.assertEqual(self.maps(), [(0, base, 70000)])
        message = self.assert_api_error(400, self.api.create, "other", "tiny", config={
            "security.idmap.isolated": "true", "security.idmap.base": str(base + 60000)})
        self.assertIn("security.idmap.base", message)
        self.assert_api_error(400, self.api.create, "other", "tiny", config={"security.idmap.base": "5"})
        self.assert_api_error(400, self.api.create, "other", "tiny", config={"security.idmap.size": "0"})
        self.launch("small", security__idmap__size="1000")
        self.assertEqual(self.maps("small")[0][2], 1000)

    def test_a_change_takes_effect_at_the_next_start(self):
        self.launch()
        shared = self.maps()
        self.api.sh("box", "echo hi > /root/file; chown 33:34 /root/file")
        self.api.update("box", config={"security.idmap.isolated": "true"})
        self.assertEqual(self.maps(), shared)
        self.api.push("box", "/root/pushed", b"x", uid=12)
        self.assertEqual(self.api.sh("box", "stat -c %u /root/pushed"), "12")
        self.api.set_state("box", "restart", force=True)
        self.assertNotEqual(self.maps(), shared)
        self.assertEqual(self.api.sh("box", "stat -c %u:%g /root/file /root/pushed"), "33:34\n12:0")

    def test_raw_idmap(self):
        base = self.host_ids() + 3000000
        self.launch(raw__idmap=f"both {base} 1000\nuid {base + 100}-{base + 109} 2000-2009")
        self.assertIn((1000, base, 1), self.maps())
        self.assertIn((1000, base, 1), self.maps(kind="gid"))
        self.assertIn((2000, base + 100, 10), self.maps())
        hosts = [set(range(start, start + min(count, 10))) for _, start, count in self.maps()]
        self.assertEqual(len(set.union(*hosts)), sum(map(len, hosts)))
        self.api.sh("box", "touch /root/mine; chown 1000:1000 /root/mine; touch /root/his; chown 2003:0 /root/his")
        root = f"/proc/{self.api.state('box')['pid']}/root/root"
        self.assertEqual((os.stat(f"{root}/mine").st_uid, os.stat(f"{root}/mine").st_gid), (base, base))
        self.assertEqual(os.stat(f"{root}/his").st_uid, base + 103)
        self.assertEqual(self.api.sh("box", "stat -c %u /root/mine /root/his /etc/passwd").split(), ["1000", "2003", "0"])

    def test_ids_of_the_host_itself_are_refused(self):
        for value in ("both 0 0", "uid 1000 1000", "gid 5-6 5-6", "both 1-4294967294 0-4294967293"):
            message = self.assert_api_error(400, self.api.create, "box", "tiny", config={"raw.idmap": value})
            self.assertIn("raw.idmap", message)
        for value in ("all 1 2", "both 1", "uid 1-5 1-3", "both x y"):
            self.assert_api_error(400, self.api.create, "box", "tiny", config={"raw.idmap": value})

    def test_many_at_once_get_different_ranges(self):
        def create(name):
            self.api.create(name, "tiny", config={"security.idmap.isolated": "true"})
            self.api.close()  # this thread's connection
        threads = [threading.Thread(target=create, args=(f"box{i}",)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bases = {self.api.instance(f"box{i}")["config"]["volatile.idmap.base"] for i in range(8)}
        self.assertEqual(len(bases), 8)


main()
