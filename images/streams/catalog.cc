#include "images/streams/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <tuple>

#include "images/architecture.h"
#include "images/sha256.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr std::size_t kMinPrefix = 12;  // of a fingerprint, as LXD's own lists show it

/// "20240501..." or "2029-05-31"; the epoch for what is no date.
Time date_of(std::string_view text) {
    std::string digits;
    for (const char c : text.substr(0, 10)) {
        if (c >= '0' && c <= '9') digits += c;
        if (digits.size() == 8) break;
    }
    if (digits.size() != 8) return {};
    const auto number = parse_uint(digits).value_or(0);
    const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(number / 10000)),
                                           std::chrono::month(static_cast<unsigned>(number / 100 % 100)),
                                           std::chrono::day(static_cast<unsigned>(number % 100))};
    if (!date.ok() || date.year() < std::chrono::year(1971) || date.year() > std::chrono::year(2250))
        return {};
    return Time(std::chrono::sys_days(date));
}

std::optional<StreamFile> file_of(const StreamItem& item) {
    if (!is_usable_path(item.path) || !is_sha256(item.sha256) || item.size_bytes == 0) return std::nullopt;
    return StreamFile{item.path, item.sha256, item.size_bytes};
}

bool is_unified(const StreamItem& item) {
    return item.ftype == "lxd_combined.tar.gz" || item.ftype == "incus_combined.tar.gz";
}

/// Of metadata with this root file system; empty when the server does not say.
std::string combined_hash(const StreamItem& metadata, const StreamItem& rootfs) {
    const auto get = [&](const char* key) {
        const auto found = metadata.combined.find(key);
        return found != metadata.combined.end() && is_sha256(found->second) ? found->second : std::string();
    };
    if (rootfs.ftype == "squashfs") return get("combined_squashfs_sha256");
    const std::string of_tarball = get("combined_rootxz_sha256");
    return of_tarball.empty() ? get("combined_sha256") : of_tarball;
}

api::ConfigMap properties_of(const StreamProduct& product, const StreamVersion& version,
                             const std::string& type) {
    const std::string title = product.release_title.empty() ? product.release : product.release_title;
    std::string description = fmt::format("{} {} {}", product.os, title, product.arch);
    if (!version.label.empty()) description += fmt::format(" ({})", version.label);
    description += fmt::format(" ({})", version.name);
    api::ConfigMap out{{"os", product.os},
                       {"release", product.release},
                       {"version", product.version},
                       {"architecture", product.arch},
                       {"label", version.label},
                       {"serial", version.name},
                       {"variant", product.variant},
                       {"description", description},
                       {"type", type}};
    for (const auto& [key, value] : product.requirements) out["requirements." + key] = value;
    std::erase_if(out, [](const auto& entry) { return entry.second.empty() || entry.first.size() > 200; });
    return out;
}

class Collector {
public:
    Collector(const StreamProduct& product, std::vector<StreamImage>& out)
        : product_(product), architecture_(architecture_name(product.arch)), out_(out) {}

    void collect() {
        if (architecture_.empty()) return;
        std::vector<const StreamVersion*> versions;
        for (const auto& version : product_.versions) versions.push_back(&version);
        std::ranges::stable_sort(versions, std::greater{}, [](const auto* version) { return version->name; });
        bool newest = true;
        for (const auto* version : versions) {
            const auto before = out_.size();
            if (date_of(version->name) != Time{}) add_version(*version, newest);
            newest = newest && out_.size() == before;
        }
    }

private:
    void add_version(const StreamVersion& version, bool newest) {
        for (const char* rootfs : {"squashfs", "root.tar.xz"}) {
            for (const char* metadata : {"lxd.tar.xz", "incus.tar.xz"})
                add_split(version, metadata, rootfs, newest);
        }
        for (const auto& item : version.items) {
            if (is_unified(item)) add(version, item, nullptr, newest);
        }
    }

    void add_split(const StreamVersion& version, std::string_view metadata_type, std::string_view rootfs_type,
                   bool newest) {
        const auto metadata = std::ranges::find(version.items, metadata_type, &StreamItem::ftype);
        const auto rootfs = std::ranges::find(version.items, rootfs_type, &StreamItem::ftype);
        if (metadata == version.items.end() || rootfs == version.items.end()) return;
        add(version, *metadata, &*rootfs, newest);
    }

    void add(const StreamVersion& version, const StreamItem& metadata, const StreamItem* rootfs,
             bool newest) {
        StreamImage image;
        const auto file = file_of(metadata);
        if (!file) return;
        image.metadata = *file;
        image.size_bytes = file->size_bytes;
        image.fingerprint = rootfs == nullptr ? metadata.sha256 : combined_hash(metadata, *rootfs);
        if (rootfs != nullptr) image.rootfs = file_of(*rootfs);
        if (image.fingerprint.empty() || (rootfs != nullptr && !image.rootfs)) return;
        if (image.rootfs) image.size_bytes += image.rootfs->size_bytes;
        image.architecture = architecture_;
        image.filename = file->path.substr(file->path.rfind('/') + 1);
        image.properties = properties_of(product_, version, rootfs == nullptr ? "tarball" : rootfs->ftype);
        image.created_at = date_of(version.name);
        image.expires_at = date_of(product_.support_eol);
        if (newest) image.aliases = aliases();
        out_.push_back(std::move(image));
    }

    [[nodiscard]] std::vector<std::string> aliases() const {
        std::vector<std::string> out;
        for (const auto& part : split(product_.aliases, ',')) {
            const auto name = trim(part);
            if (!name.empty() && name.size() <= 255) out.emplace_back(name);
        }
        return out;
    }

    const StreamProduct& product_;
    std::string architecture_;
    std::vector<StreamImage>& out_;
};

bool has_name(const StreamImage& image, const std::string& name, const std::string& architecture) {
    if (image.architecture == architecture && std::ranges::find(image.aliases, name) != image.aliases.end())
        return true;
    const auto slash = name.rfind('/');
    if (slash == std::string::npos || architecture_name(name.substr(slash + 1)) != image.architecture)
        return false;
    return std::ranges::find(image.aliases, name.substr(0, slash)) != image.aliases.end();
}

}  // namespace

bool is_usable_path(const std::string& path) {
    if (path.empty() || path.size() > 1024 || path.starts_with('/') || path.contains("://")) return false;
    if (has_control_chars(path) || path.find_first_of("?#\\ %") != std::string::npos) return false;
    return std::ranges::none_of(split(path, '/'),
                                [](const std::string& part) { return part == ".." || part == "."; });
}

std::vector<StreamImage> images_of(const std::vector<StreamProduct>& products) {
    std::vector<StreamImage> out;
    for (const auto& product : products) Collector(product, out).collect();
    return out;
}

const StreamImage* find_stream_image(const std::vector<StreamImage>& images, const std::string& name,
                                     const std::string& architecture) {
    const auto named = std::ranges::find_if(
        images, [&](const StreamImage& image) { return has_name(image, name, architecture); });
    if (named != images.end()) return &*named;
    if (name.size() < kMinPrefix || name.find_first_not_of("0123456789abcdef") != std::string::npos)
        return nullptr;
    const StreamImage* found = nullptr;
    for (const auto& image : images) {
        if (!image.fingerprint.starts_with(name)) continue;
        if (found != nullptr && found->fingerprint != image.fingerprint) return nullptr;
        if (found == nullptr) found = &image;
    }
    return found;
}

std::vector<std::string> names_of(const StreamImage& image, const std::string& architecture) {
    std::vector<std::string> out;
    const auto arch = image.properties.find("architecture");
    for (const auto& alias : image.aliases) {
        if (image.architecture == architecture) out.push_back(alias);
        if (arch != image.properties.end()) out.push_back(alias + "/" + arch->second);
    }
    return out;
}

}  // namespace lxmgr::images
