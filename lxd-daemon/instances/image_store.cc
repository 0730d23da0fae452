#include "lxd-daemon/instances/image_store.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "images/metadata_json.h"
#include "lxd-daemon/api/project_keys.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kDeleteIntent = "delete-image";
constexpr std::string_view kRootfsSuffix = ".rootfs";

std::unexpected<Error> image_exists() {
    return fail(Status::bad_request, "Image with same fingerprint already exists");
}

Result<> remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("Removing", path);
    return {};
}

Result<> check_architecture(const ImageUpload& upload, const std::string& found) {
    if (upload.expected_architecture.empty() || upload.expected_architecture == found) return {};
    return fail(Status::bad_request,
                fmt::format("Image is for {}, expected {}", found, upload.expected_architecture));
}

database::ImageRecord image_record_of(const ImageUpload& upload, const images::ImportedImage& imported) {
    database::ImageRecord out;
    out.fingerprint = imported.fingerprint;
    out.filename = upload.filename;
    out.architecture = imported.metadata.architecture;
    out.size_bytes = imported.size_bytes;
    out.is_public = upload.is_public;
    out.cached = upload.cached;
    out.auto_update = upload.auto_update;
    out.source = upload.source;
    out.properties = upload.properties;
    out.properties.insert(imported.metadata.properties.begin(), imported.metadata.properties.end());
    out.profiles = upload.profiles;
    out.projects = upload.projects;
    out.created_at = imported.metadata.creation_date;
    out.expires_at = upload.expires_at == Time{} ? imported.metadata.expiry_date : upload.expires_at;
    out.uploaded_at = now();
    out.split = !imported.files.rootfs_path.empty();
    return out;
}

Result<std::vector<std::string>> names_in(const std::string& directory) {
    struct Close {
        void operator()(DIR* dir) const { ::closedir(dir); }
    };
    const std::unique_ptr<DIR, Close> dir(::opendir(directory.c_str()));
    if (!dir) return fail_errno("Opening", directory);
    std::vector<std::string> out;
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") out.push_back(name);
        errno = 0;
    }
    if (errno != 0) return fail_errno("Reading", directory);
    return out;
}

/// What is said of an image is one for all projects that have it: what "default" says, else only what all
/// agree on. What a project wants beyond that is refused.
Result<> agree(database::ImageRecord& row, const database::ImageRecord& wanted) {
    const bool cached = row.cached && wanted.cached, same_source = row.source == wanted.source;
    const std::string owner(api::kDefaultProject);
    if (database::is_visible(wanted, owner)) {
        row.is_public = wanted.is_public;
        row.auto_update = wanted.auto_update;
        row.source = wanted.source;
        row.properties = wanted.properties;
        row.profiles = wanted.profiles;
        row.expires_at = wanted.expires_at;
    } else {
        const bool updates = row.auto_update && same_source;
        if (!wanted.cached && ((wanted.is_public && !row.is_public) || (wanted.auto_update && !updates)))
            return shared_image();
        if (!database::is_visible(row, owner)) {
            row.is_public = row.is_public && wanted.is_public;
            row.auto_update = updates && wanted.auto_update;
            if (!same_source) row.source.reset();
        }
    }
    row.cached = cached;
    return {};
}

}  // namespace

std::unexpected<Error> shared_image() {
    return fail(
        Status::forbidden,
        "Other projects have this image, too: one of them cannot publish it, let it be updated or give "
        "it properties");
}

Result<> check_image_properties(const api::ConfigMap& properties) {
    api::ConfigMap keys;
    for (const auto& [key, value] : properties) keys.emplace("image." + key, value);
    return profiles::validate_instance_config(keys, false);
}

std::vector<database::AliasRecord> image_aliases(const std::string& project,
                                                 const std::vector<api::AliasOfImage>& asked) {
    std::vector<database::AliasRecord> out;
    for (const auto& alias : asked)
        out.push_back({0, api::alias_key(project, alias.name), alias.description, "", "container"});
    return out;
}

Result<> create_image_aliases(database::Database& database, std::vector<database::AliasRecord> aliases,
                              const std::string& fingerprint) {
    for (auto& alias : aliases) {
        alias.target = fingerprint;
        LX_TRY(database.images().create_alias(std::move(alias)));
    }
    return {};
}

images::ImageFiles ImageStore::files_of(const database::ImageRecord& record) const {
    images::ImageFiles out{fmt::format("{}/{}", directory(), record.fingerprint), ""};
    if (record.split) out.rootfs_path = out.metadata_path + std::string(kRootfsSuffix);
    return out;
}

Result<> ImageStore::remove_remains(const std::string& fingerprint) {
    LX_TRY(pools_.remove_image(fingerprint));
    const std::string path = fmt::format("{}/{}", directory(), fingerprint);
    LX_TRY(remove_file(path));
    failpoint("image-delete-between-files");
    LX_TRY(remove_file(path + std::string(kRootfsSuffix)));
    // Without its volume the files stay: swept when that is there again.
    return place_->trouble().empty() ? sync_directory(directory()) : Result<>{};
}

Result<database::ImagePtr> ImageStore::import(const ImageUpload& upload, std::stop_token stop) {
    LX_TRY(check_image_properties(upload.properties));
    const std::lock_guard lock(pools_.image_files_mutex());
    LX_TRY_AS(const auto imported, images::import_upload(upload.files, upload.hash, directory(), stop));
    return add_row(upload, imported);
}

Result<database::ImagePtr> ImageStore::keep(const ImageUpload& upload, images::ImportedImage made) {
    LX_TRY(check_image_properties(upload.properties));
    const std::lock_guard lock(pools_.image_files_mutex());
    LX_TRY_AS(made.files, images::keep_files(made.files, made.fingerprint, directory()));
    return add_row(upload, made);
}

Result<database::ImagePtr> ImageStore::add_row(const ImageUpload& upload,
                                               const images::ImportedImage& imported) {
    // The same files, then: what is in the store is as good as before.
    if (const auto here = database_.images().find(imported.fingerprint))
        return share(*here, upload, imported);
    failpoint("image-import-before-row");
    auto stored = store_row(upload, imported);
    if (stored) return stored;
    if (auto removed = remove_remains(imported.fingerprint); !removed) {
        log::warn("files of a refused image left behind", {{"error", removed.error().message}});
    }
    return stored;
}

/// Another project's, too, from now on: it has shown that it has the files.
Result<database::ImagePtr> ImageStore::share(const database::ImageRecord& here, const ImageUpload& upload,
                                             const images::ImportedImage& imported) {
    const std::string& expected = upload.expected_fingerprint;
    if (!expected.empty() && expected != here.fingerprint) {
        return fail(Status::bad_request,
                    fmt::format("Image has fingerprint {}, expected {}", here.fingerprint, expected));
    }
    const auto has_it = [&](const std::string& project) { return database::is_visible(here, project); };
    if (std::ranges::all_of(upload.projects, has_it)) return image_exists();
    database::ImageRecord next = here;
    const database::ImageRecord wanted = image_record_of(upload, imported);
    LX_TRY(check_image_properties(wanted.properties));
    LX_TRY(agree(next, wanted));
    database::ImagePtr shared;
    auto done = database_.transaction([&]() -> Result<> {
        for (const auto& project : upload.projects)
            LX_TRY(database_.images().add_project(here.fingerprint, project));
        LX_TRY_AS(shared, database_.images().update(next));
        return create_image_aliases(database_, upload.aliases, here.fingerprint);
    });
    LX_TRY(std::move(done));
    return shared;
}

Result<database::ImagePtr> ImageStore::store_row(const ImageUpload& upload,
                                                 const images::ImportedImage& imported) {
    const std::string& expected = upload.expected_fingerprint;
    if (!expected.empty() && expected != imported.fingerprint) {
        return fail(Status::bad_request,
                    fmt::format("Image has fingerprint {}, expected {}", imported.fingerprint, expected));
    }
    LX_TRY(check_architecture(upload, imported.metadata.architecture));
    database::ImageRecord record = image_record_of(upload, imported);
    LX_TRY(check_image_properties(record.properties));
    database::ImagePtr stored;
    auto done = database_.transaction([&]() -> Result<> {
        LX_TRY_AS(record.metadata_id,
                  database_.metadata_sets().add(images::encode_metadata(imported.metadata)));
        LX_TRY_AS(stored, database_.images().create(record));
        return create_image_aliases(database_, upload.aliases, record.fingerprint);
    });
    LX_TRY(std::move(done));
    return stored;
}

Result<> ImageStore::remove(const std::string& fingerprint) {
    const std::lock_guard lock(pools_.image_files_mutex());
    return remove_locked(fingerprint);
}

Result<> ImageStore::remove_locked(const std::string& fingerprint) {
    std::int64_t intent = 0;
    // One commit: the image is gone for clients, and a crash from here on still leads to its removal from
    // disk.
    auto noted = database_.transaction([&]() -> Result<> {
        LX_TRY_AS(intent, database_.intents().add(kDeleteIntent, {{"fingerprint", fingerprint}}));
        return database_.images().remove(fingerprint);
    });
    LX_TRY(std::move(noted));
    failpoint("image-delete-row-gone");
    LX_TRY(remove_remains(fingerprint));
    failpoint("image-delete-before-intent");
    return database_.intents().remove(intent);
}

Result<> ImageStore::remove(const std::string& fingerprint, const std::string& project) {
    const std::lock_guard lock(pools_.image_files_mutex());  // until then it may become another's, too
    const auto record = database_.images().find(fingerprint);
    if (!record || !database::is_visible(*record, project)) return fail(Status::not_found, "Image not found");
    if (record->projects.size() == 1) return remove_locked(fingerprint);
    LX_TRY(database_.images().leave_project(fingerprint, project));
    return {};
}

Result<> ImageStore::sweep() {
    if (!place_->trouble().empty()) return {};
    LX_TRY_AS(const auto names, names_in(directory()));
    for (const std::string& name : names) {
        const bool is_rootfs = name.ends_with(kRootfsSuffix);
        const std::string fingerprint = is_rootfs ? name.substr(0, name.size() - kRootfsSuffix.size()) : name;
        const auto record = database_.images().find(fingerprint);
        if (record && (!is_rootfs || record->split)) continue;
        log::info("interrupted image import was cleaned up", {{"file", name}});
        LX_TRY(remove_file(fmt::format("{}/{}", directory(), name)));
    }
    return {};
}

Result<> ImageStore::recover() {
    LX_TRY_AS(const auto intents, database_.intents().list());
    for (const auto& intent : intents) {
        if (intent.kind != kDeleteIntent) continue;
        const auto fingerprint = intent.details.find("fingerprint");
        if (fingerprint != intent.details.end() && !database_.images().find(fingerprint->second)) {
            LX_TRY(remove_remains(fingerprint->second));
            log::info("interrupted image deletion was finished", {{"image", fingerprint->second}});
        }
        LX_TRY(database_.intents().remove(intent.id));
    }
    return sweep();
}

}  // namespace lxmgr::instances
