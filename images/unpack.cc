#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>

#include "images/copy_workers.h"
#include "images/entry_writer.h"
#include "images/image_layout.h"
#include "images/scan.h"
#include "images/squashfs_reader.h"
#include "images/tar_reader.h"

namespace lxmgr::images {
namespace {

constexpr unsigned kMaxThreads = 4;

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

Result<> unpack_tar_entry(TarReader& tar, Entry entry, EntryWriter& writer) {
    LX_TRY_AS(std::optional<FileWriter> file, writer.add(std::move(entry)));
    if (!file) return {};
    LX_TRY(tar.read([&](std::uint64_t offset, const char* data, std::size_t size) {
        return file->write(offset, data, size);
    }));
    return file->finish();
}

/// @param unified  only rootfs/ is unpacked; else all there is
Result<> unpack_tar(const std::string& path, bool unified, int root_fd, Budget& budget, Progress& progress) {
    LX_TRY_AS(TarReader tar, TarReader::open(path, budget));
    EntryWriter writer(root_fd, budget);
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
        LX_TRY(unpack_tar_entry(tar, *std::move(entry), writer));
    }
    if (!found) return fail(Status::bad_request, "The image has no root file system");
    return writer.finish();
}

Result<> unpack_squashfs(const std::string& path, int root_fd, Budget& budget, Progress& progress) {
    LX_TRY_AS(SquashfsReader image, SquashfsReader::open(path, budget));
    std::vector<SquashfsContent> contents;
    for (unsigned i = 0; i < std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads); ++i) {
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

Result<> write_template(int dir_fd, const std::string& name, std::string_view text) {
    const UniqueFd fd(
        ::openat(dir_fd, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating template", shown(name));
    while (!text.empty()) {
        const ssize_t n = ::write(fd.get(), text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("Writing template", shown(name));
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
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

Result<> unpack_templates(const ImageFiles& files, int templates_dir_fd) {
    const bool unified = files.rootfs_path.empty();
    Budget budget(unified ? UnpackLimits{} : kMetadataLimits, std::stop_token());
    LX_TRY_AS(TarReader tar, TarReader::open(files.metadata_path, budget));
    for (;;) {
        LX_TRY_AS(std::optional<Entry> entry, tar.next());
        if (!entry) return {};
        if (!strip_prefix(entry->path, kTemplatesName)) continue;
        LX_TRY_AS(const bool is_file, check_template(*entry));
        if (!is_file) continue;
        LX_TRY_AS(const std::string text, tar.read_text(kMaxTemplateBytes));
        LX_TRY(budget.take_bytes(text.size()));
        LX_TRY(write_template(templates_dir_fd, entry->path, text));
    }
}

}  // namespace lxmgr::images
