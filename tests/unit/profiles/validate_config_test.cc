#include <gmock/gmock.h>

#include <set>

#include "profiles/config_keys.h"

using namespace lxmgr;
using namespace lxmgr::profiles;
using testing::HasSubstr;

namespace {

std::string complaint(const std::string& key, const std::string& value, bool allow_volatile = false) {
    const auto result = validate_instance_config({{key, value}}, allow_volatile);
    if (result) return "";
    EXPECT_EQ(result.error().status, Status::bad_request);
    return result.error().message;
}

}  // namespace

TEST(ValidateVolumeConfigTest, KeysOfVolumesAreKnownForeignOrUnknown) {
    EXPECT_TRUE(validate_volume_config({{"user.a", "b"}, {"snapshots.schedule", "@daily"}}));
    const auto complaint = [](const api::ConfigMap& config) {
        return validate_volume_config(config).error();
    };
    EXPECT_THAT(complaint({{"block.type", "file"}}).message, HasSubstr("not supported"));
    EXPECT_TRUE(validate_volume_config({{"block.filesystem", "xfs"}, {"block.mount_options", "noatime"}}));
    EXPECT_THAT(complaint({{"block.filesystem", "vfat"}}).message, HasSubstr("must be ext4"));
    EXPECT_TRUE(validate_volume_config({{"lvm.stripes", "2"}, {"lvm.stripes.size", "16KiB"}}));
    for (const char* count : {"0", "129", "x"})
        EXPECT_THAT(complaint({{"lvm.stripes", count}}).message, HasSubstr("between 1 and 128"));
    for (const char* size : {"2KiB", "5000", "96KiB"})
        EXPECT_THAT(complaint({{"lvm.stripes.size", size}}).message, HasSubstr("power of two"));
    EXPECT_THAT(complaint({{"size", "big"}}).message, HasSubstr("size"));
    EXPECT_THAT(complaint({{"bogus", "1"}}).message, HasSubstr("Invalid option"));
    EXPECT_THAT(complaint({{"snapshots.expiry", "soon"}}).message, HasSubstr("snapshots.expiry"));
    EXPECT_THAT(complaint({{"security.shifted", "true"}, {"security.unmapped", "true"}}).message,
                HasSubstr("mutually exclusive"));
}

TEST(ValidateInstanceConfigTest, TakesWhatTheDaemonDoes) {
    const std::pair<const char*, const char*> good[] = {{"user.anything", "a\nb\tc"},
                                                        {"environment.FOO", "bar"},
                                                        {"boot.autostart", "true"},
                                                        {"boot.autostart.delay", "5"},
                                                        {"boot.stop.priority", "-3"},
                                                        {"boot.host_shutdown_timeout", "10"},
                                                        {"limits.memory", "512MiB"},
                                                        {"limits.memory", "50%"},
                                                        {"limits.memory.enforce", "soft"},
                                                        {"limits.cpu", "0-1"},
                                                        {"limits.cpu.allowance", "50%"},
                                                        {"limits.processes", "100"},
                                                        {"security.privileged", "true"},
                                                        {"security.nesting", "0"},
                                                        {"security.syscalls.deny", "mkdir errno 1\nrmdir"},
                                                        {"limits.kernel.nofile", "5:unlimited"},
                                                        {"linux.sysctl.net.ipv4.ip_forward", "1"},
                                                        {"linux.sysctl.net/ipv4/conf/eth0.5/forwarding", "1"},
                                                        {"raw.idmap", "both 1000 1000\nuid 5-9 15-19"},
                                                        {"cloud-init.user-data", "#cloud-config\n"},
                                                        {"image.os", "Debian"},
                                                        {"security.protection.delete", "true"}};
    for (const auto& [key, value] : good) EXPECT_EQ(complaint(key, value), "") << key;
}

TEST(ValidateInstanceConfigTest, TellsUnsupportedFromUnknown) {
    EXPECT_EQ(complaint("security.secureboot", "true"),
              "Instance option \"security.secureboot\" is not supported: it is for virtual machines");
    EXPECT_EQ(complaint("limits.memry", "1GB"), "Unknown configuration key: limits.memry");
    EXPECT_EQ(complaint("user.", "x"), "Unknown configuration key: user.");
    EXPECT_EQ(complaint("user", "x"), "Unknown configuration key: user");
}

TEST(ValidateInstanceConfigTest, NamesKeyValueAndWhatIsAllowed) {
    EXPECT_EQ(complaint("boot.autostart", "maybe"),
              "Invalid value 'maybe' of 'boot.autostart': must be true or false");
    EXPECT_THAT(complaint("limits.memory", "lots"), HasSubstr("'lots' is not a size"));
    EXPECT_THAT(complaint("limits.memory", "0"), HasSubstr("more than 0"));
    EXPECT_THAT(complaint("limits.processes", "0"), HasSubstr("1 or more"));
    EXPECT_THAT(complaint("limits.kernel.nofile", "5:3"), HasSubstr("SOFT:HARD"));
    EXPECT_THAT(complaint("linux.sysctl.kernel.panic", "1"), HasSubstr("whole host's"));
    EXPECT_THAT(complaint("linux.sysctl.net/../kernel/panic", "1"), HasSubstr("kernel parameter"));
    EXPECT_THAT(complaint("raw.idmap", "both 1-5 1-4"), HasSubstr("uid|gid|both"));
    EXPECT_THAT(complaint("raw.idmap", "both 1 4294967295"), HasSubstr("uid|gid|both"));
    EXPECT_THAT(complaint("security.idmap.size", "0"), HasSubstr("4294967294"));
    EXPECT_THAT(complaint("boot.autostart.delay", "-1"), HasSubstr("0 or more"));
    EXPECT_THAT(complaint("environment.", "x"), HasSubstr("Unknown"));
    EXPECT_THAT(complaint("environment.A=B", "x"), HasSubstr("variable name"));
}

TEST(ValidateInstanceConfigTest, RefusesControlCharacters) {
    EXPECT_NE(complaint("user.a", std::string("x\0y", 3)), "");
    EXPECT_NE(complaint("user.a", "x\x1b[31m"), "");
    EXPECT_NE(complaint("user.a\nb", "x"), "");
    EXPECT_NE(complaint("environment.A", "x\ny"), "");
    EXPECT_NE(complaint("limits.cpu", "1\n"), "");
    EXPECT_NE(complaint("image.os", "a\x7f"), "");
    EXPECT_NE(complaint("", "x"), "");
    EXPECT_NE(complaint("user." + std::string(300, 'a'), "x"), "");
}

TEST(ValidateInstanceConfigTest, VolatileKeysNeedPermission) {
    EXPECT_THAT(complaint("volatile.base_image", "x"), HasSubstr("Volatile key"));
    EXPECT_EQ(complaint("volatile.base_image", "x", true), "");
    EXPECT_NE(complaint("volatile.x", "a\x01", true), "");
}

TEST(ValidateServerConfigTest, TellsUnsupportedFromUnknown) {
    EXPECT_TRUE(validate_server_config({{"user.a", "b"}}));
    EXPECT_TRUE(validate_server_config({{"core.https_address", "[::]"}}));
    EXPECT_TRUE(validate_server_config({{"storage.images_volume", "pool/volume"}}));
    for (const char* place : {"volume", "/volume", "pool/", "pool/a/b"})
        EXPECT_THAT(validate_server_config({{"storage.backups_volume", place}}).error().message,
                    HasSubstr("must be POOL/VOLUME"));
    EXPECT_EQ(validate_server_config({{"core.debug_address", "true"}}).error().message,
              "Server option \"core.debug_address\" is not supported by this server (yet)");
    EXPECT_EQ(validate_server_config({{"core.bogus", "1"}}).error().message,
              "Unknown configuration key: core.bogus");
}

TEST(ConfigKeysTest, EveryRowIsDocumentedAndNoKeyIsThereTwice) {
    std::set<std::pair<KeyScope, std::string_view>> seen;
    for (const ConfigKey& key : config_keys()) {
        EXPECT_TRUE(seen.emplace(key.scope, key.name).second) << key.name;
        EXPECT_TRUE(key.doc.ends_with('.')) << key.name;
        EXPECT_FALSE(key.type.empty()) << key.name;
    }
    ASSERT_NE(find_key(KeyScope::instance, "limits.memory"), nullptr);
    EXPECT_EQ(find_key(KeyScope::instance, "limits.memory")->live, Live::yes);
    EXPECT_EQ(find_key(KeyScope::disk, "limits.memory"), nullptr);
}

TEST(InstanceNameTest, IsADnsLabel) {
    for (const char* name : {"a", "web-1", "Web", "x"}) EXPECT_TRUE(validate_instance_name(name)) << name;
    EXPECT_TRUE(validate_instance_name(std::string(63, 'a')));
    EXPECT_EQ(validate_instance_name("a_b").error().message,
              "Invalid instance name: Name can only contain alphanumeric and hyphen characters");
    for (const std::string& name :
         {std::string(), std::string(64, 'a'), std::string("-a"), std::string("a-"), std::string("1a"),
          std::string("a/b"), std::string("a b"), std::string("a\n"), std::string("ä"), std::string(".."),
          std::string("a\0b", 3)}) {
        EXPECT_FALSE(validate_instance_name(name)) << name;
    }
}

TEST(ObjectNameTest, KeepsPathsAndUrlsApart) {
    EXPECT_TRUE(validate_profile_name("my.profile_1"));
    EXPECT_TRUE(validate_alias_name("debian/12"));
    for (const char* name : {"", ".", "..", "a/b", "a b", "a*", "a?b", "a#b", "a\n"}) {
        EXPECT_FALSE(validate_profile_name(name)) << name;
    }
    EXPECT_FALSE(validate_alias_name(""));
    EXPECT_FALSE(validate_alias_name("a\nb"));
}
