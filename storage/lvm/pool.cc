#include "storage/lvm/pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/loop_device.h"
#include "storage/lvm/file_system.h"
#include "storage/lvm/volumes.h"
#include "storage/pool_directory.h"
#include "storage/pool_file.h"

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kSmallestLvmPool = 256U << 20U;
constexpr std::uint64_t kDirectoryBytes = 64U << 20U;  // some thousand volumes
constexpr const char* kTagStart = "lxmgr:";
constexpr const char* kLxdTag = "lxd_pool";
constexpr const char* kThinPool = "LXDThinPool";  // LXD's

bool is_lvm_name(const std::string& name) {
    const bool plain = std::ranges::all_of(name, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '+' || c == '_' || c == '.' || c == '-';
    });
    return plain && !name.empty() && name.size() <= 127 && name != "." && name != ".." && name.front() != '-';
}

std::string or_else(const std::string& value, const std::string& other) {
    return value.empty() ? other : value;
}

/// One that LVM takes, whatever the state directory is called.
std::string tag_of(const PoolConfig& config) {
    std::string out = kTagStart + config.path;
    std::ranges::replace_if(
        out,
        [](unsigned char c) {
            return std::isalnum(c) == 0 && !std::string_view("_+.-/:").contains(static_cast<char>(c));
        },
        '_');
    return out;
}

std::string directory_lv(const PoolConfig& config) { return "lxmgr_" + config.name; }

/// Holds the loop device of a pool's file until something of the pool is active on it.
Result<std::optional<sys::LoopDevice>> attach_file(const LvmPlace& place) {
    if (place.kind != LvmKind::file || !path_exists(place.path)) return std::nullopt;
    LX_TRY_AS(const UniqueFd file, open_pool_file(place.path));
    LX_TRY_AS(auto device, sys::open_loop_device(file.get()));
    return device;
}

/// Nothing of a user's is ever overwritten.
Result<> require_blank(const PoolConfig& config, const std::string& device) {
    LX_TRY_AS(const auto found, run_checked({{"wipefs", "-n", "-p", device}}));
    if (found.empty()) return {};
    return bad_pool(
        config,
        fmt::format("{} holds a file system or partitions: empty it first (wipefs, or source.wipe=true)",
                    device));
}

Result<> make_group(const PoolConfig& config, const LvmPlace& place, const std::string& device) {
    const std::string& name = place.group.name;
    auto made = run_lvm({"vgcreate", "-q", "-y", "--addtag", place.group.tag, name, device});
    if (!made && made.error().message.contains("already exists"))
        return bad_pool(config,
                        fmt::format("there is a volume group {} already: name another in lvm.vg_name", name));
    LX_TRY(made);
    failpoint("storage.lvm.prepare.group");
    return {};
}

Result<bool> has_lv(const LvmPlace& place, const std::string& lv) {
    if (place.kind != LvmKind::group) return false;  // it was made just now
    return run_lvm_if_there({"lvs", "-q", place.group.name + "/" + lv});
}

Result<> make_thin_pool(const PoolConfig& config, const LvmPlace& place) {
    const VolumeGroup& group = place.group;
    LX_TRY_AS(const bool there, has_lv(place, group.thin_pool));
    if (there) return {};
    // Writers to a full one get an error at once, not after a minute. lvcreate has no option for that, but
    // does what LVM's configuration says.
    std::vector<std::string> argv = {
        "lvcreate", "-q",        "-y",           "--config", "activation/error_when_full=1",
        "--type",   "thin-pool", "--addtag",     group.tag,  "-l",
        "100%FREE", "-n",        group.thin_pool};
    if (config.metadata_bytes > 0) {
        const auto bytes = round_to_extents(config.metadata_bytes);
        argv.insert(argv.end(), {"--poolmetadatasize", fmt::format("{}b", bytes)});
    }
    const auto spread = stripe_options(config.stripes);
    argv.insert(argv.end(), spread.begin(), spread.end());
    argv.push_back(group.name);
    LX_TRY(run_lvm(argv));
    failpoint("storage.lvm.prepare.thin_pool");
    return {};
}

/// Outside of the thin pool, so that a full one does not touch it; inside, where all room is the thin pool's.
Result<> make_directory_lv(const PoolConfig& config, const LvmPlace& place) {
    const VolumeGroup& group = place.group;
    const std::string lv = directory_lv(config);
    LX_TRY_AS(const bool taken, has_lv(place, lv));
    if (taken) return bad_pool(config, fmt::format("volume group {} has such a pool already", group.name));
    auto made = create_lv(group, lv, {kDirectoryBytes});
    if (!made && group.is_thin()) {
        LX_TRY_AS(const bool pool_there, run_lvm_if_there({"lvs", "-q", group.name + "/" + group.thin_pool}));
        if (pool_there) made = create_lv(group, lv, {kDirectoryBytes, true});
    }
    LX_TRY(made);
    failpoint("storage.lvm.prepare.directory");
    return make_file_system("ext4", device_of(group, lv), false);
}

/// The tag of another pool, of ours or of LXD's; empty: it is of none.
std::string pool_in(const GroupContent& content, const std::string& own_tag) {
    std::vector<std::string> tags = split(content.tags, ',');
    for (const auto& lv : content.volumes) std::ranges::copy(split(lv.tags, ','), std::back_inserter(tags));
    const auto found = std::ranges::find_if(tags, [&](const std::string& tag) {
        return (tag.starts_with(kTagStart) || tag == kLxdTag) && tag != own_tag;
    });
    return found == tags.end() ? "" : *found;
}

/// That of somebody else who has room in it.
Result<> check_group(const PoolConfig& config, const VolumeGroup& group) {
    LX_TRY_AS(const bool shared, pool_flag(config, "lvm.vg.force_reuse", false));
    LX_TRY_AS(const auto content, group_content(group));
    if (!content) return bad_pool(config, fmt::format("there is no volume group {}", group.name));
    const std::string other = pool_in(*content, group.tag);
    if (shared || other.empty()) return {};
    return bad_pool(config,
                    fmt::format("volume group {} has another pool in it (tag {}): lvm.vg.force_reuse=true "
                                "shares the group with that one",
                                group.name, other));
}

/// A group of the daemon's own has one device.
Result<> check_stripes(const PoolConfig& config, const LvmPlace& place) {
    if (config.stripes.count < 2) return {};
    std::uint64_t devices = 1;
    if (place.kind == LvmKind::group) {
        LX_TRY_AS(const auto text, run_lvm({"vgs", "--noheadings", "-o", "pv_count", place.group.name}));
        devices = parse_uint(trim(text)).value_or(1);
    }
    if (config.stripes.count <= devices) return {};
    return bad_pool(config,
                    fmt::format("volume.lvm.stripes={} needs a volume group with as many devices; this "
                                "one has {}",
                                config.stripes.count, devices));
}

Result<> make_pool(const PoolConfig& config, const LvmPlace& place) {
    if (place.kind == LvmKind::group) LX_TRY(check_group(config, place.group));
    LX_TRY(check_stripes(config, place));
    LX_TRY_AS(const auto loop, attach_file(place));
    if (place.kind != LvmKind::group) LX_TRY(make_group(config, place, loop ? loop->path : place.path));
    LX_TRY(make_directory_lv(config, place));
    if (place.group.is_thin()) LX_TRY(make_thin_pool(config, place));
    return {};
}

/// What is the pool's in a group that others are in, too: all but a thin pool that holds volumes of theirs.
Result<> remove_tagged(const VolumeGroup& group, const GroupContent& content) {
    std::vector<std::string> argv = {"lvremove", "-q", "-f", "-y"};
    const std::size_t words = argv.size();
    for (const auto& lv : content.volumes) {
        const bool in_use = std::ranges::any_of(content.volumes, [&](const GroupContent::Lv& other) {
            return other.pool == lv.name && !has_tag(other.tags, group.tag);
        });
        if (has_tag(lv.tags, group.tag) && !in_use) argv.push_back(group.name + "/" + lv.name);
    }
    if (argv.size() == words) return {};
    LX_TRY_AS(const bool removed, run_lvm_if_there(argv));
    static_cast<void>(removed);  // one that went with another
    return {};
}

Result<> remove_group(const LvmPlace& place) {
    const VolumeGroup& group = place.group;
    LX_TRY_AS(const auto content, group_content(group));
    if (!content) return {};
    const bool shared = std::ranges::any_of(
        content->volumes, [&](const GroupContent::Lv& lv) { return !has_tag(lv.tags, group.tag); });
    if (shared || !has_tag(content->tags, group.tag)) return remove_tagged(group, *content);
    LX_TRY(run_lvm({"vgremove", "-q", "-f", "-y", group.name}));
    failpoint("storage.lvm.discard.group");
    if (place.kind == LvmKind::device) LX_TRY(run_lvm({"pvremove", "-q", "-y", place.path}));
    return {};
}

}  // namespace

Result<LvmPlace> lvm_place_of(const PoolConfig& config) {
    const std::string source = api::value_of(config.config, "source");
    LvmPlace place;
    place.path = own_pool_file(config);
    if (!source.empty() && source != place.path) {
        place.kind = source.contains('/') ? LvmKind::device : LvmKind::group;
        place.path = source;
    }
    const std::string named = api::value_of(config.config, "lvm.vg_name");
    place.group.name = or_else(named, place.kind == LvmKind::group ? source : config.name);
    place.group.tag = tag_of(config);
    LX_TRY_AS(const bool thin, pool_flag(config, "lvm.use_thinpool", true));
    if (thin) place.group.thin_pool = or_else(api::value_of(config.config, "lvm.thinpool_name"), kThinPool);
    if (!is_lvm_name(place.group.name) || (place.group.is_thin() && !is_lvm_name(place.group.thin_pool)))
        return bad_pool(config, "names of volume groups and thin pools are of letters, digits and +_.-");
    if (place.kind == LvmKind::group && place.group.name != source)
        return bad_pool(config, "source and lvm.vg_name name different volume groups");
    if (place.kind != LvmKind::device) return place;
    LX_TRY(PoolDirectory::check(config));
    struct stat st{};
    if (::stat(source.c_str(), &st) != 0 || !S_ISBLK(st.st_mode))
        return bad_pool(config, fmt::format("source {} is not a block device", source));
    return place;
}

Result<> prepare_lvm_pool(PoolConfig& config) {
    LX_TRY_AS(const auto place, lvm_place_of(config));
    if (place.kind != LvmKind::file && !api::value_of(config.config, "size").empty())
        return bad_pool(config, "size is only for a pool in a file of its own, without source");
    LX_TRY(run_lvm({"version"}));
    if (place.kind != LvmKind::group && config.config.contains("lvm.vg.force_reuse"))
        return bad_pool(config, "lvm.vg.force_reuse is only for a source that is a volume group");
    LX_TRY(wipe_if_asked(config, place.kind == LvmKind::device ? place.path : ""));
    if (place.kind == LvmKind::file) LX_TRY(make_pool_file(config, kSmallestLvmPool));
    if (place.kind == LvmKind::device) LX_TRY(require_blank(config, place.path));
    if (auto made = make_pool(config, place); !made) {
        if (auto undone = discard_lvm_pool(config); !undone) return undone;
        return made;
    }
    config.config["lvm.vg_name"] = place.group.name;
    if (place.group.is_thin()) config.config["lvm.thinpool_name"] = place.group.thin_pool;
    failpoint("storage.lvm.prepare.done");
    return {};
}

Result<> mount_lvm_pool(const PoolConfig& config) {
    LX_TRY_AS(const auto place, lvm_place_of(config));
    LX_TRY(make_directories(config.path, 0711));
    if (is_mount_point(config.path)) return {};
    LX_TRY_AS(const auto loop, attach_file(place));
    const std::string lv = directory_lv(config);
    LX_TRY_AS(const UniqueFd mounted, mount_lv(place.group, {lv, "ext4", 0}, ""));
    release_lv(place.group, lv);
    if (::unlinkat(mounted.get(), "lost+found", AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail_errno("Removing", "lost+found");
    LX_TRY_AS(auto attached, sys::attach_mount(mounted.get(), config.path));
    attached.keep();
    failpoint("storage.lvm.mounted");
    return {};
}

Result<> discard_lvm_pool(const PoolConfig& config) {
    LX_TRY_AS(const auto place, lvm_place_of(config));
    {
        // Held, or the group would be out of sight as soon as nothing of it is active.
        LX_TRY_AS(const auto loop, attach_file(place));
        LX_TRY(unmount_pool(config.path));
        failpoint("storage.lvm.discard.unmounted");
        LX_TRY(remove_group(place));
    }
    if (place.kind == LvmKind::file && ::unlink(place.path.c_str()) != 0 && errno != ENOENT)
        return fail_errno("Removing", place.path);
    failpoint("storage.lvm.discard.file");
    if (::rmdir(config.path.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", config.path);
    return {};
}

Result<> grow_lvm_pool(const PoolConfig& config) {
    LX_TRY_AS(const auto place, lvm_place_of(config));
    if (place.kind != LvmKind::file) return bad_pool(config, "size is only for a pool in a file of its own");
    LX_TRY_AS(const UniqueFd file, open_pool_file(place.path));
    LX_TRY(lengthen_pool_file(config, file.get()));
    LX_TRY_AS(const auto device, sys::open_loop_device(file.get()));
    LX_TRY(sys::refresh_loop_size(device));
    LX_TRY(run_lvm({"pvresize", "-q", device.path}));
    failpoint("storage.lvm.grow.device");
    LX_TRY_AS(const auto unused, run_lvm({"vgs", "--noheadings", "-o", "vg_free_count", place.group.name}));
    if (!place.group.is_thin() || trim(unused) == "0") return {};
    LX_TRY(run_lvm({"lvextend", "-q", "-l", "+100%FREE", place.group.name + "/" + place.group.thin_pool}));
    return {};
}

}  // namespace lxmgr::storage
