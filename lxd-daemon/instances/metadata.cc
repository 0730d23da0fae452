#include "lxd-daemon/instances/metadata.h"

#include <fmt/format.h>

#include "images/metadata_json.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxTemplateBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxFiles = 1000;

Result<> store_metadata(Context& context, const std::string& name, const images::Metadata& metadata) {
    auto& database = context.deps.database;
    return database.transaction([&]() -> Result<> {
        LX_TRY_AS(const auto id, database.metadata_sets().add(images::encode_metadata(metadata)));
        LX_TRY(context.rows().set_metadata(name, id));
        return {};
    });
}

}  // namespace

std::shared_ptr<const images::Metadata> MetadataCache::find(std::int64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = sets_.find(id);
    return found == sets_.end() ? nullptr : found->second;
}

void MetadataCache::keep(std::int64_t id, std::shared_ptr<const images::Metadata> metadata) {
    const std::lock_guard lock(mutex_);
    if (sets_.size() >= kMost) sets_.clear();
    sets_[id] = std::move(metadata);
}

Result<std::shared_ptr<const images::Metadata>> metadata_of(Context& context,
                                                            const database::InstanceRecord& record) {
    if (record.metadata_id == 0) {
        auto none = std::make_shared<images::Metadata>();
        none->architecture = record.architecture;
        return none;
    }
    if (auto known = context.metadata_cache.find(record.metadata_id)) return known;
    LX_TRY_AS(const std::string text, context.deps.database.metadata_sets().find(record.metadata_id));
    LX_TRY_AS(auto metadata, images::decode_metadata(text));
    auto kept = std::make_shared<const images::Metadata>(std::move(metadata));
    context.metadata_cache.keep(record.metadata_id, kept);
    return kept;
}

Result<> replace_metadata(Context& context, const std::string& name, images::Metadata metadata) {
    LX_TRY_AS(const auto record, require(context, name));
    LX_TRY_AS(const auto current, metadata_of(context, *record));
    metadata.files = current->files;
    return store_metadata(context, name, metadata);
}

Result<> change_template(Context& context, const std::string& name, const std::string& file,
                         std::optional<std::string> content) {
    if (!images::is_template_name(file))
        return fail(Status::bad_request, "A template's path is the name of a file, without '/'");
    LX_TRY_AS(const auto record, require(context, name));
    LX_TRY_AS(const auto current, metadata_of(context, *record));
    images::Metadata next = *current;
    if (!content) {
        if (next.files.erase(file) == 0)
            return fail(Status::not_found, fmt::format("Instance '{}' has no template '{}'", name, file));
        return store_metadata(context, name, next);
    }
    if (content->size() > kMaxTemplateBytes || !is_utf8(*content))
        return fail(Status::bad_request, fmt::format("Template '{}' must be text of at most 1 MiB", file));
    next.files[file] = *std::move(content);
    if (next.files.size() > kMaxFiles)
        return fail(Status::bad_request, fmt::format("Instance '{}' has too many templates", name));
    return store_metadata(context, name, next);
}

}  // namespace lxmgr::instances
