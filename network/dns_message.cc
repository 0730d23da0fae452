#include "network/dns_message.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "network/ip.h"

namespace lxmgr::network::dns {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxMessage = 16384;
constexpr std::uint16_t kInternet = 1;

void put16(std::string& out, unsigned value) {
    out += static_cast<char>(value >> 8 & 0xff);
    out += static_cast<char>(value & 0xff);
}
void put32(std::string& out, std::uint32_t value) {
    put16(out, value >> 16);
    put16(out, value & 0xffff);
}
std::uint16_t get16(std::string_view data, std::size_t at) {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(data[at]) << 8 |
                                      static_cast<unsigned char>(data[at + 1]));
}

std::string without_dot(std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    return std::string(name);
}

std::string wire_name(std::string_view name) {
    std::string out;
    if (!name.empty()) {
        for (const auto& label : split(name, '.')) {
            out += static_cast<char>(label.size());
            out += label;
        }
    }
    out += '\0';
    return out;
}

/// As in master files (RFC 1035, 5.1): one without a dot at the end is of the zone.
std::string absolute(std::string_view name, const std::string& zone) {
    if (name == "@") return zone;
    if (name.ends_with('.')) return without_dot(name);
    return fmt::format("{}.{}", name, zone);
}

std::unexpected<Error> bad_value(std::string_view type, std::string_view value, std::string_view allowed) {
    return fail(Status::bad_request,
                fmt::format("Invalid value '{}' of a {} record: must be {}", value, type, allowed));
}

Result<std::string> name_data(std::string_view text, const std::string& zone) {
    const std::string name = absolute(text, zone);
    LX_TRY(check_name(name));
    return wire_name(name);
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> out;
    for (auto& word : split(text, ' ')) {
        if (!word.empty()) out.push_back(std::move(word));
    }
    return out;
}

/// Numbers of 16 bits, then a name: MX and SRV.
Result<std::string> numbers_and_name(std::string_view type, std::string_view value, std::size_t numbers,
                                     const std::string& zone) {
    const auto words = words_of(value);
    std::string out;
    if (words.size() != numbers + 1) return bad_value(type, value, "numbers and a name");
    for (std::size_t i = 0; i < numbers; ++i) {
        const auto number = parse_uint(words[i]);
        if (!number || *number > 65535) return bad_value(type, value, "numbers up to 65535 and a name");
        put16(out, static_cast<unsigned>(*number));
    }
    LX_TRY_AS(const std::string name, name_data(words.back(), zone));
    return out + name;
}

/// "a" "b" or a single text, in pieces of 255 bytes.
std::string text_data(std::string_view value) {
    std::string text(value);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    std::string out;
    do {
        const std::string piece = text.substr(0, 255);
        out += static_cast<char>(piece.size());
        out += piece;
        text.erase(0, piece.size());
    } while (!text.empty());
    return out;
}

struct TypeName {
    std::string_view name;
    Type type;
};
constexpr TypeName kTypes[] = {{"A", Type::a},     {"AAAA", Type::aaaa}, {"CNAME", Type::cname},
                               {"MX", Type::mx},   {"NS", Type::ns},     {"PTR", Type::ptr},
                               {"SRV", Type::srv}, {"TXT", Type::txt}};

Result<std::string> data_of(Type type, std::string_view name, std::string_view value,
                            const std::string& zone) {
    if (type == Type::a) {
        if (!parse_ipv4(value)) return bad_value(name, value, "an IPv4 address");
        return address_record("", value).data;
    }
    if (type == Type::aaaa) {
        if (!parse_ipv6(value)) return bad_value(name, value, "an IPv6 address");
        return address_record("", value).data;
    }
    if (type == Type::mx) return numbers_and_name(name, value, 1, zone);
    if (type == Type::srv) return numbers_and_name(name, value, 3, zone);
    if (type == Type::txt) {
        if (has_control_chars(value) || value.size() > 4096)
            return bad_value(name, value, "text of up to 4096 bytes");
        return text_data(value);
    }
    return name_data(value, zone);
}

std::string header(const Question& question, Code code, std::size_t answers) {
    std::string out;
    put16(out, question.id);
    const unsigned flags = 0x8400U | (question.opcode & 0xfU) << 11 |
                           (question.recursion_desired ? 0x0100U : 0U) | static_cast<unsigned>(code);
    put16(out, flags);
    put16(out, 1);
    put16(out, static_cast<unsigned>(answers));
    put32(out, 0);
    return out + question.wire;
}

std::string wire_record(const Record& record) {
    std::string out = wire_name(record.name);
    put16(out, static_cast<unsigned>(record.type));
    put16(out, kInternet);
    put32(out, record.ttl);
    put16(out, static_cast<unsigned>(record.data.size()));
    return out + record.data;
}

}  // namespace

std::optional<Question> parse_question(std::string_view message) {
    if (message.size() < kHeaderBytes || (message[2] & 0x80) != 0 || get16(message, 4) != 1)
        return std::nullopt;
    Question out;
    out.id = get16(message, 0);
    out.opcode = static_cast<std::uint8_t>(static_cast<unsigned char>(message[2]) >> 3 & 0xf);
    out.recursion_desired = (message[2] & 1) != 0;
    std::size_t at = kHeaderBytes;
    while (true) {
        if (at >= message.size()) return std::nullopt;
        const auto size = static_cast<unsigned char>(message[at]);
        ++at;
        if (size == 0) break;
        // Pointers make no sense in the first name.
        if (size > 63 || at + size > message.size() || out.name.size() + size > kMaxName) return std::nullopt;
        if (!out.name.empty()) out.name += '.';
        out.name += message.substr(at, size);
        at += size;
    }
    if (at + 4 > message.size()) return std::nullopt;
    out.name = to_lower(out.name);
    out.type = get16(message, at);
    if (get16(message, at + 2) != kInternet) return std::nullopt;
    out.wire = std::string(message.substr(kHeaderBytes, at + 4 - kHeaderBytes));
    return out;
}

Result<> check_name(std::string_view name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '*';
    };
    const auto is_label = [&](const std::string& label) {
        return !label.empty() && label.size() <= 63 && label.front() != '-' &&
               std::ranges::all_of(label, allowed);
    };
    if (!name.empty() && name.size() <= kMaxName && std::ranges::all_of(split(name, '.'), is_label))
        return {};
    return fail(Status::bad_request, fmt::format("'{}' is not a name of DNS", name));
}

Result<Record> parse_entry(const std::string& name, const std::string& zone, std::string_view type,
                           std::string_view value, std::uint32_t ttl) {
    const auto* row = std::ranges::find(kTypes, type, &TypeName::name);
    if (row == std::end(kTypes)) {
        return fail(
            Status::bad_request,
            fmt::format("Record type '{}' must be one of A, AAAA, CNAME, MX, NS, PTR, SRV and TXT", type));
    }
    Record out{absolute(name, zone), row->type, ttl, {}};
    LX_TRY(check_name(out.name));
    LX_TRY_AS(out.data, data_of(row->type, type, value, zone));
    return out;
}

Record address_record(const std::string& name, std::string_view address) {
    Record out{name, Type::a, 300, {}};
    if (const auto v4 = parse_ipv4(address)) {
        put32(out.data, *v4);
    } else if (const auto v6 = parse_ipv6(address)) {
        out.type = Type::aaaa;
        out.data.assign(v6->begin(), v6->end());
    }
    return out;
}

Record name_record(const std::string& name, Type type, const std::string& target) {
    return {name, type, 300, wire_name(without_dot(target))};
}

Record soa_record(const Soa& soa) {
    Record out{soa.zone, Type::soa, 3600, wire_name(soa.server) + wire_name(soa.contact)};
    for (const std::uint32_t value : {soa.serial, 120U, 60U, 86400U, 30U}) put32(out.data, value);
    return out;
}

std::string answer(const Question& question, Code code, const std::vector<Record>& records) {
    std::string out = header(question, code, records.size());
    for (const Record& record : records) out += wire_record(record);
    return out;
}

std::string transfer(const Question& question, const std::vector<Record>& records) {
    std::string out;
    std::size_t at = 0;
    while (at < records.size()) {
        std::string body;
        const std::size_t first = at;
        while (at < records.size() && (at == first || body.size() < kMaxMessage))
            body += wire_record(records[at++]);
        const std::string message = header(question, Code::ok, at - first) + body;
        put16(out, static_cast<unsigned>(message.size()));
        out += message;
    }
    return out;
}

}  // namespace lxmgr::network::dns
