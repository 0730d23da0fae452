#include "lxmgr/object.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lxmgr/editor.h"
#include "lxmgr/terminal.h"
#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

constexpr int kAttempts = 3;
constexpr std::array kInstanceKeys{"architecture", "config",   "devices",    "ephemeral",
                                   "profiles",     "stateful", "description"};
constexpr std::array kSnapshotKeys{"expires_at"};
constexpr std::array kProfileKeys{"config", "description", "devices"};
constexpr std::array kPlainKeys{"config", "description"};
constexpr std::array kVolumeSnapshotKeys{"description", "expires_at"};
constexpr std::array kImageKeys{"auto_update", "expires_at", "profiles", "properties", "public"};
constexpr std::array kServerKeys{"config"};

Result<> put(Client& client, const Object& object, const Json& value, const std::string& etag) {
    LX_TRY(
        client.call("PUT", object.path, writable_part(object, value), {"Changing " + title(object)}, etag));
    return {};
}

Result<Json> parse_edited(const std::string& text) {
    LX_TRY_AS(Json value, from_yaml(text));
    if (!value.is_object()) return fail(Status::bad_request, "The text must be a YAML map");
    return value;
}

/// Keys that the daemon keeps for itself: not shown for editing, and kept when the text has none of them.
constexpr std::string_view kVolatile = "volatile.";

Json without_volatile(Json value) {
    if (!member(value, "config").is_object()) return value;
    Json& config = value["config"];
    for (auto at = config.begin(); at != config.end();)
        at = at.key().starts_with(kVolatile) ? config.erase(at) : std::next(at);
    return value;
}

Json with_volatile(Json value, const Json& current) {
    if (!member(current, "config").is_object()) return value;
    for (const auto& [key, text] : current["config"].items()) {
        if (key.starts_with(kVolatile) && !value["config"].contains(key)) value["config"][key] = text;
    }
    return value;
}

}  // namespace

Object instance_object(const std::string& name) {
    // No instance has a slash in its name.
    if (const auto slash = name.find('/'); slash != std::string::npos) {
        const auto instance = name.substr(0, slash), snapshot = name.substr(slash + 1);
        return {"snapshot", name, api_path({"instances", instance, "snapshots", snapshot}), "lxmgr info",
                kSnapshotKeys};
    }
    return {"instance", name, instance_path(name), "lxmgr list", kInstanceKeys};
}
Object profile_object(const std::string& name) {
    return {"profile", name, api_path({"profiles", name}), "lxmgr profile list", kProfileKeys};
}
Object project_object(const std::string& name) {
    return {"project", name, api_path({"projects", name}), "lxmgr project list", kPlainKeys};
}
Object network_object(const std::string& name) {
    return {"network", name, api_path({"networks", name}), "lxmgr network list", kPlainKeys};
}
Object pool_object(const std::string& name) {
    return {"storage pool", name, api_path({"storage-pools", name}), "lxmgr storage list", kPlainKeys};
}
Object volume_object(const std::string& pool, const std::string& name) {
    if (const auto slash = name.find('/'); slash != std::string::npos) {
        const auto volume = name.substr(0, slash), snapshot = name.substr(slash + 1);
        return {"volume snapshot", name,
                api_path({"storage-pools", pool, "volumes", "custom", volume, "snapshots", snapshot}),
                "lxmgr storage volume info", kVolumeSnapshotKeys};
    }
    return {"volume", name, api_path({"storage-pools", pool, "volumes", "custom", name}),
            "lxmgr storage volume list", kPlainKeys};
}
Object image_object(const std::string& name, const std::string& fingerprint) {
    return {"image", name, api_path({"images", fingerprint}), "lxmgr image list", kImageKeys};
}
Object server_object() { return {"server", "", "/1.0", "lxmgr info", kServerKeys}; }

std::string title(const Object& object) {
    return object.name.empty() ? fmt::format("the {}", object.noun)
                               : fmt::format("{} '{}'", object.noun, object.name);
}

Error explain(const Object& object, std::string_view doing, Error error) {
    if (error.status == Status::unavailable || error.status == Status::forbidden) return error;
    if (error.status == Status::not_found && !object.name.empty()) {
        std::string noun = object.noun;
        noun[0] = static_cast<char>(noun[0] - 32);
        error.message = fmt::format("{} '{}' does not exist; '{}' shows what there is", noun, object.name,
                                    object.list_command);
        return error;
    }
    return in(fmt::format("{} {}", doing, title(object)), std::move(error));
}

std::string text_member(const Json& object, std::string_view key) {
    const Json& value = member(object, key);
    return value.is_string() ? value.get<std::string>() : std::string();
}

const Json& member(const Json& object, std::string_view key) {
    static const Json kNull;
    if (!object.is_object()) return kNull;
    const auto at = object.find(key);
    return at == object.end() ? kNull : *at;
}

Json writable_part(const Object& object, const Json& value) {
    Json part = Json::object();
    for (const char* key : object.writable) {
        if (value.contains(key)) part[key] = value[key];
    }
    return part;
}

Result<Json> read_object(Client& client, const Object& object) {
    auto value = client.get(object.path);
    if (!value) return std::unexpected(explain(object, "Reading", std::move(value).error()));
    return value;
}

Result<> change_object(Client& client, const Object& object, const std::function<Result<>(Json&)>& change) {
    for (int attempt = 1;; ++attempt) {
        auto answer = client.fetch(object.path);
        if (!answer) return std::unexpected(explain(object, "Reading", std::move(answer).error()));
        LX_TRY(change(answer->metadata));
        auto written = put(client, object, answer->metadata, answer->etag);
        if (written) return {};
        if (written.error().status == Status::precondition_failed && attempt < kAttempts) continue;
        return std::unexpected(explain(object, "Changing", std::move(written).error()));
    }
}

Result<> edit_object(Client& client, const Object& object) {
    auto answer = client.fetch(object.path);
    if (!answer) return std::unexpected(explain(object, "Reading", std::move(answer).error()));
    const auto write = [&](const std::string& text) -> Result<> {
        LX_TRY_AS(Json value, parse_edited(text));
        if (!value["config"].is_object()) value["config"] = Json::object();
        auto written = put(client, object, with_volatile(std::move(value), answer->metadata), answer->etag);
        if (!written) return std::unexpected(explain(object, "Changing", std::move(written).error()));
        return {};
    };
    if (!is_terminal(STDIN_FILENO)) {
        LX_TRY_AS(const std::string text, read_stdin());
        return write(text);
    }
    const std::string before =
        fmt::format("# {}: lines that begin with '#' are ignored.\n{}", title(object),
                    to_yaml(without_volatile(writable_part(object, answer->metadata))));
    return edit_until_accepted(before, write);
}

Result<> set_config(Client& client, const Object& object, const Pairs& settings) {
    return change_object(client, object, [&settings](Json& value) -> Result<> {
        if (!value["config"].is_object()) value["config"] = Json::object();
        for (const auto& [key, text] : settings) value["config"][key] = text;
        return {};
    });
}

Result<> unset_config(Client& client, const Object& object, const std::string& key) {
    return change_object(client, object, [&](Json& value) -> Result<> {
        if (member(member(value, "config"), key).is_null()) {
            return fail(Status::not_found, fmt::format("Key '{}' is not set on {}", key, title(object)));
        }
        value["config"].erase(key);
        return {};
    });
}

Result<> print_config(Client& client, const Object& object, const std::string& key, bool expanded) {
    LX_TRY_AS(const Json value, read_object(client, object));
    const Json& found = member(member(value, expanded ? "expanded_config" : "config"), key);
    fmt::print("{}\n", found.is_string() ? found.get<std::string>() : found.is_null() ? "" : found.dump());
    return {};
}

}  // namespace lxmgr::cli
