#pragma once
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>

#include "storage/pool_directory.h"

namespace lxmgr::storage {

/// The unpacked images of an overlay pool, each under an id of its own that is never used again, and who
/// stands on them:
///   layers/ID/rootfs              the tree, 0-based ids, never changed
///   layers/ID/shifted/MAP         copies with host ids, where layers cannot be idmapped
///   images/FINGERPRINT            symlink ../layers/ID
///   {containers,snapshots}/NAME/base   symlink ../../layers/ID
/// A layer lives as long as one of these symlinks names it. They are shorter than 60 bytes, so file systems
/// keep them in the inode and the name is there whenever the link is, power cut or not. Thread-safe.
class Layers {
public:
    explicit Layers(PoolDirectory& pool) : pool_(pool) {}

    /// Takes a draft with a filled rootfs as the image of that fingerprint. Errors: `conflict`.
    Result<> add_image(Draft& draft, const std::string& fingerprint);
    /// Removes the image's name, and its layer unless something stands on it.
    Result<> remove_image(const std::string& fingerprint);
    bool has_image(const std::string& fingerprint) const;
    /// Fingerprint of the image whose layer it is; empty: the image was deleted.
    Result<std::string> image_of(const std::string& layer) const;
    /// Errors: `not_found`.
    Result<std::string> image_layer(const std::string& fingerprint) const;

    /// The layer a container volume stands on; nullopt when it has a tree of its own.
    static Result<std::optional<std::string>> base_of(int volume_fd);
    /// For a new volume directory only.
    static Result<> set_base(int volume_fd, const std::string& layer);
    /// Publishes a container or snapshot volume that stands on a layer; not while a layer is being judged
    /// useless.
    Result<> publish_user(Draft& draft, const std::string& layer, const Volume& volume);
    /// After a user has gone: removes the layer when it was the last.
    Result<> release(const std::string& layer);
    /// Removes every layer that nothing stands on.
    Result<> recover();

    /// O_PATH of a layer's directory.
    Result<UniqueFd> open_layer(const std::string& layer) const;
    /// Path within the layer's directory of the tree that carries a map's ids; made when it is not there.
    Result<std::string> shifted_tree(const std::string& layer, const sys::IdMap& map);

private:
    Result<bool> is_used(const std::string& layer) const;
    Result<> remove_if_unused(const std::string& layer);

    PoolDirectory& pool_;
    std::shared_mutex mutex_;  ///< shared: a user appears; exclusive: users are counted
    std::mutex shifting_;
};

}  // namespace lxmgr::storage
