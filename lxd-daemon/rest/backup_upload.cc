#include "lxd-daemon/rest/backup_upload.h"

#include "lxd-daemon/rest/body_reading.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

Handled take_backup(const Request& request, Services& services, instances::BackupUpload upload,
                    BeginImport begin) {
    auto import = [upload = std::move(upload), begin = std::move(begin)](
                      std::shared_ptr<images::ByteSource> body) mutable -> Result<operations::OperationPtr> {
        upload.content = std::make_shared<images::BackupReader>(std::move(body));
        auto begun = begin(upload);
        upload.content.reset();  // nobody but the operation reads on
        return begun;
    };
    auto taking = read_on_worker<operations::OperationPtr>(*request.incoming, services, std::move(import));
    LX_CO_TRY_AS(const auto operation, co_await std::move(taking));
    co_return Response::operation(*operation);
}

}  // namespace lxmgr::rest
