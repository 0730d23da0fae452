#include "lxd-daemon/instances/project_restrictions.h"

#include <gmock/gmock.h>

using namespace lxmgr;
using namespace lxmgr::instances;

namespace {

database::ProjectRecord project(api::ConfigMap config = {}) {
    config.emplace("restricted", "true");
    return {1, "web", "", std::move(config)};
}

bool allows(const database::ProjectRecord& record, const std::string& key, const std::string& value) {
    return check_restrictions(record, {{key, value}}, {}).has_value();
}
bool allows(const database::ProjectRecord& record, api::ConfigMap device) {
    return check_restrictions(record, {}, {{"one", std::move(device)}}).has_value();
}

}  // namespace

TEST(ProjectRestrictionsTest, AreInForceOnlyWhenTheProjectIsRestricted) {
    const database::ProjectRecord open{1, "web", "", {{"restricted.containers.nesting", "block"}}};
    EXPECT_TRUE(allows(open, "security.nesting", "true"));
    EXPECT_FALSE(allows(project(), "security.nesting", "true"));
    EXPECT_TRUE(allows(project(), "security.nesting", "false"));
    EXPECT_TRUE(allows(project(), "limits.memory", "1GiB"));
}

TEST(ProjectRestrictionsTest, ConfigNeedsItsKey) {
    EXPECT_FALSE(allows(project(), "security.privileged", "true"));
    EXPECT_TRUE(
        allows(project({{"restricted.containers.privilege", "allow"}}), "security.privileged", "true"));
    EXPECT_FALSE(allows(project({{"restricted.containers.privilege", "isolated"}}), "security.idmap.isolated",
                        "false"));
    for (const char* key : {"raw.lxc", "raw.seccomp", "linux.kernel_modules", "security.syscalls.deny",
                            "security.idmap.base", "boot.host_shutdown_timeout"}) {
        EXPECT_FALSE(allows(project(), key, "1")) << key;
        EXPECT_TRUE(allows(project({{"restricted.containers.lowlevel", "allow"}}), key, "1")) << key;
    }
    const auto some = project({{"restricted.containers.interception", "allow"}});
    EXPECT_TRUE(allows(some, "security.syscalls.intercept.mknod", "true"));
    EXPECT_FALSE(allows(some, "security.syscalls.intercept.mount.fuse", "ext4=fuse2fs"));
    EXPECT_TRUE(allows(project({{"restricted.containers.interception", "full"}}),
                       "security.syscalls.intercept.mount", "true"));
}

TEST(ProjectRestrictionsTest, HostIdsAreThoseNamed) {
    const auto some = project({{"restricted.idmap.uid", "1000-1999,5000"}, {"restricted.idmap.gid", "7"}});
    EXPECT_TRUE(allows(some, "raw.idmap", "uid 1000-1001 0-1"));
    EXPECT_TRUE(allows(some, "raw.idmap", "uid 5000 0\ngid 7 0"));
    EXPECT_FALSE(allows(some, "raw.idmap", "both 1000 0"));
    EXPECT_FALSE(allows(some, "raw.idmap", "uid 1999-2000 0-1"));
    EXPECT_FALSE(allows(project(), "raw.idmap", "uid 1000 0"));
    EXPECT_TRUE(allows(project({{"restricted.containers.lowlevel", "allow"}}), "raw.idmap", "uid 1000 0"));
}

TEST(ProjectRestrictionsTest, DevicesNeedTheirKey) {
    EXPECT_TRUE(allows(project(), {{"type", "disk"}, {"path", "/"}, {"pool", "p"}}));
    EXPECT_TRUE(allows(project(), {{"type", "disk"}, {"path", "/d"}, {"pool", "p"}, {"source", "v"}}));
    EXPECT_FALSE(allows(project(), {{"type", "disk"}, {"path", "/d"}, {"source", "/srv"}}));
    const auto no_disks = project({{"restricted.devices.disk", "block"}});
    EXPECT_TRUE(allows(no_disks, {{"type", "disk"}, {"path", "/"}, {"pool", "p"}}));
    EXPECT_FALSE(allows(no_disks, {{"type", "disk"}, {"path", "/d"}, {"pool", "p"}, {"source", "v"}}));
    const auto paths =
        project({{"restricted.devices.disk", "allow"}, {"restricted.devices.disk.paths", "/srv,/home/x"}});
    EXPECT_TRUE(allows(paths, {{"type", "disk"}, {"path", "/d"}, {"source", "/srv/a"}}));
    EXPECT_FALSE(allows(paths, {{"type", "disk"}, {"path", "/d"}, {"source", "/srvx"}}));
    EXPECT_FALSE(allows(paths, {{"type", "disk"}, {"path", "/d"}, {"source", "/srv/../etc"}}));
    for (const char* type : {"gpu", "usb", "proxy", "unix-char", "unix-block", "unix-hotplug"}) {
        EXPECT_FALSE(allows(project(), {{"type", type}})) << type;
        EXPECT_TRUE(
            allows(project({{std::string("restricted.devices.") + type, "allow"}}), {{"type", type}}));
    }
    EXPECT_TRUE(allows(project(), {{"type", "none"}}));
}

TEST(ProjectRestrictionsTest, NetworksPoolsAndServersAreThoseNamed) {
    EXPECT_TRUE(allows(project(), {{"type", "nic"}, {"network", "br0"}}));
    EXPECT_FALSE(allows(project(), {{"type", "nic"}, {"nictype", "macvlan"}, {"parent", "eth0"}}));
    const auto some = project({{"restricted.networks.access", "br0, br1"},
                               {"restricted.storage-pools.access", "fast"},
                               {"restricted.images.servers", "images.example.org"}});
    EXPECT_TRUE(allows(some, {{"type", "nic"}, {"network", "br1"}}));
    EXPECT_FALSE(allows(some, {{"type", "nic"}, {"network", "br2"}}));
    EXPECT_TRUE(allows(some, {{"type", "disk"}, {"path", "/"}, {"pool", "fast"}}));
    EXPECT_FALSE(allows(some, {{"type", "disk"}, {"path", "/"}, {"pool", "slow"}}));
    EXPECT_TRUE(check_image_server(some, "https://Images.example.org:443/x"));
    EXPECT_FALSE(check_image_server(some, "https://images.example.org.evil.net"));
    for (const char* elsewhere :
         {"https://images.example.org:x@evil.net", "https://images.example.org@evil.net/",
          "https://evil.net/?@images.example.org", "https://evil.net#images.example.org",
          "https://evil.net\\@images.example.org"})
        EXPECT_FALSE(check_image_server(some, elsewhere)) << elsewhere;
    EXPECT_TRUE(check_image_server(project(), "https://any.example"));
}

TEST(ProjectRestrictionsTest, NicsOfManagedNetworksGetTheirOwnPacketsOnly) {
    const auto any = project({{"restricted.devices.nic", "allow"}});
    for (const char* key : {"ipv4.routes", "ipv4.routes.external", "ipv6.routes", "ipv6.routes.external",
                            "vlan", "vlan.tagged", "host_name"}) {
        const api::ConfigMap nic{{"type", "nic"}, {"network", "br0"}, {key, "1"}};
        EXPECT_FALSE(allows(project(), nic)) << key;
        EXPECT_TRUE(allows(any, nic)) << key;
    }
    EXPECT_TRUE(allows(project(), {{"type", "nic"}, {"network", "br0"}, {"ipv4.address", "10.0.0.9"}}));
}

TEST(ProjectRestrictionsTest, SourcesOfDisksAreOpenedBeneathTheirDirectories) {
    api::ConfigMap config{{"restricted.devices.disk", "allow"}};
    EXPECT_FALSE(allowed_disk_sources(project(config)));
    config["restricted.devices.disk.paths"] = "/srv, /home/x";
    EXPECT_EQ(allowed_disk_sources(project(config)), (std::vector<std::string>{"/srv", "/home/x"}));
    const database::ProjectRecord open{1, "web", "", config};
    EXPECT_FALSE(allowed_disk_sources(open));
    const api::ConfigMap shifted{{"type", "disk"}, {"path", "/d"}, {"source", "/srv/a"}, {"shift", "true"}};
    EXPECT_FALSE(allows(project(config), shifted));
    config["restricted.containers.privilege"] = "allow";
    EXPECT_TRUE(allows(project(config), shifted));
}
