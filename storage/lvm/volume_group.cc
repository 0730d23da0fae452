#include "storage/lvm/volume_group.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::storage {
namespace {

constexpr std::uint64_t kExtent = 4U << 20U;  // LVM's default; other sizes are rounded by LVM itself

std::string path_in_group(const VolumeGroup& group, const std::string& lv) { return group.name + "/" + lv; }

std::string escaped(const std::string& name) {
    std::string out;
    for (const char c : name) out += c == '-' ? "--" : std::string(1, c);
    return out;
}

std::vector<std::string> with_lvm(const std::vector<std::string>& argv) {
    std::vector<std::string> out = {"lvm"};
    out.insert(out.end(), argv.begin(), argv.end());
    return out;
}

Error explained(Error error) {
    if (error.status == Status::not_found)
        error = {Status::bad_request,
                 "Install lvm2 for pools of driver lvm (Debian: lvm2 and thin-provisioning-tools)", 0};
    return error;
}

/// What LVM says last, but for its advice to read a manual.
std::string last_complaint(const std::string& text) {
    std::string out;
    for (const auto& line : split(trim(text), '\n')) {
        if (out.empty() || !trim(line).starts_with("Run `")) out = std::string(trim(line));
    }
    return out;
}

/// nullopt when LVM says that there is no such thing.
Result<std::optional<std::string>> show_if_there(const std::vector<std::string>& argv) {
    const auto done = run({with_lvm(argv)});
    if (!done) return std::unexpected(explained(done.error()));
    if (done->exit_code == 0) return done->out;
    const bool absent = done->err.contains("not found") || done->err.contains("ailed to find");
    if (absent) return std::nullopt;
    return fail(Status::internal, fmt::format("{}: {}", argv.front(), last_complaint(done->err)));
}

/// A device that goes with its last user just then makes LVM stumble; once it is gone, nothing does.
Result<> retried(const std::function<Result<>()>& work) {
    constexpr int kTries = 3;
    for (int tries = 1; tries < kTries; ++tries) {
        if (work()) return {};
    }
    return work();
}

/// "  104857600;12.50" as two numbers; what is empty is 0.
GroupSpace parse_space(const std::string& text, bool percent) {
    GroupSpace out;
    const auto parts = split(trim(text), ';');
    if (parts.size() != 2) return out;
    out.total_bytes = parse_uint(parts[0]).value_or(0);
    const double second = std::strtod(parts[1].c_str(), nullptr);
    const double used = percent ? static_cast<double>(out.total_bytes) * second / 100
                                : static_cast<double>(out.total_bytes) - second;
    out.used_bytes = used > 0 ? static_cast<std::uint64_t>(used) : 0;
    return out;
}

}  // namespace

Result<std::string> run_lvm(const std::vector<std::string>& argv) {
    auto done = run({with_lvm(argv)});
    if (!done) return std::unexpected(explained(std::move(done).error()));
    if (done->exit_code != 0)
        return fail(Status::internal, fmt::format("{}: {}", argv.front(), last_complaint(done->err)));
    return std::move(done->out);
}

Result<bool> run_lvm_if_there(const std::vector<std::string>& argv) {
    LX_TRY_AS(const auto shown, show_if_there(argv));
    return shown.has_value();
}

Result<std::optional<GroupContent>> group_content(const VolumeGroup& group) {
    LX_TRY_AS(const auto shown,
              show_if_there({"vgs", "--noheadings", "--separator", ";", "-o", "vg_tags", group.name}));
    if (!shown) return std::nullopt;
    GroupContent out;
    out.tags = trim(*shown);
    LX_TRY_AS(const auto volumes, run_lvm({"lvs", "--noheadings", "--separator", ";", "-o",
                                           "lv_name,lv_tags,pool_lv", group.name}));
    for (const auto& line : split(volumes, '\n')) {
        const auto parts = split(trim(line), ';');
        if (parts.size() == 3) out.volumes.push_back({parts[0], parts[1], parts[2]});
    }
    return out;
}

bool has_tag(const std::string& tags, const std::string& tag) {
    const auto all = split(tags, ',');
    return std::ranges::find(all, tag) != all.end();
}

std::string device_of(const VolumeGroup& group, const std::string& lv) {
    return fmt::format("/dev/mapper/{}-{}", escaped(group.name), escaped(lv));
}

std::uint64_t round_to_extents(std::uint64_t bytes) { return (bytes + kExtent - 1) / kExtent * kExtent; }

std::vector<std::string> stripe_options(const Stripes& stripes) {
    if (stripes.count < 2) return {};
    std::vector<std::string> out = {"--stripes", fmt::format("{}", stripes.count)};
    if (stripes.bytes != 0) out.insert(out.end(), {"--stripesize", fmt::format("{}b", stripes.bytes)});
    return out;
}

Result<> create_lv(const VolumeGroup& group, const std::string& lv, const LvShape& shape) {
    const std::string size = fmt::format("{}b", round_to_extents(shape.bytes));
    std::vector<std::string> argv = {"lvcreate", "-q", "-y", "-ky", "-K", "--addtag", group.tag, "-n", lv};
    if (shape.thin) {
        argv.insert(argv.end(), {"-V", size, "--thinpool", group.thin_pool, group.name});
    } else {
        argv.insert(argv.end(), {"-Wy", "-Zy", "-L", size});
        const auto spread = stripe_options(shape.stripes);
        argv.insert(argv.end(), spread.begin(), spread.end());
        argv.push_back(group.name);
    }
    auto made = run_lvm(argv);
    if (made) return {};
    if (!made.error().message.contains("umber of stripes")) return std::unexpected(std::move(made).error());
    return fail(Status::bad_request,
                fmt::format("lvm.stripes={}: volume group {} has fewer devices than that",
                            shape.stripes.count, group.name));
}

Result<> snapshot_lv(const VolumeGroup& group, const std::string& source, const std::string& lv) {
    return retried([&]() -> Result<> {
        LX_TRY(run_lvm({"lvcreate", "-q", "-y", "-s", "-ky", "--addtag", group.tag, "-n", lv,
                        path_in_group(group, source)}));
        return {};
    });
}

Result<> remove_lv(const VolumeGroup& group, const std::string& lv) {
    return retried([&]() -> Result<> {
        LX_TRY(run_lvm_if_there({"lvremove", "-q", "-f", "-y", path_in_group(group, lv)}));
        return {};
    });
}

Result<std::uint64_t> lv_bytes(const VolumeGroup& group, const std::string& lv) {
    LX_TRY_AS(const auto text, run_lvm({"lvs", "--noheadings", "--nosuffix", "--units", "b", "-o", "lv_size",
                                        path_in_group(group, lv)}));
    const auto bytes = parse_uint(trim(text));
    if (!bytes) return fail(Status::internal, fmt::format("lvs says '{}' of {}", trim(text), lv));
    return *bytes;
}

Result<std::uint64_t> lv_unit_bytes(const VolumeGroup& group, const std::string& lv) {
    LX_TRY_AS(const auto text, run_lvm({"lvs", "--noheadings", "-o", "stripes", path_in_group(group, lv)}));
    return kExtent * std::max<std::uint64_t>(1, parse_uint(trim(text)).value_or(1));
}

Result<> extend_lv(const VolumeGroup& group, const std::string& lv, std::uint64_t bytes) {
    LX_TRY(run_lvm(
        {"lvextend", "-q", "-L", fmt::format("{}b", round_to_extents(bytes)), path_in_group(group, lv)}));
    return {};
}

Result<> activate_lv(const VolumeGroup& group, const std::string& lv) {
    LX_TRY(run_lvm({"lvchange", "-q", "-y", "-ay", "-K", path_in_group(group, lv)}));
    return {};
}

void release_lv(const VolumeGroup& group, const std::string& lv) {
    // As "dmsetup remove --deferred", once for every mount and without a program. What fails here leaves the
    // device until the volume is removed.
    const std::string name = fmt::format("{}-{}", escaped(group.name), escaped(lv));
    const UniqueFd control(::open("/dev/mapper/control", O_RDWR | O_CLOEXEC));
    dm_ioctl request{};
    if (!control || name.size() >= sizeof request.name) return;
    request.version[0] = DM_VERSION_MAJOR;
    request.version[1] = 27;  // Linux 3.13: DM_DEFERRED_REMOVE
    request.data_size = sizeof request;
    request.flags = DM_DEFERRED_REMOVE;
    std::memcpy(request.name, name.c_str(), name.size() + 1);
    std::ignore = ::ioctl(control.get(), DM_DEV_REMOVE, &request);
}

Result<GroupSpace> group_space(const VolumeGroup& group) {
    const std::vector<std::string> how = {"--noheadings", "--nosuffix", "--units", "b", "--separator", ";"};
    std::vector<std::string> argv = {group.is_thin() ? "lvs" : "vgs"};
    argv.insert(argv.end(), how.begin(), how.end());
    argv.insert(argv.end(), {"-o", group.is_thin() ? "lv_size,data_percent" : "vg_size,vg_free",
                             group.is_thin() ? path_in_group(group, group.thin_pool) : group.name});
    LX_TRY_AS(const auto text, run_lvm(argv));
    return parse_space(text, group.is_thin());
}

}  // namespace lxmgr::storage
