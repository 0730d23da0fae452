#include <sys/utsname.h>

#include <algorithm>
#include <map>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/parts.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

const std::string kCpus = "/sys/devices/system/cpu/";

std::string cpu_path(std::uint64_t id) { return kCpus + "cpu" + std::to_string(id); }

struct CpuThread {
    std::uint64_t id = 0, socket = 0, die = 0, core = 0, numa_node = 0;
};

/// The CPUs that are online: of others the kernel tells no topology.
std::vector<CpuThread> read_threads(const KernelFiles& files) {
    std::vector<CpuThread> threads;
    for (const auto& name : files.names(kCpus)) {
        const auto id = name.starts_with("cpu") ? parse_uint(std::string_view(name).substr(3)) : std::nullopt;
        if (!id || !files.has(cpu_path(*id) + "/topology")) continue;
        const std::string topology = cpu_path(*id) + "/topology/";
        CpuThread thread{.id = *id,
                         .socket = files.number(topology + "physical_package_id"),
                         .die = files.number(topology + "die_id"),
                         .core = files.number(topology + "core_id")};
        for (const auto& entry : files.names(cpu_path(*id))) {
            if (!entry.starts_with("node")) continue;
            thread.numa_node = parse_uint(std::string_view(entry).substr(4)).value_or(0);
        }
        threads.push_back(thread);
    }
    std::ranges::sort(threads, {}, &CpuThread::id);
    return threads;
}

/// "32K" of the kernel.
std::uint64_t cache_bytes(const std::string& text) {
    if (text.empty()) return 0;
    const std::uint64_t unit = text.ends_with('M') ? 1048576 : text.ends_with('K') ? 1024 : 1;
    return parse_uint(unit == 1 ? text : text.substr(0, text.size() - 1)).value_or(0) * unit;
}

json describe_caches(const KernelFiles& files, std::uint64_t cpu) {
    json caches = json::array();
    const std::string path = cpu_path(cpu) + "/cache";
    for (const auto& index : files.names(path)) {
        if (!index.starts_with("index")) continue;
        const std::string one = path + "/" + index + "/";
        caches.push_back({{"level", files.number(one + "level")},
                          {"type", files.line(one + "type")},
                          {"size", cache_bytes(files.line(one + "size"))}});
    }
    return caches;
}

void set_mhz(json& object, const char* key, std::uint64_t mhz) {
    if (mhz > 0) object[key] = mhz;
}

/// In MHz; what the kernel steers, else what /proc/cpuinfo says.
std::uint64_t frequency(const KernelFiles& files, std::uint64_t cpu, const Fields& info) {
    const auto steered = files.number(cpu_path(cpu) + "/cpufreq/scaling_cur_freq");
    if (steered > 0) return steered / 1000;
    const auto told = field_of(info, "cpu MHz");
    return parse_uint(told.substr(0, told.find('.'))).value_or(0);
}

/// "46 bits physical, 48 bits virtual"
void set_address_sizes(json& socket, const Fields& info) {
    const auto words = split(field_of(info, "address sizes"), ' ');
    if (words.size() < 6) return;
    socket["address_sizes"] = {{"physical_bits", parse_uint(words[0]).value_or(0)},
                               {"virtual_bits", parse_uint(words[3]).value_or(0)}};
}

using Infos = std::map<std::uint64_t, Fields>;  ///< of /proc/cpuinfo by CPU

Infos read_infos(const KernelFiles& files) {
    Infos infos;
    for (auto& block : read_blocks(files.text("/proc/cpuinfo"))) {
        const auto id = parse_uint(field_of(block, "processor"));
        if (id) infos.emplace(*id, std::move(block));
    }
    return infos;
}

struct CpuReader {
    const KernelFiles& files;
    const Infos infos;
    const std::set<std::uint64_t> isolated;

    [[nodiscard]] const Fields& info(std::uint64_t cpu) const {
        static const Fields kNone;
        const auto found = infos.find(cpu);
        return found == infos.end() ? kNone : found->second;
    }

    [[nodiscard]] json core(const std::vector<CpuThread>& threads) const {
        json shown{{"core", threads.front().core}, {"die", threads.front().die}, {"threads", json::array()}};
        const auto& first = info(threads.front().id);
        set_mhz(shown, "frequency", frequency(files, threads.front().id, first));
        const auto flags = field_of(first, first.contains("flags") ? "flags" : "Features");
        shown["flags"] = flags.empty() ? json::array() : json(split(flags, ' '));
        for (const auto& thread : threads) {
            shown["threads"].push_back({{"id", thread.id},
                                        {"numa_node", thread.numa_node},
                                        {"thread", shown["threads"].size()},
                                        {"online", true},
                                        {"isolated", isolated.contains(thread.id)}});
        }
        return shown;
    }

    [[nodiscard]] json socket(std::uint64_t number, std::uint64_t first) const {
        json shown{{"socket", number}, {"cores", json::array()}};
        const auto& told = info(first);
        set_text(shown, "name", field_of(told, "model name"));
        set_text(shown, "vendor", field_of(told, "vendor_id"));
        set_mhz(shown, "frequency", frequency(files, first, told));
        set_mhz(shown, "frequency_minimum",
                files.number(cpu_path(first) + "/cpufreq/cpuinfo_min_freq") / 1000);
        set_mhz(shown, "frequency_turbo", files.number(cpu_path(first) + "/cpufreq/cpuinfo_max_freq") / 1000);
        set_address_sizes(shown, told);
        auto caches = describe_caches(files, first);
        if (!caches.empty()) shown["cache"] = std::move(caches);
        return shown;
    }
};

}  // namespace

json cpu_resources(const KernelFiles& files) {
    const CpuReader reader{files, read_infos(files), parse_cpu_list(files.line(kCpus + "isolated"))};
    const auto threads = read_threads(files);
    // A core's number is its die's.
    std::map<std::uint64_t, std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<CpuThread>>>
        sockets;
    for (const auto& thread : threads) sockets[thread.socket][{thread.die, thread.core}].push_back(thread);
    json shown = json::array();
    for (const auto& [number, cores] : sockets) {
        auto socket = reader.socket(number, cores.begin()->second.front().id);
        for (const auto& [place, of_core] : cores) socket["cores"].push_back(reader.core(of_core));
        shown.push_back(std::move(socket));
    }
    utsname system{};
    ::uname(&system);
    return {{"architecture", system.machine}, {"sockets", shown}, {"total", threads.size()}};
}

}  // namespace lxmgr::rest
