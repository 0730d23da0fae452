#include "lxd-daemon/api/json_writer.h"

#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::api {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

bool is_plain(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && c != '"' && c != '\\';
}

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\t':
            out += "\\t";
            return;
        case '\r':
            out += "\\r";
            return;
        default:
            fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
    }
}

std::size_t sequence_length(unsigned char lead) {
    if (lead >= 0xf0) return 4;
    return lead >= 0xe0 ? 3 : 2;
}

// One character beyond ASCII; returns its length in the input.
std::size_t append_wide(std::string& out, std::string_view rest) {
    const std::string_view sequence =
        rest.substr(0, sequence_length(static_cast<unsigned char>(rest.front())));
    if (is_utf8(sequence)) {
        out += sequence;
        return sequence.size();
    }
    out += kReplacement;
    return 1;
}

template <typename Map, typename Append>
void append_object(std::string& out, const Map& map, Append append_value) {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : map) {
        if (!first) out += ',';
        first = false;
        append_string(out, key);
        out += ':';
        append_value(value);
    }
    out += '}';
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t at = 0; at < text.size();) {
        std::size_t end = at;
        while (end < text.size() && is_plain(text[end])) ++end;
        out += text.substr(at, end - at);
        if (end == text.size()) break;
        at = end;
        if (static_cast<unsigned char>(text[at]) >= 0x80) {
            at += append_wide(out, text.substr(at));
        } else {
            append_escaped(out, text[at++]);
        }
    }
    out += '"';
}

void append_map(std::string& out, const ConfigMap& map) {
    append_object(out, map, [&out](const std::string& value) { append_string(out, value); });
}

void append_map(std::string& out, const DeviceMap& map) {
    append_object(out, map, [&out](const ConfigMap& value) { append_map(out, value); });
}

void append_list(std::string& out, const std::vector<std::string>& list) {
    out += '[';
    for (std::size_t i = 0; i < list.size(); ++i) {
        if (i != 0) out += ',';
        append_string(out, list[i]);
    }
    out += ']';
}

std::string& ObjectWriter::raw(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += key;
    out_ += "\":";
    return out_;
}

std::string& ObjectWriter::raw_name(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    append_string(out_, key);
    return out_ += ':';
}

void ObjectWriter::text(std::string_view key, std::string_view value) { append_string(raw(key), value); }
void ObjectWriter::number(std::string_view key, std::int64_t value) {
    fmt::format_to(std::back_inserter(raw(key)), "{}", value);
}
void ObjectWriter::flag(std::string_view key, bool value) { raw(key) += value ? "true" : "false"; }
void ObjectWriter::time(std::string_view key, Time value) { append_string(raw(key), to_rfc3339(value)); }
void ObjectWriter::map(std::string_view key, const ConfigMap& value) { append_map(raw(key), value); }
void ObjectWriter::map(std::string_view key, const DeviceMap& value) { append_map(raw(key), value); }
void ObjectWriter::list(std::string_view key, const std::vector<std::string>& value) {
    append_list(raw(key), value);
}

}  // namespace lxmgr::api
