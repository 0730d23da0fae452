#pragma once
#include <string>

#include "storage/pool_directory.h"

namespace lxmgr::storage {

/// Where a volume's trees are: in its directory, or in the file system of its image.
struct Contents {
    UniqueFd directory;  ///< O_PATH; of an image: its mount, which lives as long as this
    bool is_image = false;
    /// The directory in it that is a plain volume's root.
    [[nodiscard]] const char* tree() const { return is_image ? "." : "rootfs"; }
};
Result<Contents> open_contents(int volume_fd);

/// Hard limits of what volumes hold. Thread-safe.
class VolumeLimits {
public:
    VolumeLimits() = default;
    VolumeLimits(VolumeLimits&&) = delete;
    virtual ~VolumeLimits() = default;

    /// As open_contents(), and a detached mount of the tree itself.
    virtual Result<Contents> open(int volume_fd) const { return open_contents(volume_fd); }
    virtual Result<UniqueFd> mount_tree(int volume_fd, const MountRequest& request) const;

    /// Where the trees of a fresh draft are to be made. Errors: `bad_request` for too small a limit.
    virtual Result<Contents> begin(const Draft& draft, const Volume& volume) const = 0;
    /// When they are made. Errors: `bad_request` when they are larger than the limit.
    virtual Result<> finish(const Draft& draft, const Volume& volume, const Contents& contents) const = 0;
    /// What went wrong while they were made: `bad_request` when the limit is why.
    virtual Error explain(const Volume& volume, const Contents& contents, Error error) const = 0;

    /// Bytes; 0: none.
    virtual Result<std::uint64_t> limit(int volume_fd) const = 0;
    /// Bytes of the pool that it takes; nullopt: only its files tell.
    virtual Result<std::optional<std::uint64_t>> usage(int volume_fd) const = 0;
    /// Sets an existing volume's limit to volume.size_bytes. False: its contents have to be made anew with
    /// the new limit. Errors: `bad_request` when it holds more.
    virtual Result<bool> change(const Volume& volume, int volume_fd) const = 0;
    /// Before a volume is removed or exchanged: @return what is to be given to forget() afterwards.
    virtual Result<std::uint32_t> project(int volume_fd) const;
    virtual void forget(std::uint32_t project) const;
};

/// `bad_request` "... does not fit into its size of N bytes"
Error does_not_fit(const Volume& volume);
std::unexpected<Error> too_large(const Volume& volume, std::uint64_t used_bytes);

}  // namespace lxmgr::storage
