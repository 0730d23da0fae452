#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "images/copy_workers.h"
#include "images/entry_writer.h"
#include "images/image_layout.h"
#include "images/scan.h"
#include "images/squashfs_reader.h"
#include "images/tar_files.h"
#include "images/tar_reader.h"

namespace lxmgr::images {
namespace {

/// Reports each percentage once.
class Progress {
public:
    explicit Progress(const std::function<void(int)>& report) : report_(report) {}
    void at(int percent) {
        if (percent <= last_) return;
        last_ = percent;
        if (report_) report_(percent);
    }

private:
    const std::function<void(int)>& report_;
    int last_ = -1;
};

/// @param unified  only rootfs/ is unpacked; else all there is
Result<> unpack_tar(const std::string& path, bool unified, int root_fd, Budget& budget, Progress& progress) {
    LX_TRY_AS(TarReader tar, TarReader::open(path, budget));
    EntryWriter writer(root_fd, budget);
    TarFiles files;
    RootfsFilter filter;
    bool found = false;
    for (;;) {
        LX_TRY_AS(std::optional<Entry> entry, tar.next());
        if (!entry) break;
        progress.at(tar.percent());
        if (unified && !in_rootfs(entry->path)) continue;
        if (unified) {
            LX_TRY(to_rootfs(*entry));
        } else {
            LX_TRY(filter.apply(*entry));
        }
        found = true;
        LX_TRY_AS(std::optional<FileWriter> file, writer.add(*std::move(entry)));
        if (file) LX_TRY(files.add(*std::move(file), tar));
    }
    if (!found) return fail(Status::bad_request, "The image has no root file system");
    LX_TRY(files.finish());
    return writer.finish();
}

Result<> unpack_squashfs(const std::string& path, int root_fd, Budget& budget, Progress& progress) {
    LX_TRY_AS(SquashfsReader image, SquashfsReader::open(path, budget));
    std::vector<SquashfsContent> contents;
    for (unsigned i = 0; i < FillWorkers::count(); ++i) {
        LX_TRY_AS(SquashfsContent content, image.content());
        contents.push_back(std::move(content));
    }
    EntryWriter writer(root_fd, budget);
    CopyWorkers workers(std::move(contents));
    const std::uint64_t total = std::max<std::uint64_t>(image.inode_count(), 1);
    std::uint64_t done = 0;
    LX_TRY(image.walk([&](Entry entry, SquashfsInode inode) -> Result<> {
        progress.at(static_cast<int>(std::min<std::uint64_t>(++done * 100 / total, 99)));
        LX_TRY_AS(std::optional<FileWriter> file, writer.add(std::move(entry)));
        if (!file) return {};
        return workers.add(*std::move(file), std::move(inode));
    }));
    LX_TRY(workers.finish());
    return writer.finish();
}

}  // namespace

Result<> unpack_rootfs(const ImageFiles& files, int root_fd, const UnpackLimits& limits, std::stop_token stop,
                       const std::function<void(int)>& progress) {
    Budget budget(limits, std::move(stop));
    Progress shown_progress(progress);
    const bool unified = files.rootfs_path.empty();
    const std::string& path = unified ? files.metadata_path : files.rootfs_path;
    LX_TRY_AS(const bool squashfs, is_squashfs(path));
    if (squashfs) {
        LX_TRY(unpack_squashfs(path, root_fd, budget, shown_progress));
    } else {
        LX_TRY(unpack_tar(path, unified, root_fd, budget, shown_progress));
    }
    shown_progress.at(100);
    return {};
}

}  // namespace lxmgr::images
