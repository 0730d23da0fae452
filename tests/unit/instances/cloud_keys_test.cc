#include "lxd-daemon/instances/cloud_keys.h"

#include <gtest/gtest.h>

#include "lxd-daemon/base/base64.h"

namespace lxmgr::instances {
namespace {

const std::string kKey = "ssh-ed25519 AAAAC3Nza me@here";

/// The parts of a MIME message as merge_ssh_keys() writes it.
std::vector<std::string> parts_of(const std::string& message) {
    std::vector<std::string> out;
    const std::string mark = "Content-Transfer-Encoding: base64\n\n";
    for (std::size_t at = message.find(mark); at != std::string::npos; at = message.find(mark, at)) {
        at += mark.size();
        out.push_back(
            from_base64(message.substr(at, message.find("\n--", at) - at)).value_or("(not base64)"));
    }
    return out;
}

TEST(CloudKeysTest, LeavesAConfigWithoutKeysAlone) {
    api::ConfigMap config{{"cloud-init.user-data", "#include\n"}, {"user.x", "y"}};
    const api::ConfigMap before = config;
    ASSERT_TRUE(merge_ssh_keys(config));
    EXPECT_EQ(config, before);
}

TEST(CloudKeysTest, AloneKeepTheDefaultUser) {
    api::ConfigMap config{{"cloud-init.ssh-keys.a", "ann:" + kKey}, {"cloud-init.ssh-keys.b", "ann:gh:ann"}};
    ASSERT_TRUE(merge_ssh_keys(config));
    ASSERT_EQ(config.size(), 1U);
    const std::string& data = config.at("cloud-init.user-data");
    EXPECT_TRUE(data.starts_with("#cloud-config\n"));
    for (const char* word : {"default", "\"ann\"", kKey.c_str(), "gh:ann", "ssh_import_id", "merge_how"})
        EXPECT_TRUE(data.contains(word)) << word << " in " << data;
}

TEST(CloudKeysTest, JoinTheListOfUsersThatCounts) {
    const std::string listed = "#cloud-config\nusers: [{name: bob, uid: 0700}]  # as it is\n";
    const std::string script = "#!/bin/sh\necho \xc3\xa4\n";
    for (const bool in_user_data : {true, false}) {
        api::ConfigMap config{{"cloud-init.ssh-keys.a", "ann:" + kKey},
                              {"user.user-data", in_user_data ? listed : script},
                              {"cloud-init.vendor-data", in_user_data ? script : listed}};
        ASSERT_TRUE(merge_ssh_keys(config));
        const auto parts = parts_of(config.at(in_user_data ? "user.user-data" : "cloud-init.vendor-data"));
        ASSERT_EQ(parts.size(), 2U);
        EXPECT_EQ(parts[0], listed);
        EXPECT_FALSE(parts[1].contains("default"));
        EXPECT_EQ(config.at(in_user_data ? "cloud-init.vendor-data" : "user.user-data"), script);
    }
}

TEST(CloudKeysTest, GoBesideAScript) {
    api::ConfigMap config{{"cloud-init.ssh-keys.a", "ann:" + kKey}, {"cloud-init.user-data", "#!/bin/sh\n"}};
    ASSERT_TRUE(merge_ssh_keys(config));
    EXPECT_TRUE(config.at("cloud-init.user-data").contains("text/x-shellscript"));
    EXPECT_TRUE(parts_of(config.at("cloud-init.user-data")).at(1).contains("default"));
}

TEST(CloudKeysTest, RefusesWhatWouldHideThem) {
    for (const char* data :
         {"#include\nhttp://a\n", "Content-Type: text/plain\n", "#cloud-config\nusers: a,b\n",
          "#cloud-config\nusers: [{name: ann, ssh_authorized_keys: [x]}]\n"}) {
        api::ConfigMap config{{"cloud-init.ssh-keys.a", "ann:" + kKey}, {"cloud-init.user-data", data}};
        EXPECT_FALSE(merge_ssh_keys(config)) << data;
    }
}

}  // namespace
}  // namespace lxmgr::instances
