#include "lxd-daemon/runtime/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/limits.h"

// Files: Documentation/admin-guide/cgroup-v2.rst (cpu.stat, memory.stat, io.stat) and cgroup-v1/memory.rst,
// cgroup-v1/blkio-controller.rst.
namespace lxmgr::runtime {
namespace {

using MetricHome = sys::Cgroups::Home;

/// "name value" lines.
std::map<std::string, std::uint64_t> table_of(const std::string& text) {
    std::map<std::string, std::uint64_t> table;
    for (const std::string& line : split(text, '\n')) {
        const auto space = line.rfind(' ');
        if (space == std::string::npos) continue;
        if (const auto value = parse_uint(trim(std::string_view(line).substr(space + 1))))
            table[line.substr(0, space)] = *value;
    }
    return table;
}

std::map<std::string, std::uint64_t> read_table(const sys::Cgroups& cgroups, const std::string& name,
                                                std::string_view controller, const char* file) {
    return table_of(cgroups.read(name, controller, file).value_or(""));
}

/// v1's names for what cgroup2 calls otherwise; the "total_" ones count what is below too.
constexpr std::array<std::pair<const char*, const char*>, 12> kV1Names{{
    {"total_rss", "anon"},
    {"total_cache", "file"},
    {"total_mapped_file", "file_mapped"},
    {"total_dirty", "file_dirty"},
    {"total_writeback", "file_writeback"},
    {"total_shmem", "shmem"},
    {"total_swap", "swap"},
    {"total_active_anon", "active_anon"},
    {"total_inactive_anon", "inactive_anon"},
    {"total_active_file", "active_file"},
    {"total_inactive_file", "inactive_file"},
    {"total_unevictable", "unevictable"},
}};

void read_memory(const sys::Cgroups& cgroups, const std::string& name, Counts& counts) {
    auto table = read_table(cgroups, name, "memory", "memory.stat");
    if (cgroups.home("memory") == MetricHome::v1) {
        for (const auto& [theirs, ours] : kV1Names) {
            if (const auto found = table.find(theirs); found != table.end())
                counts.memory[ours] = found->second;
        }
        counts.oom_kills = read_table(cgroups, name, "memory", "memory.oom_control")["oom_kill"];
        return;
    }
    counts.memory = std::move(table);
    if (!counts.memory.empty())
        counts.memory["swap"] =
            parse_uint(trim(cgroups.read(name, "memory", "memory.swap.current").value_or(""))).value_or(0);
    counts.oom_kills = read_table(cgroups, name, "memory", "memory.events")["oom_kill"];
}

/// "8:0" as its name; empty for one that has gone.
std::string device_name(std::string_view number) {
    std::array<char, PATH_MAX> target;
    const ssize_t n =
        ::readlink(fmt::format("/sys/dev/block/{}", number).c_str(), target.data(), target.size());
    const std::string_view path(target.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    return std::string(path.substr(path.rfind('/') + 1));
}

using Disks = std::map<std::string, Counts::Disk>;

Counts::Disk* disk_of(Disks& disks, const std::string& number) {
    const std::string name = device_name(number);
    if (name.empty()) return nullptr;
    disks[name].device = name;
    return &disks[name];
}

/// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..."
void read_io_v2(const std::string& text, Disks& disks) {
    for (const std::string& line : split(text, '\n')) {
        const auto words = split(line, ' ');
        Counts::Disk* const disk = words.size() < 2 ? nullptr : disk_of(disks, words[0]);
        if (disk == nullptr) continue;
        for (const std::string& word : words) {
            const auto equals = word.find('=');
            if (equals == std::string::npos) continue;
            const std::string key = word.substr(0, equals);
            const std::uint64_t value = parse_uint(word.substr(equals + 1)).value_or(0);
            if (key == "rbytes") disk->read_bytes = value;
            if (key == "wbytes") disk->written_bytes = value;
            if (key == "rios") disk->reads = value;
            if (key == "wios") disk->writes = value;
        }
    }
}

/// "8:0 Read 123"
void read_io_v1(const std::string& text, Disks& disks, std::uint64_t Counts::Disk::* read,
                std::uint64_t Counts::Disk::* written) {
    for (const std::string& line : split(text, '\n')) {
        const auto words = split(line, ' ');
        if (words.size() != 3 || (words[1] != "Read" && words[1] != "Write")) continue;
        if (Counts::Disk* const disk = disk_of(disks, words[0]))
            disk->*(words[1] == "Read" ? read : written) = parse_uint(words[2]).value_or(0);
    }
}

void read_disks(const sys::Cgroups& cgroups, const std::string& name, Counts& counts) {
    Disks disks;
    const auto text = [&](const char* controller, const char* file) {
        return cgroups.read(name, controller, file).value_or("");
    };
    if (cgroups.home("blkio") == MetricHome::v1 && cgroups.has_v1(name, "blkio")) {
        read_io_v1(text("blkio", "blkio.throttle.io_service_bytes_recursive"), disks,
                   &Counts::Disk::read_bytes, &Counts::Disk::written_bytes);
        read_io_v1(text("blkio", "blkio.throttle.io_serviced_recursive"), disks, &Counts::Disk::reads,
                   &Counts::Disk::writes);
    } else if (cgroups.home("io") == MetricHome::v2) {
        read_io_v2(text("io", "io.stat"), disks);
    }
    for (auto& [device, disk] : disks) counts.disks.push_back(std::move(disk));
}

}  // namespace

Result<Counts> read_counts(const sys::Cgroups& cgroups, const std::string& name) {
    Counts counts;
    auto cpu = read_table(cgroups, name, "", "cpu.stat");  // cgroup2 counts time without the controller
    counts.user_ns = static_cast<std::int64_t>(cpu["user_usec"] * 1000);
    counts.system_ns = static_cast<std::int64_t>(cpu["system_usec"] * 1000);
    LX_TRY_AS(const Usage usage, read_usage(cgroups, name));
    counts.processes = usage.processes;
    counts.memory_used_bytes = usage.memory_bytes;
    read_memory(cgroups, name, counts);
    read_disks(cgroups, name, counts);
    return counts;
}

}  // namespace lxmgr::runtime
