#pragma once
#include <deque>
#include <functional>
#include <future>
#include <string>
#include <string_view>

#include "images/tar_writer.h"

namespace lxmgr::images {

/// Compresses a stream on all cores: block by block, each a whole member (gzip), frame (zstd) or stream (xz),
/// which these formats let stand one after the other (RFC 1952, RFC 8878, xz(1)). Memory is a few blocks. One
/// thread.
class Compressor {
public:
    Compressor(Compression compression, ByteSink out);
    Compressor(Compressor&&) = delete;
    ~Compressor();
    Result<> add(std::string_view bytes);
    Result<> finish();

private:
    Result<> submit();
    Result<> take_oldest();

    Compression compression_;
    ByteSink out_;
    std::size_t threads_;
    std::size_t block_bytes_;
    std::string block_;
    std::deque<std::future<Result<std::string>>> running_;
};

}  // namespace lxmgr::images
