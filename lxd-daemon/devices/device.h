#pragma once
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::network {
struct ProxyNat;
}

/// What an instance's devices are made of: one class per device type, without state of its own. The caller
/// (instances/) keeps all that must survive in `volatile.*` keys and holds the instance's lock.
namespace lxmgr::devices {

/// What the caller asks of a network for one NIC.
struct NicClaim {
    std::string network, instance, device;
    std::string hwaddr;
    std::string ipv4, ipv6;  ///< set by the user; empty: chosen by the network
};
/// What a network has given to a NIC for life; empty: none.
struct NicAddresses {
    std::string ipv4, ipv6;
};

struct NicOnNetwork {
    std::string network;
    NicAddresses addresses;
};

/// A NIC that builds on a VLAN of its parent.
struct NicOnVlan {
    std::string instance, device;
    auto operator<=>(const NicOnVlan&) const = default;
};

/// A disk device that holds a custom volume.
struct VolumeUse {
    std::string instance, device;
    std::string pool, volume;
    std::string snapshot = {};  ///< of it, in its place; empty: the volume itself
};

/// The managed networks and pools, as far as devices need them; implemented by instances/.
class Surroundings {
public:
    virtual ~Surroundings() = default;
    /// Config of a managed network; nullopt: there is none of that name.
    virtual std::optional<api::ConfigMap> network_config(const std::string& network) = 0;
    /// The keys of a NIC on a managed network of type macvlan or physical, as one without a network would
    /// have them; nullopt: it is on none such.
    virtual std::optional<api::ConfigMap> nic_on_parent(const api::ConfigMap&) { return std::nullopt; }
    /// Gives the NIC its address for life and announces it (DHCP, DNS). Repeating it is harmless. `conflict`
    /// when another NIC holds the address.
    virtual Result<NicAddresses> claim_address(const NicClaim& claim) = 0;
    /// The addresses that a NIC has claimed.
    [[nodiscard]] virtual NicAddresses held_address(const std::string& network, const std::string& instance,
                                                    const std::string& device) const = 0;
    /// Gives the address up. One that is not held is success.
    virtual Result<> release_address(const std::string& network, const std::string& instance,
                                     const std::string& device) = 0;
    /// instances.nic.host_name=mac: names of host's ends follow from the MAC address.
    virtual bool names_after_mac() { return false; }
    /// Whether no NIC of any instance has this MAC address.
    virtual bool is_free_hwaddr(const std::string&) { return true; }
    virtual bool pool_exists(const std::string& pool) = 0;
    /// Errors: `not_found` when there is no such volume.
    virtual Result<> check_volume(const VolumeUse& use) {
        return fail(Status::not_found, "Storage volume '" + use.volume + "' not found");
    }
    /// A detached mount of the volume's files, ids shifted by `idmap` unless the volume says otherwise. In
    /// use from now on, until release_volume(). Errors: `not_found`; `bad_request` while it is being changed.
    virtual Result<UniqueFd> mount_volume(const VolumeUse& use, const sys::IdMap&) {
        return fail(Status::not_found, "Storage volume '" + use.volume + "' not found");
    }
    /// Directories of the host beneath which sources of disk devices must be, symlinks followed; nullopt:
    /// they may be anywhere.
    [[nodiscard]] virtual std::optional<std::vector<std::string>> source_directories(
        const std::string&) const {
        return std::nullopt;
    }
    /// After a daemon restart: the instance that runs on has it mounted.
    virtual void note_volume(const VolumeUse&) {}
    virtual void release_volume(const std::string&, const std::string&) {}
    /// Whether no managed network forwards what the translation is to take. Errors: `conflict`.
    virtual Result<> check_forwards(const network::ProxyNat&) { return {}; }
    /// Network namespace of an instance that runs.
    virtual Result<UniqueFd> open_netns(const std::string& instance) {
        return fail(Status::not_found, "'" + instance + "' does not run");
    }
    /// Addresses that the instance's NICs on managed networks have for life, claimed now where they were not
    /// before; of IPv6 also what follows from the MAC address.
    virtual Result<std::vector<NicOnNetwork>> addresses(const std::string&) {
        return std::vector<NicOnNetwork>();
    }
    /// NICs that are on the interface of a VLAN ("eth0.5"), as the records of their instances say.
    virtual std::vector<NicOnVlan> nics_on_vlan(const std::string&) { return {}; }
    /// The instance's devices as they are stored, those of its profiles among them; in a change, as they will
    /// be.
    virtual api::DeviceMap devices_of(const std::string&) { return {}; }
    /// Directory of the instance's run, for files that are gone after it.
    virtual std::string run_dir(const std::string& instance) = 0;
};

/// One device of one instance. References live as long as the call.
struct DeviceContext {
    std::string instance;
    std::string device;     ///< its name in the instance's devices
    api::ConfigMap config;  ///< expanded: own or from a profile; "type" is one of the keys
    /// The instance's config, of which `volatile.<device>.*` is read.
    const api::ConfigMap& instance_config;
    Surroundings& surroundings;
    const sys::IdMap& idmap;  ///< of the instance
    sys::IdmapCache& idmaps;
    /// All expanded devices of the instance, this one among them; null: not known. Lets a NIC without a name
    /// take the first of eth0, eth1, ... that no other NIC has.
    const api::DeviceMap* siblings = nullptr;
    /// For stop(): the run has ended, all processes are gone. What goes away with the instance's namespaces
    /// is then not waited for.
    bool run_over = false;

    [[nodiscard]] std::string key(std::string_view name) const;             ///< config value or empty
    [[nodiscard]] std::string volatile_key(std::string_view name) const;    ///< "volatile.<device>.<name>"
    [[nodiscard]] std::string volatile_value(std::string_view name) const;  ///< or empty
};

/// Something to be attached at start: as runtime::Attach, but owned.
struct Attach {
    UniqueFd mount;      ///< detached mount, private propagation
    std::string target;  ///< path inside
    bool is_directory = true;
};

/// The way back out of a running instance.
struct Detach {
    std::string target;        ///< path inside; empty: nothing is mounted
    bool remove_file = false;  ///< the mount point was made by us: it goes too while it is an empty file
    /// Takes away what can only be reached from the instance's network namespace. Empty: nothing to do.
    std::function<Result<>(int netns_fd)> in_network;
    /// The same of files in its tree; `root_fd` is only to be walked by sys/path.h.
    std::function<Result<>(int root_fd)> in_root;
};

/// A running instance as a device may need it; descriptors stay the caller's.
struct RunningInstance {
    int init_pidfd = -1;
    int netns_fd = -1;
    int root_fd = -1;  ///< O_PATH; only to be walked by sys/path.h
};

/// What a device wants done.
struct Started {
    api::ConfigMap volatile_changes;  ///< whole keys; an empty value removes the key
    std::vector<Attach> attaches;     ///< before init runs, or at once when it runs already
    /// Makes network links; called once the instance's network namespace exists (in Runtime's setup_network,
    /// or at once when it runs already). Empty: nothing to do. Owns what it needs.
    std::function<Result<>(int netns_fd)> in_network;
    /// Called when init runs (at once when it does already). Empty: nothing to do.
    std::function<Result<>(const RunningInstance& running)> when_running;
};

/// Nodes of the host's devices by their path inside; the text says which device it is ("c189:5").
using HotNodes = std::map<std::string, std::string>;

/// A device type. A member that fails has undone its own work.
class DeviceType {
public:
    virtual ~DeviceType() = default;
    /// True when the device can be added to and taken from a running instance.
    [[nodiscard]] virtual bool hotplug() const = 0;
    /// What the key table of profiles/ cannot check: that what the device refers to exists, that values
    /// agree. `bad_request` naming the device, key and value.
    virtual Result<> validate(const DeviceContext& context) const = 0;
    /// Values the device keeps for its life (a MAC address), to be stored before the first start, at creation
    /// of the instance or when the device is added. Nothing is made.
    virtual Result<api::ConfigMap> prepare(const DeviceContext& context) const = 0;
    /// Before a run, or at once on a running instance (hotplug). Takes over what prepare() would choose when
    /// that was not stored. Store `volatile_changes` before going on, so that a crash leaves what stop()
    /// needs.
    virtual Result<Started> start(const DeviceContext& context) const = 0;
    /// After a restart of the daemon, for an instance that runs on.
    virtual Result<> recover(const DeviceContext& context) const = 0;
    /// Keys that may change while the instance runs ("user.*" is a family); a change of any other means stop
    /// and start of the device.
    [[nodiscard]] virtual std::span<const std::string_view> live_keys() const = 0;
    /// Applies a change of live_keys() to a running instance; `before` and `after` are of the same device.
    virtual Result<> update(const DeviceContext& before, const DeviceContext& after) const = 0;
    /// After a run, after a failed start, or at removal from a running instance: takes away all that start()
    /// and in_network() made on the host. What is absent is success. Returns volatile changes.
    virtual Result<api::ConfigMap> stop(const DeviceContext& context) const = 0;
    /// What start() attached (as far as it still can be told): to be detached before stop() when the device
    /// leaves a running instance.
    [[nodiscard]] virtual std::vector<Detach> attached(const DeviceContext& context) const = 0;
    /// Whether the device has nodes for as long as the host has what they are for, and these alone.
    [[nodiscard]] virtual bool follows_host(const DeviceContext&) const { return false; }
    /// For one that follows the host: what the instance should have now.
    [[nodiscard]] virtual Result<HotNodes> wanted_nodes(const DeviceContext&) const { return HotNodes(); }
    /// The device leaves the instance for good (or the instance is deleted): releases what it held for life.
    /// Returns volatile changes.
    virtual Result<api::ConfigMap> remove(const DeviceContext& context) const = 0;
};

struct DeviceEntry {
    std::string_view type;
    const DeviceType& device;
};
std::span<const DeviceEntry> device_types();
/// By the config's "type". `bad_request` "Device 'x': unknown type 'y'; allowed are disk, nic, none".
Result<const DeviceType*> find_type(const std::string& device, const api::ConfigMap& config);

}  // namespace lxmgr::devices
