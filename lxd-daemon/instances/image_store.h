#pragma once
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "images/image.h"
#include "lxd-daemon/api/image.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/kept_files/kept_files.h"
#include "lxd-daemon/instances/pools.h"

namespace lxmgr::instances {

/// An upload and what the client said about it.
struct ImageUpload {
    images::ImageFiles files;                      ///< in KeptPlace::temporary(); consumed on success
    std::shared_ptr<images::TrailingHash> hash;    ///< of the files, as they came; null: nobody makes it
    std::string filename;                          ///< shown to clients; empty: none
    std::string expected_fingerprint;              ///< empty: any
    api::ConfigMap properties;                     ///< win over those of metadata.yaml
    std::vector<std::string> profiles{"default"};  ///< keys
    std::vector<std::string> projects{"default"};  ///< that are to have it
    bool is_public = false, cached = false, auto_update = false;
    std::optional<database::ImageSource> source;
    std::vector<database::AliasRecord> aliases;  ///< that come with the row, or neither does; without target
    std::string expected_architecture;           ///< empty: any
    Time expires_at{};                           ///< the epoch: as metadata.yaml says
};

/// They become image.* keys of instances, so they follow the same rules. Errors: `bad_request`.
Result<> check_image_properties(const api::ConfigMap& properties);
/// The aliases that a request asks for, as those of the project's images, still without a target.
std::vector<database::AliasRecord> image_aliases(const std::string& project,
                                                 const std::vector<api::AliasOfImage>& asked);
/// Inside a transaction. Errors: `conflict` for one that is there.
Result<> create_image_aliases(database::Database& database, std::vector<database::AliasRecord> aliases,
                              const std::string& fingerprint);
/// `forbidden`: one project wants to say of an image what would hold for others, too.
std::unexpected<Error> shared_image();

/// The images as rows and as files in STATE/images, or on the volume of storage.images_volume: both or
/// neither. Calls that change the same image must not overlap: operations hold the lock kImageLock. What a
/// crash interrupts is undone by recover().
class ImageStore {
public:
    /// The lock string of operations that import or delete.
    static constexpr const char* kImageLock = "images";

    /// For one task: as long as it lives, the files stay where they are (KeptFiles).
    ImageStore(database::Database& database, Pools& pools)
        : database_(database), pools_(pools), place_(pools.kept_files().place(Kept::images)) {}

    /// Files first, then the row. Errors: `bad_request` for what is wrong with the image or when it is there
    /// already.
    Result<database::ImagePtr> import(const ImageUpload& upload, std::stop_token stop);
    /// An image that was made here; the files of `upload` are those of `made`. The same errors.
    Result<database::ImagePtr> keep(const ImageUpload& upload, images::ImportedImage made);
    /// The row first, then volumes and files; instances that stand on the image go on. `not_found`.
    Result<> remove(const std::string& fingerprint);
    /// The same, but for a project that has it beside others: it alone has it no more.
    Result<> remove(const std::string& fingerprint, const std::string& project);
    /// At daemon start, before requests: removes files without a row and finishes interrupted deletions.
    Result<> recover();
    /// Where the files of a stored image are.
    [[nodiscard]] images::ImageFiles files_of(const database::ImageRecord& record) const;

private:
    Result<database::ImagePtr> add_row(const ImageUpload& upload, const images::ImportedImage& imported);
    Result<database::ImagePtr> share(const database::ImageRecord& here, const ImageUpload& upload,
                                     const images::ImportedImage& imported);
    Result<> remove_locked(const std::string& fingerprint);
    Result<database::ImagePtr> store_row(const ImageUpload& upload, const images::ImportedImage& imported);
    Result<> remove_remains(const std::string& fingerprint);
    Result<> sweep();

    [[nodiscard]] const std::string& directory() const { return place_->directory(); }

    database::Database& database_;
    Pools& pools_;
    KeptPlacePtr place_;
};

}  // namespace lxmgr::instances
