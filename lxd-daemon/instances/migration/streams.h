#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"
#include "lxd-daemon/migration/messages.h"
#include "lxd-daemon/migration/stream.h"
#include "storage/streams.h"

/// Volumes that go by in the form of their storage driver, between two pools of the same one. Any other pair
/// uses rsync (ArrivingVolumes).
namespace lxmgr::instances {

/// The form in which all of these volumes of a pool can go; empty: in none.
Result<std::string> form_to_offer(const Context& context, const std::string& pool, storage::Driver& driver,
                                  const std::vector<storage::Volume>& volumes);
/// The offered one, if this pool's driver has it; else empty.
std::string form_to_take(storage::Driver& driver, const std::string& offered);
/// Of a snapshot that both servers have, called from the oldest to the newest: the first stream is to begin
/// with it if `ours` holds what theirs does. Says so in the answer, and in `base`.
void begin_with_common(storage::Driver& driver, const storage::Volume& ours,
                       const migration::Snapshot& theirs, const std::string& offered_form,
                       migration::Header& answer, std::optional<storage::Volume>& base);

/// Volumes of one pool that depart one after the other.
class DepartingStreams {
public:
    explicit DepartingStreams(storage::Driver& driver) : sender_(driver.streams()->sender()) {}
    /// The target has this one.
    Result<> begin_with(const storage::Volume& volume) {
        ++taken_;
        return sender_->take_base(volume);
    }
    Result<> send(migration::Link& link, const storage::Volume& volume, const storage::BesideTree& put,
                  const migration::Progress& progress) {
        LX_TRY(sender_->take(volume, put));
        const std::size_t number = taken_++;
        return migration::send_stream(
            link, [&](UniqueFd pipe) { return sender_->write(number, std::move(pipe)); }, progress);
    }

private:
    std::unique_ptr<storage::StreamSender> sender_;
    std::size_t taken_ = 0;
};

}  // namespace lxmgr::instances
