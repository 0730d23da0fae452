#include "images/scan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <map>
#include <optional>

#include "images/entry_writer.h"
#include "images/image_layout.h"
#include "images/squashfs_reader.h"
#include "images/tar_reader.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

/// What a metadata tarball has been found to hold.
class MetadataScan {
public:
    MetadataScan(TarReader& tar, Budget& budget, bool unified)
        : tar_(tar), checker_(budget), unified_(unified) {}

    Result<> add(Entry entry) {
        if (unified_ && in_rootfs(entry.path)) return add_rootfs(std::move(entry));
        if (entry.path == kMetadataName) return add_metadata(entry);
        if (strip_prefix(entry.path, kTemplatesName)) return add_template(entry);
        return {};
    }

    Result<Metadata> finish() {
        if (!yaml_) return fail(Status::bad_request, "The image has no metadata.yaml");
        LX_TRY_AS(Metadata metadata, parse_metadata(*yaml_));
        for (const auto& [path, entry] : metadata.templates) {
            if (templates_.contains(entry.source)) continue;
            return fail(Status::bad_request,
                        fmt::format("metadata.yaml: template {} of {} is not in the image",
                                    shown(entry.source), shown(path)));
        }
        if (unified_ && checker_.accepted() == 0) {
            return fail(Status::bad_request, "The image has no root file system (rootfs/)");
        }
        metadata.files = std::move(templates_);
        return metadata;
    }

private:
    Result<> add_metadata(const Entry& entry) {
        if (entry.type != EntryType::file) return refuse(entry.path, "is no regular file");
        if (yaml_) return refuse(entry.path, "is there twice");
        LX_TRY_AS(yaml_, tar_.read_text(kMaxMetadataBytes));
        return {};
    }

    Result<> add_template(const Entry& entry) {
        LX_TRY_AS(const bool is_file, check_template(entry));
        if (!is_file) return {};
        if (templates_.contains(entry.path)) return refuse(entry.path, "is there twice in templates/");
        LX_TRY_AS(std::string text, tar_.read_text(kMaxTemplateBytes));
        if (!is_utf8(text)) return refuse(entry.path, "is a template that is not UTF-8");
        template_bytes_ += text.size();
        if (template_bytes_ > kMaxTemplatesBytes) return refuse(entry.path, "makes templates/ too large");
        templates_.emplace(entry.path, std::move(text));
        return {};
    }

    Result<> add_rootfs(Entry entry) {
        LX_TRY(to_rootfs(entry));
        return checker_.add(entry);
    }

    TarReader& tar_;
    EntryChecker checker_;
    bool unified_;
    std::optional<std::string> yaml_;
    std::map<std::string, std::string> templates_;
    std::size_t template_bytes_ = 0;
};

Result<> scan_tar_rootfs(const std::string& path, std::stop_token stop) {
    Budget budget(UnpackLimits{}, std::move(stop));
    EntryChecker checker(budget);
    LX_TRY_AS(TarReader tar, TarReader::open(path, budget));
    RootfsFilter filter;
    for (;;) {
        LX_TRY_AS(std::optional<Entry> entry, tar.next());
        if (!entry) break;
        LX_TRY(filter.apply(*entry));
        LX_TRY(checker.add(*entry));
    }
    if (checker.accepted() == 0) return fail(Status::bad_request, "The image's root file system is empty");
    return {};
}

Result<> scan_squashfs_rootfs(const std::string& path, std::stop_token stop) {
    Budget budget(UnpackLimits{}, std::move(stop));
    EntryChecker checker(budget);
    LX_TRY_AS(SquashfsReader image, SquashfsReader::open(path, budget));
    LX_TRY(image.walk([&](const Entry& entry, SquashfsInode) { return checker.add(entry); }));
    if (checker.accepted() == 0) return fail(Status::bad_request, "The image's root file system is empty");
    return {};
}

}  // namespace

Result<bool> is_squashfs(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return fail_errno("Opening", path);
    std::array<char, 4> magic{};
    const ssize_t n = ::pread(fd.get(), magic.data(), magic.size(), 0);
    if (n < 0) return fail_errno("Reading", path);
    const std::string_view seen(magic.data(), static_cast<std::size_t>(n));
    if (seen == "QFI\xfb")
        return fail(Status::bad_request, "The image is for virtual machines (qcow2), not for containers");
    return seen == "hsqs";
}

Result<Metadata> scan_metadata(const std::string& path, bool unified, std::stop_token stop) {
    LX_TRY_AS(const bool squashfs, is_squashfs(path));
    if (squashfs) return fail(Status::bad_request, "The image is a squashfs without its metadata tarball");
    Budget budget(unified ? UnpackLimits{} : kMetadataLimits, std::move(stop));
    LX_TRY_AS(TarReader tar, TarReader::open(path, budget));
    MetadataScan scan(tar, budget, unified);
    for (std::uint64_t count = 1;; ++count) {
        LX_TRY_AS(std::optional<Entry> entry, tar.next());
        if (!entry) return scan.finish();
        if (!unified && count > kMetadataLimits.max_entries) {
            return fail(Status::bad_request, "The image's metadata tarball has too many entries");
        }
        LX_TRY(scan.add(*std::move(entry)));
    }
}

Result<> scan_rootfs(const std::string& path, std::stop_token stop) {
    LX_TRY_AS(const bool squashfs, is_squashfs(path));
    return squashfs ? scan_squashfs_rootfs(path, std::move(stop)) : scan_tar_rootfs(path, std::move(stop));
}

}  // namespace lxmgr::images
