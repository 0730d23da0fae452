#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/sys/idmap.h"

namespace lxmgr::storage {

/// A snapshot is a volume of its own whose name is an id: it knows nothing of the instance and follows no
/// rename.
enum class VolumeType { container, image, custom, snapshot };

/// Over how many devices, and how much goes to one before the next one's turn; 0: as LVM has it.
struct Stripes {
    unsigned count = 0;
    std::uint64_t bytes = 0;
};

/// Names one volume of a pool. The name has been validated by the caller: no '/', no control characters, not
/// "." or "..".
struct Volume {
    VolumeType type = VolumeType::container;
    std::string name;
    /// For those that make it, and for resize_volume(): the hard limit of what it holds; 0: none.
    std::uint64_t size_bytes = 0;
    /// What its files are to take in all, where that is known and no limit: for drivers whose volumes always
    /// have a size; 0: not known.
    std::uint64_t content_bytes = 0;
    /// For those that make it, where the driver gives each volume a file system of its own ("ext4", ...);
    /// empty: what the pool says.
    std::string file_system = {};
    /// Where the driver can spread a volume over several devices; what is 0 is as the pool says.
    Stripes stripes = {};
    /// Of a copy without a limit: in such a driver it has its source's size. Snapshots always do so.
    bool like_source = false;
};

/// What a pool is made of. `path` is the daemon's directory for it, STATE/storage-pools/NAME; `config` holds
/// the user's keys ("source", "size", ...), already validated against the driver's table.
struct PoolConfig {
    std::string name;
    std::string path;
    api::ConfigMap config;
    std::uint64_t size_bytes = 0;      ///< what the key "size" says; 0: it is not there
    std::uint64_t metadata_bytes = 0;  ///< the same of "lvm.thinpool_metadata_size"
    Stripes stripes = {};              ///< what "volume.lvm.stripes" and its size say
};

struct PoolSpace {
    std::uint64_t total_bytes = 0, used_bytes = 0, total_inodes = 0, used_inodes = 0;
};

/// How a volume's root is to appear.
struct MountRequest {
    /// Ids on disk are 0-based; with a map the mount shows them shifted to the host's. Null: as on disk.
    /// Where the kernel or the file system has no idmapped mounts, the first mount with a map rewrites the
    /// ids on disk: so mount an instance's volume with its map always.
    const sys::IdMap* idmap = nullptr;
    bool read_only = false;
    bool keep_ids = false;  ///< fail (`bad_request`) where the ids on disk would have to be rewritten
    /// For the volume's own file system, where it has one; empty: what the pool says.
    std::string options = {};
};

/// A detached mount (fsmount(2), open_tree(2)) of a volume's root file system: private propagation, attached
/// nowhere, gone when the descriptor and its last clone are closed.
struct MountedVolume {
    UniqueFd root;
};

/// Puts content into a fresh volume through a directory descriptor of its root (ids on disk are 0-based).
using Filler = std::function<Result<>(int root_fd)>;

class VolumeStreams;  // streams.h

/// One pool's backend. Blocking and thread-safe for different volumes; the caller holds the lock of the
/// volume it names. Every member either succeeds or leaves the pool as it found it, also when the process is
/// killed in the middle: a half-made volume is made under a temporary name that recover() removes. On disk a
/// volume is a directory PATH/<containers|images|custom|snapshots>/NAME, 0100 or 0700 root; its root file
/// system is inside it, so that daemon-owned files beside the root are never writable by a guest.
class Driver {
public:
    virtual ~Driver() = default;

    /// Makes the pool's directories. Called at pool creation and again at every daemon start; must be
    /// idempotent.
    virtual Result<> open_pool() = 0;
    /// Removes the pool; refused (`bad_request`) while volumes are left.
    virtual Result<> delete_pool() = 0;
    /// After a crash: removes half-made volumes and temporary files. Called once at daemon start, before any
    /// other use. What takes long to remove is out of sight at return and removed in the background.
    virtual Result<> recover() = 0;
    /// Waits until everything that was deleted is really gone from the disk.
    virtual void drain() = 0;

    virtual Result<> create_volume(const Volume& volume, const Filler& fill) = 0;
    /// A container volume from an image volume that exists in this pool (copy-on-write where the driver can).
    virtual Result<> create_from_image(const Volume& volume, const std::string& image_fingerprint) = 0;
    /// A container or snapshot volume with the content of another one of this pool (copy-on-write where the
    /// driver can), durably. The source may be mounted; then nothing may write to it until `source_read` was
    /// called. Errors: `not_found` for the source, `conflict` for the new name.
    virtual Result<> create_copy(const Volume& volume, const Volume& source,
                                 const std::function<void()>& source_read) = 0;
    /// Exchanges the contents of two container or snapshot volumes at once. Who has one of them mounted keeps
    /// seeing what it held.
    virtual Result<> swap_volumes(const Volume& a, const Volume& b) = 0;
    virtual bool has_volume(const Volume& volume) = 0;
    /// O_PATH of the volume's directory, for small files of the daemon beside its root: they come and go with
    /// it. Errors: `not_found`.
    virtual Result<UniqueFd> open_directory(const Volume& volume) = 0;
    /// Names of all volumes of a type, to find those that no database row knows.
    virtual Result<std::vector<std::string>> list_volumes(VolumeType type) = 0;
    /// An absent volume is success. It is out of sight at return; a large tree is removed in the background.
    /// An image that container volumes stand on disappears from sight and is really removed with the last of
    /// them.
    virtual Result<> delete_volume(const Volume& volume) = 0;
    virtual Result<> rename_volume(const Volume& volume, const std::string& new_name) = 0;
    /// A volume may be mounted writable once at a time only: the same overlay mounted twice is undefined
    /// (kernel, overlayfs.rst). not_found when there is no such volume.
    virtual Result<MountedVolume> mount(const Volume& volume, const MountRequest& request) = 0;
    /// The image that a volume stands on, where each of its regular files that is not the image's differs
    /// from that in size or time of change, too: what begins as the image becomes like the volume without
    /// reading the files of both. Empty: there is none, or it is not known. The volume must not change
    /// meanwhile.
    virtual Result<std::string> evident_base(const Volume& volume) {
        static_cast<void>(volume);
        return std::string();
    }
    /// Bytes the volume holds by itself (for copy-on-write: without what it shares). Walks the tree where the
    /// driver has no cheaper way.
    virtual Result<std::uint64_t> usage_bytes(const Volume& volume) = 0;
    /// Sets a volume's limit to `size_bytes`. `in_use`: it may be mounted, and what cannot be done to it then
    /// is refused. Errors: `bad_request`, also when it holds more.
    virtual Result<> resize_volume(const Volume& volume, bool in_use) = 0;
    /// Bytes; 0: none.
    virtual Result<std::uint64_t> volume_limit(const Volume& volume) = 0;
    virtual Result<PoolSpace> space() = 0;
    /// Null: this driver has no form of its own for backups.
    virtual VolumeStreams* streams() { return nullptr; }
    /// Applies a change of DriverEntry::live_keys; `config` is as it is to be. Done again, it does no harm.
    virtual Result<> reconfigure(const PoolConfig& config) {
        static_cast<void>(config);
        return {};
    }
};

struct DriverEntry {
    std::string_view name;     ///< "overlay", "dir"
    std::string_view version;  ///< shown as environment.storage_version
    std::span<const std::string_view>
        config_keys;  ///< accepted in a pool's config besides user.* and volume.*
    Result<std::unique_ptr<Driver>> (*open)(const PoolConfig& config, sys::IdmapCache& idmaps);
    std::span<const std::string_view> live_keys = {};  ///< of these, those that may change
    /// Makes what a new pool stands on, before its first open(), and adds to its config what that leaves to
    /// the driver; null: nothing.
    Result<> (*prepare)(PoolConfig& config) = nullptr;
    /// After a crash: takes away whatever of it, or of an end of the pool, there is. Null when prepare() is.
    Result<> (*discard)(const PoolConfig& config) = nullptr;
    /// Of the config of volumes, and behind "volume." of pools: those that only some drivers know.
    std::span<const std::string_view> volume_keys = {};
    /// Whoever is root in a volume can make subvolumes in it, which its limit does not count.
    bool nests_subvolumes = false;
};
/// Every driver there is; adding one is a line in registry.cc.
std::span<const DriverEntry> drivers();
/// Null when there is none of that name.
const DriverEntry* find_driver(std::string_view name);

}  // namespace lxmgr::storage
