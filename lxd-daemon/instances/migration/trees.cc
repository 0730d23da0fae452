#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "images/metadata_json.h"
#include "images/write_all.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/instances/idmaps.h"
#include "lxd-daemon/instances/migration/steps.h"
#include "lxd-daemon/instances/snapshots.h"
#include "lxd-daemon/sys/mount.h"
#include "lxd-daemon/sys/path.h"
#include "storage/tree/copy.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
constexpr std::uint64_t kQuiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

Result<> write_into(int folder, const char* name, const std::string& content) {
    const UniqueFd file(::openat(folder, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file) return fail_errno("Creating", name);
    return images::write_all(file.get(), content, name);
}

/// A regular file beneath a directory that another server has filled.
Result<std::string> read_foreign(int tree, const std::string& path) {
    LX_TRY_AS(const UniqueFd file, sys::open_no_symlinks(tree, path, O_RDONLY | O_NONBLOCK));
    struct stat st{};
    if (::fstat(file.get(), &st) != 0) return fail_errno("fstat", path);
    if (!S_ISREG(st.st_mode) || static_cast<std::size_t>(st.st_size) > kMaxFileBytes)
        return fail(Status::bad_request,
                    fmt::format("'{}' of the other server is no file of 1 MiB at most", path));
    std::string out(static_cast<std::size_t>(st.st_size), '\0');
    const ssize_t size = ::pread(file.get(), out.data(), out.size(), 0);
    if (size < 0) return fail_errno("Reading", path);
    out.resize(static_cast<std::size_t>(size));
    return out;
}

/// As the kernel has them, user_namespaces(7).
Result<sys::IdMap> checked(sys::IdMap map) {
    constexpr std::size_t kMaxRanges = 340;
    const auto fits = [](const sys::IdRange& range) {
        constexpr std::uint64_t kEnd = std::uint64_t{1} << 32;
        return range.count > 0 && std::uint64_t{range.host_first} + range.count <= kEnd &&
               std::uint64_t{range.container_first} + range.count <= kEnd;
    };
    if (map.uids.size() <= kMaxRanges && map.gids.size() <= kMaxRanges &&
        std::ranges::all_of(map.uids, fits) && std::ranges::all_of(map.gids, fits))
        return map;
    return fail(Status::bad_request, "The other server's map of ids is none");
}

}  // namespace

migration::Progress show_progress(operations::Operation& operation, const std::string& what) {
    struct State {
        std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
        std::uint64_t bytes = 0;
    };
    return [&operation, what, state = State{}](std::uint64_t bytes) mutable {
        const auto time = std::chrono::steady_clock::now();
        const std::chrono::duration<double> passed = time - state.at;
        if (passed < std::chrono::seconds(1)) return;
        const std::uint64_t more = bytes < state.bytes ? bytes : bytes - state.bytes;
        const double speed = static_cast<double>(more) / passed.count();
        operation.update_metadata(
            {{"fs_progress", fmt::format("{}: {:.2f}MB ({:.2f}MB/s)", what, static_cast<double>(bytes) / 1e6,
                                         speed / 1e6)}});
        state = {time, bytes};
    };
}

Result<UniqueFd> make_instance_tree(const images::Metadata& metadata) {
    LX_TRY_AS(auto tmpfs, sys::FsContext::open("tmpfs"));
    LX_TRY(tmpfs.set("size", "32m"));
    LX_TRY(tmpfs.set("nr_inodes", "4096"));
    LX_TRY(tmpfs.set("mode", "0700"));
    LX_TRY(tmpfs.create());
    LX_TRY_AS(UniqueFd tree, tmpfs.mount(kQuiet));
    for (const char* name : {"rootfs", "templates"}) {
        if (::mkdirat(tree.get(), name, 0755) != 0) return fail_errno("mkdir", name);
    }
    LX_TRY(write_into(tree.get(), "metadata.yaml", images::to_yaml(metadata)));
    const UniqueFd templates(::openat(tree.get(), "templates", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!templates) return fail_errno("Opening", "templates");
    for (const auto& [name, content] : metadata.files)
        LX_TRY(write_into(templates.get(), name.c_str(), content));
    return tree;
}

Result<images::Metadata> read_instance_tree(int tree_fd) {
    auto yaml = read_foreign(tree_fd, "metadata.yaml");
    if (!yaml && yaml.error().status == Status::not_found) return images::Metadata{};
    LX_TRY_AS(const std::string text, std::move(yaml));
    LX_TRY_AS(images::Metadata out, images::parse_metadata(text));
    for (const auto& [target, rule] : out.templates) {
        if (out.files.contains(rule.source)) continue;
        if (!images::is_template_name(rule.source))
            return fail(Status::bad_request, fmt::format("Template '{}' is no bare file name", rule.source));
        LX_TRY_AS(out.files[rule.source], read_foreign(tree_fd, "templates/" + rule.source));
    }
    return out;
}

Result<UniqueFd> mount_for_stream(storage::Driver& driver, const storage::Volume& volume, bool read_only) {
    const sys::IdMap as_inside = sys::IdMap::host();
    LX_TRY_AS(auto mounted, driver.mount(volume, {.idmap = &as_inside, .read_only = read_only}));
    LX_TRY(sys::change_attributes(mounted.root.get(), kQuiet, 0));
    return std::move(mounted.root);
}

Result<sys::IdMap> source_idmap(const std::vector<migration::IdEntry>& entries) {
    sys::IdMap out;
    for (const auto& entry : entries) {
        const sys::IdRange range{entry.container_first, entry.host_first, entry.count};
        if (entry.of_uids) out.uids.push_back(range);
        if (entry.of_gids) out.gids.push_back(range);
    }
    return checked(std::move(out));
}

Result<sys::IdMap> source_idmap(const api::ConfigMap& config) {
    const std::string text = api::value_of(config, "volatile.last_state.idmap");
    if (text.empty() || text == "[]" || text == "null") return sys::IdMap{};
    auto map = idmap_from_json(text);
    if (!map) return fail(Status::bad_request, "The other server's volatile.last_state.idmap is none");
    return checked(*std::move(map));
}

std::uint64_t limit_of_arriving_snapshots(const Context& context, const std::string& project,
                                          std::uint64_t limit_of_object) {
    const auto record = context.deps.database.projects().find(project);
    const bool limited = record && std::ranges::any_of(record->config, [](const auto& entry) {
                             return entry.first.starts_with("limits.disk");
                         });
    return limited ? limit_of_object : 0;
}

ArrivingVolumes::~ArrivingVolumes() {
    for (const auto& volume : raw_) {
        const auto driver = context_.deps.pools.driver(pool_);
        if (driver) [[maybe_unused]]
            const auto removed = (*driver)->delete_volume(volume);
    }
}

Result<> ArrivingVolumes::add(const storage::Volume& volume, int tree, const sys::IdMap& idmap,
                              const std::string& same_as) {
    if (receiver_) return add_stream(volume, tree >= 0, idmap, same_as);
    if (stream_.stop.stop_requested()) return fail(Status::unavailable, "The migration was cancelled");
    LX_TRY_AS(const DriverPtr driver, context_.deps.pools.driver(pool_));
    const bool shifted = !idmap.uids.empty() || !idmap.gids.empty();
    storage::Volume target = volume;
    if (shifted) {
        target = new_snapshot_volume();
        raw_.push_back(target);
    }
    if (last_) {
        LX_TRY(driver->create_copy(target, *last_, {}));
    } else if (image_ && !shifted && stream_.features.remove) {
        LX_TRY(image_(target));
    } else {
        LX_TRY(driver->create_volume(target, [](int) { return Result<>{}; }));
    }
    failpoint("instances.migration.volume");
    LX_TRY(fill(*driver, target, tree));
    if (shifted) LX_TRY(shift(*driver, target, volume, idmap));
    last_ = target;
    return {};
}

Result<> ArrivingVolumes::fill(storage::Driver& driver, const storage::Volume& volume, int tree) {
    LX_TRY_AS(const UniqueFd root, mount_for_stream(driver, volume, false));
    const UniqueFd writable(::openat(root.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!writable) return fail_errno("Opening", volume.name);
    const migration::Tree whole =
        tree < 0 ? migration::Tree{root.get(), -1} : migration::Tree{tree, root.get()};
    if (std::exchange(whole_, false)) {
        LX_TRY(migration::receive_whole_tree(stream_.link, whole, stream_.progress));
    } else {
        LX_TRY(migration::receive_tree(stream_.link, whole, stream_.features, stream_.progress));
    }
    if (::syncfs(writable.get()) != 0) return fail_errno("syncfs", volume.name);
    return {};
}

Result<> ArrivingVolumes::shift(storage::Driver& driver, const storage::Volume& from,
                                const storage::Volume& to, const sys::IdMap& idmap) {
    LX_TRY_AS(const UniqueFd mounted, mount_for_stream(driver, from, true));
    const UniqueFd root(::openat(mounted.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root) return fail_errno("Opening", from.name);
    const storage::IdShift ids(&idmap, nullptr);
    return driver.create_volume(to, [&](int fd) -> Result<> {
        LX_TRY(storage::copy_tree(root.get(), fd, &ids));
        return ::syncfs(fd) == 0 ? Result<>{} : Result<>(fail_errno("syncfs", to.name));
    });
}

}  // namespace lxmgr::instances
