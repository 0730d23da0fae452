#include "lxd-daemon/instances/recovery/note.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images/write_all.h"
#include "images/yaml_json.h"
#include "lxd-daemon/api/storage_pool.h"
#include "lxd-daemon/base/log.h"

namespace lxmgr::instances {
namespace {

using nlohmann::json;

constexpr const char* kDraftNote = ".backup.yaml.tmp";
constexpr std::size_t kMaxNote = std::size_t{8} << 20;

/// FNV-1a of what a note says. The first text is the version of its form.
class Digest {
public:
    Digest& add(std::string_view text) {
        for (const char c : text) mix(static_cast<unsigned char>(c));
        mix(0xff);  // no byte of UTF-8
        return *this;
    }
    Digest& add(const api::ConfigMap& map) {
        for (const auto& [key, value] : map) add(key).add(value);
        mix(0xfe);
        return *this;
    }
    Digest& add(const api::DeviceMap& devices) {
        for (const auto& [name, keys] : devices) add(name).add(keys);
        mix(0xfe);
        return *this;
    }
    [[nodiscard]] std::string line() const { return fmt::format("# lxmgr {:016x}\n", value_); }

private:
    void mix(unsigned char byte) { value_ = (value_ ^ byte) * 1099511628211U; }
    std::uint64_t value_ = 14695981039346656037U;
};

/// What is of one run of the instance, and worth nothing after it.
bool is_of_a_run(const std::string& key) {
    return key == "volatile.last_state.power" || key == "volatile.last_state.ready" ||
           key.ends_with(".host_name");
}

api::ConfigMap lasting(const api::ConfigMap& config) {
    api::ConfigMap out;
    for (const auto& [key, value] : config) {
        if (!is_of_a_run(key)) out.emplace(key, value);
    }
    return out;
}

template <typename Record>
json note_common(const Record& record) {
    return {{"name", record.name},
            {"description", record.description},
            {"config", lasting(record.config)},
            {"created_at", to_rfc3339(record.created_at)}};
}

template <typename Record>
json instance_like(const Record& record) {
    json out = note_common(record);
    out["architecture"] = record.architecture;
    out["ephemeral"] = record.ephemeral;
    out["devices"] = record.devices;
    out["profiles"] = record.profiles;
    out["last_used_at"] = to_rfc3339(record.last_used_at);
    return out;
}

template <typename Record>
void digest_instance_like(Digest& digest, const Record& record) {
    digest.add(record.name).add(record.description).add(record.architecture);
    digest.add(record.ephemeral ? "ephemeral" : "").add(lasting(record.config)).add(record.devices);
    for (const auto& name : record.profiles) digest.add(name);
}

std::string value_in(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
}

Result<> replace_note(int directory, const std::string& text) {
    ::unlinkat(directory, kDraftNote, 0);
    const UniqueFd fd(
        ::openat(directory, kDraftNote, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", kNoteFile);
    LX_TRY(images::write_all(fd.get(), text, kNoteFile));
    if (::renameat(directory, kDraftNote, directory, kNoteFile) != 0)
        return fail_errno("Renaming", kNoteFile);
    return {};
}

bool says(int directory, const std::string& line) {
    const UniqueFd fd(::openat(directory, kNoteFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    std::string found(line.size(), '\0');
    return fd && ::read(fd.get(), found.data(), found.size()) == static_cast<ssize_t>(found.size()) &&
           found == line;
}

/// @param content  made only when it is needed
template <typename Content>
Result<> write_note_of(Context& context, const std::string& pool, const storage::Volume& volume,
                       const Digest& digest, const Content& content) {
    const auto driver = context.deps.pools.driver(pool);
    if (!driver) return std::unexpected(driver.error());
    const auto directory = (*driver)->open_directory(volume);
    if (!directory) {
        if (directory.error().status == Status::not_found) return {};
        return std::unexpected(directory.error());
    }
    if (says(directory->get(), digest.line())) return {};
    LX_TRY_AS(const json object, content());
    auto done = replace_note(directory->get(), digest.line() + images::json_to_yaml(object));
    if (!done) ::unlinkat(directory->get(), kDraftNote, 0);
    return done;
}

json pool_entry(const Context& context, const std::string& name) {
    const auto pool = context.deps.database.pools().find(name);
    if (!pool) return nullptr;
    return {{"name", name},
            {"driver", pool->driver},
            {"description", pool->description},
            {"config", pool->config}};
}

Digest pool_digest(const Context& context, const std::string& name) {
    Digest digest;
    digest.add("1").add(name);
    if (const auto pool = context.deps.database.pools().find(name))
        digest.add(pool->driver).add(pool->description).add(pool->config);
    return digest;
}

}  // namespace

Result<> write_note(Context& context, const database::InstanceRecord& record) {
    Digest digest = pool_digest(context, record.pool);
    digest_instance_like(digest, record);
    digest.add(std::to_string(record.metadata_id));
    std::vector<database::ProfilePtr> profiles;
    for (const auto& name : record.profiles) {
        if (const auto profile = context.deps.database.profiles().find(name)) profiles.push_back(profile);
    }
    for (const auto& profile : profiles)
        digest.add(profile->name).add(profile->description).add(profile->config).add(profile->devices);
    const auto content = [&]() -> Result<json> {
        json out{{"container", instance_like(record)},
                 {"profiles", json::array()},
                 {"pool", pool_entry(context, record.pool)},
                 {"volume", {{"name", record.name}, {"type", "container"}, {"content_type", "filesystem"}}}};
        for (const auto& profile : profiles)
            out["profiles"].push_back({{"name", profile->name},
                                       {"description", profile->description},
                                       {"config", profile->config},
                                       {"devices", profile->devices}});
        if (record.metadata_id != 0) {
            LX_TRY_AS(out["image_metadata"], context.deps.database.metadata_sets().find(record.metadata_id));
        }
        return out;
    };
    return write_note_of(context, record.pool, {storage::VolumeType::container, record.name}, digest,
                         content);
}

Result<> write_note(Context& context, const database::InstanceRecord& record,
                    const database::SnapshotRecord& snapshot) {
    const std::string uuid = value_in(record.config, "volatile.uuid");
    Digest digest;
    digest.add("1").add(uuid).add(snapshot.volume).add(to_rfc3339(snapshot.expires_at));
    digest_instance_like(digest, snapshot);
    const auto content = [&]() -> Result<json> {
        json object = instance_like(snapshot);
        object["config"] = snapshot.config;
        object["expires_at"] = to_rfc3339(snapshot.expires_at);
        object["volume"] = snapshot.volume;
        return json{{"snapshot", std::move(object)}, {"of_instance", uuid}};
    };
    return write_note_of(context, record.pool, {storage::VolumeType::snapshot, snapshot.volume}, digest,
                         content);
}

Result<> write_note(Context& context, const database::VolumeRecord& record) {
    Digest digest = pool_digest(context, record.pool);
    digest.add(record.volume).add(record.name).add(record.description).add(record.config);
    digest.add(record.content_type);
    const auto content = [&]() -> Result<json> {
        json object = note_common(record);
        object["config"] = record.config;
        object["type"] = "custom";
        object["content_type"] = record.content_type;
        object["volume"] = record.volume;
        return json{{"volume", std::move(object)}, {"pool", pool_entry(context, record.pool)}};
    };
    return write_note_of(context, record.pool, {storage::VolumeType::custom, record.volume}, digest, content);
}

Result<> write_note(Context& context, const database::VolumeRecord& record,
                    const database::VolumeSnapshotRecord& snapshot) {
    Digest digest;
    digest.add("1").add(record.volume).add(snapshot.volume).add(snapshot.name).add(snapshot.description);
    digest.add(snapshot.config).add(to_rfc3339(snapshot.expires_at));
    const auto content = [&]() -> Result<json> {
        json object = note_common(snapshot);
        object["config"] = snapshot.config;
        object["expires_at"] = to_rfc3339(snapshot.expires_at);
        object["volume"] = snapshot.volume;
        return json{{"volume_snapshot", std::move(object)}, {"of_volume", record.volume}};
    };
    return write_note_of(context, record.pool, {storage::VolumeType::custom, snapshot.volume}, digest,
                         content);
}

json read_note(storage::Driver& driver, const storage::Volume& volume) {
    const auto directory = driver.open_directory(volume);
    return directory ? read_note(directory->get(), volume.name) : nullptr;
}

json read_note(int directory, const std::string& name) {
    const UniqueFd fd(::openat(directory, kNoteFile, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return nullptr;
    std::string text(std::min(static_cast<std::size_t>(st.st_size), kMaxNote + 1), '\0');
    const ssize_t got = ::pread(fd.get(), text.data(), text.size(), 0);
    if (got < 0 || static_cast<std::size_t>(got) > kMaxNote) return nullptr;
    text.resize(static_cast<std::size_t>(got));
    auto note = images::yaml_to_json(text, kNoteFile);
    if (note && note->is_object()) return *std::move(note);
    log::warn("backup.yaml of a volume is not readable", {{"volume", name}});
    return nullptr;
}

}  // namespace lxmgr::instances
