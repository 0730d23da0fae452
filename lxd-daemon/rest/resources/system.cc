#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/resources/parts.h"

namespace lxmgr::rest {
namespace {

using nlohmann::json;

/// System Management BIOS Reference Specification, 7.4.1.
constexpr std::array<const char*, 37> kChassisTypes{"",
                                                    "Other",
                                                    "Unknown",
                                                    "Desktop",
                                                    "Low Profile Desktop",
                                                    "Pizza Box",
                                                    "Mini Tower",
                                                    "Tower",
                                                    "Portable",
                                                    "Laptop",
                                                    "Notebook",
                                                    "Hand Held",
                                                    "Docking Station",
                                                    "All In One",
                                                    "Sub Notebook",
                                                    "Space-saving",
                                                    "Lunch Box",
                                                    "Main Server Chassis",
                                                    "Expansion Chassis",
                                                    "SubChassis",
                                                    "Bus Expansion Chassis",
                                                    "Peripheral Chassis",
                                                    "RAID Chassis",
                                                    "Rack Mount Chassis",
                                                    "Sealed-case PC",
                                                    "Multi-system",
                                                    "Compact PCI",
                                                    "Advanced TCA",
                                                    "Blade",
                                                    "Blade Enclosure",
                                                    "Tablet",
                                                    "Convertible",
                                                    "Detachable",
                                                    "IoT Gateway",
                                                    "Embedded PC",
                                                    "Mini PC",
                                                    "Stick PC"};

std::string machine_type(const KernelFiles& files) {
    if (files.has("/run/systemd/container") || files.has("/run/.containerenv")) return "container";
    const auto blocks = read_blocks(files.text("/proc/cpuinfo"));
    const auto flags = blocks.empty() ? std::string() : " " + field_of(blocks.front(), "flags") + " ";
    const bool is_virtual =
        flags.find(" hypervisor ") != std::string::npos || files.has("/sys/hypervisor/type");
    return is_virtual ? "virtual-machine" : "physical";
}

}  // namespace

json system_resources(const KernelFiles& files) {
    const auto dmi = [&files](const char* file) {
        return files.line(std::string("/sys/class/dmi/id/") + file);
    };
    const auto chassis = parse_uint(dmi("chassis_type")).value_or(0);
    json shown{{"uuid", dmi("product_uuid")},
               {"vendor", dmi("sys_vendor")},
               {"product", dmi("product_name")},
               {"family", dmi("product_family")},
               {"version", dmi("product_version")},
               {"sku", dmi("product_sku")},
               {"serial", dmi("product_serial")},
               {"type", machine_type(files)},
               {"firmware", nullptr},
               {"chassis", nullptr},
               {"motherboard", nullptr}};
    if (!files.has("/sys/class/dmi/id")) return shown;
    shown["firmware"] = {
        {"vendor", dmi("bios_vendor")}, {"date", dmi("bios_date")}, {"version", dmi("bios_version")}};
    shown["chassis"] = {{"vendor", dmi("chassis_vendor")},
                        {"type", chassis < kChassisTypes.size() ? kChassisTypes.at(chassis) : ""},
                        {"serial", dmi("chassis_serial")},
                        {"version", dmi("chassis_version")}};
    shown["motherboard"] = {{"vendor", dmi("board_vendor")},
                            {"product", dmi("board_name")},
                            {"serial", dmi("board_serial")},
                            {"version", dmi("board_version")}};
    return shown;
}

}  // namespace lxmgr::rest
