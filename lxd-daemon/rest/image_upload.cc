#include "lxd-daemon/rest/image_upload.h"

#include <fmt/format.h>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/target.h"
#include "profiles/config_keys.h"

namespace lxmgr::rest {
namespace {

/// "k=v&k2=v2", percent-encoded as in a query.
Result<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& part : split(text, '&')) {
        if (part.empty()) continue;
        const std::string_view view = part;
        const auto equals = view.find('=');
        LX_TRY_AS(std::string key, percent_decode(view.substr(0, equals), true));
        std::string value;
        if (equals != std::string_view::npos) {
            LX_TRY_AS(value, percent_decode(view.substr(equals + 1), true));
        }
        out.emplace_back(std::move(key), std::move(value));
    }
    return out;
}

Result<> read_headers(const Request& request, instances::ImageUpload& out) {
    LX_TRY_AS(const auto properties, parse_form(request.header("x-lxd-properties").value_or("")));
    for (const auto& [key, value] : properties) {
        if (!is_utf8(key) || !is_utf8(value))
            return fail(Status::bad_request, "Image properties must be UTF-8");
        out.properties[key] = value;
    }
    LX_TRY_AS(const auto profiles, parse_form(request.header("x-lxd-profiles").value_or("")));
    if (!profiles.empty()) out.profiles.clear();
    for (const auto& [key, value] : profiles) {
        if (key == "profile") out.profiles.push_back(value);
    }
    out.is_public = profiles::parse_bool(request.header("x-lxd-public").value_or(""));
    out.expected_fingerprint = request.header("x-lxd-fingerprint").value_or("");
    out.filename = request.header("x-lxd-filename").value_or("");
    return {};
}

Result<> check_filename(std::string& name) {
    if (const auto slash = name.rfind('/'); slash != std::string::npos) name.erase(0, slash + 1);
    if (name.size() > 255 || has_control_chars(name) || !is_utf8(name)) {
        return fail(Status::bad_request, "The image's file name is not usable");
    }
    return {};
}

/// The file of one part; empty when it is not there.
std::string part_path(const Request& request, std::initializer_list<std::string_view> names) {
    for (const auto& file : request.files) {
        for (const auto name : names) {
            if (file->part_name == name) return file->path;
        }
    }
    return "";
}

Result<images::ImageFiles> read_files(const Request& request) {
    if (request.files.size() == 1 && request.files.front()->part_name.empty()) {
        if (request.files.front()->size_bytes == 0) return fail(Status::bad_request, "The image is empty");
        return images::ImageFiles{request.files.front()->path, ""};
    }
    if (!part_path(request, {"rootfs.img"}).empty()) {
        return fail(Status::bad_request, "Images of virtual machines are not supported");
    }
    const images::ImageFiles files{part_path(request, {"metadata"}), part_path(request, {"rootfs"})};
    if (files.metadata_path.empty() || files.rootfs_path.empty()) {
        return fail(Status::bad_request, "A split image needs the parts 'metadata' and 'rootfs'");
    }
    return files;
}

/// Known where the files came in the order in which it is made of them.
std::shared_ptr<images::TrailingHash> hash_of(const Request& request) {
    const auto& files = request.files;
    const bool in_order = files.size() == 1 || (files.size() == 2 && files.front()->part_name == "metadata");
    return in_order ? request.files_hash : nullptr;
}

}  // namespace

Result<BodyDirectory> image_upload_directory(const Services& services) {
    if (services.pools == nullptr) return BodyDirectory{services.root + "/tmp", nullptr};
    LX_TRY_AS(auto writing, services.pools->kept_files().write(instances::Kept::images));
    std::string path = writing.place->temporary();
    return BodyDirectory{std::move(path), std::make_shared<const instances::KeptWriting>(std::move(writing))};
}

Result<instances::ImageUpload> read_image_upload(const Request& request) {
    instances::ImageUpload out;
    LX_TRY_AS(out.files, read_files(request));
    LX_TRY(read_headers(request, out));
    out.hash = hash_of(request);
    if (out.filename.empty() && !request.files.empty()) out.filename = request.files.front()->filename;
    LX_TRY(check_filename(out.filename));
    return out;
}

}  // namespace lxmgr::rest
