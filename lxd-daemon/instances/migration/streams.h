#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/instances/context.h"
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
/// Whether a volume that never changes holds what the other server's of that identity does.
bool is_same_tree(storage::Driver& driver, const storage::Volume& volume, const std::string& identity);

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
