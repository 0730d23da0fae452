#include "lxd-daemon/instances/migration/streams.h"

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/migration/steps.h"

namespace lxmgr::instances {
namespace {

/// Whether a volume that never changes holds what the other server's of that identity does.
bool is_same_tree(storage::Driver& driver, const storage::Volume& volume, const std::string& identity) {
    auto* const streams = driver.streams();
    if (streams == nullptr || identity.empty()) return false;
    const auto ours = streams->identity(volume);
    return ours && *ours == identity;
}

}  // namespace

Result<std::string> form_to_offer(const Context& context, const std::string& pool, storage::Driver& driver,
                                  const std::vector<storage::Volume>& volumes) {
    auto* const streams = driver.streams();
    // rsync is what keeps to a rate.
    if (streams == nullptr || context.deps.pools.copy_rate({pool}) != 0) return std::string();
    for (const auto& volume : volumes) {
        const auto checked = streams->check(volume);
        if (!checked && checked.error().status == Status::bad_request) return std::string();
        LX_TRY(checked);
    }
    return std::string(streams->form());
}

std::string form_to_take(storage::Driver& driver, const std::string& offered) {
    const auto* const streams = driver.streams();
    return streams != nullptr && streams->form() == offered ? offered : std::string();
}

void begin_with_common(storage::Driver& driver, const storage::Volume& ours,
                       const migration::Snapshot& theirs, const std::string& offered_form,
                       migration::Header& answer, std::optional<storage::Volume>& base) {
    if (!is_same_tree(driver, ours, theirs.identity)) return;
    base = ours;
    answer.stream_base = theirs.name;
    answer.streams = form_to_take(driver, offered_form);
}

Result<> ArrivingVolumes::take_streams(const std::optional<storage::Volume>& base) {
    LX_TRY_AS(stream_driver_, context_.deps.pools.driver(pool_));
    if (stream_driver_->streams() == nullptr)
        return fail(Status::internal, "Streams were agreed on for a pool that has none");
    receiver_ = stream_driver_->streams()->receiver();
    return base ? receiver_->begin_with(*base) : Result<>();
}

Result<> ArrivingVolumes::add_stream(const storage::Volume& volume, bool of_instance, const sys::IdMap& idmap,
                                     const std::string& same_as) {
    if (stream_.stop.stop_requested()) return fail(Status::unavailable, "The migration was cancelled");
    receiver_->expect(volume);
    const auto take = [this](std::string_view piece) { return receiver_->feed(piece); };
    LX_TRY(migration::receive_stream(stream_.link, take, stream_.progress));
    failpoint("instances.migration.stream");
    const auto beside = [&](int directory_fd) -> Result<> {
        if (!of_instance) return {};
        LX_TRY_AS(metadata_, read_instance_tree(directory_fd));
        return {};
    };
    return receiver_->finish(volume, idmap, beside, same_as);
}

Result<images::Metadata> ArrivingVolumes::metadata(int tree) {
    return receiver_ ? Result<images::Metadata>(std::move(metadata_)) : read_instance_tree(tree);
}

}  // namespace lxmgr::instances
