#include "network/ports_in_use.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::network {
namespace {

/// proc(5): of TCP sockets those that listen, of UDP those that are not connected.
constexpr std::string_view kListening = "0A";
constexpr std::string_view kUnconnected = "07";

bool is_loopback(std::string_view address) {
    if (address.size() == 8) return address.ends_with("7F");  // little endian
    return address == "00000000000000000000000001000000";
}

void read_table(const std::string& table, std::string_view state, std::set<int>& out) {
    const auto text = read_file("/proc/thread-self/net/" + table);
    if (!text) return;
    for (const auto& line : split(*text, '\n')) {
        // "  0: 0100007F:0035 00000000:0000 0A ..."
        std::vector<std::string> fields;
        for (auto& field : split(trim(line), ' ')) {
            if (!field.empty()) fields.push_back(std::move(field));
        }
        if (fields.size() < 4 || fields[3] != state) continue;
        const auto colon = fields[1].find(':');
        if (colon == std::string::npos || is_loopback(std::string_view(fields[1]).substr(0, colon))) continue;
        out.insert(static_cast<int>(std::strtol(fields[1].c_str() + colon + 1, nullptr, 16)));
    }
}

}  // namespace

std::set<int> ports_in_use(bool udp) {
    std::set<int> out;
    for (const char* family : {"", "6"}) {
        read_table(fmt::format("{}{}", udp ? "udp" : "tcp", family), udp ? kUnconnected : kListening, out);
    }
    return out;
}

}  // namespace lxmgr::network
