#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Messages of DNS (RFC 1035) as far as a server of zone transfers (RFC 5936) needs them. Pure functions.
namespace lxmgr::network::dns {

enum class Type : std::uint16_t {
    a = 1,
    ns = 2,
    cname = 5,
    soa = 6,
    ptr = 12,
    mx = 15,
    txt = 16,
    aaaa = 28,
    srv = 33,
    axfr = 252,
};
enum class Code : std::uint8_t {
    ok = 0,
    format_error = 1,
    not_implemented = 4,
    refused = 5,
    not_authoritative = 9
};

struct Question {
    std::uint16_t id = 0;
    bool recursion_desired = false;
    std::uint8_t opcode = 0;
    std::string name;  ///< lower case, without the dot at the end
    std::uint16_t type = 0;
    std::string wire;  ///< the question as it came, for the answer
};
/// Nullopt: it is no question with one name; nothing is to be answered.
std::optional<Question> parse_question(std::string_view message);

/// One record; the data is in wire form.
struct Record {
    std::string name;  ///< without the dot at the end
    Type type = Type::a;
    std::uint32_t ttl = 300;
    std::string data;
    bool operator==(const Record&) const = default;
};
/// Labels of 1 to 63 bytes of [A-Za-z0-9_*-], 253 in all. Errors: `bad_request`.
Result<> check_name(std::string_view name);
/// The value of an entry as its user wrote it. Names without a dot at the end are of the zone. Errors:
/// `bad_request` for a type that is not served or a value that is not of the type.
Result<Record> parse_entry(const std::string& name, const std::string& zone, std::string_view type,
                           std::string_view value, std::uint32_t ttl);

Record address_record(const std::string& name, std::string_view address);
Record name_record(const std::string& name, Type type, const std::string& target);
struct Soa {
    std::string zone, server, contact;
    std::uint32_t serial = 0;
};
Record soa_record(const Soa& soa);

/// An answer with these records, authoritative.
std::string answer(const Question& question, Code code, const std::vector<Record>& records);
/// A zone as messages for TCP, each with its length in front.
std::string transfer(const Question& question, const std::vector<Record>& records);

}  // namespace lxmgr::network::dns
