#include "images/backup_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "images/entry_writer.h"
#include "images/image_layout.h"
#include "images/tar_files.h"
#include "images/tar_reader.h"
#include "images/yaml_json.h"
#include "lxd-daemon/base/failpoint.h"

namespace lxmgr::images {
namespace {

constexpr std::string_view kIndex = "backup/index.yaml";
constexpr std::string_view kStreamSuffix = ".bin";
constexpr std::size_t kMaxIndexBytes = std::size_t{16} << 20;

struct Part {
    std::string prefix;
    EntryWriter writer;
    std::function<void(Entry&)> adapt;
    std::string only_file;
    bool found = false;
};

class Unpacker {
public:
    Unpacker(TarReader& tar, Budget& budget, std::string metadata_prefix)
        : tar_(tar), budget_(budget), metadata_prefix_(std::move(metadata_prefix)) {}

    void add(const BackupPart& part) {
        parts_.push_back({part.prefix, EntryWriter(part.root_fd, budget_), part.adapt, part.only_file});
    }
    Result<> take(Entry entry) {
        for (auto& part : parts_) {
            if (!part.only_file.empty()) {
                if (is_content(part, entry)) return unpack_content(part, std::move(entry));
                continue;
            }
            std::string inside = entry.path;
            if (!strip_prefix(inside, part.prefix)) continue;
            part.found = true;
            entry.path = std::move(inside);
            return unpack(part, std::move(entry));
        }
        if (metadata_prefix_.empty() || !strip_prefix(entry.path, metadata_prefix_)) return {};
        return take_metadata(std::move(entry));
    }
    Result<Metadata> finish() {
        LX_TRY(files_of_trees_.finish());
        for (auto& part : parts_) {
            if (!part.found)
                return fail(Status::bad_request, fmt::format("The backup has no '{}'", part.prefix));
            LX_TRY(part.writer.finish());
        }
        Metadata out;
        if (!yaml_.empty()) {
            LX_TRY_AS(out, parse_metadata(yaml_));
        }
        for (auto& [target, rule] : out.templates) {
            if (!files_.contains(rule.source))
                return fail(Status::bad_request,
                            fmt::format("The backup lacks the template {}", shown(rule.source)));
        }
        out.files = std::move(files_);
        return out;
    }

private:
    Result<> unpack(Part& part, Entry entry) {
        if (entry.type == EntryType::hard_link && !strip_prefix(entry.link_target, part.prefix))
            return refuse(entry.path, "is a hard link out of its tree");
        if (part.adapt) part.adapt(entry);
        LX_TRY_AS(std::optional<FileWriter> file, part.writer.add(std::move(entry)));
        return file ? files_of_trees_.add(*std::move(file), tar_) : Result<>();
    }
    static bool is_content(const Part& part, const Entry& entry) {
        return entry.path == part.prefix + ".img" || entry.path == part.prefix + "/" + part.only_file;
    }
    /// Of a block volume, whatever owner and mode it is said to have.
    Result<> unpack_content(Part& part, Entry entry) {
        if (entry.type != EntryType::file) return refuse(entry.path, "is no file");
        if (std::exchange(part.found, true)) return refuse(entry.path, "is there twice");
        entry.path = part.only_file;
        entry.uid = entry.gid = 0;
        entry.mode = 0600;
        entry.xattrs.clear();
        LX_TRY_AS(std::optional<FileWriter> file, part.writer.add(std::move(entry)));
        if (!file) return {};
        // LXD writes what was never written, too: a disk of zeros takes no room here.
        const auto write = [&](std::uint64_t offset, const char* data, std::size_t size) -> Result<> {
            constexpr std::size_t kPage = 4096;
            for (std::size_t at = 0; at < size; at += kPage) {
                const std::string_view page(data + at, std::min(kPage, size - at));
                const bool empty = page.find_first_not_of('\0') == std::string_view::npos;
                LX_TRY(empty ? file->skip() : file->write(offset + at, page.data(), page.size()));
            }
            return {};
        };
        LX_TRY(tar_.read(write));
        return file->finish();
    }
    Result<> take_metadata(Entry entry) {
        if (entry.path == kMetadataName) {
            LX_TRY_AS(yaml_, tar_.read_text(std::size_t{1} << 20));
            return {};
        }
        if (!strip_prefix(entry.path, kTemplatesName)) return {};
        LX_TRY_AS(const bool file, check_template(entry));
        if (!file) return {};
        LX_TRY_AS(std::string text, tar_.read_text(kMaxTemplateBytes));
        template_bytes_ += entry.path.size() + text.size();
        if (template_bytes_ > kMaxTemplatesBytes)
            return refuse(entry.path, "is one template too many: all together are too large");
        files_[entry.path] = std::move(text);
        return {};
    }

    TarReader& tar_;
    Budget& budget_;
    std::string metadata_prefix_;
    std::deque<Part> parts_;
    std::string yaml_;
    std::size_t template_bytes_ = 0;
    std::map<std::string, std::string> files_;
    TarFiles files_of_trees_;
};

}  // namespace

Result<nlohmann::json> BackupReader::index() {
    LX_TRY_AS(tar_, TarReader::open(*source_, budget_));
    LX_TRY_AS(const auto entry, tar_->next());
    if (!entry || entry->path != kIndex || entry->type != EntryType::file)
        return fail(Status::bad_request,
                    fmt::format("The file is no backup: it does not begin with {}", kIndex));
    LX_TRY_AS(const std::string text, tar_->read_text(kMaxIndexBytes));
    LX_TRY_AS(auto index, yaml_to_json(text, "The backup's index"));
    if (!index.is_object()) return fail(Status::bad_request, "The backup's index is no map of keys");
    return index;
}

/// What comes behind the archive's end, padding mostly: only then it is known that all has come.
Result<> BackupReader::read_rest() {
    for (;;) {
        LX_TRY_AS(const std::string_view bytes, source_->next(budget_.stop()));
        if (bytes.empty()) return {};
    }
}

Result<Metadata> BackupReader::unpack(const std::vector<BackupPart>& parts,
                                      const std::string& metadata_prefix, const BackupReading& reading) {
    budget_.renew(reading.limits, reading.stop);
    Unpacker unpacker(*tar_, budget_, metadata_prefix);
    for (const auto& part : parts) unpacker.add(part);
    for (;;) {
        LX_TRY_AS(std::optional<Entry> entry, tar_->next());
        if (!entry) break;
        reading.progress(tar_->bytes_read());
        LX_TRY(unpacker.take(*std::move(entry)));
        failpoint("images.backup.entry");
    }
    LX_TRY(read_rest());
    return unpacker.finish();
}

Result<> BackupReader::feed_streams(const std::vector<BackupStream>& streams, const BackupReading& reading) {
    std::set<std::string> read;
    for (;;) {
        LX_TRY_AS(const std::optional<Entry> entry, tar_->next());
        if (!entry) break;
        const auto stream = std::ranges::find(streams, entry->path, &BackupStream::path);
        if (stream == streams.end()) {
            if (entry->path.ends_with(kStreamSuffix))
                return refuse(entry->path,
                              "is a stream of something in the instance that cannot be imported");
            continue;
        }
        if (entry->type != EntryType::file) return refuse(entry->path, "is no file");
        if (!read.insert(entry->path).second) return refuse(entry->path, "is there twice");
        std::uint64_t at = 0;
        const auto fed =
            tar_->read([&](std::uint64_t offset, const char* data, std::size_t size) -> Result<> {
                if (offset != at) return refuse(entry->path, "has holes");
                at += size;
                LX_TRY(budget_.take_bytes(size));
                reading.progress(tar_->bytes_read());
                return stream->feed(std::string_view(data, size));
            });
        LX_TRY(fed);
        failpoint("images.backup.stream");
        LX_TRY(stream->finish());
    }
    for (const auto& stream : streams) {
        if (!read.contains(stream.path))
            return fail(Status::bad_request, fmt::format("The backup has no '{}'", stream.path));
    }
    return {};
}

Result<> BackupReader::streams(const std::vector<BackupStream>& streams, const BackupReading& reading) {
    budget_.renew(reading.limits, reading.stop);
    LX_TRY(feed_streams(streams, reading));
    return read_rest();
}

}  // namespace lxmgr::images
