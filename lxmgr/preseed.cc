#include "lxmgr/preseed.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "lxmgr/yaml.h"

namespace lxmgr::cli {
namespace {

using Json = nlohmann::json;

enum class Shape { text, text_map, device_map };
struct Field {
    std::string_view name;
    Shape shape;
    bool required = false;
};
constexpr Field kPoolFields[] = {{"name", Shape::text, true},
                                 {"driver", Shape::text, true},
                                 {"description", Shape::text},
                                 {"config", Shape::text_map}};
constexpr Field kNetworkFields[] = {{"name", Shape::text, true},
                                    {"type", Shape::text},
                                    {"project", Shape::text},
                                    {"description", Shape::text},
                                    {"config", Shape::text_map}};
constexpr Field kProfileFields[] = {{"name", Shape::text, true},
                                    {"description", Shape::text},
                                    {"config", Shape::text_map},
                                    {"devices", Shape::device_map}};

std::unexpected<Error> wrong(const std::string& place, std::string_view what) {
    return fail(Status::bad_request, fmt::format("Preseed {}: {}", place, what));
}

bool is_text_map(const Json& value) {
    return value.is_object() && std::ranges::all_of(value, [](const Json& item) { return item.is_string(); });
}

bool fits(const Json& value, Shape shape) {
    if (shape == Shape::text) return value.is_string();
    if (shape == Shape::text_map) return is_text_map(value);
    return value.is_object() && std::ranges::all_of(value, is_text_map);
}

/// YAML's "key:" with nothing behind it stands for an empty value.
void fill_empty(Json& value, Shape shape) {
    if (!value.is_null()) return;
    if (shape == Shape::text) {
        value = "";
    } else {
        value = Json::object();
    }
}

Result<> check_entry(const std::string& place, Json& entry, std::span<const Field> fields) {
    if (!entry.is_object()) return wrong(place, "a map with a name is expected");
    for (auto& [key, value] : entry.items()) {
        const auto field = std::ranges::find(fields, key, &Field::name);
        if (field == fields.end()) return wrong(place, fmt::format("unknown key '{}'", key));
        fill_empty(value, field->shape);
        if (!fits(value, field->shape)) return wrong(place, fmt::format("'{}' has the wrong form", key));
    }
    for (const auto& field : fields) {
        const auto at = entry.find(field.name);
        const bool present = at != entry.end() && (!at->is_string() || !at->get<std::string>().empty());
        if (field.required && !present) return wrong(place, fmt::format("'{}' is missing", field.name));
    }
    return {};
}

Result<std::vector<Json>> parse_section(const Json& document, const char* name,
                                        std::span<const Field> fields) {
    std::vector<Json> entries;
    const auto at = document.find(name);
    if (at == document.end() || at->is_null()) return entries;
    if (!at->is_array()) return wrong(name, "a list is expected");
    for (const auto& item : *at) {
        Json entry = item;
        const std::string place = fmt::format("{}[{}]", name, entries.size());
        LX_TRY(check_entry(place, entry, fields));
        const bool twice =
            std::ranges::any_of(entries, [&](const Json& other) { return other["name"] == entry["name"]; });
        if (twice) return wrong(place, fmt::format("'{}' occurs twice", entry["name"].get<std::string>()));
        entries.push_back(std::move(entry));
    }
    return entries;
}

/// Sections of LXD's format that may be there as long as they ask for nothing.
Result<> check_other_sections(const Json& document) {
    for (const auto& [key, value] : document.items()) {
        if (key == "config" || key == "storage_pools" || key == "networks" || key == "profiles") continue;
        if (key != "projects" && key != "storage_volumes" && key != "cluster") {
            return wrong("document", fmt::format("unknown key '{}'", key));
        }
        const bool only_default =
            key == "projects" && value.is_array() && std::ranges::all_of(value, [](const Json& p) {
                return p.is_object() && p.value("name", "") == "default";
            });
        if (!value.is_null() && !value.empty() && !only_default) {
            return wrong("document", fmt::format("'{}' is not supported by this version", key));
        }
    }
    return {};
}

}  // namespace

Result<Preseed> parse_preseed(const std::string& yaml) {
    LX_TRY_AS(Json document, from_yaml(yaml));
    if (!document.is_object()) return wrong("document", "a map is expected");
    LX_TRY(check_other_sections(document));
    Preseed preseed;
    Json& config = document["config"];
    fill_empty(config, Shape::text_map);
    if (!is_text_map(config)) return wrong("config", "keys with plain values are expected");
    preseed.config = std::move(config);
    LX_TRY_AS(preseed.pools, parse_section(document, "storage_pools", kPoolFields));
    LX_TRY_AS(preseed.networks, parse_section(document, "networks", kNetworkFields));
    for (auto& network : preseed.networks) {
        if (network.value("project", "default") != "default")
            return wrong("networks", "only project 'default' is supported");
        network.erase("project");
    }
    LX_TRY_AS(preseed.profiles, parse_section(document, "profiles", kProfileFields));
    return preseed;
}

Json merged(const Json& existing, const Json& wanted) {
    Json result = existing;
    if (wanted.contains("description")) result["description"] = wanted["description"];
    for (const char* part : {"config", "devices"}) {
        if (!wanted.contains(part)) continue;
        if (!result[part].is_object()) result[part] = Json::object();
        for (const auto& [key, value] : wanted[part].items()) {
            const bool keep = value == "auto" && result[part].contains(key);
            if (!keep && value.is_object() && result[part].contains(key)) {
                result[part][key].update(value);
            } else if (!keep) {
                result[part][key] = value;
            }
        }
    }
    return result;
}

}  // namespace lxmgr::cli
