#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/parts.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

const std::string kBlock = "/sys/block/";
constexpr std::uint64_t kSector = 512;  // /sys/block/*/size counts these whatever the disk's own size

/// By what it is reached.
std::string disk_type(const KernelFiles& files, const std::string& name) {
    const auto path = files.real(kBlock + name);
    if (name.starts_with("sr")) return "cdrom";
    if (name.starts_with("nvme")) return "nvme";
    if (!usb_address(files, kBlock + name).empty()) return "usb";
    if (path.find("/ata") != std::string::npos) return "sata";
    const auto subsystem = files.link(kBlock + name + "/device/subsystem");
    return subsystem.empty() ? "scsi" : subsystem;
}

/// Name in /dev/disk/FOLDER of the disk; some have several.
std::string name_of_disk(const KernelFiles& files, const std::string& folder, const std::string& name) {
    const std::string path = "/dev/disk/" + folder;
    for (const auto& entry : files.names(path)) {
        if (files.link(path + "/" + entry) == name) return entry;
    }
    return {};
}

json describe_partitions(const KernelFiles& files, const std::string& path) {
    json partitions = json::array();
    for (const auto& entry : files.names(path)) {
        const std::string one = path + "/" + entry;
        const auto number = files.number(one + "/partition");
        if (number == 0) continue;
        partitions.push_back({{"id", entry},
                              {"device", files.line(one + "/dev")},
                              {"read_only", files.line(one + "/ro") == "1"},
                              {"size", files.number(one + "/size") * kSector},
                              {"partition", number}});
    }
    return partitions;
}

std::string first_of(const KernelFiles& files, const std::string& path,
                     std::initializer_list<const char*> names) {
    for (const char* name : names) {
        const auto text = files.line(path + "/" + name);
        if (!text.empty()) return text;
    }
    return {};
}

json describe_disk(const KernelFiles& files, const std::string& name) {
    const std::string path = kBlock + name;
    json disk{{"id", name},
              {"device", files.line(path + "/dev")},
              {"type", disk_type(files, name)},
              {"read_only", files.line(path + "/ro") == "1"},
              {"removable", files.line(path + "/removable") == "1"},
              {"size", files.number(path + "/size") * kSector},
              {"block_size", files.number(path + "/queue/physical_block_size")},
              {"rpm", files.number(path + "/queue/rotational")},  // 1: it turns, nobody says how fast
              {"numa_node", numa_node(files, path)},
              {"partitions", describe_partitions(files, path)}};
    set_text(disk, "model", files.line(path + "/device/model"));
    set_text(disk, "serial", first_of(files, path, {"device/serial", "serial"}));
    set_text(disk, "firmware_version", first_of(files, path, {"device/firmware_rev", "device/rev"}));
    set_text(disk, "wwn", first_of(files, path, {"wwid", "device/wwid"}));
    disk["device_id"] = name_of_disk(files, "by-id", name);
    set_text(disk, "device_path", name_of_disk(files, "by-path", name));
    set_text(disk, "pci_address", pci_address(files, path));
    set_text(disk, "usb_address", usb_address(files, path));
    return disk;
}

}  // namespace

json storage_resources(const KernelFiles& files) {
    json disks = json::array();
    std::uint64_t total = 0;
    for (const auto& name : files.names(kBlock)) {
        if (!files.has(kBlock + name + "/device")) continue;  // loop, ram, dm, zram
        disks.push_back(describe_disk(files, name));
        total += 1 + disks.back()["partitions"].size();
    }
    return {{"total", total}, {"disks", disks}};
}

}  // namespace lxmgr::rest
