#pragma once
#include <memory>
#include <string>

#include "images/byte_source.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::images {

/// A file of the daemon, from its beginning to its end.
class FileBytes final : public ByteSource {
public:
    /// A symlink is not followed.
    static Result<FileBytes> open(const std::string& path);
    Result<std::string_view> next(const std::stop_token& stop) override;
    [[nodiscard]] std::uint64_t size_bytes() const override { return size_bytes_; }
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    FileBytes(UniqueFd fd, std::string path, std::uint64_t size_bytes);

    UniqueFd fd_;
    std::string path_;
    std::uint64_t size_bytes_;
    std::unique_ptr<char[]> buffer_;  ///< made by the first next()
};

}  // namespace lxmgr::images
