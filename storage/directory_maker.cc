#include "storage/directory_maker.h"

#include <sys/stat.h>

#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

class PlainDirectories final : public DirectoryMaker {
public:
    [[nodiscard]] Result<> create(int parent_fd, const std::string& name) const override {
        if (::mkdirat(parent_fd, name.c_str(), 0100) != 0) return fail_errno_at("mkdir", parent_fd, name);
        return {};
    }
    [[nodiscard]] Result<std::vector<std::string>> remove(int parent_fd, const std::string& name,
                                                          const Interrupted& interrupted) const override {
        return remove_tree_at(parent_fd, name, interrupted);
    }
};

}  // namespace

const DirectoryMaker& plain_directories() {
    static const PlainDirectories maker;
    return maker;
}

}  // namespace lxmgr::storage
