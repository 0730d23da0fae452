#include "images/metadata_json.h"

#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

using Json = nlohmann::json;

std::int64_t unix_seconds_of(Time time) {
    return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

/// Fields of the wire that may be absent or null; a value of another type throws nlohmann's exception.
template <typename T>
T value_of(const Json& json, const char* key) {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? T{} : found->get<T>();
}

Result<Template> template_from(const std::string& path, const Json& json) {
    Template out;
    out.when = value_of<std::vector<std::string>>(json, "when");
    out.create_only = value_of<bool>(json, "create_only");
    out.source = value_of<std::string>(json, "template");
    out.properties = value_of<api::ConfigMap>(json, "properties");
    if (path.empty() || has_control_chars(path) || !is_template_name(out.source))
        return fail(Status::bad_request,
                    fmt::format("Template for '{}' does not name a file of templates/", path));
    return out;
}

Result<Metadata> read(const Json& json) {
    Metadata out;
    out.architecture = value_of<std::string>(json, "architecture");
    constexpr std::int64_t kLatest = std::int64_t{1} << 33;  // seconds; nanoseconds still fit
    for (const auto& [key, date] :
         {std::pair{"creation_date", &out.creation_date}, std::pair{"expiry_date", &out.expiry_date}}) {
        const auto seconds = value_of<std::int64_t>(json, key);
        if (seconds < 0 || seconds > kLatest)
            return fail(Status::bad_request, fmt::format("'{}' is not a date in seconds since 1970", key));
        *date = Time{std::chrono::seconds(seconds)};
    }
    out.properties = value_of<api::ConfigMap>(json, "properties");
    for (const auto& [path, entry] : value_of<std::map<std::string, Json>>(json, "templates")) {
        LX_TRY_AS(out.templates[path], template_from(path, entry));
    }
    return out;
}

}  // namespace

bool is_template_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && !name.contains('/') && name.size() <= 255 &&
           !has_control_chars(name) && is_utf8(name);
}

nlohmann::json metadata_to_json(const Metadata& metadata) {
    Json templates = Json::object();
    for (const auto& [path, entry] : metadata.templates) {
        templates[path] = {{"when", entry.when},
                           {"create_only", entry.create_only},
                           {"template", entry.source},
                           {"properties", entry.properties}};
    }
    return {{"architecture", metadata.architecture},
            {"creation_date", unix_seconds_of(metadata.creation_date)},
            {"expiry_date", unix_seconds_of(metadata.expiry_date)},
            {"properties", metadata.properties},
            {"templates", std::move(templates)}};
}

Result<Metadata> metadata_from_json(const nlohmann::json& json) {
    try {
        return read(json);
    } catch (const Json::exception&) {
        return fail(Status::bad_request,
                    "The metadata is not of the form {architecture, creation_date, expiry_date, properties, "
                    "templates}");
    }
}

std::string encode_metadata(const Metadata& metadata) {
    auto json = metadata_to_json(metadata);
    json["files"] = metadata.files;
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Metadata> decode_metadata(const std::string& text) {
    const auto json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return fail(Status::internal, "Stored image metadata is damaged");
    LX_TRY_AS(Metadata out, metadata_from_json(json));
    try {
        out.files = value_of<std::map<std::string, std::string>>(json, "files");
    } catch (const Json::exception&) {
        return fail(Status::internal, "Stored image metadata is damaged");
    }
    return out;
}

}  // namespace lxmgr::images
