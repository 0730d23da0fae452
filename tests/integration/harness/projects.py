"""Base of the tests of projects: they are deleted with all that is in them."""
from .case import DaemonCase


class ProjectCase(DaemonCase):
    def setUp(self):
        super().setUp()
        self.made = []

    def tearDown(self):
        for name in reversed(self.made):
            self.clear(name)
        super().tearDown()

    def clear(self, name):
        """Deletes a project with all that is in it."""
        if f"/1.0/projects/{name}" not in self.api.get("/1.0/projects"):
            return
        query = f"?project={name}"
        for one in self.api.get(f"/1.0/instances{query}&recursion=1"):
            if one["status"] != "Stopped":
                self.api.do("PUT", f"/1.0/instances/{one['name']}/state{query}", {"action": "stop", "force": True})
            self.api.do("DELETE", f"/1.0/instances/{one['name']}{query}")
        config = self.api.get(f"/1.0/projects/{name}")["config"]
        if config.get("features.profiles") == "true":
            self.api.call("PUT", f"/1.0/profiles/default{query}", {"config": {}, "devices": {}, "description": ""})
            for url in self.api.get(f"/1.0/profiles{query}"):
                if "/default?" not in url:
                    self.api.do("DELETE", url)
        if config.get("features.storage.volumes") == "true":
            for url in self.api.get(f"/1.0/storage-pools/default/volumes/custom{query}"):
                if "/snapshots/" not in url:
                    self.api.do("DELETE", url)
        if config.get("features.images") == "true":
            for url in self.api.get(f"/1.0/images{query}"):
                self.api.do("DELETE", url)
        self.api.call("DELETE", f"/1.0/projects/{name}")

    def project(self, name, **config):
        """A project whose profile is that of default; keys with __ for dots."""
        config = {key.replace("__", "."): value for key, value in config.items()}
        self.api.call("POST", "/1.0/projects", {"name": name, "config": config})
        self.made.append(name)
        if config.get("features.profiles", "true") == "true":
            profile = self.api.get("/1.0/profiles/default")
            self.api.call("PUT", f"/1.0/profiles/default?project={name}",
                          {key: profile[key] for key in ("config", "devices", "description")})
        return f"?project={name}"

    def make(self, project, name="box", start=False, code=None, **more):
        """An instance of the image of default; the message when `code` is how it fails."""
        body = {"name": name, "source": {"type": "image", "alias": "tiny"}, "start": start, **more}
        call = (self.api.do, "POST", f"/1.0/instances?project={project}", body)
        return self.assert_api_error(code, *call) if code else call[0](*call[1:])
