#include "lxmgr/transfer.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "lxmgr/local_tree.h"

namespace lxmgr::cli {
namespace {

constexpr int kTransferMaxDepth = 512;  // a tree that never ends must end somewhere
constexpr std::size_t kTransferMaxLinkBytes = 65536;

/// Owner and permissions of the local file, where the user did not say otherwise.
WantedAttributes completed(WantedAttributes wanted, const struct stat& status) {
    if (!wanted.uid) wanted.uid = status.st_uid;
    if (!wanted.gid) wanted.gid = status.st_gid;
    if (!wanted.mode) wanted.mode = status.st_mode & 07777U;
    return wanted;
}

Result<std::vector<std::string>> local_entries(UniqueFd directory, const std::string& shown) {
    DIR* stream = ::fdopendir(directory.get());
    if (stream == nullptr) return fail_errno("read directory", shown);
    (void)directory.release();
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream)) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    ::closedir(stream);
    std::ranges::sort(names);
    return names;
}

Result<> push_regular(RemoteFiles& files, int fd, const struct stat& status, const std::string& path,
                      const WantedAttributes& wanted, Progress& progress) {
    const auto size =
        S_ISREG(status.st_mode) ? std::optional(static_cast<std::uint64_t>(status.st_size)) : std::nullopt;
    return files.push_file(path, wanted, upload_of(fd, size, progress));
}

/// One step of a recursive push: the entry `name` of an open directory.
class TreePush {
public:
    TreePush(RemoteFiles& files, const WantedAttributes& wanted, Progress& progress)
        : files_(files), wanted_(wanted), progress_(progress) {}

    Result<> directory(UniqueFd fd, const std::string& path, int depth) {
        if (depth > kTransferMaxDepth)
            return fail(Status::bad_request, fmt::format("'{}' is nested too deeply", path));
        struct stat status{};
        if (::fstat(fd.get(), &status) != 0) return fail_errno("stat", path);
        // --mode is meant for files; a directory that nobody may enter would be of no use.
        WantedAttributes attributes =
            completed({.uid = wanted_.uid, .gid = wanted_.gid, .mode = std::nullopt}, status);
        progress_.tick(path);
        LX_TRY(files_.push_directory(path, attributes));
        UniqueFd listing(::openat(fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        LX_TRY_AS(const auto names, local_entries(std::move(listing), path));
        for (const auto& name : names) LX_TRY(entry(fd.get(), name, join_path(path, name), depth));
        return {};
    }

private:
    Result<> entry(int parent, const std::string& name, const std::string& path, int depth) {
        struct stat status{};
        if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
            return fail_errno("stat", path);
        if (S_ISLNK(status.st_mode)) return link(parent, name, path, status);
        if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
            warn(fmt::format("'{}' is neither file, directory nor symbolic link and was left out", path));
            return {};
        }
        UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
        if (!fd) return fail_errno("open", path);
        if (S_ISDIR(status.st_mode)) return directory(std::move(fd), path, depth + 1);
        return push_regular(files_, fd.get(), status, path, completed(wanted_, status), progress_);
    }

    Result<> link(int parent, const std::string& name, const std::string& path, const struct stat& status) {
        std::string target(PATH_MAX, '\0');
        const ssize_t n = ::readlinkat(parent, name.c_str(), target.data(), target.size());
        if (n < 0) return fail_errno("readlink", path);
        target.resize(static_cast<std::size_t>(n));
        WantedAttributes attributes =
            completed({.uid = wanted_.uid, .gid = wanted_.gid, .mode = std::nullopt}, status);
        return files_.push_link(path, attributes, target);
    }

    RemoteFiles& files_;
    const WantedAttributes& wanted_;
    Progress& progress_;
};

class TreePull {
public:
    TreePull(RemoteFiles& files, Progress& progress) : files_(files), progress_(progress) {}

    Result<> entry(const std::string& path, int directory, const std::string& name, int depth) {
        LX_TRY(check_entry_name(name));
        if (depth > kTransferMaxDepth)
            return fail(Status::bad_request, fmt::format("'{}' is nested too deeply", path));
        progress_.tick(path);
        LX_TRY_AS(auto opened, files_.open(path));
        const auto& attributes = opened.attributes;
        if (attributes.type == "directory") return subdirectory(opened, path, directory, name, depth);
        if (attributes.type == "symlink") {
            LX_TRY_AS(const std::string target, opened.body->read_all(kTransferMaxLinkBytes));
            return create_link(directory, name, target);
        }
        if (attributes.type != "file")
            return fail(Status::bad_request, fmt::format("'{}' is no file that can be pulled", path));
        return file(opened, directory, name);
    }

    Result<> file(RemoteFiles::Opened& opened, int directory, const std::string& name) {
        LX_TRY_AS(const UniqueFd fd, create_file(directory, name, opened.attributes.mode));
        return copy_body(*opened.body, fd.get(), progress_);
    }

private:
    Result<> subdirectory(RemoteFiles::Opened& opened, const std::string& path, int directory,
                          const std::string& name, int depth) {
        LX_TRY_AS(const auto names, files_.entries(opened));
        LX_TRY_AS(const UniqueFd fd, enter_directory(directory, name, opened.attributes.mode));
        for (const auto& child : names) {
            LX_TRY(check_entry_name(child));  // before the name becomes part of a path
            LX_TRY(entry(join_path(path, child), fd.get(), child, depth + 1));
        }
        return {};
    }

    RemoteFiles& files_;
    Progress& progress_;
};

}  // namespace

Result<> push_path(RemoteFiles& files, const std::string& local, const std::string& path,
                   const WantedAttributes& wanted, bool recursive) {
    UniqueFd fd(::open(local.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail_errno("open", local);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return fail_errno("stat", local);
    Progress progress(fmt::format("Pushing {}{}", files.instance(), path));
    if (!S_ISDIR(status.st_mode))
        return push_regular(files, fd.get(), status, path, completed(wanted, status), progress);
    if (!recursive)
        return fail(Status::bad_request, fmt::format("'{}' is a directory; push it with --recursive", local));
    return TreePush(files, wanted, progress).directory(std::move(fd), path, 0);
}

Result<> pull_entry(RemoteFiles& files, const std::string& path, int directory, const std::string& name,
                    bool recursive) {
    Progress progress(fmt::format("Pulling {}{}", files.instance(), path));
    if (recursive) return TreePull(files, progress).entry(path, directory, name, 0);
    LX_TRY(check_entry_name(name));
    LX_TRY_AS(auto opened, files.open_following(path));
    if (opened.attributes.type == "directory") {
        return fail(Status::bad_request,
                    fmt::format("{}{} is a directory; pull it with --recursive", files.instance(), path));
    }
    return TreePull(files, progress).file(opened, directory, name);
}

}  // namespace lxmgr::cli
