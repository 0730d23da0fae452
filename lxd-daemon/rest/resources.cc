#include <dirent.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

// The host's hardware as the kernel shows it in /proc and /sys (sysfs-devices-system-cpu, sysfs-block,
// sysfs-class-net of Documentation/ABI). Reading sys/ and /proc is all that is done: blocking, on the worker
// pool.
namespace lxmgr::rest {
namespace {

using nlohmann::json;

/// A one-line file, trimmed; empty when it cannot be read: most attributes are optional.
std::string read_line(const std::string& path) {
    const auto text = read_file(path, 65536);
    return text ? std::string(trim(*text)) : std::string();
}
std::uint64_t read_number(const std::string& path) { return parse_uint(read_line(path)).value_or(0); }

std::vector<std::string> list_names(const std::string& path) {
    struct CloseDir {
        void operator()(DIR* dir) const { ::closedir(dir); }
    };
    std::vector<std::string> names;
    const std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
        if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    }
    std::ranges::sort(names);
    return names;
}

/// "Key: value" lines up to the first empty one.
std::map<std::string, std::string> read_fields(const std::string& path) {
    std::map<std::string, std::string> fields;
    for (const auto& line : split(read_file(path).value_or(""), '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) break;
        fields.emplace(trim(std::string_view(line).substr(0, colon)),
                       trim(std::string_view(line).substr(colon + 1)));
    }
    return fields;
}

struct Thread {
    std::uint64_t id, core, socket;
};

std::vector<Thread> read_threads() {
    std::vector<Thread> threads;
    for (const auto& name : list_names("/sys/devices/system/cpu")) {
        const auto id = name.starts_with("cpu") ? parse_uint(std::string_view(name).substr(3)) : std::nullopt;
        if (!id) continue;
        const std::string topology = "/sys/devices/system/cpu/" + name + "/topology/";
        if (!path_exists(topology)) continue;  // offline
        threads.push_back(
            {*id, read_number(topology + "core_id"), read_number(topology + "physical_package_id")});
    }
    return threads;
}

json describe_cpu() {
    const auto info = read_fields("/proc/cpuinfo");
    const auto field = [&](const char* name) { return info.contains(name) ? info.at(name) : std::string(); };
    std::map<std::uint64_t, std::map<std::uint64_t, json>> sockets;
    std::uint64_t total = 0;
    for (const auto& thread : read_threads()) {
        json& threads = sockets[thread.socket][thread.core];
        threads.push_back({{"id", thread.id},
                           {"numa_node", 0},
                           {"thread", threads.size()},
                           {"online", true},
                           {"isolated", false}});
        ++total;
    }
    json shown = json::array();
    for (const auto& [socket, cores] : sockets) {
        json core_list = json::array();
        for (const auto& [core, threads] : cores)
            core_list.push_back({{"core", core}, {"die", 0}, {"threads", threads}});
        shown.push_back({{"name", field("model name")},
                         {"vendor", field("vendor_id")},
                         {"socket", socket},
                         {"cores", core_list}});
    }
    utsname system{};
    ::uname(&system);
    return {{"architecture", system.machine}, {"sockets", shown}, {"total", total}};
}

json describe_memory() {
    const auto info = read_fields("/proc/meminfo");
    const auto bytes = [&](const char* name) -> std::uint64_t {
        const auto found = info.find(name);
        if (found == info.end()) return 0;
        return parse_uint(found->second.substr(0, found->second.find(' '))).value_or(0) * 1024;
    };
    const std::uint64_t total = bytes("MemTotal");
    const std::uint64_t used = total - std::min(total, bytes("MemAvailable"));
    const std::uint64_t huge = bytes("Hugepagesize");
    const auto pages = [&](const char* name) { return bytes(name) / 1024 * huge; };  // counts, not kB
    return {{"nodes", json::array()},
            {"hugepages_total", pages("HugePages_Total")},
            {"hugepages_used", pages("HugePages_Total") - pages("HugePages_Free")},
            {"hugepages_size", huge},
            {"used", used},
            {"total", total}};
}

json describe_network() {
    json cards = json::array();
    for (const auto& name : list_names("/sys/class/net")) {
        const std::string path = "/sys/class/net/" + name;
        if (!path_exists(path + "/device")) continue;  // bridges, veths, tunnels
        const auto speed = parse_uint(read_line(path + "/speed")).value_or(0);
        const json port{{"id", name},
                        {"address", read_line(path + "/address")},
                        {"port", 0},
                        {"protocol", "ethernet"},
                        {"auto_negotiation", false},
                        {"link_detected", read_line(path + "/carrier") == "1"},
                        {"link_speed", speed}};
        cards.push_back({{"ports", json::array({port})},
                         {"numa_node", 0},
                         {"vendor_id", read_line(path + "/device/vendor")}});
    }
    return {{"total", cards.size()}, {"cards", cards}};
}

constexpr std::uint64_t kSector = 512;  // /sys/block/*/size counts these whatever the disk's own size

json describe_disk(const std::string& name) {
    const std::string path = "/sys/block/" + name;
    json partitions = json::array();
    for (const auto& entry : list_names(path)) {
        const auto number = read_number(path + "/" + entry + "/partition");
        if (number == 0) continue;
        partitions.push_back({{"id", entry},
                              {"device", read_line(path + "/" + entry + "/dev")},
                              {"read_only", read_line(path + "/" + entry + "/ro") == "1"},
                              {"size", read_number(path + "/" + entry + "/size") * kSector},
                              {"partition", number}});
    }
    return {{"id", name},
            {"device", read_line(path + "/dev")},
            {"model", read_line(path + "/device/model")},
            {"serial", read_line(path + "/device/serial")},
            {"type", name.starts_with("nvme") ? "nvme"
                     : name.starts_with("vd") ? "virtio"
                                              : "scsi"},
            {"read_only", read_line(path + "/ro") == "1"},
            {"removable", read_line(path + "/removable") == "1"},
            {"size", read_number(path + "/size") * kSector},
            {"block_size", read_number(path + "/queue/logical_block_size")},
            {"rpm", 0},
            {"numa_node", 0},
            {"partitions", partitions}};
}

json describe_storage() {
    json disks = json::array();
    for (const auto& name : list_names("/sys/block")) {
        const bool is_virtual = !path_exists("/sys/block/" + name + "/device");  // loop, ram, dm, zram
        if (!is_virtual) disks.push_back(describe_disk(name));
    }
    return {{"total", disks.size()}, {"disks", disks}};
}

json describe_pci() {
    json devices = json::array();
    for (const auto& address : list_names("/sys/bus/pci/devices")) {
        const std::string path = "/sys/bus/pci/devices/" + address;
        const auto hex = [&](const char* file) {
            const std::string text = read_line(path + "/" + file);
            return text.starts_with("0x") ? text.substr(2) : text;
        };
        devices.push_back({{"pci_address", address},
                           {"vendor_id", hex("vendor")},
                           {"product_id", hex("device")},
                           {"numa_node", 0}});
    }
    return {{"total", devices.size()}, {"devices", devices}};
}

json describe_system() {
    const auto dmi = [](const char* file) { return read_line(std::string("/sys/class/dmi/id/") + file); };
    return {{"uuid", dmi("product_uuid")},
            {"vendor", dmi("sys_vendor")},
            {"product", dmi("product_name")},
            {"family", dmi("product_family")},
            {"version", dmi("product_version")},
            {"sku", dmi("product_sku")},
            {"serial", dmi("product_serial")},
            {"type", path_exists("/sys/hypervisor/type") || dmi("sys_vendor") == "QEMU" ? "virtual-machine"
                                                                                        : "physical"}};
}

json describe_host() {
    const json none{{"total", 0}, {"cards", json::array()}};
    return {{"cpu", describe_cpu()},
            {"memory", describe_memory()},
            {"gpu", none},
            {"network", describe_network()},
            {"storage", describe_storage()},
            {"usb", {{"total", 0}, {"devices", json::array()}}},
            {"pci", describe_pci()},
            {"system", describe_system()}};
}

Handled resources_get(const Request&, Services& services) {
    auto pending = on_worker(services, describe_host);
    const json host = co_await std::move(pending);
    co_return Response::sync(host);
}

constexpr Route kResourcesRoutes[] = {
    {Verb::get, "/1.0/resources", Access::authenticated, resources_get},
};

}  // namespace

std::span<const Route> resource_routes() { return kResourcesRoutes; }

}  // namespace lxmgr::rest
