#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "storage/driver.h"
#include "storage/rubbish.h"

namespace lxmgr::storage {

/// A volume under construction: a directory of mode 0100 in the pool's tmp/, rubbish unless it is published.
class Draft {
public:
    Draft(Rubbish& rubbish, std::string name, UniqueFd fd)
        : rubbish_(&rubbish), name_(std::move(name)), fd_(std::move(fd)) {}
    Draft(Draft&& other) noexcept
        : rubbish_(std::exchange(other.rubbish_, nullptr)),
          name_(std::move(other.name_)),
          fd_(std::move(other.fd_)) {}
    Draft& operator=(Draft&&) = delete;
    ~Draft() {
        if (rubbish_ != nullptr) rubbish_->remove(name_);
    }
    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] const std::string& name() const { return name_; }
    void published() noexcept { rubbish_ = nullptr; }

private:
    Rubbish* rubbish_;
    std::string name_;
    UniqueFd fd_;
};

/// The directories of a pool on a plain file system, and the two moves by which volumes come and go whole:
///   ROOT/{containers,images,custom,snapshots}/NAME   volumes
///   ROOT/layers/ID                         trees that several volumes stand on (overlay)
///   ROOT/tmp/                              what is being made or removed; recover() empties it
/// ROOT is PoolConfig.path, or the user's `source`, which then holds a file naming its owner. Thread-safe
/// after open().
class PoolDirectory {
public:
    /// Checks `source`. Errors: `bad_request`.
    static Result<> check(const PoolConfig& config);
    explicit PoolDirectory(PoolConfig config, const DirectoryMaker& maker = plain_directories())
        : config_(std::move(config)), maker_(maker), rubbish_(maker) {}

    /// `bad_request` when `source` is missing, not root's, not empty, or another pool's.
    Result<> open();
    Result<> remove();
    Result<> recover();
    void drain() { rubbish_.drain(); }
    /// Errors: `bad_request` naming a volume that is left.
    Result<> require_empty() const;
    /// Lets go of the pool's file system, once nothing is being removed; only open() may follow.
    void close();

    /// The directory that holds the volumes of a type.
    [[nodiscard]] int fd(VolumeType type) const;
    [[nodiscard]] int layers_fd() const { return layers_.get(); }
    /// `conflict` when there is a volume of that name.
    Result<> require_absent(const Volume& volume) const;
    [[nodiscard]] const std::string& pool_name() const { return config_.name; }

    /// O_PATH of a volume's directory. Errors: `not_found`.
    Result<UniqueFd> open_volume(const Volume& volume) const;
    Result<std::vector<std::string>> list(int dir_fd) const;
    Result<PoolSpace> space() const;

    Result<Draft> begin();
    /// A draft that `create` makes as a directory of that name.
    Result<Draft> begin_from(const std::function<Result<>(int tmp_fd, const std::string& name)>& create);
    /// Moves a finished draft to its place, durably. Errors: `conflict` when the name is taken.
    Result<> publish(Draft& draft, int dir_fd, const std::string& name);
    /// Swaps a finished draft with the directory of that name, which becomes rubbish.
    Result<> replace(Draft& draft, int dir_fd, const std::string& name);
    /// Errors: `not_found`; `conflict` when the new name is taken.
    Result<> rename(const Volume& volume, const std::string& new_name);
    /// Exchanges two volumes, durably. Errors: `not_found`.
    Result<> swap(const Volume& a, const Volume& b);
    /// Moves a directory out of sight and removes it. An absent one is success.
    Result<> discard(int dir_fd, const std::string& name);

private:
    [[nodiscard]] std::string root() const;
    Result<> move(int from_fd, const std::string& from, int to_fd, const std::string& to);
    Result<> claim_source() const;
    Result<> open_directory(UniqueFd& fd, const char* name);
    Result<> sync(int dir_fd) const;

    PoolConfig config_;
    const DirectoryMaker& maker_;
    UniqueFd root_, containers_, images_, custom_, snapshots_, layers_, tmp_;
    bool ordered_journal_ = false;  ///< metadata reaches the disk in the order it was changed
    Rubbish rubbish_;               ///< last: its thread uses tmp_
};

std::string describe(const Volume& volume);

}  // namespace lxmgr::storage
