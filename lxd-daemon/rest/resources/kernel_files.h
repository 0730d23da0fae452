#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// How the parts of GET /1.0/resources read /proc and /sys (sysfs-devices-system-cpu, sysfs-block,
/// sysfs-class-net of Documentation/ABI). Blocking.
namespace lxmgr::rest {

/// Files of the kernel, beneath another root in tests. Most attributes are optional: what cannot be read is
/// empty.
class KernelFiles {
public:
    explicit KernelFiles(std::string root = {}) : root_(std::move(root)) {}
    [[nodiscard]] bool is_host() const { return root_.empty(); }
    [[nodiscard]] bool has(const std::string& path) const;
    [[nodiscard]] std::string text(const std::string& path) const;
    [[nodiscard]] std::string line(const std::string& path) const;  ///< trimmed
    [[nodiscard]] std::uint64_t number(const std::string& path) const;
    [[nodiscard]] std::vector<std::string> names(
        const std::string& path) const;  ///< sorted, without hidden ones
    /// Last part of what the symlink points to.
    [[nodiscard]] std::string link(const std::string& path) const;
    /// With every symlink followed, beneath the root.
    [[nodiscard]] std::string real(const std::string& path) const;

private:
    std::string root_;
};

using Fields = std::map<std::string, std::string>;
/// "Key: value" lines, a block for each that an empty line ends.
std::vector<Fields> read_blocks(const std::string& text);
std::string field_of(const Fields& fields, const std::string& name);
/// "0-2,7" of the kernel.
std::set<std::uint64_t> parse_cpu_list(std::string_view text);

/// Sets what is not empty, as LXD leaves the rest out.
void set_text(nlohmann::json& object, const char* key, const std::string& value);
/// "0x8086" -> "8086".
std::string without_0x(const std::string& text);
/// driver and driver_version of the device.
void set_driver(nlohmann::json& object, const KernelFiles& files, const std::string& device);
std::uint64_t numa_node(const KernelFiles& files, const std::string& device);
/// Address of the last PCI device on the way to the device; empty: none.
std::string pci_address(const KernelFiles& files, const std::string& device);
/// "BUS:DEVICE" of the USB device on the way to it; empty: none.
std::string usb_address(const KernelFiles& files, const std::string& device);

}  // namespace lxmgr::rest
