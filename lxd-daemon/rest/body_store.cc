#include "lxd-daemon/rest/body_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "images/write_all.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

constexpr std::uint64_t kWriteback = std::uint64_t{8} << 20;

}  // namespace

Result<std::unique_ptr<BodyStore>> BodyStore::open(BodyDirectory directory, std::string_view content_type,
                                                   bool split_parts, UniqueFd place) {
    auto store = std::unique_ptr<BodyStore>(new BodyStore(std::move(directory)));
    if (place) {
        store->files_.push_back(std::make_shared<BodyFile>());
        store->files_.back()->fd = std::move(place);
        return store;
    }
    if (split_parts) {
        LX_TRY_AS(auto hash, images::TrailingHash::open());
        store->hash_ = std::make_shared<images::TrailingHash>(std::move(hash));
    }
    if (!split_parts || !to_lower(content_type).starts_with("multipart/form-data")) {
        LX_TRY(store->begin_file("", ""));
        return store;
    }
    LX_TRY_AS(const auto boundary, api::multipart_boundary(content_type));
    api::MultipartParser::Sink sink;
    sink.begin = [self = store.get()](std::string name, std::string filename) {
        return self->begin_file(std::move(name), std::move(filename));
    };
    sink.data = [self = store.get()](std::string_view bytes) { return self->append(bytes); };
    sink.end = [] { return Result<>{}; };
    store->parser_ = std::make_unique<api::MultipartParser>(boundary, std::move(sink));
    return store;
}

Result<> BodyStore::begin_file(std::string part_name, std::string filename) {
    auto file = std::make_shared<BodyFile>();
    std::string path = fmt::format("{}/upload-{}", directory_.path, random_hex(12));
    file->fd.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file->fd) return fail_errno("Creating", path);
    file->path = std::move(path);
    if (hash_) LX_TRY(hash_->begin_file(file->fd.get(), file->path));
    file->held = directory_.held;
    file->part_name = std::move(part_name);
    file->filename = std::move(filename);
    files_.push_back(std::move(file));
    return {};
}

Result<> BodyStore::append(std::string_view bytes) {
    BodyFile& file = *files_.back();
    // The disk begins while the rest comes: it will be waited for.
    if ((file.size_bytes + bytes.size()) / kWriteback != file.size_bytes / kWriteback)
        ::sync_file_range(file.fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    LX_TRY(images::write_all(file.fd.get(), bytes, file.path));
    wrote(bytes.size());
    return {};
}

void BodyStore::wrote(std::uint64_t bytes) {
    files_.back()->size_bytes += bytes;
    if (hash_) hash_->wrote(bytes);
}

Result<> BodyStore::write(std::string_view bytes) { return parser_ ? parser_->feed(bytes) : append(bytes); }

Result<> BodyStore::take(images::ByteSource& body) {
    for (;;) {
        while (hash_ && !body.is_ready()) {
            LX_TRY_AS(const bool more, hash_->hash_some());
            if (!more) break;
        }
        LX_TRY_AS(const std::string_view bytes, body.next({}));
        if (bytes.empty()) return {};
        LX_TRY(write(bytes));
    }
}

Result<std::vector<std::shared_ptr<BodyFile>>> BodyStore::finish() {
    if (parser_) LX_TRY(parser_->finish());
    for (const auto& file : files_)
        if (::lseek(file->fd.get(), 0, SEEK_SET) != 0) return fail_errno("lseek", file->path);
    return std::move(files_);
}

}  // namespace lxmgr::rest
