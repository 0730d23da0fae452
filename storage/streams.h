#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "storage/driver.h"

/// Volumes in a driver's own form, as LXD's optimized backups hold them: one stream for each, which says only
/// how it differs from the one before it.
namespace lxmgr::storage {

using StreamSink = std::function<Result<>(std::string_view bytes)>;
/// Is given the directory of a volume, for what stands beside its tree.
using BesideTree = std::function<Result<>(int directory_fd)>;

/// Blocking; for one backup. What it needs on the disk goes with it.
class StreamSender {
public:
    virtual ~StreamSender() = default;
    struct Taken {
        std::uint64_t bytes = 0;  ///< of its stream
        std::string uuid;         ///< as its stream names it
    };
    /// Keeps a volume as it is now, with what `put` adds to a copy that it is given. The volume must not
    /// change meanwhile. Errors: `bad_request` for what streams cannot say.
    virtual Result<Taken> take(const Volume& volume, const BesideTree& put) = 0;
    /// Gives the stream of what was taken as `number`-th, from 0.
    virtual Result<> send(std::size_t number, const StreamSink& sink) = 0;
};

/// The opposite. Nothing in a stream is believed.
class StreamReceiver {
public:
    virtual ~StreamReceiver() = default;
    /// A piece of the stream of the volume that comes now. Errors: `bad_request` for a bad stream.
    virtual Result<> feed(std::string_view bytes) = 0;
    /// Its stream has ended: makes the volume, once `beside` has read what the sender put there. Durable.
    /// @param ids  by which the files were shifted on the disk that they come from; empty: not at all
    virtual Result<> finish(const Volume& volume, const sys::IdMap& ids, const BesideTree& beside) = 0;
};

class VolumeStreams {
public:
    virtual ~VolumeStreams() = default;
    /// LXD's name for the form.
    [[nodiscard]] virtual std::string_view form() const = 0;
    virtual std::unique_ptr<StreamSender> sender() = 0;
    virtual std::unique_ptr<StreamReceiver> receiver() = 0;
};

}  // namespace lxmgr::storage
