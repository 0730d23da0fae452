#pragma once
#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/sys/mount.h"

namespace lxmgr::instances {

class Pools;

/// What the daemon keeps in its state directory, unless a server key names a custom volume for it.
enum class Kept { images, backups };
struct KeptKind {
    Kept kind;
    const char* key;        ///< "storage.images_volume"
    const char* directory;  ///< "images", in the state directory and in the volume
    /// Names of the files that the database knows.
    std::vector<std::string> (*files)(database::Database& database);
};
std::span<const KeptKind> kept_kinds();
const KeptKind& kept_kind(Kept kind);

/// The pool and the name that POOL/VOLUME says; empty ones of an empty value.
std::pair<std::string, std::string> split_kept_volume(const std::string& value);

/// STATE/mounts: volumes with files of the daemon, each at DIRECTORY-ID of its row.
std::string kept_mounts(const std::string& state_dir);

/// Where the files of a kind are. Who uses its paths holds it: what is in it stays there as long.
class KeptPlace {
public:
    /// STATE/images
    static std::shared_ptr<KeptPlace> in_state(const std::string& state_dir, const KeptKind& kind);
    /// Mounts the volume; begin() is still to be called for one that never held such files.
    static Result<std::shared_ptr<KeptPlace>> on_volume(Pools& pools, const std::string& state_dir,
                                                        const KeptKind& kind,
                                                        const database::VolumeRecord& volume);
    /// One that should be on a volume which cannot be had: its directory does not exist.
    static std::shared_ptr<KeptPlace> unusable(const std::string& state_dir, const KeptKind& kind,
                                               std::int64_t volume, std::string trouble);
    KeptPlace(KeptPlace&&) = delete;
    ~KeptPlace();

    [[nodiscard]] const std::string& directory() const { return directory_; }
    /// For files that are to be renamed into the directory.
    [[nodiscard]] const std::string& temporary() const { return temporary_; }
    /// The id of the volume's row; 0: the state directory.
    [[nodiscard]] std::int64_t volume() const { return volume_; }
    /// Why it cannot be used; empty: it can.
    [[nodiscard]] const std::string& trouble() const { return trouble_; }
    /// The root of its volume.
    [[nodiscard]] const std::string& root() const { return mount_.target(); }

    /// Makes its directories where they are missing, the temporary one empty.
    Result<> begin() const;
    /// Copies files of another place here, durably; those that are gone meanwhile are left out.
    Result<> copy(const KeptPlace& from, const std::vector<std::string>& files) const;
    /// Removes all other files.
    Result<> keep_only(const std::vector<std::string>& files) const;
    /// Ready when nobody holds the place any more. To be called once.
    std::future<void> gone() { return gone_.get_future(); }

private:
    KeptPlace() = default;
    std::string directory_, temporary_, trouble_;
    std::int64_t volume_ = 0;
    sys::MountGuard mount_;
    std::promise<void> gone_;
};
using KeptPlacePtr = std::shared_ptr<KeptPlace>;

/// Removes the files of a kind from where they are not, or not any more. Errors: also when the volume cannot
/// be mounted; one that is gone is success.
Result<> clear_kept_files(database::Database& database, Pools& pools, const std::string& state_dir,
                          const KeptKind& kind, std::int64_t volume);

}  // namespace lxmgr::instances
