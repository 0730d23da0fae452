#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "storage/driver.h"

/// Volumes in a driver's own form, as LXD's optimized backups hold them and as two lxmgrd send them: one
/// stream for each, which says only how it differs from the one before it.
namespace lxmgr::storage {

using StreamSink = std::function<Result<>(std::string_view bytes)>;
/// Is given the directory of a volume, for what stands beside its tree.
using BesideTree = std::function<Result<>(int directory_fd)>;

/// Blocking; for one backup or one copy. What it needs on the disk goes with it.
class StreamSender {
public:
    virtual ~StreamSender() = default;
    struct Measured {
        std::uint64_t bytes = 0;  ///< of its stream
        std::string uuid;         ///< as its stream names it
    };
    /// Keeps a volume as it is now, with what `put` adds to a copy that it is given. The volume must not
    /// change meanwhile. Errors: `bad_request` for what streams cannot say.
    virtual Result<> take(const Volume& volume, const BesideTree& put) = 0;
    /// Keeps what the other side has, too: it is not sent, and the next one says how it differs from it.
    virtual Result<> take_base(const Volume& volume) = 0;
    /// All of these are of what was taken as `number`-th, from 0.
    virtual Result<Measured> measure(std::size_t number) = 0;
    virtual Result<> send(std::size_t number, const StreamSink& sink) = 0;
    /// Ends with EPIPE in sys_errno when nobody reads any more.
    virtual Result<> write(std::size_t number, UniqueFd pipe) = 0;
};

/// The opposite. Nothing in a stream is believed.
class StreamReceiver {
public:
    virtual ~StreamReceiver() = default;
    /// The first stream says how it differs from this volume, which the sender has taken as a base.
    virtual Result<> begin_with(const Volume& volume) = 0;
    /// The next stream is of this volume, whose limit it keeps to on its way; without it, at its end.
    virtual void expect(const Volume& volume) = 0;
    /// A piece of the stream of the volume that comes now. Errors: `bad_request` for a bad stream.
    virtual Result<> feed(std::string_view bytes) = 0;
    /// Its stream has ended: makes the volume, once `beside` has read what the sender put there. Durable.
    /// @param ids      by which the files were shifted on the disk that they come from; empty: not at all
    /// @param same_as  what VolumeStreams::identity() gave there, for a volume that never changes; empty:
    /// none
    virtual Result<> finish(const Volume& volume, const sys::IdMap& ids, const BesideTree& beside,
                            const std::string& same_as) = 0;
};

class VolumeStreams {
public:
    virtual ~VolumeStreams() = default;
    /// LXD's name for the form.
    [[nodiscard]] virtual std::string_view form() const = 0;
    /// Errors: `bad_request` for a volume of which a stream cannot say all.
    virtual Result<> check(const Volume& volume) = 0;
    /// What a volume that never changes has in common with those on other servers that its stream has made;
    /// never empty.
    virtual Result<std::string> identity(const Volume& volume) = 0;
    virtual std::unique_ptr<StreamSender> sender() = 0;
    virtual std::unique_ptr<StreamReceiver> receiver() = 0;
};

}  // namespace lxmgr::storage
