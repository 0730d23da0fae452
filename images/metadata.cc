#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <limits>

#include "images/image.h"
#include "images/metadata_json.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
// yaml-cpp shares the nodes of an alias, so a small file can stand for a huge tree: visits are what costs.
constexpr int kMaxMetadataVisits = 20'000;

std::unexpected<Error> bad(std::string_view key, std::string_view what) {
    return fail(Status::bad_request, fmt::format("metadata.yaml: '{}' {}", key, what));
}

/// Of UTF-8: code points that stand for no character
/// (https://www.unicode.org/versions/Unicode15.0.0/ch23.pdf, "Noncharacters"). yaml-cpp writes others in
/// their place.
bool has_noncharacters(std::string_view utf8) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(utf8[at]); };
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        if (byte(i) == 0xef) {
            const unsigned second = byte(i + 1), third = byte(i + 2);
            if ((second == 0xb7 && third >= 0x90 && third <= 0xaf) || (second == 0xbf && third >= 0xbe))
                return true;
        } else if (byte(i) >= 0xf0) {
            if ((byte(i + 1) & 0x0f) == 0x0f && byte(i + 2) == 0xbf && byte(i + 3) >= 0xbe) return true;
        }
    }
    return false;
}

/// Walks a parsed document; every node looked at is counted.
class Reader {
public:
    Result<Metadata> read(const YAML::Node& root) {
        Metadata out;
        if (root.IsNull()) return out;
        if (!root.IsMap()) return fail(Status::bad_request, "metadata.yaml: not a map of keys");
        for (const auto& item : root) {
            LX_TRY_AS(const std::string key, text(item.first, "key"));
            LX_TRY(read_key(key, item.second, out));
        }
        return out;
    }

private:
    Result<> read_key(const std::string& key, const YAML::Node& node, Metadata& out) {
        if (key == "architecture") return store(text(node, key), out.architecture);
        if (key == "creation_date") return store(date(node, key), out.creation_date);
        if (key == "expiry_date") return store(date(node, key), out.expiry_date);
        if (key == "properties") return store(map(node, key), out.properties);
        if (key == "templates") return read_templates(node, out.templates);
        return {};
    }

    template <typename T>
    static Result<> store(Result<T> value, T& out) {
        LX_TRY_AS(out, std::move(value));
        return {};
    }

    Result<> visit() {
        if (++visits_ > kMaxMetadataVisits) {
            return fail(Status::bad_request,
                        fmt::format("metadata.yaml: more than {} values", kMaxMetadataVisits));
        }
        return {};
    }

    Result<std::string> text(const YAML::Node& node, std::string_view key) {
        LX_TRY(visit());
        if (node.IsNull()) return std::string();
        if (!node.IsScalar()) return bad(key, "is not a plain value");
        std::string value = node.Scalar();
        if (value.contains('\0')) return bad(key, "holds a NUL byte");
        if (!is_utf8(value)) return bad(key, "is not UTF-8");  // it goes on into JSON
        if (has_noncharacters(value)) return bad(key, "holds a code point that is no character");
        return value;
    }

    Result<Time> date(const YAML::Node& node, std::string_view key) {
        LX_TRY_AS(const std::string value, text(node, key));
        if (value.empty()) return Time{};
        const auto seconds = parse_int(value);
        constexpr auto kLimit = std::numeric_limits<std::int64_t>::max() / 1'000'000'000;
        if (!seconds || *seconds > kLimit || *seconds < 0)
            return bad(key, "is not a date in seconds since 1970");
        return Time{std::chrono::seconds(*seconds)};
    }

    Result<api::ConfigMap> map(const YAML::Node& node, std::string_view key) {
        LX_TRY(visit());
        api::ConfigMap out;
        if (node.IsNull()) return out;
        if (!node.IsMap()) return bad(key, "is not a map");
        for (const auto& item : node) {
            LX_TRY_AS(std::string name, text(item.first, key));
            LX_TRY_AS(out[std::move(name)], text(item.second, key));
        }
        return out;
    }

    Result<> read_templates(const YAML::Node& node, std::map<std::string, Template>& out) {
        LX_TRY(visit());
        if (node.IsNull()) return {};
        if (!node.IsMap()) return bad("templates", "is not a map");
        for (const auto& item : node) {
            LX_TRY_AS(std::string path, text(item.first, "templates"));
            if (path.empty() || has_control_chars(path)) return bad("templates", "holds an unusable path");
            LX_TRY_AS(out[path], read_template(item.second, path));
        }
        return {};
    }

    Result<Template> read_template(const YAML::Node& node, const std::string& path) {
        LX_TRY(visit());
        if (!node.IsMap()) return bad(path, "is not a map");
        Template out;
        for (const auto& item : node) {
            LX_TRY_AS(const std::string key, text(item.first, path));
            if (key == "when") LX_TRY(store(list(item.second, key), out.when));
            if (key == "create_only") LX_TRY(store(boolean(item.second, key), out.create_only));
            if (key == "template") LX_TRY(store(text(item.second, key), out.source));
            if (key == "properties") LX_TRY(store(map(item.second, key), out.properties));
        }
        // The source is opened in a directory of the daemon: a bare name, so that it cannot point elsewhere.
        if (!is_template_name(out.source)) return bad(path, "does not name a file of templates/");
        return out;
    }

    Result<std::vector<std::string>> list(const YAML::Node& node, std::string_view key) {
        LX_TRY(visit());
        std::vector<std::string> out;
        if (node.IsNull()) return out;
        if (!node.IsSequence()) return bad(key, "is not a list");
        for (const auto& item : node) {
            LX_TRY_AS(std::string value, text(item, key));
            out.push_back(std::move(value));
        }
        return out;
    }

    Result<bool> boolean(const YAML::Node& node, std::string_view key) {
        LX_TRY(visit());
        bool value = false;
        if (!node.IsNull() && !YAML::convert<bool>::decode(node, value))
            return bad(key, "is not true or false");
        return value;
    }

    int visits_ = 0;
};

std::int64_t seconds_of(Time time) {
    return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

/// A key with its mark before it where it is long: without one, YAML ends it after 1024 characters
/// (https://yaml.org/spec/1.2.2/#742-flow-mappings), and one byte may be written as four.
YAML::Emitter& begin_key(YAML::Emitter& out, const std::string& key) {
    constexpr std::size_t kLong = 128;
    if (key.size() > kLong) out << YAML::LongKey;
    return out << YAML::Key;
}

void emit_metadata(YAML::Emitter& out, const api::ConfigMap& map) {
    out << YAML::BeginMap;
    // Quoted: "22.04" and "no" are strings here, the reader at the other end may be stricter than we are, and
    // yaml-cpp leaves a lone carriage return plain, which is no text.
    for (const auto& [key, value] : map)
        begin_key(out, key) << YAML::DoubleQuoted << key << YAML::Value << YAML::DoubleQuoted << value;
    out << YAML::EndMap;
}

void emit_metadata(YAML::Emitter& out, const Template& entry) {
    out << YAML::BeginMap;
    out << YAML::Key << "when" << YAML::Value << YAML::BeginSeq;
    for (const auto& trigger : entry.when) out << YAML::DoubleQuoted << trigger;
    out << YAML::EndSeq;
    out << YAML::Key << "create_only" << YAML::Value << entry.create_only;
    out << YAML::Key << "template" << YAML::Value << YAML::DoubleQuoted << entry.source;
    out << YAML::Key << "properties" << YAML::Value;
    emit_metadata(out, entry.properties);
    out << YAML::EndMap;
}

}  // namespace

Result<Metadata> parse_metadata(const std::string& yaml) {
    if (yaml.size() > kMaxBytes) {
        return fail(Status::bad_request, fmt::format("metadata.yaml: larger than {} bytes", kMaxBytes));
    }
    try {
        return Reader().read(YAML::Load(yaml));
    } catch (const YAML::Exception& e) {
        return fail(Status::bad_request, fmt::format("metadata.yaml: {}", e.what()));
    }
}

std::string to_yaml(const Metadata& metadata) {
    YAML::Emitter out;
    out << YAML::BeginMap;
    out << YAML::Key << "architecture" << YAML::Value << YAML::DoubleQuoted << metadata.architecture;
    out << YAML::Key << "creation_date" << YAML::Value << seconds_of(metadata.creation_date);
    out << YAML::Key << "expiry_date" << YAML::Value << seconds_of(metadata.expiry_date);
    out << YAML::Key << "properties" << YAML::Value;
    emit_metadata(out, metadata.properties);
    out << YAML::Key << "templates" << YAML::Value << YAML::BeginMap;
    for (const auto& [path, entry] : metadata.templates) {
        begin_key(out, path) << YAML::DoubleQuoted << path << YAML::Value;
        emit_metadata(out, entry);
    }
    out << YAML::EndMap << YAML::EndMap;
    return std::string(out.c_str()) + "\n";
}

}  // namespace lxmgr::images
