// export and import: an instance as a file, and back.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/own.h"
#include "lxmgr/commands.h"
#include "lxmgr/object.h"
#include "lxmgr/remote_files.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

std::string default_file(const std::string& instance, const std::string& compression) {
    for (const auto& [name, suffix] : {std::pair{"none", ""}, {"xz", ".xz"}, {"zstd", ".zst"}}) {
        if (compression == name) return instance + ".tar" + suffix;
    }
    return instance + ".tar.gz";
}

/// Downloads to a file that has its name only when it is whole; "-" is the standard output.
Result<> download(Client& client, const std::string& target, const std::string& file) {
    Progress progress("Exporting");
    LX_TRY_AS(const auto body, client.open({.method = "GET", .target = target, .headers = {}, .body = {}}));
    if (file == "-") return copy_body(*body, STDOUT_FILENO, progress);
    const std::string partial = file + ".part";
    const UniqueFd fd(::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("Creating", partial);
    auto copied = copy_body(*body, fd.get(), progress);
    if (copied && ::rename(partial.c_str(), file.c_str()) != 0) copied = fail_errno("Renaming to", file);
    if (!copied) ::unlink(partial.c_str());
    return copied;
}

/// Lets the daemon make a backup, downloads it, and lets it go again.
Result<int> export_object(Client& client, const Args& args, const Object& object) {
    const std::string& compression = args.text("compression");
    const std::string file = args.given("FILE") ? args.text("FILE") : default_file(object.name, compression);
    // It goes by itself should this program not come to delete it.
    const Json body = {{"name", ""},
                       {"expires_at", to_rfc3339(now() + std::chrono::hours(24))},
                       {"instance_only", args.flag("instance-only")},
                       {"volume_only", args.flag("volume-only")},
                       {"optimized_storage", args.flag("optimized-storage")},
                       {"compression_algorithm", compression}};
    auto made = client.call("POST", object.path + "/backups", body, {"Backing up " + object.name});
    if (!made) return std::unexpected(explain(object, "Backing up", std::move(made).error()));
    const Json& urls = member(member(*made, "resources"), "backups");
    if (!urls.is_array() || urls.empty())
        return fail(Status::internal, "The daemon does not say which backup it has made");
    const std::string backup = object.path + "/backups/" + last_segment(urls.front().get<std::string>());
    auto stored = download(client, backup + "/export", file);
    auto removed = client.call("DELETE", backup, nullptr, {"Tidying up"});
    if (!stored) return std::unexpected(explain(object, "Exporting", std::move(stored).error()));
    LX_TRY(removed);
    return 0;
}

Result<int> run_export(Client& client, const Args& args) {
    return export_object(client, args, instance_object(args.text("INSTANCE")));
}
Result<int> run_volume_export(Client& client, const Args& args) {
    return export_object(client, args, volume_object(args.text("POOL"), args.text("VOLUME")));
}

Result<Json> send_backup(Client& client, const Args& args, const std::string& target) {
    const std::string& path = args.text("FILE");
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st{};
    if (!fd || ::fstat(fd.get(), &st) != 0) return fail_errno("Opening", path);
    std::optional<std::uint64_t> size;
    if (S_ISREG(st.st_mode)) size = static_cast<std::uint64_t>(st.st_size);
    Progress progress("Importing");
    Upload upload = upload_of(fd.get(), size, progress);
    HttpRequest head{.method = "POST", .target = target, .headers = {}, .body = {}};
    head.headers.emplace_back("Content-Type", "application/octet-stream");
    if (args.given("NAME")) head.headers.emplace_back("X-LXD-name", args.text("NAME"));
    if (args.given("storage")) head.headers.emplace_back("X-LXD-pool", args.text("storage"));
    head.upload = &upload;
    LX_TRY_AS(const Answer answer, client.send(std::move(head)));
    progress.clear();
    return client.finish(answer, {"Importing " + path});
}

Result<int> run_backup_import(Client& client, const Args& args) {
    auto sent = send_backup(client, args, "/1.0/instances");
    if (!sent) return std::unexpected(in("Importing " + args.text("FILE"), std::move(sent).error()));
    const Json& urls = member(member(*sent, "resources"), "instances");
    if (urls.is_array() && !urls.empty())
        fmt::print("Imported {}\n", last_segment(urls.front().get<std::string>()));
    return 0;
}

Result<int> run_volume_import(Client& client, const Args& args) {
    auto sent =
        send_backup(client, args, api_path({"storage-pools", args.text("POOL"), "volumes", "custom"}));
    if (!sent) return std::unexpected(in("Importing " + args.text("FILE"), std::move(sent).error()));
    return 0;
}

constexpr Operand kExport[] = {{"INSTANCE", Count::one, Kind::instance},
                               {"FILE", Count::optional, Kind::file}};
constexpr Operand kImport[] = {{"FILE", Count::one, Kind::file}, {"NAME", Count::optional}};
constexpr Operand kVolumeExport[] = {
    {"POOL", Count::one, Kind::pool}, {"VOLUME"}, {"FILE", Count::optional, Kind::file}};
constexpr Operand kVolumeImport[] = {
    {"POOL", Count::one, Kind::pool}, {"FILE", Count::one, Kind::file}, {"NAME", Count::optional}};
constexpr Option kCompression = {"--compression", "ALGORITHM",         "none, gzip, xz or zstd",
                                 false,           "none|gzip|xz|zstd", "gzip"};
constexpr Option kVolumeExportOptions[] = {{"--volume-only", "", "leave the snapshots out"}, kCompression};
constexpr Option kExportOptions[] = {
    {"--instance-only", "", "leave the snapshots out"},
    {"--optimized-storage", "",
     "as btrfs's own streams, for pools of btrfs: faster, and no files to look at"},
    kCompression};
constexpr Option kBackupImportOptions[] = {{"-s,--storage", "POOL", "pool of the root disk"}};
const Command kBackupCommands[] = {
    {"export", "Write an instance and its snapshots to a file", kExport, kExportOptions,
     "The file is a tarball as LXD's. A running instance is frozen while its files are copied. FILE - is the "
     "standard output.",
     "export dev\nexport dev /backup/dev.tar.zst --compression zstd", run_export},
    {"storage volume export", "Write a volume and its snapshots to a file", kVolumeExport,
     kVolumeExportOptions, "",
     "storage volume export default data\nstorage volume export default data /backup/data.tar.gz",
     run_volume_export},
    {"storage volume import",
     "Make a volume from such a file",
     kVolumeImport,
     {},
     "",
     "storage volume import default data.tar.gz data2",
     run_volume_import},
    {"import", "Make an instance from such a file", kImport, kBackupImportOptions,
     "Config, devices, profiles and snapshots come along. FILE may be LXD's or Incus's of a container.",
     "import dev.tar.gz\nimport dev.tar.gz dev2 --storage fast", run_backup_import},
};

}  // namespace

std::span<const Command> backup_commands() { return kBackupCommands; }

}  // namespace lxmgr::cli
