#include <algorithm>
#include <cstdlib>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/parts.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

const std::string kNodes = "/sys/devices/system/node/";

/// "16384 kB"
std::uint64_t kib_bytes(const std::string& text) {
    return parse_uint(text.substr(0, text.find(' '))).value_or(0) * 1024;
}

/// Lines are "Node 0 MemTotal:  16384 kB".
Fields node_fields(const KernelFiles& files, const std::string& path) {
    Fields out;
    const auto blocks = read_blocks(files.text(path + "/meminfo"));
    if (blocks.empty()) return out;
    for (const auto& [name, value] : blocks.front()) out.emplace(name.substr(name.rfind(' ') + 1), value);
    return out;
}

json describe_node(const KernelFiles& files, const std::string& name, std::uint64_t number,
                   std::uint64_t huge_bytes) {
    const std::string path = kNodes + name;
    const auto info = node_fields(files, path);
    const auto total = kib_bytes(field_of(info, "MemTotal"));
    // The kernel tells nothing like MemAvailable of a node: pages of files can be had again.
    const auto unused = kib_bytes(field_of(info, "MemFree")) + kib_bytes(field_of(info, "FilePages"));
    const std::string huge = path + "/hugepages/hugepages-" + std::to_string(huge_bytes / 1024) + "kB/";
    const auto huge_total = files.number(huge + "nr_hugepages");
    return {{"numa_node", number},
            {"hugepages_total", huge_total * huge_bytes},
            {"hugepages_used",
             (huge_total - std::min(huge_total, files.number(huge + "free_hugepages"))) * huge_bytes},
            {"used", total - std::min(total, unused)},
            {"total", total}};
}

}  // namespace

json memory_resources(const KernelFiles& files) {
    const auto blocks = read_blocks(files.text("/proc/meminfo"));
    const Fields info = blocks.empty() ? Fields{} : blocks.front();
    const auto bytes = [&info](const char* name) { return kib_bytes(field_of(info, name)); };
    const auto total = bytes("MemTotal");
    const auto huge = bytes("Hugepagesize");
    const auto pages = [&info](const char* name) { return parse_uint(field_of(info, name)).value_or(0); };
    const auto huge_total = pages("HugePages_Total");
    json nodes = json::array();
    for (const auto& name : files.names(kNodes)) {
        const auto number =
            name.starts_with("node") ? parse_uint(std::string_view(name).substr(4)) : std::nullopt;
        if (number) nodes.push_back(describe_node(files, name, *number, huge));
    }
    return {{"nodes", nodes},
            {"hugepages_total", huge_total * huge},
            {"hugepages_used", (huge_total - std::min(huge_total, pages("HugePages_Free"))) * huge},
            {"hugepages_size", huge},
            {"used", total - std::min(total, bytes("MemAvailable"))},
            {"total", total}};
}

json load_resources(const KernelFiles& files) {
    const auto words = split(files.line("/proc/loadavg"), ' ');
    const auto average = [&words](std::size_t at) {
        return words.size() > at ? std::strtod(words[at].c_str(), nullptr) : 0.0;
    };
    const auto tasks = words.size() > 3 ? words[3] : std::string();
    return {{"Average1Min", average(0)},
            {"Average5Min", average(1)},
            {"Average10Min", average(2)},
            {"Processes", parse_uint(tasks.substr(tasks.find('/') + 1)).value_or(0)}};
}

}  // namespace lxmgr::rest
