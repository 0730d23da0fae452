#pragma once
#include <functional>
#include <optional>
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
    /// To be called at the `end`: does what was put off.
    Result<> finish();

private:
    struct Place {
        int directory_fd;
        std::string name;
    };
    /// What a command makes. It is put off until the next one: the kernel makes each object under a name of
    /// its own ("o257-7-0") and moves it to its place with the next command, which is made there at once.
    struct Made {
        StreamCommandKind kind;
        std::string path;
        std::string target;  ///< of a symlink
        std::uint64_t mode = 0, device = 0;
    };
    Result<Place> place(const std::string& path);
    Result<UniqueFd> open_object(int tree_fd, const std::string& path, mode_t wanted);
    Result<int> open_for_writing(const std::string& path);
    Result<> put_off(const StreamCommand& command);
    Result<bool> make_in_place(const StreamCommand& rename);
    bool make(const Made& made, const std::string& path, const Place& at);
    Result<> remove(const StreamCommand& command);
    Result<> move(const StreamCommand& command);
    Result<> change_xattr(const StreamCommand& command);
    Result<> write(const StreamCommand& command);
    Result<> clone(const StreamCommand& command);
    Result<> change_mode(const StreamCommand& command, const std::string& path);
    Result<> change_owner(const StreamCommand& command, const std::string& path);
    Result<> change_times(const StreamCommand& command, const std::string& path);
    Result<> change(const StreamCommand& command);
    [[nodiscard]] bool is_open(const std::string& path) const { return file_ && file_path_ == path; }
    void forget();

    int root_;
    Trees trees_;
    std::optional<Made> put_off_;
    std::string directory_path_, file_path_;  ///< of what is open
    UniqueFd directory_, file_;
};

}  // namespace lxmgr::storage
