#include "lxd-daemon/instances/cloud_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "images/yaml_json.h"
#include "lxd-daemon/base/base64.h"
#include "lxd-daemon/base/strings.h"
#include "profiles/ssh_key.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

constexpr std::string_view kPrefix = "cloud-init.ssh-keys.";

/// One of the two texts that cloud-init merges, and where it came from.
struct Text {
    std::string key;
    std::string content;
    json users{};  ///< of a #cloud-config; null: it names none
    [[nodiscard]] bool is_config() const { return content.starts_with("#cloud-config\n"); }
};

Result<Text> cloud_text(const api::ConfigMap& config, const std::string& name) {
    Text text{"cloud-init." + name, api::value_of(config, "cloud-init." + name)};
    if (const auto old = config.find("user." + name); text.content.empty() && old != config.end())
        text = {old->first, old->second};
    if (trim(text.content) == "#cloud-config") text.content.clear();
    // What includes others, or is made of parts, may name users that nobody sees here.
    if (!text.content.empty() && !text.is_config() && !text.content.starts_with("#!"))
        return fail(
            Status::bad_request,
            fmt::format("cloud-init.ssh-keys.* goes with a {} that is a #cloud-config or a script, and "
                        "this is neither",
                        text.key));
    if (!text.is_config()) return text;
    LX_TRY_AS(const json document, images::yaml_to_json(text.content, text.key));
    if (document.is_object()) text.users = document.value("users", json());
    if (text.users.is_null() || text.users.is_array()) return text;
    return fail(Status::bad_request,
                fmt::format("cloud-init.ssh-keys.*: in {}, users must be a list", text.key));
}

/// cloud-init takes the first list of keys that a user has, and leaves out others.
Result<> check_free(const Text& text, const std::string& user, const char* list) {
    for (const json& entry : text.users) {
        if (!entry.is_object() || entry.value("name", json()) != json(user) || !entry.contains(list))
            continue;
        return fail(Status::bad_request,
                    fmt::format("cloud-init.ssh-keys.*: {} gives '{}' {} itself: add the key there", text.key,
                                user, list));
    }
    return {};
}

using KeysByUser = std::map<std::string, std::map<std::string, std::vector<std::string>>>;

Result<KeysByUser> keys_of(const api::ConfigMap& config) {
    KeysByUser out;
    for (const auto& [key, value] : config) {
        if (!key.starts_with(kPrefix) || value.empty()) continue;
        LX_TRY_AS(const profiles::SshKey parsed, profiles::parse_ssh_key(value));
        out[parsed.user][parsed.imported ? "ssh_import_id" : "ssh_authorized_keys"].push_back(parsed.key);
    }
    return out;
}

/// The part with the keys. A list of users replaces cloud-init's own, which has the image's default user.
std::string part_for(const KeysByUser& keys, bool alone) {
    json users = json::array();
    if (alone) users.push_back("default");
    for (const auto& [user, lists] : keys) {
        json entry{{"name", user}};
        for (const auto& [list, values] : lists) entry[list] = values;
        users.push_back(std::move(entry));
    }
    const json part{{"merge_how", "list(append)+dict(no_replace,recurse_list)+str()"}, {"users", users}};
    return "#cloud-config\n" + images::json_to_yaml(part);
}

/// In base64: 8-bit text would not survive Python's email parser as cloud-init uses it.
std::string message_of(const Text& text, const std::string& part) {
    if (text.content.empty()) return part;
    constexpr const char* kHead =
        "--==lxmgr==\nContent-Type: text/{}; charset=\"utf-8\"\nMIME-Version: 1.0\n"
        "Content-Transfer-Encoding: base64\n\n";
    const auto wrapped = [](const std::string& content) {
        std::string lines = to_base64(content);
        constexpr std::size_t kLine = 76;
        for (std::size_t at = kLine; at < lines.size(); at += kLine + 1) lines.insert(at, "\n");
        return lines + "\n";
    };
    return "Content-Type: multipart/mixed; boundary=\"==lxmgr==\"\nMIME-Version: 1.0\n\n" +
           fmt::format(fmt::runtime(kHead), text.is_config() ? "cloud-config" : "x-shellscript") +
           wrapped(text.content) + fmt::format(fmt::runtime(kHead), "cloud-config") + wrapped(part) +
           "--==lxmgr==--\n";
}

}  // namespace

Result<> merge_ssh_keys(api::ConfigMap& expanded) {
    const auto first = expanded.lower_bound(std::string(kPrefix));
    if (first == expanded.end() || !first->first.starts_with(kPrefix)) return {};
    LX_TRY_AS(const KeysByUser keys, keys_of(expanded));
    std::erase_if(expanded, [](const auto& entry) { return entry.first.starts_with(kPrefix); });
    if (keys.empty()) return {};
    // The list of users in the user data replaces that of the vendor data.
    LX_TRY_AS(Text text, cloud_text(expanded, "user-data"));
    if (text.users.is_null()) {
        LX_TRY_AS(Text vendor, cloud_text(expanded, "vendor-data"));
        if (!vendor.users.is_null()) text = std::move(vendor);
    }
    for (const auto& [user, lists] : keys) {
        for (const auto& [list, values] : lists) LX_TRY(check_free(text, user, list.c_str()));
    }
    expanded[text.key] = message_of(text, part_for(keys, text.users.is_null()));
    return {};
}

}  // namespace lxmgr::instances
