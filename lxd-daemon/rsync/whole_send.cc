#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <map>
#include <utility>

#include "lxd-daemon/rsync/whole.h"
#include "lxd-daemon/rsync/wire.h"

namespace lxmgr::rsync {
namespace {

constexpr std::size_t kCopied = std::size_t{1} << 15;  ///< more goes by splice(2)
constexpr std::size_t kMaxNames = std::size_t{1} << 16, kMaxValue = std::size_t{1} << 16;

/// Standard output, which does not block. Who ends the other direction wants no more.
bool wait_for_room() {
    pollfd fds[2]{{0, POLLIN, 0}, {1, POLLOUT, 0}};
    while (::poll(fds, 2, -1) < 0) {
        if (errno != EINTR) return false;
    }
    if (fds[0].revents == 0) return true;
    errno = EPIPE;
    return false;
}

class Out {
public:
    bool flush() {
        std::size_t done = 0;
        while (done < size_) {
            if (!wait_for_room()) return false;
            const ssize_t written = ::write(1, buffer_ + done, size_ - done);
            if (written < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (written <= 0) return false;
            done += static_cast<std::size_t>(written);
        }
        size_ = 0;
        return true;
    }
    bool bytes(const void* data, std::size_t size) {
        const auto* at = static_cast<const char*>(data);
        while (size > 0) {
            if (size_ == sizeof buffer_ && !flush()) return false;
            const std::size_t part = size < sizeof buffer_ - size_ ? size : sizeof buffer_ - size_;
            ::memcpy(buffer_ + size_, at, part);
            size_ += part;
            at += part;
            size -= part;
        }
        return true;
    }
    template <typename T>
    bool number(T value) {
        return bytes(&value, sizeof value);
    }
    bool text(const std::string& value) {
        return number(static_cast<std::uint32_t>(value.size())) && bytes(value.data(), value.size());
    }
    /// Of a file, without a copy in between where it is big.
    bool content(int file, off_t at, std::size_t size) {
        char chunk[kCopied];
        while (size > 0) {
            ssize_t got = -1;
            if (size > sizeof chunk) {
                if (!flush() || !wait_for_room()) return false;
                got = ::splice(file, &at, 1, nullptr, size, SPLICE_F_MORE | SPLICE_F_NONBLOCK);
                if (got < 0 && errno == EAGAIN) continue;
                if (got < 0 && errno == EPIPE) return false;
            }
            if (got < 0) {
                got = ::pread(file, chunk, size < sizeof chunk ? size : sizeof chunk, at);
                if (got > 0 && !bytes(chunk, static_cast<std::size_t>(got))) return false;
                if (got > 0) at += got;
            }
            if (got < 0 && errno == EINTR) continue;
            if (got == 0) errno = ENODATA;  // it got shorter
            if (got <= 0) return false;
            size -= static_cast<std::size_t>(got);
        }
        return true;
    }

private:
    char buffer_[kStreamBytes];
    std::size_t size_ = 0;
};

class Sender {
public:
    bool run() {
        const int root = ::open(kTreePath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root < 0) return complain("open", path_);
        struct stat st{};
        if (::fstat(root, &st) != 0) return complain("stat", path_);
        return out_.bytes(kMagic, kMagicBytes) && directory(root, "", st) && out_.number(Kind::end) &&
               out_.flush();
    }

private:
    bool attributes(const char* name) {
        static char names[kMaxNames], value[kMaxValue];
        const ssize_t size = ::llistxattr(name, names, sizeof names);
        if (size < 0 && errno != ENOTSUP) return complain("llistxattr", path_);
        std::vector<Attribute> found;
        for (ssize_t at = 0; at < size; at += static_cast<ssize_t>(::strlen(names + at)) + 1) {
            const char* key = names + at;
            if (::strcmp(key, "security.selinux") == 0) continue;  // the host's own matter
            const ssize_t got = ::lgetxattr(name, key, value, sizeof value);
            if (got < 0 && errno == ENODATA) continue;
            if (got < 0) return complain("lgetxattr", path_);
            found.push_back({key, std::string(value, static_cast<std::size_t>(got))});
        }
        bool good = out_.number(static_cast<std::uint32_t>(found.size()));
        for (const auto& one : found) good = good && out_.text(one.name) && out_.text(one.value);
        return good;
    }
    bool meta(const char* name, const struct stat& st) {
        return out_.number(static_cast<std::uint32_t>(st.st_mode)) && out_.number(st.st_uid) &&
               out_.number(st.st_gid) && out_.number(static_cast<std::int64_t>(st.st_mtim.tv_sec)) &&
               out_.number(static_cast<std::uint32_t>(st.st_mtim.tv_nsec)) && attributes(name);
    }
    bool head(Kind kind, const char* name) { return out_.number(kind) && out_.text(name); }

    /// The working directory is the directory when this returns from its entries, and its parent's again at
    /// the end.
    bool directory(int fd, const char* name, const struct stat& st) {
        if (++nesting_ > kMaxNesting) {
            errno = ENAMETOOLONG;
            return complain("directories within each other", path_);
        }
        if (::fchdir(fd) != 0) return complain("chdir", path_);
        bool good = head(Kind::directory, name) && meta(".", st);
        DIR* const entries = ::fdopendir(fd);  // which closes it
        if (entries == nullptr) return complain("opendir", path_);
        const std::size_t length = path_.size();
        while (good) {
            errno = 0;
            const dirent* const one = ::readdir(entries);
            if (one == nullptr) {
                good = errno == 0 || complain("readdir", path_);
                break;
            }
            if (::strcmp(one->d_name, ".") == 0 || ::strcmp(one->d_name, "..") == 0) continue;
            path_ += '/';
            path_ += one->d_name;
            good = entry(::dirfd(entries), one->d_name);
            path_.resize(length);
        }
        ::closedir(entries);
        --nesting_;
        return good && out_.number(Kind::leave);
    }
    bool entry(int parent, const char* name) {
        struct stat st{};
        if (::lstat(name, &st) != 0) return complain("stat", path_);
        if (S_ISDIR(st.st_mode)) {
            const int fd = ::open(name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd < 0) return complain("open", path_);
            return directory(fd, name, st) && (::fchdir(parent) == 0 || complain("chdir", path_));
        }
        if (S_ISREG(st.st_mode)) return file(name, st);
        if (S_ISLNK(st.st_mode)) {
            char target[4096];
            const ssize_t size = ::readlink(name, target, sizeof target);
            if (size < 0) return complain("readlink", path_);
            return head(Kind::symlink, name) && meta(name, st) &&
                   out_.text(std::string(target, static_cast<std::size_t>(size)));
        }
        return head(Kind::node, name) && meta(name, st) &&
               out_.number(static_cast<std::uint64_t>(st.st_rdev));
    }
    bool file(const char* name, const struct stat& st) {
        std::uint64_t number = 0;
        if (st.st_nlink > 1) {
            const auto [known, is_new] = links_.emplace(std::pair(st.st_dev, st.st_ino), links_.size() + 1);
            if (!is_new) return head(Kind::link, name) && out_.number(known->second);
            number = known->second;
        }
        const int fd = ::open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) return complain("open", path_);
        const bool good = head(Kind::file, name) && meta(name, st) && out_.number(number) &&
                          out_.number(static_cast<std::uint64_t>(st.st_size)) && parts(fd, st);
        ::close(fd);
        return good;
    }
    bool parts(int fd, const struct stat& st) {
        const bool sparse = st.st_blocks * 512 < st.st_size;
        for (off_t at = 0; at < st.st_size;) {
            off_t end = st.st_size;
            if (sparse) {
                const off_t data = ::lseek(fd, at, SEEK_DATA);
                if (data < 0 && errno == ENXIO) break;
                if (data >= 0) {
                    at = data;
                    const off_t hole = ::lseek(fd, at, SEEK_HOLE);
                    if (hole > at && hole < end) end = hole;
                }
            }
            if (at >= end) break;
            if (!out_.number(static_cast<std::uint64_t>(at)) ||
                !out_.number(static_cast<std::uint64_t>(end - at)))
                return false;
            if (!out_.content(fd, at, static_cast<std::size_t>(end - at)))
                return errno == EPIPE ? false : complain("read", path_);
            at = end;
        }
        return out_.number(std::uint64_t{0}) && out_.number(std::uint64_t{0});
    }

    Out out_;
    std::string path_;
    std::size_t nesting_ = 0;
    std::map<std::pair<dev_t, ino_t>, std::uint64_t> links_;
};

}  // namespace

bool complain(const char* what, const std::string& path) {
    const int error = errno;
    ::dprintf(2, "%s: %s: '%s'\n", what, ::strerror(error), path.empty() ? "/" : path.c_str());
    errno = error;
    return false;
}

void want_descriptors() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

int send_whole() {
    want_descriptors();
    static Sender sender;
    if (::fcntl(1, F_SETFL, O_NONBLOCK) != 0) return 1;
    errno = 0;
    if (sender.run()) return 0;
    return errno == EPIPE ? kPeerLost : 1;
}

}  // namespace lxmgr::rsync
