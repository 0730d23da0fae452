#include "images/compressor.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <thread>

namespace lxmgr::images {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kMaxCompressors = 8;
// A third of the time of gzip's default (6) for some more bytes: the image is mostly read here again.
constexpr int kGzipLevel = 3;
constexpr int kZstdLevel = 3;
constexpr std::uint32_t kXzPreset = 6;

std::unexpected<Error> compress_failed(std::string_view what) {
    return fail(Status::internal, std::string(what) + " failed to compress");
}

Result<std::string> gzip(const std::string& block) {
    z_stream stream{};
    constexpr int kGzipHeader = 16;
    if (deflateInit2(&stream, kGzipLevel, Z_DEFLATED, MAX_WBITS + kGzipHeader, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return compress_failed("zlib");
    std::string out(deflateBound(&stream, static_cast<uLong>(block.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(block.data()));
    stream.avail_in = static_cast<uInt>(block.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    const int done = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return done == Z_STREAM_END ? Result<std::string>(std::move(out)) : compress_failed("zlib");
}

Result<std::string> zstd(const std::string& block) {
    std::string out(ZSTD_compressBound(block.size()), '\0');
    const std::size_t n = ZSTD_compress(out.data(), out.size(), block.data(), block.size(), kZstdLevel);
    if (ZSTD_isError(n) != 0) return compress_failed("zstd");
    out.resize(n);
    return out;
}

Result<std::string> xz(const std::string& block) {
    std::string out(lzma_stream_buffer_bound(block.size()), '\0');
    std::size_t used = 0;
    const auto done = lzma_easy_buffer_encode(
        kXzPreset, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const std::uint8_t*>(block.data()),
        block.size(), reinterpret_cast<std::uint8_t*>(out.data()), &used, out.size());
    if (done != LZMA_OK) return compress_failed("xz");
    out.resize(used);
    return out;
}

Result<std::string> compress(Compression compression, const std::string& block) {
    switch (compression) {
        case Compression::gzip:
            return gzip(block);
        case Compression::zstd:
            return zstd(block);
        case Compression::xz:
            return xz(block);
        case Compression::none:
            break;
    }
    return block;
}

}  // namespace

Compressor::Compressor(Compression compression, ByteSink out)
    : compression_(compression),
      out_(std::move(out)),
      threads_(std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMaxCompressors)),
      block_bytes_(compression == Compression::xz ? 4 * kMiB : kMiB) {}

Compressor::~Compressor() {
    for (auto& block : running_) block.wait();
}

Result<> Compressor::add(std::string_view bytes) {
    if (compression_ == Compression::none) return out_(bytes);
    while (!bytes.empty()) {
        const std::size_t n = std::min(bytes.size(), block_bytes_ - block_.size());
        block_.append(bytes.substr(0, n));
        bytes.remove_prefix(n);
        if (block_.size() == block_bytes_) LX_TRY(submit());
    }
    return {};
}

Result<> Compressor::submit() {
    if (running_.size() >= threads_) LX_TRY(take_oldest());
    running_.push_back(std::async(
        std::launch::async,
        [compression = compression_, block = std::move(block_)] { return compress(compression, block); }));
    block_ = {};
    return {};
}

Result<> Compressor::take_oldest() {
    auto done = running_.front().get();
    running_.pop_front();
    LX_TRY_AS(const std::string bytes, std::move(done));
    return out_(bytes);
}

Result<> Compressor::finish() {
    if (!block_.empty()) LX_TRY(submit());
    while (!running_.empty()) LX_TRY(take_oldest());
    return {};
}

}  // namespace lxmgr::images
