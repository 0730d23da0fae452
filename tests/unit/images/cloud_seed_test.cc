#include "images/cloud_seed.h"

#include <gtest/gtest.h>

#include "images/template.h"

namespace lxmgr::images {
namespace {

/// The seed's files as an instance with this config gets them.
std::map<std::string, std::string> rendered(const api::ConfigMap& config) {
    Metadata metadata;
    std::vector<TextFile> files;
    add_cloud_seed(metadata, files);
    std::map<std::string, std::string> out;
    for (const auto& [path, entry] : metadata.templates) {
        TemplateInput input;
        input.variables = {{"container", {{"name", "box"}}}, {"properties", entry.properties}};
        input.config = &config;
        for (const auto& file : files) {
            if (file.name != entry.source) continue;
            const auto text = render_template(file.content, input);
            out[path.substr(path.rfind('/') + 1)] = text ? *text : text.error().message;
        }
    }
    return out;
}

TEST(CloudSeedTest, HoldsWhatTheConfigSays) {
    const auto seed = rendered({{"cloud-init.user-data", "#cloud-config\na: b\n"},
                                {"user.user-data", "old"},
                                {"user.network-config", "version: 2"},
                                {"user.meta-data", "more: x"},
                                {"volatile.cloud-init.instance-id", "17"}});
    EXPECT_EQ(seed.at("user-data"), "#cloud-config\na: b\n\n");
    EXPECT_EQ(seed.at("network-config"), "version: 2\n");
    EXPECT_EQ(seed.at("vendor-data"), "#cloud-config\n{}\n");
    EXPECT_EQ(seed.at("meta-data"), "#cloud-config\ninstance-id: 17\nlocal-hostname: box\nmore: x\n");
}

TEST(CloudSeedTest, WithoutAnyKeyCloudInitHasNothingToDo) {
    const auto seed = rendered({});
    EXPECT_EQ(seed.size(), 4U);
    EXPECT_EQ(seed.at("network-config"), "config: disabled\n");
    EXPECT_EQ(seed.at("user-data"), "#cloud-config\n{}\n");
}

}  // namespace
}  // namespace lxmgr::images
