#pragma once
#include <functional>
#include <string>

#include "lxd-daemon/base/own.h"
#include "storage/btrfs/send_stream.h"

namespace lxmgr::storage {

/// Does to a subvolume what the commands of a send stream say, and nothing to anything else: every path is
/// resolved below its root without symlinks, data is cloned from trees that are named to it only, devices
/// are those that are harmless everywhere. What the stream says of the root directory itself is left out.
class StreamApplier {
public:
    /// The root of a tree that data may be cloned from; -1: there is none of that UUID.
    using Trees = std::function<int(const Uuid& uuid)>;
    /// @param root_fd  stays owned by the caller
    StreamApplier(int root_fd, Trees trees) : root_(root_fd), trees_(std::move(trees)) {}
    /// Not for `subvolume`, `snapshot` and `end`. Errors: `bad_request` for what the stream got wrong.
    Result<> apply(const StreamCommand& command);

private:
    struct Place {
        int directory_fd;
        std::string name;
    };
    Result<Place> place(const std::string& path);
    Result<UniqueFd> open_object(int tree_fd, const std::string& path, mode_t wanted);
    Result<int> open_for_writing(const std::string& path);
    Result<> make(const StreamCommand& command);
    Result<> make_device(const StreamCommand& command, const Place& at);
    Result<> move(const StreamCommand& command);
    Result<> change_xattr(const StreamCommand& command);
    Result<> write(const StreamCommand& command);
    Result<> clone(const StreamCommand& command);
    Result<> change(const StreamCommand& command);
    void forget();

    int root_;
    Trees trees_;
    std::string directory_path_, file_path_;  ///< of what is open
    UniqueFd directory_, file_;
};

}  // namespace lxmgr::storage
