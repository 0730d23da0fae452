#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lxmgr/client.h"

/// Finding, importing and building images.
namespace lxmgr::cli {

/// "debian/12" as distribution and release.
struct DistroName {
    std::string distribution;
    std::string release;
};
/// Names that `image build` takes: "debian/RELEASE", "ubuntu/RELEASE" or "fedora/RELEASE", where RELEASE is a
/// number or a suite name. Errors: `bad_request`.
Result<DistroName> parse_distro(std::string_view name);
/// True for the releases that launch builds by itself when there is no such image: debian/12, 13, sid and
/// their code names.
bool is_well_known_distro(std::string_view name);

/// Fingerprint of an image named by alias, fingerprint or the beginning of one. Errors: `not_found`, with
/// what to do.
Result<std::string> find_image(Client& client, const std::string& name);

struct ImportRequest {
    std::string metadata_path;  ///< or the only file of a unified image
    std::string rootfs_path;    ///< empty: unified
    std::vector<std::pair<std::string, std::string>> properties;
    bool is_public = false;
};
/// Uploads at constant memory; returns the fingerprint. An image that is there already is not sent again.
Result<std::string> import_image(Client& client, const ImportRequest& request);
/// import_image() of a folder that holds metadata.yaml, rootfs and perhaps templates, which tar packs, or the
/// two files that build_image_files() leaves. Errors: `bad_request` when it holds neither.
Result<std::string> import_folder(Client& client, const std::string& folder, ImportRequest request);
/// Lets the daemon fetch the image that an https URL names; returns the fingerprint.
Result<std::string> import_url(Client& client, const std::string& url, const ImportRequest& request);
/// Downloads an image at constant memory and checks it against its fingerprint.
/// @param target  a folder, where the files get their usual names; else a name, to which their endings are
///                added; "-" is the standard output
/// @return the files. Errors leave none behind.
Result<std::vector<std::string>> export_image(Client& client, const std::string& fingerprint,
                                              const std::string& target);
/// Lets the alias name the image, moving it when it names another.
Result<> set_alias(Client& client, const std::string& alias, const std::string& fingerprint,
                   const std::string& description = {});

struct BuildOptions {
    std::string mirror;
    std::string init;  ///< empty: systemd
    std::vector<std::string> packages;
    std::string keyring;  ///< empty: the distribution's own
    std::vector<std::string> components;
    bool is_unsigned = false;
};
/// Runs the image builder (program lxmgr-image-build beside this one or in PATH) into a directory, showing
/// its progress.
Result<> build_image_files(const DistroName& distro, const BuildOptions& options,
                           const std::string& output_dir);
/// Builds, imports and gives it the alias; returns the fingerprint.
Result<std::string> build_and_import(Client& client, const DistroName& distro, const BuildOptions& options,
                                     const std::string& alias);

/// SHA-256 over the files one after the other, in hexadecimal: an image's fingerprint.
Result<std::string> fingerprint_of(const std::vector<std::string>& paths);

}  // namespace lxmgr::cli
