#include "lxd-daemon/instances/backups/fill.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "images/entry.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/byte_report.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "storage/tree/id_shift.h"

namespace lxmgr::instances {
namespace {

constexpr std::string_view kOwnPlace = "backup/container";

constexpr const char* kProgress = "create_instance_from_backup_unpack_progress";
constexpr const char* kUnpacking = "Unpacking: ";

/// In percent where the client has said how much will come.
std::function<void(std::uint64_t)> show_unpacking(operations::Operation& operation, std::uint64_t of_bytes) {
    if (of_bytes == 0) {
        auto report = std::make_shared<ByteReport>(operation, kProgress, kUnpacking);
        return [report](std::uint64_t bytes) { report->at(bytes); };
    }
    return [&operation, of_bytes, last = std::uint64_t{101}](std::uint64_t bytes) mutable {
        const std::uint64_t percent = std::min<std::uint64_t>(bytes * 100 / of_bytes, 100);
        if (std::exchange(last, percent) == percent) return;
        operation.update_metadata({{kProgress, fmt::format("{}{}%", kUnpacking, percent)}});
    };
}

Result<images::BackupReading> reading_into(storage::Driver& driver, const images::BackupReader& content,
                                           operations::Operation& operation, std::stop_token stop) {
    images::BackupReading out{.stop = std::move(stop),
                              .progress = show_unpacking(operation, content.size_bytes())};
    LX_TRY_AS(const auto space, driver.space());
    out.limits.max_bytes = space.total_bytes;  // a full pool ends what is hostile or too large
    return out;
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
    LX_TRY_AS(const auto reading, reading_into(driver_, *source_.content, operation_, stop_));
    LX_TRY_AS(metadata_, source_.content->unpack(parts_, source_.metadata_prefix, reading));
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
    LX_TRY(receiver.finish(part.volume, source_.ids[part.place], beside, ""));
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
    LX_TRY_AS(const auto reading, reading_into(driver_, *source_.content, operation_, stop_));
    auto read = source_.content->streams(streams, reading);
    if (read) return std::move(metadata_);
    for (const auto& volume : made_) {
        if (auto removed = driver_.delete_volume(volume); !removed)
            log::error("volume left", {{"volume", volume.name}, {"error", removed.error().message}});
    }
    return std::unexpected(std::move(read).error());
}

}  // namespace lxmgr::instances
