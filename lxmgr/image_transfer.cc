#include "lxmgr/image_transfer.h"

#include <fmt/format.h>

#include "lxmgr/editor.h"
#include "lxmgr/images.h"
#include "lxmgr/object.h"
#include "lxmgr/reach.h"

namespace lxmgr::cli {
namespace {

/// What the two servers do for one image.
class ImageCopy {
public:
    ImageCopy(Client& source, Client& target, const ImageTransfer& wanted)
        : source_(source),
          target_(target),
          wanted_(wanted),
          fingerprint_(text_member(wanted.image, "fingerprint")),
          doing_("Copying image " + fingerprint_.substr(0, 12)) {}

    Result<> run() {
        // What is to be kept up to date must be fetched.
        return transfer(
            source_, target_, wanted_.alias.empty() ? wanted_.mode : "pull",
            {.pull = [this](const auto& url, const auto& certificate) { return pull(url, certificate); },
             .push = [this](const auto& url, const auto& certificate) { return push(url, certificate); },
             .relay = [this] { return relay(); }});
    }

private:
    Json body_of(Json asked) const {
        return {{"public", wanted_.is_public},
                {"auto_update", !wanted_.alias.empty()},
                {"properties", member(wanted_.image, "properties")},
                {"source", std::move(asked)}};
    }
    [[nodiscard]] bool is_public_there() const { return member(wanted_.image, "public") == true; }

    /// The target fetches it.
    Result<> pull(const std::string& url, const std::string& certificate) {
        Json asked{{"type", "image"},
                   {"mode", "pull"},
                   {"server", url},
                   {"protocol", "lxd"},
                   {"certificate", certificate}};
        // Who is given a fingerprint looks for nothing newer.
        asked[wanted_.alias.empty() ? "fingerprint" : "alias"] =
            wanted_.alias.empty() ? fingerprint_ : wanted_.alias;
        if (!source_.server().project.empty()) asked["project"] = project_name(source_);
        std::string offered;
        if (!is_public_there()) {
            // Who has the secret fetches the image once.
            LX_TRY_AS(const Answer made,
                      source_.send("POST", api_path({"images", fingerprint_, "secret"}), Json::object()));
            asked["secret"] = text_member(member(made.metadata, "metadata"), "secret");
            offered = made.operation;
        }
        auto done = target_.call("POST", "/1.0/images", body_of(std::move(asked)), {doing_});
        if (done) return {};
        if (!offered.empty()) cancel(source_, offered);
        return std::unexpected(std::move(done).error());
    }

    /// The source brings it.
    Result<> push(const std::string& url, const std::string& certificate) {
        LX_TRY_AS(
            const Answer waiting,
            target_.send("POST", "/1.0/images",
                         body_of({{"type", "image"}, {"mode", "push"}, {"fingerprint", fingerprint_}})));
        Json post{{"target", url},
                  {"certificate", certificate},
                  {"secret", text_member(member(waiting.metadata, "metadata"), "secret")},
                  {"aliases", Json::array()}};
        if (!target_.server().project.empty()) post["project"] = project_name(target_);
        auto sent =
            source_.call("POST", api_path({"images", fingerprint_, "export"}), std::move(post), {doing_});
        if (sent) return {};
        cancel(target_, waiting.operation);
        return std::unexpected(std::move(sent).error());
    }
    /// Through us, where neither reaches the other one.
    Result<> relay() {
        LX_TRY_AS(const TemporaryDirectory folder, TemporaryDirectory::create("/var/tmp"));
        LX_TRY_AS(const auto files, export_image(source_, fingerprint_, folder.path()));
        ImportRequest request{.metadata_path = files.front(), .is_public = wanted_.is_public};
        if (files.size() > 1) request.rootfs_path = files[1];
        for (const auto& [key, value] : member(wanted_.image, "properties").items()) {
            if (value.is_string()) request.properties.emplace_back(key, value.get<std::string>());
        }
        LX_TRY(import_image(target_, request));
        return {};
    }

    Client& source_;
    Client& target_;
    const ImageTransfer& wanted_;
    std::string fingerprint_, doing_;
};

}  // namespace

Result<> transfer_image(Client& source, Client& target, const ImageTransfer& wanted) {
    return ImageCopy(source, target, wanted).run();
}

}  // namespace lxmgr::cli
