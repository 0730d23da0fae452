#include "images/cloud_seed.h"

#include <fmt/format.h>

namespace lxmgr::images {
namespace {

constexpr const char* kMetaData =
    "#cloud-config\n"
    "instance-id: {{ config_get(\"volatile.cloud-init.instance-id\", container.name) }}\n"
    "local-hostname: {{ container.name }}\n"
    "{{ config_get(\"user.meta-data\", \"\") }}\n";

/// The key, its older name, what the image says.
std::string template_for(const char* key) {
    return fmt::format(
        "{{{{ config_get(\"cloud-init.{0}\", config_get(\"user.{0}\", properties.default)) }}}}\n", key);
}

}  // namespace

void add_cloud_seed(Metadata& metadata, std::vector<TextFile>& templates) {
    const auto add = [&](const std::string& key, const char* otherwise, std::string content) {
        const std::string name = "cloud-init-" + key + ".tpl";
        Template entry{.when = {"start"}, .create_only = false, .source = name, .properties = {}};
        if (*otherwise != '\0') entry.properties["default"] = otherwise;
        metadata.templates["/var/lib/cloud/seed/nocloud-net/" + key] = std::move(entry);
        templates.push_back({name, std::move(content)});
    };
    add("meta-data", "", kMetaData);
    // The image's own networkd does DHCP on eth0.
    add("network-config", "config: disabled", template_for("network-config"));
    add("user-data", "#cloud-config\n{}", template_for("user-data"));
    add("vendor-data", "#cloud-config\n{}", template_for("vendor-data"));
}

}  // namespace lxmgr::images
