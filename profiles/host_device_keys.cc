#include "profiles/checks.h"
#include "profiles/key_tables.h"

/// Devices of the host by what they are: usb, unix-hotplug, gpu.
namespace lxmgr::profiles {
namespace {

// The scope is filled in by each table.
constexpr auto U = KeyScope::usb;
constexpr ConfigKey kGid{
    U, "gid", "integer", "0", Live::yes, check::owner_id, "Group of the nodes inside the instance."};
constexpr ConfigKey kMode{
    U, "mode", "integer", "0660", Live::yes, check::file_mode, "Permissions of the nodes, octal."};
constexpr ConfigKey kProduct{
    U, "productid", "string", "", Live::yes, check::device_id, "Product id, four hexadecimal digits."};
constexpr ConfigKey kRequired{U,
                              "required",
                              "bool",
                              "false",
                              Live::yes,
                              check::boolean,
                              "Refuse to start when the host has no such device."};
constexpr ConfigKey kUid{
    U, "uid", "integer", "0", Live::yes, check::owner_id, "Owner of the nodes inside the instance."};
constexpr ConfigKey kVendor{
    U, "vendorid", "string", "", Live::yes, check::device_id, "Vendor id, four hexadecimal digits."};

constexpr ConfigKey kUsbKeys[] = {
    {U, "attached", "bool", "true", Live::yes, check::boolean,
     "Plugged into the instance; false keeps the device configured only."},
    {U, "busnum", "integer", "", Live::yes, check::natural, "Number of the USB bus."},
    {U, "devnum", "integer", "", Live::yes, check::natural, "Number of the device on its bus."},
    of(U, kGid),
    of(U, kMode),
    of(U, kProduct),
    of(U, kRequired),
    {U, "serial", "string", "", Live::yes, check::text, "Serial number of the device."},
    of(U, kUid),
    of(U, kVendor),
};

constexpr auto H = KeyScope::unix_hotplug;
constexpr ConfigKey kHotplugKeys[] = {
    of(H, kGid), of(H, kMode), of(H, kProduct), of(H, kRequired), of(H, kUid), of(H, kVendor),
};

constexpr auto G = KeyScope::gpu;
constexpr ConfigKey kGpuKeys[] = {
    of(G, kGid),
    {G, "gputype", "string", "physical", Live::yes, check::gpu_type, "Type of the GPU device: physical."},
    {G, "id", "integer", "", Live::yes, check::natural,
     "Number of the card, as in /dev/dri/card0; its other nodes come with it."},
    of(G, kMode),
    {G, "pci", "string", "", Live::yes, check::pci_address, "PCI address of the card, such as 0000:01:00.0."},
    of(G, kProduct),
    of(G, kUid),
    of(G, kVendor),
};

}  // namespace

std::span<const ConfigKey> gpu_keys() { return kGpuKeys; }
std::span<const ConfigKey> unix_hotplug_keys() { return kHotplugKeys; }
std::span<const ConfigKey> usb_keys() { return kUsbKeys; }

}  // namespace lxmgr::profiles
