#include <fcntl.h>
#include <fmt/format.h>
#include <linux/btrfs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <thread>

#include "storage/btrfs/same_tree.h"
#include "storage/btrfs/send_stream.h"
#include "storage/btrfs/stream_size.h"
#include "storage/btrfs/streams.h"
#include "storage/btrfs/subvolume.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr int kPipeBytes = 1 << 20;

/// The kernel writes the stream to `pipe`, and is ended by nobody reading it any more.
/// @param flags  of linux/btrfs.h, BTRFS_SEND_FLAG_...
Result<> write_stream(int subvolume_fd, std::uint64_t base, UniqueFd pipe, __u64 flags = 0) {
    sigset_t broken_pipe;
    ::sigemptyset(&broken_pipe);
    ::sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    __u64 shared = base;
    btrfs_ioctl_send_args args{};
    args.send_fd = pipe.get();
    args.parent_root = base;
    args.flags = flags;
    args.clone_sources = &shared;
    args.clone_sources_count = base == 0 ? 0 : 1;
    if (::ioctl(subvolume_fd, BTRFS_IOC_SEND, &args) != 0) return fail_errno_at("Sending", subvolume_fd, "");
    return {};
}

Result<> read_stream(int pipe, const StreamSink& sink) {
    std::array<char, std::size_t{64} << 10> buffer;
    for (;;) {
        const ssize_t n = ::read(pipe, buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Reading", "a send stream");
        if (n == 0) return {};
        LX_TRY(sink(std::string_view(buffer.data(), static_cast<std::size_t>(n))));
    }
}

Result<> send_subvolume(int subvolume_fd, std::uint64_t base, const StreamSink& sink, __u64 flags = 0) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2", "");
    UniqueFd reading(ends[0]), writing(ends[1]);
    ::fcntl(reading.get(), F_SETPIPE_SZ, kPipeBytes);  // a wish
    Result<> written;
    std::jthread kernel([&written, subvolume_fd, base, flags, pipe = std::move(writing)]() mutable {
        written = write_stream(subvolume_fd, base, std::move(pipe), flags);
    });
    const auto read = read_stream(reading.get(), sink);
    reading.reset();
    kernel.join();
    LX_TRY(read);
    return written;
}

/// That of the stream's first command, as people write it.
Result<> note_uuid(const StreamCommand& command, std::string& uuid) {
    if (!uuid.empty()) return {};
    LX_TRY_AS(const Uuid bytes, command.uuid(StreamAttribute::uuid));
    for (std::size_t i = 0; i < bytes.size(); ++i)
        uuid += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
    return {};
}

Result<> require_no_nested(int directory_fd) {
    LX_TRY_AS(const auto nested, nested_subvolumes(directory_fd));
    if (nested.empty()) return {};
    return fail(Status::bad_request, fmt::format("There is a subvolume in it, {}, which a stream leaves out",
                                                 nested.front().path));
}

class BtrfsSender final : public StreamSender {
public:
    BtrfsSender(PoolDirectory& pool, TreeVolumes& trees) : pool_(pool), trees_(trees) {}

    Result<> take(const Volume& volume, const BesideTree& put) override { return keep(volume, put); }

    Result<> take_base(const Volume& volume) override { return keep(volume, keep_tree_only); }

    /// Apart from sending, because an archive says the size before the bytes, and a copy on the disk may not
    /// fit there. What is in the files is not read for it.
    Result<Measured> measure(std::size_t number) override {
        Measured out;
        StreamSize size;
        SendStream commands([&](const StreamCommand& command) -> Result<> {
            LX_TRY(note_uuid(command, out.uuid));
            return size.add(command);
        });
        LX_TRY_AS(const Subvolumes taken, opened(number));
        const auto count = [&](std::string_view piece) {
            out.bytes += piece.size();
            return commands.feed(piece);
        };
        LX_TRY(send_subvolume(taken.root.get(), taken.base, count, BTRFS_SEND_FLAG_NO_FILE_DATA));
        out.bytes += size.more_bytes();
        return out;
    }

    Result<> send(std::size_t number, const StreamSink& sink) override {
        LX_TRY_AS(const Subvolumes taken, opened(number));
        return send_subvolume(taken.root.get(), taken.base, sink);
    }

    Result<> write(std::size_t number, UniqueFd pipe) override {
        LX_TRY_AS(const Subvolumes taken, opened(number));
        return write_stream(taken.root.get(), taken.base, std::move(pipe));
    }

private:
    struct Subvolumes {
        UniqueFd root;
        std::uint64_t base = 0;  ///< what the stream begins with; 0: nothing
    };

    Result<Subvolumes> opened(std::size_t number) {
        Subvolumes out;
        LX_TRY_AS(out.root, reopen_directory(taken_.at(number).fd()));
        if (number == 0) return out;
        LX_TRY_AS(const UniqueFd base_root, reopen_directory(taken_.at(number - 1).fd()));
        LX_TRY_AS(out.base, subvolume_id(base_root.get()));
        return out;
    }

    Result<> keep(const Volume& volume, const BesideTree& change) {
        // Makes what is on the disk 0-based where it is not.
        const sys::IdMap as_inside = sys::IdMap::host();
        LX_TRY(trees_.mount(volume, {.idmap = &as_inside, .read_only = true}));
        LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
        LX_TRY_AS(const UniqueFd from, reopen_directory(directory.get()));
        LX_TRY(require_no_nested(from.get()));
        LX_TRY_AS(Draft draft, pool_.begin_from([&](int tmp_fd, const std::string& name) {
            return snapshot_subvolume(from.get(), tmp_fd, name);
        }));
        LX_TRY_AS(const UniqueFd root, reopen_directory(draft.fd()));
        LX_TRY(change(root.get()));
        LX_TRY(set_read_only(root.get()));
        taken_.push_back(std::move(draft));
        return {};
    }

    PoolDirectory& pool_;
    TreeVolumes& trees_;
    std::deque<Draft> taken_;
};

}  // namespace

Result<> BtrfsStreams::check(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const UniqueFd root, reopen_directory(directory.get()));
    return require_no_nested(root.get());
}

Result<std::string> BtrfsStreams::identity(const Volume& volume) {
    LX_TRY_AS(const UniqueFd directory, pool_.open_volume(volume));
    LX_TRY_AS(const UniqueFd root, reopen_directory(directory.get()));
    return identity_of(root.get());
}

std::unique_ptr<StreamSender> BtrfsStreams::sender() { return std::make_unique<BtrfsSender>(pool_, trees_); }

}  // namespace lxmgr::storage
