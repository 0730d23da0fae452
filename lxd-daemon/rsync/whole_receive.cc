#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lxd-daemon/rsync/whole.h"
#include "lxd-daemon/rsync/wire.h"

namespace lxmgr::rsync {
namespace {

constexpr std::size_t kMaxName = 255, kMaxTarget = 4096, kMaxAttribute = std::size_t{1} << 16;
constexpr std::uint32_t kMaxAttributes = 1024;
/// More of a file goes by splice(2).
constexpr std::size_t kSpliced = std::size_t{1} << 15;
/// From this size on the disk begins to write a file when it is complete: who waits at the end for all to be
/// on the disk waits for little then. Small ones are many, and to begin with each costs more than it wins.
constexpr std::uint64_t kWrittenEarly = std::uint64_t{1} << 14;

class In {
public:
    bool bytes(void* data, std::size_t size) {
        auto* to = static_cast<char*>(data);
        while (size > 0) {
            if (at_ == size_ && !fill()) return false;
            const std::size_t part = size < size_ - at_ ? size : size_ - at_;
            ::memcpy(to, buffer_ + at_, part);
            at_ += part;
            to += part;
            size -= part;
        }
        return true;
    }
    template <typename T>
    bool number(T& value) {
        return bytes(&value, sizeof value);
    }
    bool text(std::string& value, std::size_t limit) {
        std::uint32_t size = 0;
        if (!number(size)) return false;
        if (size > limit) return bad();
        value.resize(size);
        return bytes(value.data(), size);
    }
    bool content(int file, off_t at, std::uint64_t size) {
        while (size > 0) {
            ssize_t done = -1;
            if (at_ == size_ && size > kSpliced) {
                done = ::splice(0, nullptr, file, &at, size < kMost ? static_cast<std::size_t>(size) : kMost,
                                SPLICE_F_MORE);
                if (done == 0) return lost();
                if (done < 0 && errno != EINVAL) return false;
            }
            if (done < 0) {
                if (at_ == size_ && !fill()) return false;
                const std::size_t part = size < size_ - at_ ? static_cast<std::size_t>(size) : size_ - at_;
                done = ::pwrite(file, buffer_ + at_, part, at);
                if (done <= 0) return false;
                at_ += static_cast<std::size_t>(done);
                at += done;
            }
            size -= static_cast<std::uint64_t>(done);
        }
        return true;
    }
    static bool bad() {
        errno = EBADMSG;
        return false;
    }

private:
    static constexpr std::size_t kMost = std::size_t{1} << 30;
    static bool lost() {
        errno = EPIPE;
        return false;
    }
    bool fill() {
        at_ = size_ = 0;
        ssize_t got = -1;
        do {
            got = ::read(0, buffer_, sizeof buffer_);
        } while (got < 0 && errno == EINTR);
        if (got == 0) return lost();
        if (got < 0) return false;
        size_ = static_cast<std::size_t>(got);
        return true;
    }
    char buffer_[kStreamBytes];
    std::size_t at_ = 0, size_ = 0;
};

bool is_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
}

/// Names are of the working directory, which is the one that is being filled.
class Receiver {
public:
    bool run() {
        char magic[kMagicBytes];
        if (!in_.bytes(magic, sizeof magic)) return false;
        if (::memcmp(magic, kMagic, sizeof magic) != 0) return In::bad();
        root_ = ::open(kTreePath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (root_ < 0) return false;
        for (Kind kind{};;) {
            if (!in_.number(kind)) return false;
            if (kind == Kind::end) return open_.empty() || In::bad();
            if (!take(kind)) return false;
        }
    }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    struct Open {
        int fd;
        std::size_t path_bytes;  ///< of the parent's path
        Meta meta;
    };

    bool take(Kind kind) {
        if (kind == Kind::leave) return leave();
        std::string name;
        if (!in_.text(name, kMaxName)) return false;
        if (kind == Kind::directory) return enter(name);
        if (open_.empty() || !is_name(name)) return In::bad();
        const std::size_t length = path_.size();
        path_ += '/' + name;
        if (!make(kind, name)) return false;
        path_.resize(length);
        return true;
    }
    bool make(Kind kind, const std::string& name) {
        if (kind == Kind::file) return file(name);
        if (kind == Kind::symlink) return symlink(name);
        if (kind == Kind::node) return node(name);
        return kind == Kind::link ? link(name) : In::bad();
    }
    bool read_meta(Meta& out) {
        std::uint32_t mode = 0, count = 0;
        if (!in_.number(mode) || !in_.number(out.uid) || !in_.number(out.gid) || !in_.number(out.seconds) ||
            !in_.number(out.nanoseconds) || !in_.number(count))
            return false;
        if (count > kMaxAttributes) return In::bad();
        out.mode = mode;
        out.attributes.resize(count);
        for (auto& one : out.attributes) {
            if (!in_.text(one.name, kMaxName) || !in_.text(one.value, kMaxAttribute)) return false;
        }
        return true;
    }
    struct Times {
        explicit Times(const Meta& meta)
            : both{{0, UTIME_OMIT},
                   {static_cast<time_t>(meta.seconds), static_cast<long>(meta.nanoseconds)}} {}
        timespec both[2];
    };
    /// For an open file or directory that was just made: what it is already is not said again, as most of it
    /// is. The order counts: chown(2) takes privileges away, an ACL changes the mode, and any change the
    /// time.
    static bool apply(int fd, const Meta& meta) {
        struct stat st{};
        if (::fstat(fd, &st) != 0) return false;
        const bool owned = st.st_uid == meta.uid && st.st_gid == meta.gid;
        if (!owned && ::fchown(fd, meta.uid, meta.gid) != 0) return false;
        for (const auto& one : meta.attributes) {
            if (::fsetxattr(fd, one.name.c_str(), one.value.data(), one.value.size(), 0) != 0) return false;
        }
        const bool moded = owned && meta.attributes.empty() && ((st.st_mode ^ meta.mode) & 07777) == 0;
        if (!moded && ::fchmod(fd, meta.mode & 07777) != 0) return false;
        return ::futimens(fd, Times(meta).both) == 0;
    }
    /// For what is not to be opened.
    static bool apply(const char* name, const Meta& meta) {
        if (::lchown(name, meta.uid, meta.gid) != 0) return false;
        for (const auto& one : meta.attributes) {
            if (::lsetxattr(name, one.name.c_str(), one.value.data(), one.value.size(), 0) != 0) return false;
        }
        if (!S_ISLNK(meta.mode) && ::chmod(name, meta.mode & 07777) != 0) return false;
        return ::utimensat(AT_FDCWD, name, Times(meta).both, AT_SYMLINK_NOFOLLOW) == 0;
    }

    bool enter(const std::string& name) {
        Open next{-1, path_.size(), {}};
        const bool root = open_.empty();
        if (root ? root_done_ || !name.empty() : !is_name(name)) return In::bad();
        if (open_.size() >= kMaxNesting) return In::bad();
        if (!root) path_ += '/' + name;
        if (!read_meta(next.meta)) return false;
        if (root) {
            next.fd = root_;
        } else {
            // An instance's "rootfs" is there already.
            if (::mkdir(name.c_str(), 0700) != 0 && errno != EEXIST) return false;
            next.fd = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (next.fd < 0 || ::fchdir(next.fd) != 0) return false;
        open_.push_back(static_cast<Open&&>(next));
        return true;
    }
    bool leave() {
        if (open_.empty()) return In::bad();
        const Open& done = open_.back();
        if (!apply(done.fd, done.meta)) return false;
        if (done.fd != root_) ::close(done.fd);
        path_.resize(done.path_bytes);
        open_.pop_back();
        root_done_ = open_.empty();
        return root_done_ || ::fchdir(open_.back().fd) == 0;
    }
    bool file(const std::string& name) {
        Meta meta;
        std::uint64_t number = 0, size = 0;
        if (!read_meta(meta) || !in_.number(number) || !in_.number(size)) return false;
        if (number != 0) {
            if (number != linked_.size() + 1) return In::bad();
            linked_.push_back(path_.substr(1));
        }
        const int fd = create(name.c_str(), meta.mode);
        if (fd < 0) return false;
        std::uint64_t end = 0;
        const bool good = parts(fd, size, end) &&
                          (end == size || ::ftruncate(fd, static_cast<off_t>(size)) == 0) && apply(fd, meta);
        const int error = errno;
        if (good && size >= kWrittenEarly) ::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);  // a wish
        ::close(fd);
        errno = error;
        return good;
    }
    static int create(const char* name, mode_t mode) {
        constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        const int fd = ::open(name, kNew, mode & 0777);
        // An instance has a metadata.yaml already.
        return fd >= 0 || errno != EEXIST || ::unlink(name) != 0 ? fd : ::open(name, kNew, mode & 0777);
    }
    /// @param end  of what there is of it
    bool parts(int fd, std::uint64_t size, std::uint64_t& end) {
        for (;;) {
            std::uint64_t at = 0, length = 0;
            if (!in_.number(at) || !in_.number(length)) return false;
            if (length == 0) return true;
            if (at > size || length > size - at) return In::bad();
            if (!in_.content(fd, static_cast<off_t>(at), length)) return false;
            if (at + length > end) end = at + length;
        }
    }
    bool symlink(const std::string& name) {
        Meta meta;
        std::string target;
        if (!read_meta(meta) || !in_.text(target, kMaxTarget)) return false;
        return ::symlink(target.c_str(), name.c_str()) == 0 && apply(name.c_str(), meta);
    }
    bool node(const std::string& name) {
        Meta meta;
        std::uint64_t device = 0;
        if (!read_meta(meta) || !in_.number(device)) return false;
        if (!S_ISCHR(meta.mode) && !S_ISBLK(meta.mode) && !S_ISFIFO(meta.mode) && !S_ISSOCK(meta.mode))
            return In::bad();
        return ::mknod(name.c_str(), (meta.mode & S_IFMT) | 0600, device) == 0 && apply(name.c_str(), meta);
    }
    bool link(const std::string& name) {
        std::uint64_t number = 0;
        if (!in_.number(number)) return false;
        if (number == 0 || number > linked_.size()) return In::bad();
        return ::linkat(root_, linked_[number - 1].c_str(), AT_FDCWD, name.c_str(), 0) == 0;
    }

    In in_;
    int root_ = -1;
    bool root_done_ = false;
    std::string path_;
    std::vector<Open> open_;
    std::vector<std::string> linked_;  ///< paths of files that have links, by number
};

}  // namespace

int receive_whole() {
    want_descriptors();
    static Receiver receiver;
    if (receiver.run()) return 0;
    if (errno == EPIPE) return kPeerLost;
    complain("receiving", receiver.path());
    return 1;
}

}  // namespace lxmgr::rsync
