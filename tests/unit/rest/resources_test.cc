#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "lxd-daemon/rest/resources/hardware_names.h"
#include "lxd-daemon/rest/resources/parts.h"

using namespace lxmgr::rest;
using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
namespace fs = std::filesystem;

namespace {

/// /proc and /sys of a machine that does not exist.
class ResourcesTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/lxmgr-resources-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        root_ = name;
    }
    void TearDown() override { fs::remove_all(root_); }

    void file(const std::string& path, const std::string& text) {
        fs::create_directories(fs::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    /// Beneath the root, as the kernel's are.
    void link(const std::string& path, const std::string& target) {
        fs::create_directories(root_ + target);
        fs::create_directories(fs::path(root_ + path).parent_path());
        fs::create_symlink(fs::relative(root_ + target, fs::path(root_ + path).parent_path()), root_ + path);
    }
    [[nodiscard]] KernelFiles files() const { return KernelFiles(root_); }

    /// A hyper-threaded CPU of a core; its threads say where they are.
    void cpu(int id, int socket, int core, int node) {
        const std::string path = "/sys/devices/system/cpu/cpu" + std::to_string(id);
        file(path + "/topology/physical_package_id", std::to_string(socket) + "\n");
        file(path + "/topology/die_id", "0\n");
        file(path + "/topology/core_id", std::to_string(core) + "\n");
        link(path + "/node" + std::to_string(node), "/sys/devices/system/node/node" + std::to_string(node));
    }

    std::string root_;
};

const std::string kPciDevices = "/sys/devices/pci0000:00/";

}  // namespace

TEST(ReadBlocksTest, SplitsAtEmptyLinesAndFirstColons) {
    const auto blocks =
        read_blocks("\n\nprocessor\t: 0\nflags\t\t: a b: c\nno colon\n\n\nprocessor : 1\n:x\n\n");
    ASSERT_EQ(blocks.size(), 2U);
    EXPECT_EQ(field_of(blocks[0], "flags"), "a b: c");
    EXPECT_EQ(field_of(blocks[1], "processor"), "1");
    EXPECT_EQ(field_of(blocks[1], "flags"), "");
    EXPECT_THAT(read_blocks(""), IsEmpty());
    EXPECT_THAT(read_blocks("no colon"), IsEmpty());
}

TEST(ParseCpuListTest, TakesRangesAndNothingElse) {
    EXPECT_THAT(parse_cpu_list("0-2,7\n"), ElementsAre(0, 1, 2, 7));
    EXPECT_THAT(parse_cpu_list(""), IsEmpty());
    EXPECT_THAT(parse_cpu_list("3-1,x,-,1-,-4,5-99999999999"), IsEmpty());
    EXPECT_THAT(parse_cpu_list("(null)"), IsEmpty());
}

TEST_F(ResourcesTest, AMachineThatTellsNothingHasNothing) {
    EXPECT_EQ(cpu_resources(files())["total"], 0);
    EXPECT_EQ(memory_resources(files())["total"], 0);
    EXPECT_EQ(memory_resources(files())["used"], 0);
    EXPECT_THAT(memory_resources(files())["nodes"], IsEmpty());
    for (const auto& part : {gpu_resources(files()), network_resources(files())}) {
        EXPECT_EQ(part["total"], 0);
        EXPECT_EQ(part["cards"], json::array());
    }
    EXPECT_EQ(storage_resources(files())["disks"], json::array());
    EXPECT_EQ(pci_resources(files())["devices"], json::array());
    EXPECT_EQ(usb_resources(files())["devices"], json::array());
    EXPECT_EQ(load_resources(files()),
              (json{{"Average1Min", 0.0}, {"Average5Min", 0.0}, {"Average10Min", 0.0}, {"Processes", 0}}));
    EXPECT_TRUE(system_resources(files())["firmware"].is_null());
    EXPECT_EQ(system_resources(files())["type"], "physical");
}

TEST_F(ResourcesTest, CpusAreSortedIntoSocketsCoresAndThreads) {
    cpu(0, 0, 0, 0);
    cpu(1, 1, 0, 1);
    cpu(2, 0, 0, 0);
    cpu(10, 0, 1, 0);
    file("/sys/devices/system/cpu/cpu3/online", "0\n");  // it is off: the kernel tells no topology
    file("/sys/devices/system/cpu/cpufreq/policy0", "");
    file("/sys/devices/system/cpu/isolated", "10\n");
    file("/sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
    file("/sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
    file("/sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n");
    file("/sys/devices/system/cpu/cpu0/cache/index3/level", "3\n");
    file("/sys/devices/system/cpu/cpu0/cache/index3/size", "8M\n");
    file("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4200000\n");
    file("/proc/cpuinfo",
         "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Some CPU\ncpu MHz\t\t: 2499.998\n"
         "flags\t\t: fpu sse2\naddress sizes\t: 46 bits physical, 48 bits virtual\n\nprocessor\t: 1\ncpu "
         "MHz\t: x\n\n");
    const auto shown = cpu_resources(files());
    EXPECT_EQ(shown["total"], 4);
    ASSERT_EQ(shown["sockets"].size(), 2U);
    const auto& first = shown["sockets"][0];
    EXPECT_EQ(first["name"], "Some CPU");
    EXPECT_EQ(first["vendor"], "GenuineIntel");
    EXPECT_EQ(first["frequency"], 2499);
    EXPECT_EQ(first["frequency_turbo"], 4200);
    EXPECT_FALSE(first.contains("frequency_minimum"));
    EXPECT_EQ(first["address_sizes"], (json{{"physical_bits", 46}, {"virtual_bits", 48}}));
    EXPECT_EQ(first["cache"], (json::array({{{"level", 1}, {"type", "Data"}, {"size", 32768}},
                                            {{"level", 3}, {"type", ""}, {"size", 8388608}}})));
    ASSERT_EQ(first["cores"].size(), 2U);
    EXPECT_EQ(first["cores"][0]["flags"], (json{"fpu", "sse2"}));
    ASSERT_EQ(first["cores"][0]["threads"].size(), 2U);
    EXPECT_EQ(first["cores"][0]["threads"][1],
              (json{{"id", 2}, {"numa_node", 0}, {"thread", 1}, {"online", true}, {"isolated", false}}));
    EXPECT_EQ(first["cores"][1]["threads"][0]["isolated"], true);
    EXPECT_EQ(shown["sockets"][1]["cores"][0]["threads"][0]["numa_node"], 1);
    EXPECT_FALSE(shown["sockets"][1].contains("name"));
}

TEST_F(ResourcesTest, MemoryOfTheMachineAndOfItsNodes) {
    file("/proc/meminfo",
         "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    6144 kB\nHugePages_Total:     "
         "  4\n"
         "HugePages_Free:        1\nHugepagesize:       2048 kB\n");
    const std::string node = "/sys/devices/system/node/node1/";
    file(node + "meminfo",
         "Node 1 MemTotal:        8192 kB\nNode 1 MemFree:  1024 kB\nNode 1 FilePages:  2048 kB\n");
    file(node + "hugepages/hugepages-2048kB/nr_hugepages", "4\n");
    file(node + "hugepages/hugepages-2048kB/free_hugepages", "1\n");
    file("/sys/devices/system/node/possible", "0-1\n");
    const auto shown = memory_resources(files());
    EXPECT_EQ(shown["total"], 16384 * 1024);
    EXPECT_EQ(shown["used"], 10240 * 1024);
    EXPECT_EQ(shown["hugepages_size"], 2048 * 1024);
    EXPECT_EQ(shown["hugepages_total"], 4 * 2048 * 1024);
    EXPECT_EQ(shown["hugepages_used"], 3 * 2048 * 1024);
    EXPECT_EQ(shown["nodes"], (json::array({{{"numa_node", 1},
                                             {"hugepages_total", 4 * 2048 * 1024},
                                             {"hugepages_used", 3 * 2048 * 1024},
                                             {"used", 5120 * 1024},
                                             {"total", 8192 * 1024}}})));
}

// The lines of a file are read one after another, so that they may say what never was at one time.
TEST_F(ResourcesTest, NumbersThatDoNotFitTogetherDoNotWrapAround) {
    file("/proc/meminfo",
         "MemTotal: 10 kB\nMemAvailable: 20 kB\nHugePages_Total: 1\nHugePages_Free: 2\nHugepagesize: 2048 "
         "kB\n");
    const auto shown = memory_resources(files());
    EXPECT_EQ(shown["used"], 0);
    EXPECT_EQ(shown["hugepages_used"], 0);
}

TEST_F(ResourcesTest, LoadIsReadOfOneLine) {
    file("/proc/loadavg", "0.52 1.58 2.59 3/467 12345\n");
    EXPECT_EQ(
        load_resources(files()),
        (json{{"Average1Min", 0.52}, {"Average5Min", 1.58}, {"Average10Min", 2.59}, {"Processes", 467}}));
    file("/proc/loadavg", "0.52\n");
    EXPECT_EQ(load_resources(files())["Processes"], 0);
}

TEST_F(ResourcesTest, DisksWithPartitionsAndNames) {
    const std::string nvme = kPciDevices + "0000:00:04.0/nvme/nvme0/nvme0n1";
    file(nvme + "/size", "2048\n");
    file(nvme + "/dev", "259:0\n");
    file(nvme + "/ro", "0\n");
    file(nvme + "/queue/physical_block_size", "4096\n");
    file(nvme + "/wwid", "eui.0123\n");
    file(nvme + "/nvme0n1p1/partition", "1\n");
    file(nvme + "/nvme0n1p1/size", "1024\n");
    file(nvme + "/nvme0n1p1/ro", "1\n");
    file(nvme + "/nvme0n1p1/dev", "259:1\n");
    file(kPciDevices + "0000:00:04.0/numa_node", "1\n");
    file(nvme + "/device/model", "Fast One            \n");
    link("/sys/block/nvme0n1", nvme);
    file("/sys/block/loop0/size", "8\n");  // no device: it is no hardware
    fs::create_directories(root_ + "/dev/disk/by-id");
    fs::create_symlink("../../nvme0n1", root_ + "/dev/disk/by-id/nvme-Fast_One_1");
    fs::create_symlink("../../nvme0n1p1", root_ + "/dev/disk/by-id/nvme-Fast_One_1-part1");
    const auto shown = storage_resources(files());
    EXPECT_EQ(shown["total"], 2);
    ASSERT_EQ(shown["disks"].size(), 1U);
    const auto& disk = shown["disks"][0];
    EXPECT_EQ(disk["id"], "nvme0n1");
    EXPECT_EQ(disk["type"], "nvme");
    EXPECT_EQ(disk["size"], 2048 * 512);
    EXPECT_EQ(disk["block_size"], 4096);
    EXPECT_EQ(disk["model"], "Fast One");
    EXPECT_EQ(disk["wwn"], "eui.0123");
    EXPECT_EQ(disk["numa_node"], 1);
    EXPECT_EQ(disk["device_id"], "nvme-Fast_One_1");
    EXPECT_EQ(disk["pci_address"], "0000:00:04.0");
    EXPECT_FALSE(disk.contains("usb_address"));
    EXPECT_EQ(disk["partitions"], (json::array({{{"id", "nvme0n1p1"},
                                                 {"device", "259:1"},
                                                 {"read_only", true},
                                                 {"size", 1024 * 512},
                                                 {"partition", 1}}})));
}

TEST_F(ResourcesTest, CardsWithTheirPortsAndVirtualFunctions) {
    const std::string card = kPciDevices + "0000:00:1f.6", function = kPciDevices + "0000:00:1f.7";
    file(card + "/vendor", "0x8086\n");
    file(card + "/device", "0x15b8\n");
    file(card + "/sriov_totalvfs", "8\n");
    file(card + "/sriov_numvfs", "1\n");
    link(card + "/driver", "/sys/bus/pci/drivers/e1000e");
    link("/sys/bus/pci/devices/0000:00:1f.6", card);
    link(function + "/physfn", card);
    for (const auto& [name, device] :
         {std::pair("eno1", card), std::pair("eno2", card), std::pair("vf0", function)}) {
        const std::string net = device + "/net/" + name;
        file(net + "/address", "52:54:00:00:00:01\n");
        file(net + "/carrier", "1\n");
        file(net + "/speed", name == std::string("eno1") ? "1000\n" : "-1\n");
        file(net + "/type", "1\n");
        link(net + "/device", device);
        link(std::string("/sys/class/net/") + name, net);
    }
    file("/sys/class/net/lxdbr0/address", "52:54:00:00:00:02\n");  // a bridge is no card
    file("/usr/share/misc/pci.ids",
         "# list\n8086  Intel Corporation\n\t15b7  Other\n\t15b8  Ethernet I219-V\n\t\t1234 5678  "
         "Board\n8087  Next\n\t15b9  Of the next\n");
    file("/proc/sys/kernel/osrelease", "6.1.0\n");
    const auto shown = network_resources(files());
    EXPECT_EQ(shown["total"], 2);
    ASSERT_EQ(shown["cards"].size(), 1U);
    const auto& first = shown["cards"][0];
    EXPECT_EQ(first["vendor"], "Intel Corporation");
    EXPECT_EQ(first["product"], "Ethernet I219-V");
    EXPECT_EQ(first["vendor_id"], "8086");
    EXPECT_EQ(first["pci_address"], "0000:00:1f.6");
    EXPECT_EQ(first["driver"], "e1000e");
    EXPECT_EQ(first["driver_version"], "6.1.0");
    ASSERT_EQ(first["ports"].size(), 2U);
    EXPECT_EQ(first["ports"][0]["id"], "eno1");
    EXPECT_EQ(first["ports"][0]["link_speed"], 1000);
    EXPECT_FALSE(first["ports"][1].contains("link_speed"));
    EXPECT_EQ(first["sriov"]["current_vfs"], 1);
    ASSERT_EQ(first["sriov"]["vfs"].size(), 1U);
    EXPECT_EQ(first["sriov"]["vfs"][0]["ports"][0]["id"], "vf0");
}

TEST_F(ResourcesTest, NamesAreTheVendorsOwn) {
    file("/usr/share/misc/pci.ids", "8086  Intel\n\t15b8  One\n8087  Bad \xff\n\t15b9  Two\n");
    const HardwareNames names(files(), "pci.ids");
    const auto named = [&names](const char* vendor, const char* product) {
        json object = json::object();
        names.set(object, vendor, product);
        return object;
    };
    EXPECT_EQ(named("8086", "15b8")["product"], "One");
    EXPECT_FALSE(named("8086", "15b9").contains("product"));  // that is the next vendor's
    EXPECT_FALSE(named("8087", "15b9").contains("vendor"));   // not UTF-8
    EXPECT_EQ(named("8087", "15b9")["product"], "Two");
    EXPECT_EQ(named("", "15b8"), (json{{"product_id", "15b8"}}));
}

TEST_F(ResourcesTest, DisplaysUsbDevicesAndTheMachine) {
    const std::string gpu = kPciDevices + "0000:00:02.0";
    file(gpu + "/class", "0x030000\n");
    file(gpu + "/vendor", "0x1234\n");
    file(gpu + "/device", "0x1111\n");
    file(gpu + "/drm/card0/dev", "226:0\n");
    file(gpu + "/drm/renderD128/dev", "226:128\n");
    link("/sys/bus/pci/devices/0000:00:02.0", gpu);
    file("/sys/bus/usb/devices/1-1/bDeviceClass", "00\n");
    file("/sys/bus/usb/devices/1-1/busnum", "1\n");
    file("/sys/bus/usb/devices/1-1/devnum", "4\n");
    file("/sys/bus/usb/devices/1-1/speed", "1.5\n");
    file("/sys/bus/usb/devices/1-1/1-1:1.0/bInterfaceClass", "03\n");
    file("/sys/bus/usb/devices/1-1/1-1:1.0/bInterfaceNumber", "0a\n");
    file("/sys/bus/usb/devices/usb1/bDeviceClass", "09\n");  // a hub
    file("/sys/class/dmi/id/chassis_type", "10\n");
    file("/sys/class/dmi/id/sys_vendor", "  Maker\n");
    file("/proc/cpuinfo", "processor: 0\nflags: fpu hypervisor\n");
    const auto cards = gpu_resources(files());
    EXPECT_EQ(cards["total"], 1);
    EXPECT_EQ(cards["cards"][0]["drm"], (json{{"card_name", "card0"},
                                              {"card_device", "226:0"},
                                              {"id", 0},
                                              {"render_name", "renderD128"},
                                              {"render_device", "226:128"}}));
    const auto usb = usb_resources(files());
    EXPECT_EQ(usb["total"], 1);
    EXPECT_EQ(usb["devices"][0]["device_address"], 4);
    EXPECT_EQ(usb["devices"][0]["speed"], 1.5);
    EXPECT_EQ(usb["devices"][0]["interfaces"][0]["class"], "Human Interface Device");
    EXPECT_EQ(usb["devices"][0]["interfaces"][0]["number"], 10);
    const auto system = system_resources(files());
    EXPECT_EQ(system["type"], "virtual-machine");
    EXPECT_EQ(system["vendor"], "Maker");
    EXPECT_EQ(system["chassis"]["type"], "Notebook");
    file("/sys/class/dmi/id/chassis_type", "250\n");
    EXPECT_EQ(system_resources(files())["chassis"]["type"], "");
    file("/run/systemd/container", "lxc");
    EXPECT_EQ(system_resources(files())["type"], "container");
}
