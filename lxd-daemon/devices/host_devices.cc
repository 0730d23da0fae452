#include "lxd-daemon/devices/host_devices.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::devices {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxAttribute = 4096;

/// An attribute of sysfs; empty: there is none.
std::string attribute(const fs::path& directory, const char* name) {
    const auto text = read_file((directory / name).string(), kMaxAttribute);
    return text ? std::string(trim(*text)) : std::string();
}

std::string subsystem_of(const fs::path& directory) {
    std::error_code error;
    const fs::path target = fs::read_symlink(directory / "subsystem", error);
    return error ? std::string() : target.filename().string();
}

std::string id_of(std::string text) {
    text = to_lower(text);
    return text.starts_with("0x") ? text.substr(2) : text;
}

/// The nearest of the device and what it is part of that says who made it.
void read_identity(const fs::path& device, const fs::path& top, HostDevice& out) {
    for (fs::path at = device; at != top && at.has_relative_path(); at = at.parent_path()) {
        if (std::string vendor = attribute(at, "idVendor"); !vendor.empty()) {
            out.vendor = id_of(std::move(vendor));
            out.product = id_of(attribute(at, "idProduct"));
            out.serial = attribute(at, "serial");
            out.busnum = attribute(at, "busnum");
            out.devnum = attribute(at, "devnum");
            out.is_usb_device = at == device;
            return;
        }
        if (subsystem_of(at) != "pci") continue;
        out.vendor = id_of(attribute(at, "vendor"));
        out.product = id_of(attribute(at, "device"));
        out.pci = at.filename().string();
        return;
    }
}

/// A card's nodes are side by side: drm/card0, drm/renderD128.
std::string card_beside(const fs::path& device) {
    constexpr std::string_view kCard = "card";
    std::error_code error;
    for (fs::directory_iterator at(device.parent_path(), error), end; !error && at != end;
         at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with(kCard) && parse_uint(name.substr(kCard.size())))
            return name.substr(kCard.size());
    }
    return "";
}

std::optional<HostDevice> read_device(const fs::path& entry, const fs::path& top, bool block) {
    const auto numbers = split(entry.filename().string(), ':');
    const auto major = numbers.size() == 2 ? parse_uint(numbers[0]) : std::nullopt;
    const auto minor = numbers.size() == 2 ? parse_uint(numbers[1]) : std::nullopt;
    std::error_code error;
    const fs::path directory = fs::canonical(entry, error);
    if (!major || !minor || error) return std::nullopt;
    HostDevice out;
    out.block = block;
    out.major = static_cast<unsigned>(*major);
    out.minor = static_cast<unsigned>(*minor);
    for (const auto& line : split(attribute(directory, "uevent"), '\n')) {
        if (line.starts_with("DEVNAME=")) out.node = line.substr(8);
    }
    if (out.node.empty() || out.node.contains("..")) return std::nullopt;
    out.subsystem = subsystem_of(directory);
    if (out.subsystem == "drm") out.card = card_beside(directory);
    read_identity(directory, top, out);
    return out;
}

/// A key that is not set means any.
bool agrees(const api::ConfigMap& keys, const char* key, const std::string& value) {
    const auto found = keys.find(key);
    return found == keys.end() || found->second.empty() || id_of(found->second) == to_lower(value);
}

/// busnum, devnum and id are numbers: "002" is 2.
bool agrees_as_number(const api::ConfigMap& keys, const char* key, const std::string& value) {
    const auto found = keys.find(key);
    return found == keys.end() || found->second.empty() || parse_uint(found->second) == parse_uint(value);
}

}  // namespace

std::vector<HostDevice> list_host_devices(const std::string& sys_root) {
    std::vector<HostDevice> out;
    std::error_code error;
    const fs::path top = fs::canonical(fs::path(sys_root) / "devices", error);
    for (const bool block : {false, true}) {
        fs::directory_iterator entry(fs::path(sys_root) / "dev" / (block ? "block" : "char"), error);
        for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
            if (auto device = read_device(entry->path(), top, block)) out.push_back(*std::move(device));
        }
    }
    std::ranges::sort(out, {}, &HostDevice::node);
    return out;
}

bool is_meant_by_usb(const api::ConfigMap& keys, const HostDevice& device) {
    return device.is_usb_device && agrees(keys, "vendorid", device.vendor) &&
           agrees(keys, "productid", device.product) && agrees(keys, "serial", device.serial) &&
           agrees_as_number(keys, "busnum", device.busnum) && agrees_as_number(keys, "devnum", device.devnum);
}

bool is_meant_by_unix_hotplug(const api::ConfigMap& keys, const HostDevice& device) {
    return !device.is_usb_device && !device.vendor.empty() && agrees(keys, "vendorid", device.vendor) &&
           agrees(keys, "productid", device.product);
}

bool is_meant_by_gpu(const api::ConfigMap& keys, const HostDevice& device) {
    return device.subsystem == "drm" && agrees(keys, "vendorid", device.vendor) &&
           agrees(keys, "productid", device.product) && agrees(keys, "pci", device.pci) &&
           agrees_as_number(keys, "id", device.card);
}

}  // namespace lxmgr::devices
