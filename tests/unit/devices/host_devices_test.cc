#include "lxd-daemon/devices/host_devices.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "lxd-daemon/sys/uevents.h"

namespace lxmgr::devices {
namespace {

namespace fs = std::filesystem;

/// A sysfs with a USB stick (a device with a serial line in it), a graphics card and a loop device.
class HostDevicesTest : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "lxmgr-sysfs-XXXXXX").string();
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        root_ = name;
        const fs::path stick = "devices/pci0000:00/0000:00:14.0/usb1/1-2";
        put("devices/pci0000:00/0000:00:14.0", {{"vendor", "0x8086"}, {"device", "0xa36d"}}, "pci");
        put(stick,
            {{"idVendor", "0403"},
             {"idProduct", "6001"},
             {"serial", "A1"},
             {"busnum", "1"},
             {"devnum", "7"},
             {"uevent", "DEVNAME=bus/usb/001/007\nDEVTYPE=usb_device"}},
            "usb");
        put(stick / "1-2:1.0/tty/ttyUSB0", {{"uevent", "MAJOR=188\nMINOR=0\nDEVNAME=ttyUSB0"}}, "tty");
        put("devices/pci0000:00/0000:01:00.0", {{"vendor", "0x10DE"}, {"device", "0x1eb8"}}, "pci");
        put("devices/pci0000:00/0000:01:00.0/drm/card0", {{"uevent", "DEVNAME=dri/card0"}}, "drm");
        put("devices/pci0000:00/0000:01:00.0/drm/renderD128", {{"uevent", "DEVNAME=dri/renderD128"}}, "drm");
        put("devices/platform/vkms/drm/card3", {{"uevent", "DEVNAME=dri/card3"}}, "drm");
        put("devices/virtual/block/loop7", {{"uevent", "DEVNAME=loop7"}}, "block");
        put("devices/virtual/misc/odd", {{"uevent", "DEVNAME=../../etc/passwd"}}, "misc");
        link("char", "189:6", stick);
        link("char", "188:0", stick / "1-2:1.0/tty/ttyUSB0");
        link("char", "226:0", "devices/pci0000:00/0000:01:00.0/drm/card0");
        link("char", "226:128", "devices/pci0000:00/0000:01:00.0/drm/renderD128");
        link("char", "226:3", "devices/platform/vkms/drm/card3");
        link("char", "10:1", "devices/virtual/misc/odd");
        link("block", "7:7", "devices/virtual/block/loop7");
    }
    void TearDown() override { fs::remove_all(root_); }

    void put(const fs::path& directory, const api::ConfigMap& attributes, const std::string& subsystem) {
        fs::create_directories(root_ / directory);
        for (const auto& [name, value] : attributes) std::ofstream(root_ / directory / name) << value << '\n';
        fs::create_directories(root_ / "class" / subsystem);
        fs::create_directory_symlink(root_ / "class" / subsystem, root_ / directory / "subsystem");
    }
    void link(const std::string& kind, const std::string& number, const fs::path& directory) {
        fs::create_directories(root_ / "dev" / kind);
        fs::create_directory_symlink(root_ / directory, root_ / "dev" / kind / number);
    }
    std::vector<std::string> meant(bool (*by)(const api::ConfigMap&, const HostDevice&),
                                   const api::ConfigMap& keys) const {
        std::vector<std::string> out;
        for (const auto& device : list_host_devices(root_.string())) {
            if (by(keys, device)) out.push_back(device.node);
        }
        return out;
    }

    fs::path root_;
};

using Nodes = std::vector<std::string>;

TEST_F(HostDevicesTest, AreListedWithTheirNumbersAndMakers) {
    const auto devices = list_host_devices(root_.string());
    ASSERT_EQ(devices.size(), 6U);
    EXPECT_EQ(devices[0].node, "bus/usb/001/007");
    EXPECT_TRUE(devices[0].is_usb_device);
    EXPECT_EQ(devices[1].node, "dri/card0");
    EXPECT_EQ(devices[1].vendor, "10de");
    EXPECT_EQ(devices[1].pci, "0000:01:00.0");
    EXPECT_EQ(devices[4].node, "loop7");
    EXPECT_TRUE(devices[4].block);
    EXPECT_EQ(devices[4].vendor, "");
    EXPECT_EQ(devices[5].node, "ttyUSB0");
    EXPECT_EQ(devices[5].product, "6001");
    EXPECT_EQ(devices[5].major, 188U);
    EXPECT_TRUE(list_host_devices("/nonexistent").empty());
}

TEST_F(HostDevicesTest, UsbIsTheDeviceItself) {
    EXPECT_EQ(meant(is_meant_by_usb, {{"vendorid", "0403"}, {"productid", "6001"}}),
              Nodes{"bus/usb/001/007"});
    EXPECT_EQ(meant(is_meant_by_usb, {{"serial", "A1"}, {"busnum", "1"}, {"devnum", "007"}}).size(), 1U);
    EXPECT_EQ(meant(is_meant_by_usb, {}).size(), 1U);
    for (const char* key : {"vendorid", "productid", "serial", "busnum", "devnum"})
        EXPECT_TRUE(meant(is_meant_by_usb, {{key, "0009"}}).empty()) << key;
}

TEST_F(HostDevicesTest, HotplugIsWhatTheDeviceGives) {
    EXPECT_EQ(meant(is_meant_by_unix_hotplug, {{"vendorid", "0403"}}), Nodes{"ttyUSB0"});
    EXPECT_TRUE(meant(is_meant_by_unix_hotplug, {{"vendorid", "0403"}, {"productid", "0001"}}).empty());
}

TEST_F(HostDevicesTest, GpuIsOfTheGraphicsSubsystem) {
    const Nodes first{"dri/card0", "dri/renderD128"};
    EXPECT_EQ(meant(is_meant_by_gpu, {}), (Nodes{"dri/card0", "dri/card3", "dri/renderD128"}));
    EXPECT_EQ(meant(is_meant_by_gpu, {{"vendorid", "10DE"}, {"pci", "0000:01:00.0"}}), first);
    EXPECT_EQ(meant(is_meant_by_gpu, {{"id", "0"}}), first);
    EXPECT_EQ(meant(is_meant_by_gpu, {{"id", "03"}}), Nodes{"dri/card3"});
    EXPECT_TRUE(meant(is_meant_by_gpu, {{"id", "1"}}).empty());
    EXPECT_TRUE(meant(is_meant_by_gpu, {{"pci", "0000:02:00.0"}}).empty());
}

TEST(UeventTest, TellsActionSubsystemAndNode) {
    using namespace std::string_view_literals;
    const auto event = sys::parse_uevent(
        "add@/devices/virtual/block/loop77\0ACTION=add\0SUBSYSTEM=block\0DEVNAME=loop77\0"sv);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->action, "add");
    EXPECT_EQ(event->subsystem, "block");
    EXPECT_EQ(event->node, "loop77");
    EXPECT_FALSE(sys::parse_uevent(""));
    EXPECT_FALSE(sys::parse_uevent("nonsense"));
}

}  // namespace
}  // namespace lxmgr::devices
