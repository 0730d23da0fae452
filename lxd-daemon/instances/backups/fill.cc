#include "lxd-daemon/instances/backups/fill.h"

#include <fmt/format.h>
#include <unistd.h>

#include <limits>

#include "images/entry.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "storage/tree/id_shift.h"

namespace lxmgr::instances {
namespace {

constexpr std::string_view kOwnPlace = "backup/container";

std::function<void(int)> show_unpacking(operations::Operation& operation) {
    return [&operation, last = -1](int percent) mutable {
        if (percent == last) return;
        last = percent;
        operation.update_metadata(
            {{"create_instance_from_backup_unpack_progress", fmt::format("Unpacking: {}%", percent)}});
    };
}

void as_inside(images::Entry& entry, const sys::IdMap& stored) {
    const storage::IdShift shift(&stored, nullptr);
    const auto fits = [](std::uint64_t id) { return id <= std::numeric_limits<std::uint32_t>::max(); };
    // What does not fit is refused by who unpacks it.
    if (fits(entry.uid)) entry.uid = shift.uid(static_cast<std::uint32_t>(entry.uid));
    if (fits(entry.gid)) entry.gid = shift.gid(static_cast<std::uint32_t>(entry.gid));
    for (auto& xattr : entry.xattrs) xattr.value = shift.xattr(xattr.name, std::move(xattr.value));
}

}  // namespace

void FilledVolumes::add(storage::Volume volume, const std::string& place) {
    volumes_.push_back(std::move(volume));
    parts_.push_back({place + source_.tree, -1});
}

void FilledVolumes::add_stored(storage::Volume volume, const std::string& place, const sys::IdMap& ids) {
    add(std::move(volume), place);
    if (!ids.uids.empty() || !ids.gids.empty())
        parts_.back().adapt = [ids](images::Entry& entry) { as_inside(entry, ids); };
}

void FilledVolumes::add_content(storage::Volume volume, const std::string& place, const std::string& file) {
    add(std::move(volume), place);
    parts_.back().only_file = file;
}

Result<images::Metadata> FilledVolumes::make() {
    LX_TRY(make_from(0));
    return std::move(metadata_);
}

Result<> FilledVolumes::make_from(std::size_t at) {
    if (at == volumes_.size()) return unpack();
    return driver_.create_volume(volumes_[at], [this, at](int root_fd) -> Result<> {
        parts_[at].root_fd = root_fd;
        LX_TRY(make_from(at + 1));
        if (at == 0 && ::syncfs(root_fd) != 0) return fail_errno("syncfs", "the new volume");
        return {};
    });
}

Result<> FilledVolumes::unpack() {
    images::UnpackLimits limits;
    LX_TRY_AS(const auto space, driver_.space());
    limits.max_bytes = space.total_bytes;  // a full pool ends what is hostile or too large
    LX_TRY_AS(metadata_, images::unpack_backup({source_.path, true}, parts_, source_.metadata_prefix, limits,
                                               stop_, show_unpacking(operation_)));
    return {};
}

void StreamedVolumes::add(storage::Volume volume, const std::string& place) {
    parts_.push_back({std::move(volume), place});
}

Result<> StreamedVolumes::finish(storage::StreamReceiver& receiver, const Part& part) {
    const auto beside = [&](int directory_fd) -> Result<> {
        if (part.place != kOwnPlace) return {};
        LX_TRY_AS(metadata_, read_instance_tree(directory_fd));
        return {};
    };
    LX_TRY(receiver.finish(part.volume, source_.ids[part.place], beside));
    made_.push_back(part.volume);
    return {};
}

Result<images::Metadata> StreamedVolumes::make() {
    const auto receiver = driver_.streams()->receiver();
    std::vector<images::BackupStream> streams;
    for (const auto& part : parts_) {
        streams.push_back({part.place + ".bin",
                           [&receiver](std::string_view bytes) { return receiver->feed(bytes); },
                           [this, &receiver, &part] { return finish(*receiver, part); }});
    }
    images::UnpackLimits limits;
    LX_TRY_AS(const auto space, driver_.space());
    limits.max_bytes = space.total_bytes;
    auto read =
        images::read_backup_streams({source_.path, true}, streams, limits, stop_, show_unpacking(operation_));
    if (read) return std::move(metadata_);
    for (const auto& volume : made_) {
        if (auto removed = driver_.delete_volume(volume); !removed)
            log::error("volume left", {{"volume", volume.name}, {"error", removed.error().message}});
    }
    return std::unexpected(std::move(read).error());
}

}  // namespace lxmgr::instances
