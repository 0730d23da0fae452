#include "lxd-daemon/api/metrics.h"

#include <fmt/format.h>

// Names and labels: LXD's documentation, "Provided metrics". Syntax: OpenMetrics 1.0 (a counter's family
// lacks the suffix _total in TYPE there; LXD and Prometheus's own parser want it, so it stays).
namespace lxmgr::api {
namespace {

struct Sample {
    std::string labels;
    double value = 0;
};

/// name -> samples, in the order of names.
class Families {
public:
    void add(const std::string& name, const std::string& labels, double value) {
        samples_[name].push_back({labels, value});
    }
    [[nodiscard]] std::string text() const {
        std::string out;
        for (const auto& [name, samples] : samples_) {
            fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, help_of(name), name,
                           name.ends_with("_total") && name != "lxd_procs_total" ? "counter" : "gauge");
            for (const Sample& sample : samples) {
                const std::string labels = sample.labels.empty() ? "" : "{" + sample.labels + "}";
                fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, labels, sample.value);
            }
        }
        return out + "# EOF\n";
    }

private:
    /// What the name says, in words: "lxd_memory_Active_anon_bytes" is "Memory Active anon, in bytes".
    static std::string help_of(const std::string& name) {
        static const std::map<std::string, const char*> kHelp{
            {"lxd_cpu_seconds_total", "CPU time used, in seconds."},
            {"lxd_cpu_effective_total", "CPUs that may be used."},
            {"lxd_procs_total", "Processes that run."},
            {"lxd_memory_OOM_kills_total", "Processes that were killed for want of memory."},
            {"lxd_operations_total", "Operations that run."},
            {"lxd_warnings_total", "Warnings that are not resolved."},
            {"lxd_uptime_seconds", "Time since the daemon started, in seconds."}};
        if (const auto found = kHelp.find(name); found != kHelp.end()) return found->second;
        std::string words = name.substr(sizeof "lxd_" - 1);
        for (char& c : words) {
            if (c == '_') c = ' ';
        }
        if (words.ends_with(" total")) words.resize(words.size() - 6);
        return words + ".";
    }
    std::map<std::string, std::vector<Sample>> samples_;
};

/// A label's value: backslash, quote and newline are escaped.
std::string label(const char* key, const std::string& value) {
    std::string out = fmt::format("{}=\"", key);
    for (const char c : value) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') {
            out += "\\n";
        } else {
            out += c;
        }
    }
    return out + '"';
}

void add_disks(Families& families, const InstanceMetrics& of, const std::string& who) {
    for (const auto& disk : of.disks) {
        const std::string labels = label("device", disk.device) + "," + who;
        const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
        families.add("lxd_disk_read_bytes_total", labels, number(disk.read_bytes));
        families.add("lxd_disk_reads_completed_total", labels, number(disk.reads));
        families.add("lxd_disk_written_bytes_total", labels, number(disk.written_bytes));
        families.add("lxd_disk_writes_completed_total", labels, number(disk.writes));
    }
    for (const auto& filesystem : of.filesystems) {
        const std::string labels =
            fmt::format("{},{},{},{}", label("device", filesystem.device), label("fstype", filesystem.fstype),
                        label("mountpoint", "/"), who);
        families.add("lxd_filesystem_size_bytes", labels, static_cast<double>(filesystem.size_bytes));
        families.add("lxd_filesystem_free_bytes", labels, static_cast<double>(filesystem.free_bytes));
        families.add("lxd_filesystem_avail_bytes", labels, static_cast<double>(filesystem.available_bytes));
    }
}

void add_networks(Families& families, const InstanceMetrics& of, const std::string& who) {
    for (const auto& [name, counters] : of.networks) {
        const std::string labels = label("device", name) + "," + who;
        const std::pair<const char*, std::int64_t> values[] = {
            {"receive_bytes", counters.bytes_received}, {"receive_packets", counters.packets_received},
            {"receive_errs", counters.errors_received}, {"receive_drop", counters.packets_dropped_inbound},
            {"transmit_bytes", counters.bytes_sent},    {"transmit_packets", counters.packets_sent},
            {"transmit_errs", counters.errors_sent},    {"transmit_drop", counters.packets_dropped_outbound},
        };
        for (const auto& [metric, value] : values)
            families.add(fmt::format("lxd_network_{}_total", metric), labels, static_cast<double>(value));
    }
}

}  // namespace

std::string to_open_metrics(const std::vector<InstanceMetrics>& instances, const ServerMetrics& server) {
    Families families;
    for (const InstanceMetrics& of : instances) {
        const std::string who = fmt::format("{},{},{}", label("name", of.name), label("project", of.project),
                                            label("type", "container"));
        for (const auto& [mode, seconds] :
             {std::pair("user", of.user_seconds), std::pair("system", of.system_seconds)}) {
            families.add("lxd_cpu_seconds_total",
                         fmt::format("{},{},{}", label("cpu", "0"), label("mode", mode), who), seconds);
        }
        families.add("lxd_cpu_effective_total", who, static_cast<double>(of.cpus));
        for (const auto& [name, bytes] : of.memory_bytes)
            families.add(fmt::format("lxd_memory_{}_bytes", name), who, static_cast<double>(bytes));
        families.add("lxd_memory_OOM_kills_total", who, static_cast<double>(of.oom_kills));
        families.add("lxd_procs_total", who, static_cast<double>(of.processes));
        add_disks(families, of, who);
        add_networks(families, of, who);
    }
    families.add("lxd_operations_total", "", static_cast<double>(server.operations));
    families.add("lxd_warnings_total", "", static_cast<double>(server.warnings));
    families.add("lxd_uptime_seconds", "", server.uptime_seconds);
    return families.text();
}

}  // namespace lxmgr::api
