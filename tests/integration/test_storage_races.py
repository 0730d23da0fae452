"""Two who work on one storage pool or volume at once: each ends well or is refused, and nothing of the other is lost."""
import concurrent.futures
import os
import time

from harness.case import DaemonCase, main
from harness.pause import Pause
from harness.rest import PATIENCE, ApiError

POOLS = "/1.0/storage-pools"


class RaceTest(DaemonCase):
    def setUp(self):
        super().setUp()
        self.threads = concurrent.futures.ThreadPoolExecutor()
        self.addCleanup(self.threads.shutdown)

    def pool(self, name="p2", driver="dir"):
        self.api.do("POST", POOLS, {"name": name, "driver": driver, "config": {}})

    def remove_pool(self, name="p2"):
        self.api.do("DELETE", f"{POOLS}/{name}")

    def begin(self, work, *arguments):
        """In a thread of its own, which has its own connection: the code of its end."""
        def outcome():
            try:
                work(*arguments)
                return 200
            except ApiError as error:
                return error.code
            finally:
                self.api.close()
        return self.threads.submit(outcome)

    def wait_for_turns(self, pause, count):
        deadline = time.monotonic() + 30 * PATIENCE
        while pause.reached("instances.turn.wanted") < count:
            self.assertLess(time.monotonic(), deadline, "the second did not come")
            time.sleep(0.01)

    def test_a_pool_stays_while_an_instance_is_made_there(self):
        self.pool()
        root = {"root": {"type": "disk", "path": "/", "pool": "p2"}}
        for point, make in (("instances.create.volume", lambda: self.api.create("a", "tiny", devices=root)),
                            ("instances.create.intent", lambda: self.api.create("a", devices=root))):
            with self.subTest(point=point), Pause(self.daemon, point) as pause:
                made = self.begin(make)
                pause.wait()
                self.assertIn("currently in use", self.assert_api_error(400, self.remove_pool))
                pause.go_on()
                self.assertEqual(made.result(), 200)
                self.assertEqual(self.api.instance("a")["name"], "a")
                self.api.delete("a")
        self.remove_pool()

    def test_a_pool_stays_while_a_volume_is_made_there(self):
        self.pool()
        with Pause(self.daemon, "instances.volume.create.made") as pause:
            made = self.begin(self.api.do, "POST", f"{POOLS}/p2/volumes/custom", {"name": "v", "config": {}})
            pause.wait()
            self.assertIn("currently in use", self.assert_api_error(400, self.remove_pool))
            pause.go_on()
            self.assertEqual(made.result(), 200)
        self.api.do("DELETE", f"{POOLS}/p2/volumes/custom/v")
        self.remove_pool()

    def test_two_create_one_pool(self):
        with Pause(self.daemon, "instances.pool.create.opened") as pause:
            first = self.begin(self.pool)
            pause.wait()
            second = self.begin(self.pool, "p2", "overlay")
            self.wait_for_turns(pause, 2)
            pause.go_on()
            self.assertEqual((first.result(), second.result()), (200, 409))
        self.assertEqual(self.api.get(f"{POOLS}/p2")["driver"], "dir")
        self.assertTrue(os.path.isdir(os.path.join(self.daemon.root, "storage-pools/p2/custom")))
        self.remove_pool()

    def test_two_delete_one_pool(self):
        self.pool()
        with Pause(self.daemon, "instances.pool.delete.begun") as pause:
            first = self.begin(self.remove_pool)
            pause.wait()
            second = self.begin(self.remove_pool)
            self.wait_for_turns(pause, 2)
            pause.go_on()
            self.assertEqual((first.result(), second.result()), (200, 404))
        self.pool()
        self.remove_pool()

    def test_state_of_a_volume_that_goes(self):
        url = f"{POOLS}/default/volumes/custom"
        self.api.do("POST", url, {"name": "v", "config": {}})
        with Pause(self.daemon, "rest.volume_state.found") as pause:
            shown = self.begin(self.api.get, f"{url}/v/state")
            pause.wait()
            self.api.do("DELETE", f"{url}/v")
            pause.go_on()
            self.assertEqual(shown.result(), 404)
            self.assertTrue(self.daemon.running())


if __name__ == "__main__":
    main()
