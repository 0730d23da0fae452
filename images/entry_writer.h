#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "images/entry.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::images {

/// One created file that waits for its content. May be used on another thread than its EntryWriter's, and
/// after it.
class FileWriter {
public:
    FileWriter(UniqueFd fd, Entry entry, Budget& budget)
        : fd_(std::move(fd)), entry_(std::move(entry)), budget_(&budget) {}
    const Entry& entry() const { return entry_; }
    /// Writes at an offset; what is never written stays a hole.
    Result<> write(std::uint64_t offset, const char* data, std::size_t size);
    /// For a block that stays a hole: a list of nothing but holes has to end, too.
    Result<> skip() const { return budget_->check_stop(); }
    /// Sets size, owner, mode, extended attributes and time, in the order in which none undoes another.
    Result<> finish();

private:
    UniqueFd fd_;
    Entry entry_;
    Budget* budget_;
    std::uint64_t end_ = 0;
};

/// Creates entries beneath one directory and nowhere else, whatever their names and order: every parent is
/// opened with openat2(2) RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS (Linux 5.6), the last name is never followed,
/// a hard link can only point at something inside. Extended attributes of symlinks, FIFOs and devices are
/// left out. A later entry of the same name replaces a non-directory; nothing replaces a directory.
class EntryWriter {
public:
    /// @param root_fd  an empty directory; stays owned by the caller and must outlive this
    EntryWriter(int root_fd, Budget& budget) : root_fd_(root_fd), budget_(budget) {}

    /// Creates the entry. A file's content goes to the returned writer; all else is complete, except that
    /// directories get their attributes in finish(). Errors: `bad_request` for what the image got wrong.
    Result<std::optional<FileWriter>> add(Entry entry);
    /// To be called after all files are finished: attributes of directories, innermost first.
    Result<> finish();
    /// Entries that were left out, as admit() says or because this file system cannot hold them.
    std::uint64_t skipped() const { return skipped_; }

private:
    Result<int> parent_fd(std::string_view path);
    Result<UniqueFd> open_directory(std::string_view directory, std::string_view entry, int flags) const;
    Result<> make_parent(std::string_view directory);
    /// Runs `create` (0 or -1 with errno) for the entry; what is in its way is removed unless it is a
    /// directory.
    template <typename Create>
    Result<> create(const Entry& entry, Create create);
    Result<> add_directory(Entry entry);
    Result<> add_link(const Entry& entry);
    Result<> add_symlink(const Entry& entry);
    Result<> add_node(const Entry& entry, mode_t type);
    /// False where nobody can make it: an overlay mount takes no whiteouts, a user namespace no devices.
    Result<bool> add_device(const Entry& entry);
    Result<FileWriter> add_file(Entry entry);
    Result<> remember_directory(Entry entry);

    Result<std::optional<FileWriter>> leave_out(Entry entry);

    struct Attributes {
        std::uint32_t uid, gid;
        mode_t mode;
        timespec mtime;
        std::vector<Xattr> xattrs;
    };
    int root_fd_;
    Budget& budget_;
    std::uint64_t skipped_ = 0;
    std::set<std::string> skipped_paths_;
    std::map<std::string, Attributes> directories_;  ///< sorted, so that reverse order is innermost first
    std::map<std::string, UniqueFd, std::less<>> open_parents_;
};

/// The same rules without a file system: for an upload that is only looked at.
class EntryChecker {
public:
    explicit EntryChecker(Budget& budget) : budget_(budget) {}
    Result<> add(const Entry& entry);
    /// Entries below the root that would be unpacked.
    std::uint64_t accepted() const { return accepted_; }

private:
    Budget& budget_;
    std::uint64_t accepted_ = 0;
    std::unordered_set<std::size_t> symlinks_;  ///< hashes of the paths of symlinks
};

}  // namespace lxmgr::images
